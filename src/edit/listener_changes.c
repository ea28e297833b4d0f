/*
 * Operations on listeners: their addresses, and the lines that they have alone.
 *
 * A `bind` line may have several addresses between commas, and the words behind them belong to all of them. One
 * address is a piece of a word then, and is changed and removed as such.
 */
#include "changes.h"

#include "model.h"

#include "tproxy/text.h"
#include "words/address.h"

#include <stdlib.h>
#include <string.h>

/* One address of a listener. */
struct place {
	const struct edit_section *section;
	const struct edit_line *line;
	size_t line_index; /* among the section's `bind` lines */
	size_t from, to;   /* in the meaning of the line's second word */
	size_t count;      /* of addresses on the line */
};

static size_t count_items(const char *list)
{
	size_t count = 1;

	for (; (list = strchr(list, ',')) != NULL; list++)
		count++;
	return count;
}

/* Finds the address number INDEX of the listener. */
static bool find_place(struct editing *editing, struct place *place)
{
	json_int_t left = json_integer_value(json_object_get(editing->change, "bind"));
	const char *list, *item;

	*place = (struct place){.section = edit_listener(editing, "listener")};
	if (place->section == NULL)
		return false;
	while ((place->line = outline_next(
			&editing->outline, place->section, place->line, "bind")) != NULL) {
		if (place->line->count < 2)
			continue;
		list = item = place->line->words[1].text;
		place->count = count_items(list);
		if (left < (json_int_t)place->count) {
			for (; left > 0; left--)
				item = strchr(item, ',') + 1;
			place->from = (size_t)(item - list);
			place->to = place->from + strcspn(item, ",");
			return true;
		}
		left -= (json_int_t)place->count;
		place->line_index++;
	}
	return edit_refuse(editing, "'%s' has no such address", place->section->name);
}

static json_t *expected_bind(struct editing *editing, const struct place *place)
{
	return json_array_get(json_object_get(edit_expected(editing, place->section), "binds"),
		place->line_index);
}

/* The addresses of a list between commas as the model has them. What is no address is left to the parser. */
static json_t *addresses_of(const char *list)
{
	json_t *addresses = json_array();
	char *copy = text_copy(list), *next = copy, *item;
	struct address address;

	while ((item = strsep(&next, ",")) != NULL)
		if (address_parse(item, PORT_REQUIRED | PORT_RANGE, &address) == NULL)
			model_add_address(addresses, &address.addr, address.last_port);
	free(copy);
	return addresses;
}

/* The bytes FROM to TO of the place's list become TEXT in the expected model. */
static void expect_list(struct editing *editing, const struct place *place, size_t from, size_t to,
	const char *text)
{
	const char *old = place->line->words[1].text;
	char *list = text_format("%.*s%s%s", (int)from, old, text, old + to);

	expect(expected_bind(editing, place), "addresses", addresses_of(list));
	free(list);
}

/* Takes one of several addresses away, with the comma that is then too many. */
static bool remove_item(struct editing *editing, const struct place *place)
{
	size_t from = place->from > 0 ? place->from - 1 : 0;
	size_t to = place->from > 0 ? place->to : place->to + 1;

	expect_list(editing, place, from, to, "");
	return edit_piece(editing, &place->line->words[1], from, to, "");
}

/* The port that a change gives, as text, to be freed; NULL: none. */
static char *port_text(const json_t *port)
{
	if (json_is_integer(port))
		return text_format("%lld", (long long)json_integer_value(port));
	return json_is_string(port) ? text_copy(json_string_value(port)) : NULL;
}

/* ADDRESS:PORT of a change's members; what is missing is that of WRITTEN. NULL: refused. To be freed. */
static char *bind_item(struct editing *editing, const json_t *members, const char *written)
{
	size_t colon = edit_port_place(written);
	const char *address = json_string_value(json_object_get(members, "address"));
	char *port = port_text(json_object_get(members, "port")), *item = NULL, *before = NULL;

	if (address == NULL)
		address = before = text_format("%.*s", (int)colon, written);
	if (port == NULL && written[colon] == ':')
		port = text_copy(written + colon + 1);
	if (strchr(address, ',') != NULL || (port != NULL && strchr(port, ',') != NULL))
		edit_refuse(
			editing, "an address with its port has no comma; add one bind for each");
	else
		item = edit_address(address, port);
	free(before);
	free(port);
	return item;
}

