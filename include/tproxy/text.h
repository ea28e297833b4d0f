/*
 * Text made piece by piece. All of it belongs to the caller; where memory is exhausted, we end.
 */
#ifndef TPROXY_TEXT_H
#define TPROXY_TEXT_H

#include <stdbool.h>
#include <stdio.h>

char *text_copy(const char *text);

char *text_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * *TEXT (NULL: nothing yet) with more behind it; the old text is freed. It looks through the old text, so
 * it is for a few pieces; what grows with the host, its rules or listeners, is for a struct text_stream.
 */
void text_add(char **text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Text of any number of pieces: print them to OUT. */
struct text_stream {
	FILE *out;
	char *text;
	size_t length;
};

void text_begin(struct text_stream *stream);

/* All that was printed, "" for nothing, to be freed. */
char *text_end(struct text_stream *stream);

/*
 * The next line of *AT without its end, in memory of the caller's; NULL when there is none. *AT moves
 * behind it.
 */
char *text_line(const char **at);

/* Reads a whole decimal or 0x… number up to 2^32-1. */
bool text_number(const char *text, unsigned *number);

#endif
