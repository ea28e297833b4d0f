/*
 * Words of a JSON object.
 */
#ifndef TPROXY_JSON_WORD_H
#define TPROXY_JSON_WORD_H

#include <jansson.h>

/* The string at KEY, "" where there is none; the object's own. */
const char *json_text(const json_t *object, const char *key);

#endif
