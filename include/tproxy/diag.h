/*
 * Diagnostics: what is wrong with a configuration, collected instead of printed.
 *
 * Reading goes on after an error, so that a person sees every mistake of a file in one go. A diag
 * keeps the messages in the order in which they were found; its owner prints and frees it.
 */
#ifndef TPROXY_DIAG_H
#define TPROXY_DIAG_H

#include <stddef.h>
#include <stdio.h>

enum diag_severity {
	DIAG_WARNING, /* the configuration works, but perhaps not as meant */
	DIAG_ERROR,   /* the configuration is refused */
};

struct diag;

/* Makes an empty one. Returns NULL only when memory is exhausted. */
struct diag *diag_new(void);

/* Frees it with all messages; NULL is allowed. */
void diag_free(struct diag *diag);

/*
 * Adds one message, shown as "FILE:LINE: error: 'WORD': TEXT". LINE 0 means the file as a whole,
 * WORD NULL the line as a whole. The strings are copied. Where memory is exhausted the message is lost, and
 * still counted.
 */
void diag_add(struct diag *diag, enum diag_severity severity, const char *file, unsigned line,
	const char *word, const char *format, ...) __attribute__((format(printf, 6, 7)));

/* How many messages of SEVERITY were added. */
size_t diag_count(const struct diag *diag, enum diag_severity severity);

/*
 * Calls REPORT with ARG for each message, in the order in which they were added: as diag_print() prints it,
 * without a newline. Messages that were lost are one more, of DIAG_ERROR.
 */
void diag_report(const struct diag *diag,
	void (*report)(void *arg, enum diag_severity severity, const char *text), void *arg);

struct diag_message {
	enum diag_severity severity;
	unsigned line;    /* 0: the file as a whole */
	const char *word; /* as it was given, with all its bytes; NULL: the line as a whole */
	const char *text; /* the message without its place and its word */
};

/* Calls TAKE with ARG for each message, in the same order, without those that were lost. */
void diag_each(const struct diag *diag, void (*take)(void *arg, const struct diag_message *message),
	void *arg);

/* Prints the messages in the order in which they were added, one line each. */
void diag_print(const struct diag *diag, FILE *out);

#endif
