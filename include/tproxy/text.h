/*
 * Strings on the heap. Each returned string is to be freed by the caller; without memory the program ends.
 */
#ifndef TPROXY_TEXT_H
#define TPROXY_TEXT_H

#include <stdbool.h>
#include <stdio.h>

char *text_copy(const char *text);

/* As asprintf(3). */
char *text_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Appends to *TEXT (NULL: empty), which may move. It reads the old text each time, so it is for a few pieces; for a
 * text that grows with the host's rules or listeners use a struct text_stream.
 */
void text_add(char **text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A text of any number of pieces: print them to OUT. */
struct text_stream {
	FILE *out;
	char *text;
	size_t length;
};

void text_begin(struct text_stream *stream);

/* Ends the stream and returns what was printed ("" for nothing), to be freed; `length` is its length. */
char *text_end(struct text_stream *stream);

/* The next line of *AT without its newline, to be freed; NULL at the end. *AT moves behind it. */
char *text_line(const char **at);

/* Replaces every byte of TEXT that is not printable ASCII by "?". */
void text_make_plain(char *text);

/* Reads TEXT as one decimal or 0x… number up to 2^32-1. False: it is something else; *NUMBER is unchanged. */
bool text_number(const char *text, unsigned *number);

#endif
