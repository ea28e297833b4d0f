/*
 * Reads a list of JSON objects.
 *
 * The text around the objects is read here. jansson reads each object, and reports how many bytes it has.
 *
 * The trap: jansson's positions count from the beginning of the object.
 */
#include "tproxy/json_list.h"
#include "tproxy/text.h"

#include <string.h>

struct cursor {
	const char *begin, *at, *end;
	char **problem;
};

static bool fail(const struct cursor *cursor, const char *what)
{
	*cursor->problem = text_format("byte %td: %s", cursor->at - cursor->begin + 1, what);
	return false;
}

/* No function of string.h: under a sanitizer it would read the whole text, for each object. */
static void skip_blanks(struct cursor *cursor)
{
	while (*cursor->at == ' ' || *cursor->at == '\t' || *cursor->at == '\r' ||
		*cursor->at == '\n')
		cursor->at++;
}

static bool skip_char(struct cursor *cursor, char expected)
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
	if (!skip_char(cursor, '{') || !skip_char(cursor, '"') ||
		strncmp(cursor->at, member, length) != 0 || cursor->at[length] != '"')
		return false;
	cursor->at += length + 1;
	return skip_char(cursor, ':');
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
		return fail(cursor, error.text);
	}
	if (!json_is_object(object)) {
		json_decref(object);
		return fail(cursor, "expected an object");
	}
	cursor->at += error.position;
	well = take(context, object);
	json_decref(object);
	return well;
}

static bool read_objects(
	struct cursor *cursor, bool (*take)(void *context, json_t *object), void *context)
{
	if (!skip_char(cursor, '['))
		return fail(cursor, "this is not a list of objects");
	if (skip_char(cursor, ']'))
		return true;
	do
		if (!read_object(cursor, take, context))
			return false;
	while (skip_char(cursor, ','));
	return skip_char(cursor, ']') || fail(cursor, "the list is cut off");
}

bool json_list_read(const char *text, const char *member,
	bool (*take)(void *context, json_t *object), void *context, char **problem)
{
	struct cursor cursor = {text, text, text + strlen(text), problem};

	if (!skip_head(&cursor, member))
		return fail(&cursor, "this is not a list of objects");
	if (!read_objects(&cursor, take, context))
		return false;
	if (member != NULL && !skip_char(&cursor, '}'))
		return fail(&cursor, "the list is cut off");
	skip_blanks(&cursor);
	return cursor.at == cursor.end || fail(&cursor, "something follows the list");
}

bool json_lists_read(const char *text, bool (*take)(void *context, json_t *object), void *context,
	char **problem)
{
	struct cursor cursor = {text, text, text + strlen(text), problem};

	for (skip_blanks(&cursor); cursor.at != cursor.end; skip_blanks(&cursor))
		if (!read_objects(&cursor, take, context))
			return false;
	return true;
}
