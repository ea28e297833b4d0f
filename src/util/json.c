/*
 * Words of a JSON object; see the header.
 */
#include "tproxy/json.h"

const char *json_text(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value != NULL ? value : "";
}
