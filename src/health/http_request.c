/*
 * A request, as HAProxy writes it: names of fields in lower case, and those about its body and the connection behind the others.
 */
#include "tproxy/health_script.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *or_default(const char *text, const char *other)
{
	return text != NULL ? text : other;
}

/* Whether a server may take a request of this method for one with a body, even if it has none. */
static bool needs_length(const char *method)
{
	static const char *const bare[] = {"OPTIONS", "GET", "HEAD", "DELETE"};

	for (size_t i = 0; i < sizeof(bare) / sizeof(bare[0]); i++)
		if (strcmp(method, bare[i]) == 0)
			return false;
	return true;
}

static void write_fields(FILE *out, const struct health_request *request)
{
	for (size_t i = 0; i < request->field_count; i++) {
		for (const char *at = request->fields[i].name; *at != '\0'; at++)
			fputc(tolower((unsigned char)*at), out);
		fprintf(out, ": %s\r\n", request->fields[i].value);
	}
}

static void write_request(FILE *out, const struct health_request *request)
{
	const char *method = or_default(request->method, "OPTIONS");
	const char *version = or_default(request->version, "HTTP/1.0");
	const char *body = or_default(request->body, "");

	fprintf(out, "%s %s %s\r\n", method, or_default(request->uri, "/"), version);
	write_fields(out, request);
	if (*body != '\0' || needs_length(method))
		fprintf(out, "content-length: %zu\r\n", strlen(body));
	if (strcmp(version, "HTTP/1.0") != 0)
		fprintf(out, "connection: close\r\n");
	fprintf(out, "\r\n%s", body);
}

struct health_bytes health_write_request(
	struct config_memory *memory, const struct health_request *request)
{
	char *text = NULL, *copy = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);

	if (out != NULL) {
		write_request(out, request);
		if (fclose(out) == 0)
			copy = memory_alloc(memory, length);
	}
	if (copy != NULL)
		memcpy(copy, text, length);
	free(text);
	return (struct health_bytes){copy, copy == NULL ? 0 : length};
}
