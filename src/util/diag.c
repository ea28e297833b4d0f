/*
 * Diagnostics: messages in the order in which they were found.
 *
 * A message is one line whatever its words hold: bytes that a terminal would act upon are shown as
 * escapes. When memory is exhausted a message may be lost, but never its count, so an error cannot
 * turn into a success.
 */
#include "tproxy/diag.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct message {
	struct message *next;
	struct diag_message parts; /* into the texts */
	char text[];               /* as it is printed, and behind it the word */
};

struct diag {
	struct message *first, **end;
	size_t counts[DIAG_ERROR + 1];
	size_t lost;
};

struct diag *diag_new(void)
{
	struct diag *diag = calloc(1, sizeof(*diag));

	if (diag != NULL)
		diag->end = &diag->first;
	return diag;
}

void diag_free(struct diag *diag)
{
	struct message *message, *next;

	if (diag == NULL)
		return;
	for (message = diag->first; message != NULL; message = next) {
		next = message->next;
		free(message);
	}
	free(diag);
}

/* Writes WORD in quotes, on one line; UTF-8 passes. */
static void print_word(FILE *out, const char *word)
{
	fputc('\'', out);
	for (; *word != '\0'; word++) {
		unsigned char c = (unsigned char)*word;

		if (c < 0x20 || c == 0x7f)
			fprintf(out, "\\x%02x", c);
		else
			fputc(c, out);
	}
	fputs("': ", out);
}

/* TEXT is the message as it is printed; from its byte PREFIX on it is what PARTS do not say. */
static void append_message(struct diag *diag, struct diag_message parts, const char *text,
	size_t length, size_t prefix)
{
	size_t word_size = parts.word == NULL ? 0 : strlen(parts.word) + 1;
	struct message *message = malloc(sizeof(*message) + length + 1 + word_size);

	if (message == NULL) {
		diag->lost++;
		return;
	}
	memcpy(message->text, text, length);
	message->text[length] = '\0';
	parts.text = message->text + prefix;
	if (parts.word != NULL)
		parts.word = memcpy(message->text + length + 1, parts.word, word_size);
	message->next = NULL;
	message->parts = parts;
	*diag->end = message;
	diag->end = &message->next;
}

void diag_add(struct diag *diag, enum diag_severity severity, const char *file, unsigned line,
	const char *word, const char *format, ...)
{
	char *text = NULL;
	size_t length = 0, prefix;
	FILE *out = open_memstream(&text, &length);
	va_list arguments;

	diag->counts[severity]++;
	if (out == NULL) {
		diag->lost++;
		return;
	}
	fprintf(out, "%s:", file);
	if (line != 0)
		fprintf(out, "%u:", line);
	fprintf(out, " %s: ", severity == DIAG_ERROR ? "error" : "warning");
	if (word != NULL)
		print_word(out, word);
	fflush(out);
	prefix = length;
	va_start(arguments, format);
	vfprintf(out, format, arguments);
	va_end(arguments);
	if (fclose(out) == 0)
		append_message(diag, (struct diag_message){severity, line, word, NULL}, text,
			length, prefix);
	else
		diag->lost++;
	free(text);
}

size_t diag_count(const struct diag *diag, enum diag_severity severity)
{
	return diag->counts[severity];
}

void diag_report(const struct diag *diag,
	void (*report)(void *arg, enum diag_severity severity, const char *text), void *arg)
{
	char lost[80];

	for (const struct message *message = diag->first; message != NULL; message = message->next)
		report(arg, message->parts.severity, message->text);
	if (diag->lost == 0)
		return;
	snprintf(lost, sizeof(lost), "%zu more messages were lost: out of memory", diag->lost);
	report(arg, DIAG_ERROR, lost);
}

void diag_each(const struct diag *diag, void (*take)(void *arg, const struct diag_message *message),
	void *arg)
{
	for (const struct message *message = diag->first; message != NULL; message = message->next)
		take(arg, &message->parts);
}

static void print_message(void *out, enum diag_severity severity, const char *text)
{
	(void)severity;
	fprintf(out, "%s\n", text);
}

void diag_print(const struct diag *diag, FILE *out)
{
	diag_report(diag, print_message, out);
}
