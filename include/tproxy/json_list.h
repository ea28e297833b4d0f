/*
 * A list of JSON objects, read one by one, as `ip -j` and `nft -j` print them.
 *
 * A parsed listing takes about 17 times the memory of its text. So each object is parsed alone and freed before the
 * next one. Text that is cut off anywhere is refused.
 */
#ifndef TPROXY_JSON_LIST_H
#define TPROXY_JSON_LIST_H

#include <jansson.h>
#include <stdbool.h>

/*
 * Passes each object of the list in TEXT to TAKE, with CONTEXT; TAKE keeps an object by json_incref(). MEMBER NULL:
 * the text is the list. Else it is an object whose only member, MEMBER, is the list.
 *
 * Returns false where TAKE returned false, which ends the reading, or where the text is not such a list; then
 * *PROBLEM (NULL before, to be freed) says where and why. It stays as it is where TAKE returned false.
 */
bool json_list_read(const char *text, const char *member,
	bool (*take)(void *context, json_t *object), void *context, char **problem);

/* The same for any number of lists one behind the other, which is what a command prints that was asked for several. */
bool json_lists_read(const char *text, bool (*take)(void *context, json_t *object), void *context,
	char **problem);

#endif
