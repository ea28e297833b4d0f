/*
 * Strings of JSON objects.
 */
#ifndef TPROXY_JSON_H
#define TPROXY_JSON_H

#include <jansson.h>

/* The string at KEY, part of OBJECT; "" where it is missing or of another type. */
const char *json_text(const json_t *object, const char *key);

#endif
