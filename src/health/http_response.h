/* An answer of HTTP/1, as far as a check needs it: its status, and its body without what frames it (RFC 9112). */
#ifndef HEALTH_HTTP_RESPONSE_H
#define HEALTH_HTTP_RESPONSE_H

#include "tproxy/health_script.h"

struct http_response {
	unsigned status;
	const char *reason; /* part of the bytes that were read */
	size_t reason_length;
	char body[HEALTH_INPUT_MAX + 1]; /* what of it has come, and a '\0' */
	size_t body_length;
	bool whole; /* all of it has come */
};

enum http_progress {
	HTTP_PARTIAL,  /* right so far; the fields are not yet whole */
	HTTP_THERE,    /* the fields are */
	HTTP_MALFORMED /* this is no such answer */
};

enum http_progress http_response_read(
	struct http_response *response, const struct health_input *input);

#endif
