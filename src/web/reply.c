/*
 * Answers to requests.
 *
 * The policy of contents allows our own script and style, and connections to this server, nothing else: no inline
 * script, no other host, no frame around the page. Nothing is kept in a cache, since answers show a
 * host's configuration.
 */
#include "reply.h"
#include "tproxy/text.h"

#include <event2/buffer.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name, *value;
} always[] = {
	{"Content-Security-Policy",
		"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"},
	{"X-Content-Type-Options", "nosniff"},
	{"X-Frame-Options", "DENY"},
	{"Referrer-Policy", "no-referrer"},
	{"Cross-Origin-Opener-Policy", "same-origin"},
	{"Cross-Origin-Resource-Policy", "same-origin"},
	{"Cache-Control", "no-store"},
	{"Connection", "close"},
};

static const struct {
	int status;
	const char *reason;
} reasons[] = {
	{200, "OK"},
	{400, "Bad Request"},
	{401, "Unauthorized"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{409, "Conflict"},
	{413, "Content Too Large"},
	{415, "Unsupported Media Type"},
	{421, "Misdirected Request"},
	{422, "Unprocessable Content"},
	{429, "Too Many Requests"},
	{500, "Internal Server Error"},
	{502, "Bad Gateway"},
	{503, "Service Unavailable"},
};

static const char *reason_of(int status)
{
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Error";
}

void reply_header(struct reply *reply, const char *name, const char *value)
{
	if (reply->request != NULL)
		evhttp_add_header(evhttp_request_get_output_headers(reply->request), name, value);
}

/* BODY is drained. */
static void send_reply(struct reply *reply, int status, const char *type, struct evbuffer *body)
{
	if (reply->request == NULL)
		return;
	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
		reply_header(reply, always[i].name, always[i].value);
	reply_header(reply, "Content-Type", type);
	connections_answering(reply->connections, reply->request);
	evhttp_send_reply(reply->request, status, reason_of(status), body);
	reply->request = NULL;
}

void reply_bytes(struct reply *reply, const char *type, const void *bytes, size_t length)
{
	struct evbuffer *body = evbuffer_new();

	if (body != NULL && evbuffer_add_reference(body, bytes, length, NULL, NULL) == 0)
		send_reply(reply, 200, type, body);
	else
		send_reply(reply, 500, type, NULL);
	if (body != NULL)
		evbuffer_free(body);
}

static void free_text(const void *text, size_t length, void *extra)
{
	(void)length;
	(void)extra;
	free((void *)text);
}

void reply_json(struct reply *reply, int status, json_t *body)
{
	struct evbuffer *buffer = evbuffer_new();
	char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;

	json_decref(body);
	if (buffer != NULL && text != NULL &&
		evbuffer_add_reference(buffer, text, strlen(text), free_text, NULL) == 0)
		send_reply(reply, status, "application/json", buffer);
	else {
		free(text);
		send_reply(reply, 500, "application/json", NULL);
	}
	if (buffer != NULL)
		evbuffer_free(buffer);
}

void reply_message(struct reply *reply, int status, const char *format, ...)
{
	char *text = NULL;
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) == -1)
		text = NULL;
	va_end(arguments);
	reply_json(reply, status,
		json_pack("{s:s}", "message", text != NULL ? text : reason_of(status)));
	free(text);
}
