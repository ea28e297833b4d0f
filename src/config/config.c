/*
 * Configuration: the file, its lines, and the model's life.
 *
 * Everything that parsing makes lies in the configuration's own memory, so that one call frees it,
 * whether the file was good or not. Reading stops for no error; whether there was one is asked of
 * the diagnostics at the end, counted from where they stood at the start.
 */
#include "parser.h"

#include "config.h"
#include "tproxy/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_MAX ((size_t)256 << 20)

static void report_words(void *context, const char *culprit, const char *error)
{
	struct parser *parser = context;

	parser_fail(parser, culprit, "%s", error);
}

static void parse_text_line(struct parser *parser, const char *line, size_t length)
{
	parser->line++;
	if (length > 0 && line[length - 1] == '\r')
		length--;
	if (!words_split(&parser->words, line, length, report_words, parser))
		return;
	if (parser->words.count > 0)
		parse_line(parser);
}

/* A byte order mark, which HAProxy takes for a part of the first word. Returns where to read on. */
static const char *skip_byte_order_mark(struct parser *parser, const char *text, size_t length)
{
	if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		parser_fail_at(parser, 1, NULL,
			"the file begins with a byte order mark; save it as UTF-8 without one");
		return text + 3;
	}
	if (length >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0)) {
		parser_fail_at(parser, 0, NULL, "the file is in UTF-16; save it as UTF-8");
		return text + length;
	}
	return text;
}

static void parse_text(struct parser *parser, const char *text, size_t length)
{
	const char *end = text + length, *feed;

	text = skip_byte_order_mark(parser, text, length);
	while (text < end) {
		feed = memchr(text, '\n', (size_t)(end - text));
		parse_text_line(parser, text, (size_t)((feed != NULL ? feed : end) - text));
		if (feed == NULL) {
			parser_fail(parser, NULL,
				"the last line has no line feed; the file may be cut off");
			return;
		}
		text = feed + 1;
	}
}

static struct config *config_new(size_t memory_limit)
{
	struct config_memory *memory = memory_new(memory_limit);
	struct config *config = NULL;

	if (memory != NULL)
		config = memory_alloc(memory, sizeof(*config));
	if (config == NULL) {
		memory_free(memory);
		return NULL;
	}
	config->memory = memory;
	return config;
}

struct config *config_parse_within(
	const char *name, const char *text, size_t length, struct diag *diag, size_t memory_limit)
{
	size_t errors = diag_count(diag, DIAG_ERROR);
	struct config *config = config_new(memory_limit);
	struct parser *parser = NULL;

	if (config != NULL)
		parser = memory_alloc(config->memory, sizeof(*parser));
	if (parser == NULL) {
		diag_add(diag, DIAG_ERROR, name, 0, NULL, "out of memory");
		config_free(config);
		return NULL;
	}
	parser->file = name;
	parser->keyword_at = keyword_at;
	parser->foreign_find = foreign_find;
	parser->diag = diag;
	parser->config = config;
	parser->memory = config->memory;
	parser->sections_end = &parser->sections;
	parse_text(parser, text, length);
	config_resolve(parser);
	if (diag_count(diag, DIAG_ERROR) == errors)
		return config;
	config_free(config);
	return NULL;
}

struct config *config_parse(const char *name, const char *text, size_t length, struct diag *diag)
{
	return config_parse_within(name, text, length, diag, MEMORY_MAX);
}

struct config *config_load(const char *path, struct diag *diag)
{
	size_t length = 0;
	char *text = file_read(path, &length);
	struct config *config = NULL;

	if (text == NULL)
		diag_add(diag, DIAG_ERROR, path, 0, NULL, "cannot be read: %s", strerror(errno));
	else
		config = config_parse(path, text, length, diag);
	free(text);
	return config;
}

void config_free(struct config *config)
{
	if (config != NULL)
		memory_free(config->memory);
}

/* An address of this host needs no privilege; a client's or a foreign one does. */
static bool source_needs_transparent(const struct source *source)
{
	return source->mode != SOURCE_ROUTED && source->mode != SOURCE_ADDRESS;
}

bool config_has_foreign_sources(const struct config *config)
{
	for (size_t i = 0; i < config->proxy_count; i++)
		for (size_t j = 0; j < config->proxies[i].server_count; j++)
			if (source_needs_transparent(&config->proxies[i].servers[j].source) ||
				addr_family(&config->proxies[i].servers[j].check.usesrc) !=
					AF_UNSPEC)
				return true;
	return false;
}

bool config_needs_transparent(const struct config *config)
{
	for (size_t i = 0; i < config->proxy_count; i++)
		for (size_t j = 0; j < config->proxies[i].bind_count; j++)
			if (config->proxies[i].binds[j].transparent)
				return true;
	return config_has_foreign_sources(config);
}
