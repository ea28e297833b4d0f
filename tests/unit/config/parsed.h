/*
 * Reading a configuration's text, and what was said about it.
 */
#ifndef TESTS_PARSED_H
#define TESTS_PARSED_H

#include "unit.h"

#include "tproxy/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline char *diag_text(const struct diag *diag)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	diag_print(diag, out);
	fclose(out);
	return text;
}

/* Reads TEXT; *messages is everything that was said. */
static inline struct config *parse(
	const char *name, const char *text, size_t length, char **messages)
{
	struct diag *diag = diag_new();
	struct config *config = config_parse(name, text, length, diag);

	assert_int_equal(config == NULL, diag_count(diag, DIAG_ERROR) > 0);
	*messages = diag_text(diag);
	diag_free(diag);
	return config;
}

/* Reads TEXT, in which nothing may be wrong, not even a warning. */
static inline struct config *parse_good(const char *text)
{
	char *messages;
	struct config *config = parse("test", text, strlen(text), &messages);

	assert_string_equal(messages, "");
	free(messages);
	return config;
}

/* What every test of the model needs, so that it gives no warning. */
#define DEFAULTS "defaults\n timeout client 1s\n timeout server 2s\n timeout connect 3s\n"

#endif
