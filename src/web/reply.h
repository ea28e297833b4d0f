/*
 * Answers to requests, each with the headers that keep a browser from doing more than our page needs.
 */
#ifndef TPROXY_WEB_REPLY_H
#define TPROXY_WEB_REPLY_H

#include "connections.h"

#include <jansson.h>
#include <stddef.h>

struct reply {
	struct connections *connections;
	struct evhttp_request *request; /* NULL: its client has gone, and nothing is sent */
};

/* Each sends the answer of REPLY and forgets its request. STATUS is one of HTTP's; the connection ends behind it. */

/* BODY is this function's from now on. NULL (no memory): status 500. */
void reply_json(struct reply *reply, int status, json_t *body);

/* {"message": …}: what is wrong, for a person. */
void reply_message(struct reply *reply, int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Bytes that stay where they are. */
void reply_bytes(struct reply *reply, const char *type, const void *bytes, size_t length);

/* Adds a header to the answer. Call it before one of these. */
void reply_header(struct reply *reply, const char *name, const char *value);

#endif
