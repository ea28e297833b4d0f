/*
 * Reading is strict, as HAProxy's is: a status line, fields with a colon, an empty line. The body ends by its length, by its
 * last chunk, or with the connection. Every call reads from the start: an answer is small, and there is no state to keep.
 */
#include "http_response.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
	LENGTH_NONE = -1,
	LENGTH_CHUNKED = -2
};

/* A line without its end, and *NEXT behind it. NULL: it is not whole. */
static const char *line_end(const char *at, const char *end, const char **next)
{
	const char *feed = memchr(at, '\n', (size_t)(end - at));

	if (feed == NULL)
		return NULL;
	*next = feed + 1;
	return feed > at && feed[-1] == '\r' ? feed - 1 : feed;
}

static bool is_digits(const char *at, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!isdigit((unsigned char)at[i]))
			return false;
	return true;
}

static bool read_status_line(struct http_response *response, const char *at, const char *end)
{
	if (end - at < 12 || memcmp(at, "HTTP/", 5) != 0 || !is_digits(at + 5, 1) || at[6] != '.' ||
		!is_digits(at + 7, 1) || at[8] != ' ' || !is_digits(at + 9, 3))
		return false;
	response->status = (unsigned)strtoul(at + 9, NULL, 10);
	at += 12;
	if (at < end && *at != ' ')
		return false;
	while (at < end && *at == ' ')
		at++;
	response->reason = at;
	response->reason_length = (size_t)(end - at);
	return true;
}

/* Whether what has come of a status line can still become one, as HAProxy sees it: it goes by the first word's letters. */
static bool may_begin(const char *at, size_t length)
{
	for (size_t i = 0; i < length && at[i] != ' '; i++)
		if (!isalnum((unsigned char)at[i]) && at[i] != '/' && at[i] != '.')
			return false;
	return true;
}

/* A field, and what it says of the body's length. */
static bool read_field(const char *at, const char *end, long *length)
{
	const char *colon = memchr(at, ':', (size_t)(end - at)), *value = colon;

	if (colon == NULL || colon == at)
		return false;
	for (const char *name = at; name < colon; name++)
		if (!isgraph((unsigned char)*name))
			return false;
	for (value++; value < end && (*value == ' ' || *value == '\t'); value++)
		;
	if (colon - at == 14 && strncasecmp(at, "Content-Length", 14) == 0 &&
		*length == LENGTH_NONE) {
		*length = strtol(value, NULL, 10);
		return value < end && isdigit((unsigned char)*value);
	}
	if (colon - at == 17 && strncasecmp(at, "Transfer-Encoding", 17) == 0 && end - value >= 7 &&
		strncasecmp(end - 7, "chunked", 7) == 0)
		*length = LENGTH_CHUNKED;
	return true;
}

static void add_body(struct http_response *response, const char *at, size_t length)
{
	memcpy(response->body + response->body_length, at, length);
	response->body_length += length;
	response->body[response->body_length] = '\0';
}

static void read_chunks(struct http_response *response, const char *at, const char *end)
{
	const char *next;

	while (line_end(at, end, &next) != NULL) {
		unsigned long length = strtoul(at, NULL, 16);
		size_t there = (size_t)(end - next);

		if (!isxdigit((unsigned char)*at) || length == 0) {
			response->whole = true;
			return;
		}
		add_body(response, next, length < there ? length : there);
		if (length > there || line_end(next + length, end, &at) == NULL)
			return;
	}
}

static void read_body(struct http_response *response, const char *at, const char *end, long length)
{
	size_t there = (size_t)(end - at);

	if (length == LENGTH_CHUNKED) {
		read_chunks(response, at, end);
		return;
	}
	if (response->status == 204 || response->status == 304)
		length = 0;
	response->whole = length >= 0 && there >= (size_t)length;
	add_body(response, at, response->whole ? (size_t)length : there);
}

enum http_progress http_response_read(
	struct http_response *response, const struct health_input *input)
{
	const char *at = input->bytes, *end = at + input->length, *next = at, *stop;
	long length = LENGTH_NONE;

	response->body_length = 0;
	response->body[0] = '\0';
	response->whole = false;
	stop = line_end(at, end, &next);
	if (stop == NULL)
		return may_begin(at, input->length) ? HTTP_PARTIAL : HTTP_MALFORMED;
	if (!read_status_line(response, at, stop))
		return HTTP_MALFORMED;
	for (at = next; (stop = line_end(at, end, &next)) != NULL; at = next) {
		if (stop == at) {
			read_body(response, next, end, length);
			return HTTP_THERE;
		}
		if (!read_field(at, stop, &length))
			return HTTP_MALFORMED;
	}
	return HTTP_PARTIAL;
}
