/*
 * What operations on listeners and farms share: a section's name, its single lines, and what refers to it.
 *
 * A farm is named by `default_backend`, `use_backend`, `track FARM/SERVER` and the test nbsrv(FARM); a frontend by
 * nothing. References follow a new name in all sections, `defaults` too. A section that was removed while a line
 * still names it is refused by the parser.
 */
#include "changes.h"

#include "model.h"

#include "tproxy/text.h"
#include "tproxy/units.h"

#include <stdlib.h>
#include <string.h>

void expect(json_t *object, const char *key, json_t *value)
{
	/* Without an object there is nothing to compare with, and the parser has refused the text. */
	if (object == NULL)
		json_decref(value);
	else if (json_object_set_new(object, key, value) != 0)
		abort(); /* out of memory */
}

json_t *expect_open(void)
{
	return json_pack("{s:b}", "*", 1);
}

json_t *expect_any(void)
{
	return json_pack("{s:s}", "*", "any");
}

static enum role role_of(const char *kind)
{
	if (strcmp(kind, "listen") == 0)
		return ROLE_LISTEN;
	return strcmp(kind, "frontend") == 0 ? ROLE_FRONTEND : ROLE_BACKEND;
}

void change_add_section(
	struct editing *editing, const char *kind, char **lines, size_t count, json_t *expected)
{
	char *name = edit_quoted(edit_text(editing, "name"));
	char *head = text_format("%s %s", kind, name);

	expect(expected, "name", json_string(edit_text(editing, "name")));
	expect(expected, "role", json_integer(role_of(kind)));
	json_array_append_new(json_object_get(editing->expected, "sections"), expected);
	edit_add_section(editing, head, lines);
	for (size_t i = 0; i < count; i++)
		free(lines[i]);
	free(lines);
	free(name);
	free(head);
}

bool change_remove_section(struct editing *editing, const struct edit_section *section)
{
	edit_remove_lines(editing, section->first, section->end);
	json_array_remove(json_object_get(editing->expected, "sections"), section->proxy);
	return true;
}

bool change_rename_section(
	struct editing *editing, const struct edit_section *section, const char *to)
{
	edit_word(editing, &editing->outline.lines[section->first].words[1], to);
	expect(edit_expected(editing, section), "name", json_string(to));
	return !(section->where & IN_BACKEND) || change_farm_references(editing, section->name, to);
}

/* --- references --- */

static void rename_value(json_t *object, const char *key, const char *old, const char *new)
{
	const char *value = json_string_value(json_object_get(object, key));

	if (value != NULL && strcmp(value, old) == 0)
		expect(object, key, json_string(new));
}

static void expect_new_name(json_t *sections, const char *old, const char *new)
{
	for (size_t i = 0; i < json_array_size(sections); i++) {
		json_t *section = json_array_get(sections, i);
		json_t *rules = json_object_get(section, "rules");
		json_t *servers = json_object_get(section, "servers");

		rename_value(section, "default_backend", old, new);
		for (size_t j = 0; j < json_array_size(rules); j++)
			rename_value(json_array_get(rules, j), "backend", old, new);
		for (size_t j = 0; j < json_array_size(servers); j++) {
			json_t *track = json_object_get(json_array_get(servers, j), "track");
			const char *farm = json_string_value(json_array_get(track, 0));

			if (farm != NULL && strcmp(farm, old) == 0)
				json_array_set_new(track, 0, json_string(new));
		}
	}
}

/* `track OLD/SERVER` of a line with servers. */
static bool rename_tracked(
	struct editing *editing, const struct edit_line *line, const char *old, const char *new)
{
	size_t at =
		outline_find_parameter(line, outline_server_parameters(line), ON_SERVER, "track");
	size_t length = strlen(old);
	const struct edit_word *word;

	if (at == NONE || at + 1 >= line->count)
		return true;
	word = &line->words[at + 1];
	if (strncmp(word->text, old, length) != 0 || word->text[length] != '/')
		return true;
	return edit_piece(editing, word, 0, length, new);
}

/* Every nbsrv(OLD) of a line with a condition, or of an `acl` line. */
static bool rename_counted(
	struct editing *editing, const struct edit_line *line, const char *old, const char *new)
{
	size_t length = strlen(old), skipped = strlen("nbsrv(");
	bool is_acl = strcmp(line->words[0].text, "acl") == 0;

	for (size_t i = 1; i < line->count; i++) {
		const struct edit_word *word = &line->words[i];
		bool is_test = is_acl ? i == 2 : strcmp(line->words[i - 1].text, "{") == 0;

		if (!is_test || strncmp(word->text, "nbsrv(", skipped) != 0 ||
			strncmp(word->text + skipped, old, length) != 0 ||
			strcmp(word->text + skipped + length, ")") != 0)
			continue;
		if (!edit_piece(editing, word, skipped, skipped + length, new))
			return false;
	}
	return true;
}

