/*
 * What the daemon's parser says of a text.
 */
#ifndef TPROXY_EDIT_MESSAGES_H
#define TPROXY_EDIT_MESSAGES_H

#include "outline.h"

#include "tproxy/diag.h"

#include <jansson.h>

/* Text as a JSON string; bytes that are no UTF-8 are shown as "?". */
json_t *json_plain_text(const char *text);

/* The messages of SEVERITY as a list of MESSAGE (edit.h). */
json_t *messages_json(
	const struct outline *outline, const struct diag *diag, enum diag_severity severity);

/* The first error as a sentence with its line, to be freed; NULL: there is none. */
char *messages_first_error(const struct diag *diag);

#endif
