/*
 * The difference between two texts, line by line.
 *
 * It is the shortest one unless the texts differ in very many lines; then it is still right, and may be longer. A line
 * that ends in another way (CRLF, or without a line feed at the end) is another line.
 */
#ifndef TPROXY_EDIT_DIFFERENCE_H
#define TPROXY_EDIT_DIFFERENCE_H

#include <jansson.h>
#include <stddef.h>

/*
 * As `diff -u` prints it, with three lines of context, so that patch(1) takes it; "" where the texts are the same.
 * OLD_NAME and NEW_NAME stand in its first two lines. To be freed.
 */
char *difference_unified(const char *old_name, const char *old_text, size_t old_length,
	const char *new_name, const char *new_text, size_t new_length);

/*
 * The same for display: a list of rows {"kind": "same", "removed" or "added", "old" (the line's number in the old
 * text, from 1; 0 for an added one), "new" (likewise), "text" (without its line's end)}, and {"kind": "gap", "count"}
 * where COUNT lines that are the same are left out. CONTEXT: how many such lines stay around each difference.
 */
json_t *difference_rows(const char *old_text, size_t old_length, const char *new_text,
	size_t new_length, size_t context);

#endif