bool change_set_bind(struct editing *editing)
{
	struct place place;
	char *written, *item;
	bool done = false;

	if (!find_place(editing, &place))
		return false;
	written = text_format(
		"%.*s", (int)(place.to - place.from), place.line->words[1].text + place.from);
	item = bind_item(editing, editing->change, written);
	if (item != NULL) {
		expect_list(editing, &place, place.from, place.to, item);
		done = edit_address_word(
			editing, &place.line->words[1], place.from, written, item, editing->change);
	}
	free(written);
	free(item);
	return done;
}

bool change_remove_bind(struct editing *editing)
{
	struct place place;

	if (!find_place(editing, &place))
		return false;
	if (place.count > 1)
		return remove_item(editing, &place);
	edit_remove_line(editing, place.line);
	json_array_remove(
		json_object_get(edit_expected(editing, place.section), "binds"), place.line_index);
	return true;
}

bool change_set_transparent(struct editing *editing)
{
	bool on = json_is_true(json_object_get(editing->change, "transparent"));
	struct place place;
	size_t at;

	if (!find_place(editing, &place))
		return false;
	at = outline_find_parameter(place.line, 2, ON_BIND, "transparent");
	if (on && at == NONE)
		edit_add_words(editing, place.line, "transparent");
	else if (!on && at != NONE)
		edit_remove_words(editing, place.line, at, 1);
	expect(expected_bind(editing, &place), "transparent", json_boolean(on));
	return true;
}

/* The words of a new `bind` line, to be freed, and what is meant of it. NULL: refused. */
static char *bind_words(struct editing *editing, const json_t *members, json_t **expected)
{
	bool transparent = json_is_true(json_object_get(members, "transparent"));
	char *item = bind_item(editing, members, ""), *quoted, *words;

	if (item == NULL)
		return NULL;
	quoted = edit_quoted(item);
	words = text_format("bind %s%s", quoted, transparent ? " transparent" : "");
	*expected = model_plain_bind();
	expect(*expected, "addresses", addresses_of(item));
	expect(*expected, "transparent", json_boolean(transparent));
	free(quoted);
	free(item);
	return words;
}

bool change_add_bind(struct editing *editing)
{
	const struct edit_section *section = edit_listener(editing, "listener");
	json_t *expected;
	char *words;

	if (section == NULL)
		return false;
	words = bind_words(editing, editing->change, &expected);
	if (words == NULL)
		return false;
	edit_add_line(editing, section, edit_place_of(editing, section, "bind"), words);
	json_array_append_new(json_object_get(edit_expected(editing, section), "binds"), expected);
	free(words);
	return true;
}

/* --- whole listeners --- */

static int mode_number(const char *mode)
{
	return strcmp(mode, "udp") == 0 ? MODE_UDP : MODE_TCP;
}

/* Adds "KEYWORD VALUE" to the lines of a new section, where there is a value. */
static void add_value(char **lines, size_t *count, const char *keyword, const char *value)
{
	char *quoted;

	if (value == NULL)
		return;
	quoted = edit_quoted(value);
	lines[(*count)++] = text_format("%s %s", keyword, quoted);
	free(quoted);
}

/* The lines of a new listener, and what is meant of it. LINES has room for all. */
static bool listener_lines(struct editing *editing, char **lines, size_t *count, json_t *expected)
{
	const json_t *list = json_object_get(editing->change, "binds");
	const json_t *maxconn = json_object_get(editing->change, "maxconn");
	const char *mode = edit_text(editing, "mode");
	const char *backend = edit_text(editing, "default_backend");
	json_t *binds = json_array();

	expect(expected, "binds", binds);
	add_value(lines, count, "mode", mode);
	if (mode != NULL)
		expect(expected, "mode", json_integer(mode_number(mode)));
	for (size_t i = 0; i < json_array_size(list); i++) {
		json_t *bind;
		char *words = bind_words(editing, json_array_get(list, i), &bind);

		if (words == NULL)
			return false;
		lines[(*count)++] = words;
		json_array_append_new(binds, bind);
	}
	if (maxconn != NULL) {
		expect(expected, "maxconn", json_incref((json_t *)maxconn));
		lines[(*count)++] =
			text_format("maxconn %lld", (long long)json_integer_value(maxconn));
	}
	if (backend != NULL && *backend != '\0') {
		add_value(lines, count, "default_backend", backend);
		expect(expected, "default_backend", json_string(backend));
	}
	return true;
}

