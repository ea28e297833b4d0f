/*
 * Text made piece by piece. All of it belongs to the caller; where memory is exhausted, we end.
 */
#ifndef TPROXY_TEXT_H
#define TPROXY_TEXT_H

#include <stdbool.h>

char *text_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* *TEXT (NULL: nothing yet) with more behind it; the old text is freed. */
void text_add(char **text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * The next line of *AT without its end, in memory of the caller's; NULL when there is none. *AT moves
 * behind it.
 */
char *text_line(const char **at);

/* Reads a whole decimal or 0x… number up to 2^32-1. */
bool text_number(const char *text, unsigned *number);

#endif
