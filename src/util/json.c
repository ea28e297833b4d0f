/*
 * Strings of JSON objects.
 *
 * A missing member and one of another type are both "", so that a parser compares strings without a test for NULL.
 */
#include "tproxy/json.h"

const char *json_text(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value != NULL ? value : "";
}
