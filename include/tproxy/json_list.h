/*
 * A list of JSON objects, one after the other, as `ip -j` and `nft -j` print them.
 *
 * The tree of a whole listing takes about 17 times its text. So each object is parsed alone, and is gone
 * before the next one. Only a text that is whole is a list: what is cut off anywhere is refused.
 */
#ifndef TPROXY_JSON_LIST_H
#define TPROXY_JSON_LIST_H

#include <jansson.h>
#include <stdbool.h>

/*
 * Gives each object of the list in TEXT to TAKE, together with CONTEXT; TAKE keeps one by json_incref().
 * MEMBER NULL: the text is the list. Else it is an object with that one member, which is the list.
 *
 * False where TAKE returned false, which ends the reading, or where the text is not such a list. *PROBLEM
 * (NULL before) then says where and why, to be freed; it stays NULL where TAKE returned false.
 */
bool json_list_read(const char *text, const char *member,
	bool (*take)(void *context, json_t *object), void *context, char **problem);

#endif
