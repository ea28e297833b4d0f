/*
 * Operations on whole farms, and what holds for all of their servers.
 */
#include "changes.h"

#include "model.h"

#include "tproxy/text.h"

#include <stdlib.h>
#include <string.h>

json_t *change_balance_name(const char *name)
{
	return json_string(strcmp(name, "random") == 0 ? "random(2)" : name);
}

bool change_set_balance(struct editing *editing)
{
	const struct edit_section *section = edit_farm(editing, "farm");
	const char *balance = edit_text(editing, "balance"), *holds = balance;
	struct setting given;

	if (section == NULL)
		return false;
	given = settings_of_defaults(&editing->outline, section, "balance");
	change_section_line(editing, section, "balance", *balance == '\0' ? NULL : balance);
	if (*balance == '\0')
		holds = setting_word(&given, 1);
	expect(edit_expected(editing, section), "balance",
		change_balance_name(holds == NULL ? "roundrobin" : holds));
	return true;
}

/* --- whole farms --- */

/* What the last `defaults` of the text say of the source: they hold for a new section. */
static bool new_sections_have_source(const struct outline *outline)
{
	size_t last = outline->section_count - 1;

	if (outline->section_count == 0)
		return false;
	if (outline->sections[last].where != IN_DEFAULTS)
		last = outline->sections[last].defaults;
	return last != NONE &&
	       outline_next(outline, &outline->sections[last], NULL, "source") != NULL;
}

/* The line of a new farm's source, and in *SOURCE what it means for the model; NULL: the change does not say it. */
static bool source_line(struct editing *editing, char **lines, size_t *count, json_t **source)
{
	const char *text = edit_text(editing, "source");
	char *words = NULL;

	*source = NULL;
	if (text == NULL || *text == '\0')
		return true;
	*source = change_read_source(editing, text, &words);
	if (*source == NULL)
		return false;
	if (strcmp(text, "none") != 0 || new_sections_have_source(&editing->outline))
		lines[(*count)++] = text_format("source %s", words);
	free(words);
	return true;
}

/* A new farm's lines but its servers, and what is meant of them. */
static bool farm_lines(
	struct editing *editing, char **lines, size_t *count, json_t *expected, json_t **source)
{
	const char *mode = edit_text(editing, "mode"), *balance = edit_text(editing, "balance");
	char *words;

	if (mode != NULL) {
		words = edit_quoted(mode);
		lines[(*count)++] = text_format("mode %s", words);
		free(words);
		expect(expected, "mode",
			json_integer(strcmp(mode, "udp") == 0 ? MODE_UDP : MODE_TCP));
	}
	if (balance != NULL && *balance != '\0') {
		words = edit_quoted(balance);
		lines[(*count)++] = text_format("balance %s", words);
		free(words);
		expect(expected, "balance", change_balance_name(balance));
	}
	return source_line(editing, lines, count, source);
}

static bool server_lines(struct editing *editing, char **lines, size_t *count, json_t *expected,
	const json_t *source)
{
	const json_t *list = json_object_get(editing->change, "servers");
	json_t *servers = json_array();

	expect(expected, "servers", servers);
	for (size_t i = 0; i < json_array_size(list); i++) {
		json_t *server;
		char *words = change_server_words(editing, json_array_get(list, i), &server);

		if (words == NULL)
			return false;
		lines[(*count)++] = words;
		if (source != NULL && json_object_get(server, "source") == NULL)
			expect(server, "source", json_deep_copy(source));
		json_array_append_new(servers, server);
	}
	return true;
}

bool change_add_farm(struct editing *editing)
{
	size_t room = json_array_size(json_object_get(editing->change, "servers")) + 4, count = 0;
	char **lines = calloc(room, sizeof(*lines));
	const char *kind = edit_text(editing, "section");
	json_t *expected = expect_open(), *source = NULL;
	bool done;

	if (lines == NULL)
		abort(); /* out of memory */
	kind = kind == NULL ? "backend" : kind;
	done = farm_lines(editing, lines, &count, expected, &source) &&
	       server_lines(editing, lines, &count, expected, source);
	json_decref(source);
	change_add_section(editing, kind, lines, count, expected);
	return done;
}

bool change_remove_farm(struct editing *editing)
{
	const struct edit_section *section = edit_farm(editing, "name");

	return section != NULL && change_remove_section(editing, section);
}

bool change_rename_farm(struct editing *editing)
{
	const struct edit_section *section = edit_farm(editing, "name");

	return section != NULL && change_rename_section(editing, section, edit_text(editing, "to"));
}
