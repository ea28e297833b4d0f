/*
 * A list of JSON objects, one after the other; see the header.
 *
 * The frame around the objects is read here, and what is between its commas by jansson, which says how
 * many bytes it took. The trap: jansson's positions are counted from the object on.
 */
#include "tproxy/json_list.h"
#include "tproxy/text.h"

#include <string.h>

struct cursor {
	const char *begin, *at, *end;
	char **problem;
};

static bool wrong(const struct cursor *cursor, const char *what)
{
	*cursor->problem = text_format("byte %td: %s", cursor->at - cursor->begin + 1, what);
	return false;
}

/* Not by a function of strings: with a sanitizer these look through all of the text, for each object. */
static void skip_blanks(struct cursor *cursor)
{
	while (*cursor->at == ' ' || *cursor->at == '\t' || *cursor->at == '\r' ||
		*cursor->at == '\n')
		cursor->at++;
}

static bool skip(struct cursor *cursor, char expected)
{
	skip_blanks(cursor);
	if (*cursor->at != expected)
		return false;
	cursor->at++;
	return true;
}

/* `{"MEMBER": `, or nothing where the text is the list. */
static bool skip_head(struct cursor *cursor, const char *member)
{
	size_t length = member != NULL ? strlen(member) : 0;

	if (member == NULL)
		return true;
	if (!skip(cursor, '{') || !skip(cursor, '"') || strncmp(cursor->at, member, length) != 0 ||
		cursor->at[length] != '"')
		return false;
	cursor->at += length + 1;
	return skip(cursor, ':');
}

static bool read_object(
	struct cursor *cursor, bool (*take)(void *context, json_t *object), void *context)
{
	json_error_t error;
	json_t *object;
	bool well;

	skip_blanks(cursor);
	object = json_loadb(
		cursor->at, (size_t)(cursor->end - cursor->at), JSON_DISABLE_EOF_CHECK, &error);
	if (object == NULL) {
		cursor->at += error.position;
		return wrong(cursor, error.text);
	}
	if (!json_is_object(object)) {
		json_decref(object);
		return wrong(cursor, "expected an object");
	}
	cursor->at += error.position;
	well = take(context, object);
	json_decref(object);
	return well;
}

bool json_list_read(const char *text, const char *member,
	bool (*take)(void *context, json_t *object), void *context, char **problem)
{
	struct cursor cursor = {text, text, text + strlen(text), problem};

	if (!skip_head(&cursor, member) || !skip(&cursor, '['))
		return wrong(&cursor, "this is not a list of objects");
	if (!skip(&cursor, ']')) {
		do
			if (!read_object(&cursor, take, context))
				return false;
		while (skip(&cursor, ','));
		if (!skip(&cursor, ']'))
			return wrong(&cursor, "the list is cut off");
	}
	if (member != NULL && !skip(&cursor, '}'))
		return wrong(&cursor, "the list is cut off");
	skip_blanks(&cursor);
	return cursor.at == cursor.end || wrong(&cursor, "something follows the list");
}
