/*
 * Where connections to the servers come from: `source`, of a farm or of one server.
 *
 * The source of a farm holds for the servers that have none of their own. An address of the host stands right after
 * `source`, another one behind `usesrc`; an edit keeps the words of the line that it does not mean.
 */
#include "changes.h"

#include "model.h"

#include "tproxy/text.h"
#include "words/address.h"

#include <stdlib.h>
#include <string.h>

/* Reads an address after `source` or `usesrc`. NULL: refused; else the text for the line, to be freed. */
static char *read_source_address(struct editing *editing, const char *text, struct addr *addr)
{
	char *written = edit_address(text, NULL);
	struct address address;
	const char *error = address_parse(written, 0, &address);

	if (error != NULL) {
		edit_refuse(editing, "'%s': %s", text, error);
		free(written);
		return NULL;
	}
	*addr = address.addr;
	return written;
}

json_t *change_read_source(struct editing *editing, const char *text, char **words)
{
	struct source source = {.mode = SOURCE_ROUTED};
	bool foreign = strncmp(text, "usesrc ", strlen("usesrc ")) == 0;
	char *written;

	if (strcmp(text, "none") == 0) {
		*words = text_copy("0.0.0.0");
	} else if (strcmp(text, "clientip") == 0 || strcmp(text, "client") == 0) {
		source.mode = strcmp(text, "client") == 0 ? SOURCE_CLIENT : SOURCE_CLIENTIP;
		*words = text_format("0.0.0.0 usesrc %s", text);
	} else {
		written = read_source_address(
			editing, foreign ? text + strlen("usesrc ") : text, &source.address);
		if (written == NULL)
			return NULL;
		source.mode = foreign ? SOURCE_FOREIGN : SOURCE_ADDRESS;
		*words = foreign ? text_format("0.0.0.0 usesrc %s", written) : text_copy(written);
		free(written);
	}
	return model_source(&source);
}

/*
 * Makes the words behind `source`, which is number AT of the line and has COUNT words with it, mean WORDS. Where both
 * have `usesrc`, what follows it changes alone.
 */
static void set_source_words(struct editing *editing, const struct edit_line *line, size_t at,
	size_t count, const char *words)
{
	const char *usesrc = strstr(words, " usesrc ");
	char *address = text_format(
		"%.*s", (int)(usesrc == NULL ? strlen(words) : (size_t)(usesrc - words)), words);
	bool has_usesrc = count >= 4 && strcmp(line->words[at + 2].text, "usesrc") == 0;

	if (usesrc != NULL && has_usesrc) {
		edit_word(editing, &line->words[at + 3], usesrc + strlen(" usesrc "));
	} else {
		edit_word(editing, &line->words[at + 1], address);
		if (usesrc != NULL)
			edit_add_words_behind(editing, line, at + 1, usesrc + 1);
		else if (count > 2)
			edit_remove_words(editing, line, at + 2, count - 2);
	}
	free(address);
}

/* Puts the source into the expected servers of that line. */
static void expect_source(json_t *servers, unsigned line, const json_t *source)
{
	for (size_t i = 0; i < json_array_size(servers); i++) {
		json_t *server = json_array_get(servers, i);

		if (json_integer_value(json_object_get(server, "line")) == line)
			expect(server, "source", json_deep_copy(source));
	}
}

/* Puts the farm's source into all of its servers that have none of their own. */
static void expect_farm_source(
	struct editing *editing, const struct edit_section *section, const json_t *source)
{
	json_t *servers = json_object_get(edit_expected(editing, section), "servers");
	const struct outline *outline = &editing->outline;
	const struct edit_line *line = NULL;

	/* That of `option transparent`, which has no line. */
	expect_source(servers, (unsigned)section->first + 1, source);
	while ((line = settings_next_server(outline, section, line)) != NULL)
		if (settings_of_server(outline, section, line, "source").line == NULL)
			expect_source(servers, outline_number(outline, line), source);
}

static void set_farm_source(
	struct editing *editing, const struct edit_section *section, const char *words)
{
	struct setting own = settings_of_section(&editing->outline, section, "source");
	struct setting given = settings_of_defaults(&editing->outline, section, "source");
	bool is_none = strcmp(words, "0.0.0.0") == 0;
	char *line;

	if (!own.inherited && own.line != NULL) {
		if (is_none && given.line == NULL)
			edit_remove_line(editing, own.line);
		else
			set_source_words(editing, own.line, 0, own.line->count, words);
		return;
	}
	if (is_none && given.line == NULL)
		return;
	line = text_format("source %s", words);
	edit_add_line(editing, section, edit_place_of(editing, section, "source"), line);
	free(line);
}

/* The source of one server; WORDS NULL: its own is taken away. */
static void set_server_source(struct editing *editing, const struct edit_section *section,
	const struct edit_line *line, const char *words)
{
	const struct outline *outline = &editing->outline;
	struct setting setting = settings_of_server(outline, section, line, "source");
	bool is_own = setting.line != NULL && !setting.inherited;
	char *added;

	if (is_own && words == NULL)
		edit_remove_words(
			editing, line, setting.at, outline_parameter(line, setting.at, ON_SERVER));
	else if (is_own)
		set_source_words(editing, line, setting.at,
			outline_parameter(line, setting.at, ON_SERVER), words);
	if (is_own || words == NULL)
		return;
	added = text_format("source %s", words);
	edit_add_words(editing, line, added);
	free(added);
}

/* What holds for a server that has no source of its own, for the model. */
static json_t *source_without_own(
	struct editing *editing, const struct edit_section *section, const struct edit_line *line)
{
	const struct outline *outline = &editing->outline;
	struct setting setting = settings_of_default_server(outline, section, line, "source");
	char *text, *words = NULL;
	json_t *source;

	if (setting.line == NULL)
		setting = settings_of_section(outline, section, "source");
	text = settings_source(&setting);
	source = change_read_source(editing, text, &words);
	free(text);
	free(words);
	return source;
}

bool change_set_source(struct editing *editing)
{
	const struct edit_section *section = edit_farm(editing, "farm");
	const char *name = edit_text(editing, "server"), *text = edit_text(editing, "source");
	const struct edit_line *line = NULL;
	char *words = NULL;
	json_t *source;

	if (section != NULL && name != NULL)
		line = change_find_server(editing, section, name);
	if (section == NULL || (name != NULL && line == NULL))
		return false;
	if (line != NULL && *text == '\0')
		source = source_without_own(editing, section, line);
	else
		source = change_read_source(editing, text, &words);
	if (source == NULL)
		return false;
	if (line == NULL) {
		set_farm_source(editing, section, words);
		expect_farm_source(editing, section, source);
	} else {
		set_server_source(editing, section, line, words);
		expect_source(json_object_get(edit_expected(editing, section), "servers"),
			outline_number(&editing->outline, line), source);
	}
	json_decref(source);
	free(words);
	return true;
}