static bool rename_on_line(
	struct editing *editing, const struct edit_line *line, const char *old, const char *new)
{
	const char *first = line->words[0].text;

	if (strcmp(first, "server") == 0 || strcmp(first, "server-template") == 0 ||
		strcmp(first, "default-server") == 0)
		return rename_tracked(editing, line, old, new);
	if ((strcmp(first, "default_backend") == 0 || strcmp(first, "use_backend") == 0) &&
		line->count > 1 && strcmp(line->words[1].text, old) == 0)
		edit_word(editing, &line->words[1], new);
	if (strcmp(first, "acl") == 0 || strcmp(first, "use_backend") == 0 ||
		strcmp(first, "use-server") == 0 || strcmp(first, "tcp-request") == 0)
		return rename_counted(editing, line, old, new);
	return true;
}

bool change_farm_references(struct editing *editing, const char *old, const char *new)
{
	const struct outline *outline = &editing->outline;

	expect_new_name(json_object_get(editing->expected, "sections"), old, new);
	for (size_t i = 0; i < outline->line_count; i++)
		if (outline->lines[i].count > 0 &&
			!rename_on_line(editing, &outline->lines[i], old, new))
			return false;
	return true;
}

/* --- single lines --- */

/* Makes all words of the line behind number AT one word, VALUE. */
static void set_rest(
	struct editing *editing, const struct edit_line *line, size_t at, const char *value)
{
	char *quoted;

	if (line->count > at + 1) {
		edit_word(editing, &line->words[at + 1], value);
		if (line->count > at + 2)
			edit_remove_words(editing, line, at + 2, line->count - at - 2);
		return;
	}
	quoted = edit_quoted(value);
	edit_add_words(editing, line, quoted);
	free(quoted);
}

static void set_line(struct editing *editing, const struct edit_section *section,
	const char *keyword, const char *second, const char *value)
{
	const struct edit_line *line = settings_line(&editing->outline, section, keyword, second);
	char *quoted, *words;

	if (line != NULL && value == NULL)
		edit_remove_line(editing, line);
	else if (line != NULL)
		set_rest(editing, line, second == NULL ? 0 : 1, value);
	if (line != NULL || value == NULL)
		return;
	quoted = edit_quoted(value);
	words = text_format("%s%s%s %s", keyword, second == NULL ? "" : " ",
		second == NULL ? "" : second, quoted);
	edit_add_line(editing, section, edit_place_of(editing, section, keyword), words);
	free(quoted);
	free(words);
}

void change_section_line(struct editing *editing, const struct edit_section *section,
	const char *keyword, const char *value)
{
	set_line(editing, section, keyword, NULL, value);
}

/* What `defaults` say of a timeout, in milliseconds. */
static unsigned inherited_timeout(
	const struct outline *outline, const struct edit_section *section, const char *which)
{
	const struct edit_line *line = NULL;
	unsigned milliseconds = 0;

	if (section->defaults != NONE)
		line = settings_line(
			outline, &outline->sections[section->defaults], "timeout", which);
	if (line != NULL && line->count > 2 &&
		duration_parse(line->words[2].text, &milliseconds) != NULL)
		return 0;
	return milliseconds;
}

bool change_set_timeout(struct editing *editing)
{
	const char *value = edit_text(editing, "value"), *which = edit_text(editing, "timeout");
	bool is_farm = edit_text(editing, "farm") != NULL;
	const struct edit_section *section =
		is_farm ? edit_farm(editing, "farm") : edit_listener(editing, "listener");
	const char *error = NULL;
	unsigned milliseconds;
	char *key;

	if (section == NULL)
		return false;
	if (value == NULL)
		milliseconds = inherited_timeout(&editing->outline, section, which);
	else
		error = duration_parse(value, &milliseconds);
	if (error != NULL)
		return edit_refuse(editing, "'%s': %s", value, error);
	set_line(editing, section, "timeout", which, value);
	key = text_format("timeout %s", which);
	expect(edit_expected(editing, section), key, json_integer(milliseconds));
	free(key);
	return true;
}

/* --- servers --- */

const struct edit_line *change_find_server(
	struct editing *editing, const struct edit_section *section, const char *name)
{
	const struct edit_line *line = NULL;
	bool is_it = false;

	while (!is_it && (line = settings_next_server(&editing->outline, section, line)) != NULL) {
		char *of_line = settings_server_name(line);

		is_it = strcmp(of_line, name) == 0;
		free(of_line);
	}
	if (line == NULL)
		edit_refuse(editing, "'%s' has no server that is named '%s'", section->name, name);
	return line;
}