bool change_add_listener(struct editing *editing)
{
	size_t room = json_array_size(json_object_get(editing->change, "binds")) + 4, count = 0;
	char **lines = calloc(room, sizeof(*lines));
	const char *kind = edit_text(editing, "section");
	json_t *expected = expect_open();
	bool done;

	if (lines == NULL)
		abort(); /* out of memory */
	kind = kind == NULL ? "frontend" : kind;
	done = listener_lines(editing, lines, &count, expected);
	change_add_section(editing, kind, lines, count, expected);
	return done;
}

bool change_remove_listener(struct editing *editing)
{
	const struct edit_section *section = edit_listener(editing, "name");

	return section != NULL && change_remove_section(editing, section);
}

bool change_rename_listener(struct editing *editing)
{
	const struct edit_section *section = edit_listener(editing, "name");

	return section != NULL && change_rename_section(editing, section, edit_text(editing, "to"));
}

/* --- lines of listeners --- */

bool change_set_default_backend(struct editing *editing)
{
	const struct edit_section *section = edit_listener(editing, "listener");
	const char *farm = edit_text(editing, "farm");
	struct setting given;
	bool is_own;

	if (section == NULL)
		return false;
	given = settings_of_defaults(&editing->outline, section, "default_backend");
	is_own = section->where == IN_LISTEN && strcmp(farm, section->name) == 0;
	if ((*farm == '\0' || is_own) && given.line != NULL)
		return edit_refuse(editing,
			"'defaults' give it a default_backend in line %u, which cannot be taken back here; change that line in the text",
			outline_number(&editing->outline, given.line));
	if (is_own)
		farm = "";
	change_section_line(editing, section, "default_backend", *farm == '\0' ? NULL : farm);
	if (*farm == '\0' && section->where == IN_LISTEN)
		farm = section->name;
	expect(edit_expected(editing, section), "default_backend",
		*farm == '\0' ? json_null() : json_string(farm));
	return true;
}

bool change_set_mode(struct editing *editing)
{
	const char *mode = edit_text(editing, "mode");
	static const char *const keys[] = {"listener", "farm"};
	const struct edit_section *before = NULL;

	if (strcmp(mode, "tcp") != 0 && strcmp(mode, "udp") != 0)
		return edit_refuse(editing, "'%s' is no mode; there are 'tcp' and 'udp'", mode);
	for (size_t i = 0; i < 2; i++) {
		const struct edit_section *section;

		if (edit_text(editing, keys[i]) == NULL)
			continue;
		section = i == 0 ? edit_listener(editing, keys[i]) : edit_farm(editing, keys[i]);
		if (section == NULL)
			return false;
		if (section != before)
			change_section_line(editing, section, "mode", mode);
		expect(edit_expected(editing, section), "mode", json_integer(mode_number(mode)));
		before = section;
	}
	return before != NULL || edit_refuse(editing, "'listener' or 'farm' is missing");
}

bool change_set_maxconn(struct editing *editing)
{
	const struct edit_section *section = edit_listener(editing, "listener");
	const json_t *maxconn = json_object_get(editing->change, "maxconn");
	char *text;

	if (section == NULL)
		return false;
	text = text_format("%lld", (long long)json_integer_value(maxconn));
	if (json_integer_value(maxconn) == 0 &&
		settings_of_defaults(&editing->outline, section, "maxconn").line == NULL)
		change_section_line(editing, section, "maxconn", NULL);
	else
		change_section_line(editing, section, "maxconn", text);
	free(text);
	expect(edit_expected(editing, section), "maxconn", json_incref((json_t *)maxconn));
	return true;
}
