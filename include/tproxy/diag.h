/*
 * Diagnostics: what is wrong with a configuration, collected instead of printed.
 *
 * Reading goes on after an error, so that a person sees every mistake of a file in one go. A diag
 * keeps the messages in the order in which they were found; whoever made it prints and frees it.
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

/* Returns NULL only when memory is exhausted. */
struct diag *diag_new(void);
void diag_free(struct diag *diag);

/*
 * Adds one message, shown as "FILE:LINE: error: 'WORD': TEXT". LINE 0 means the file as a whole,
 * WORD NULL the line as a whole. The strings are copied.
 */
void diag_add(struct diag *diag, enum diag_severity severity, const char *file, unsigned line,
	const char *word, const char *format, ...) __attribute__((format(printf, 6, 7)));

size_t diag_count(const struct diag *diag, enum diag_severity severity);

/* One line a message. */
void diag_print(const struct diag *diag, FILE *out);

#endif
