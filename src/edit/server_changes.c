/*
 * Operations on servers: their lines, names and parameters.
 *
 * A parameter that `default-server` gives is changed on the server's own line, which may need its opposite there: `no-check`,
 * `no-backup`, `enabled`. A `server-template` line is changed as one, for all of its servers.
 */
#include "changes.h"

#include "model.h"

#include "tproxy/text.h"
#include "tproxy/units.h"
#include "words/address.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum kind {
	NUMBER,
	TIME,
	SWITCH
};

/* A member of set-server, the parameter that it is, and what the parser has for it where no word says it. */
static const struct parameter {
	const char *key, *word;
	enum kind kind;
	unsigned unset;
	const struct switch_words *words; /* of SWITCH */
} parameters[] = {
	{"weight", "weight", NUMBER, 1, NULL},
	{"maxconn", "maxconn", NUMBER, 0, NULL},
	{"maxqueue", "maxqueue", NUMBER, 0, NULL},
	{"rise", "rise", NUMBER, 0, NULL},
	{"fall", "fall", NUMBER, 0, NULL},
	{"check_port", "port", NUMBER, 0, NULL},
	{"inter", "inter", TIME, 0, NULL},
	{"fastinter", "fastinter", TIME, 0, NULL},
	{"downinter", "downinter", TIME, 0, NULL},
	{"slowstart", "slowstart", TIME, 0, NULL},
	{"check", "check", SWITCH, 0, &switch_check},
	{"backup", "backup", SWITCH, 0, &switch_backup},
	{"disabled", "disabled", SWITCH, 0, &switch_disabled},
};

#define PARAMETER_COUNT (sizeof(parameters) / sizeof(parameters[0]))

/* What the word behind a parameter's name means for VALUE, to be freed; NULL: there is none. */
static char *value_text(const json_t *value)
{
	if (json_is_string(value))
		return text_copy(json_string_value(value));
	if (json_is_integer(value))
		return text_format("%lld", (long long)json_integer_value(value));
	return NULL;
}

/* A number or a time as the model has it. What is none is left to the parser. */
static json_t *model_value(const struct parameter *parameter, const char *text)
{
	unsigned number = parameter->unset;

	if (text != NULL && parameter->kind == TIME)
		duration_parse(text, &number);
	else if (text != NULL)
		number_parse(text, 0, INT_MAX, &number);
	return json_integer(number);
}

/* --- one server's parameters --- */

struct server_place {
	const struct edit_section *section;
	const struct edit_line *line;
};

/* Puts the value into the expected servers of the line. */
static void expect_of_servers(
	struct editing *editing, const struct server_place *server, const char *key, json_t *value)
{
	json_t *servers = json_object_get(edit_expected(editing, server->section), "servers");
	unsigned line = outline_number(&editing->outline, server->line);

	for (size_t i = 0; i < json_array_size(servers); i++) {
		json_t *each = json_array_get(servers, i);

		if (json_integer_value(json_object_get(each, "line")) == line)
			expect(each, key, json_incref(value));
	}
	json_decref(value);
}

static void set_switch(struct editing *editing, const struct server_place *server,
	const struct parameter *parameter, const json_t *value)
{
	const struct outline *outline = &editing->outline;
	struct setting setting =
		settings_of_switch(outline, server->section, server->line, parameter->words);
	struct setting given = settings_of_default_switch(
		outline, server->section, server->line, parameter->words);
	bool given_on = setting_is(&given, parameter->words->on);
	bool on = json_is_null(value) ? given_on : json_is_true(value);
	bool is_own = setting.line != NULL && !setting.inherited;

	expect_of_servers(editing, server, parameter->word, json_boolean(on));
	if (!json_is_null(value) && on == setting_is(&setting, parameter->words->on))
		return;
	if (is_own && (json_is_null(value) || (!on && !given_on)))
		edit_remove_words(editing, server->line, setting.at, 1);
	else if (is_own)
		edit_word(editing, &server->line->words[setting.at],
			on ? parameter->words->on : parameter->words->off);
	else if (on != given_on)
		edit_add_words(
			editing, server->line, on ? parameter->words->on : parameter->words->off);
}

static void set_value(struct editing *editing, const struct server_place *server,
	const struct parameter *parameter, const json_t *value)
{
	const struct outline *outline = &editing->outline;
	struct setting setting =
		settings_of_server(outline, server->section, server->line, parameter->word);
	struct setting given =
		settings_of_default_server(outline, server->section, server->line, parameter->word);
	bool is_own = setting.line != NULL && !setting.inherited;
	char *text = value_text(value), *quoted, *words;

	if (is_own && text == NULL)
		edit_remove_words(editing, server->line, setting.at,
			outline_parameter(server->line, setting.at, ON_SERVER));
	else if (is_own && setting.at + 1 < server->line->count)
		edit_word(editing, &server->line->words[setting.at + 1], text);
	if (!is_own && text != NULL) {
		quoted = edit_quoted(text);
		words = text_format("%s %s", parameter->word, quoted);
		edit_add_words(editing, server->line, words);
		free(quoted);
		free(words);
	}
	expect_of_servers(editing, server, parameter->word,
		model_value(parameter, text != NULL ? text : setting_word(&given, 1)));
	free(text);
}

/* --- addresses --- */

/* What is meant of the address, which is WRITTEN on the line. */
static void expect_address(json_t *server, const char *written)
{
	struct address address;

	if (address_parse(written, NAMES, &address) != NULL)
		return; /* the parser says why */
	if (address.name[0] == '\0') {
		expect(server, "address", model_address(&address.addr));
		expect(server, "host", json_null());
		expect(server, "unresolved", json_false());
		expect(server, "resolvers", json_null()); /* an address needs none */
	} else {
		expect(server, "address", expect_any());
		expect(server, "host", json_string(address.name));
		expect(server, "unresolved", expect_any());
		expect(server, "resolvers", expect_any());
	}
}

/* ADDRESS:PORT of a change's members, where what is missing is that of WRITTEN; to be freed. */
static char *server_address_text(const json_t *members, const char *written)
{
	size_t colon = edit_port_place(written);
	const char *address = json_string_value(json_object_get(members, "address"));
	const json_t *port = json_object_get(members, "port");
	char *digits = NULL, *before = NULL, *text;

	if (address == NULL)
		address = before = text_format("%.*s", (int)colon, written);
	if (port == NULL && written[colon] == ':')
		digits = text_copy(written + colon + 1);
	else if (json_integer_value(port) != 0)
		digits = text_format("%lld", (long long)json_integer_value(port));
	text = edit_address(address, digits);
	free(digits);
	free(before);
	return text;
}

static bool set_address(struct editing *editing, const struct server_place *server)
{
	json_t *servers = json_object_get(edit_expected(editing, server->section), "servers");
	size_t at = outline_server_parameters(server->line) - 1;
	const struct edit_word *word = &server->line->words[at];
	char *text = server_address_text(editing->change, word->text);
	bool done;

	done = edit_address_word(editing, word, 0, word->text, text, editing->change);
	for (size_t i = 0; i < json_array_size(servers); i++) {
		json_t *each = json_array_get(servers, i);

		if (json_integer_value(json_object_get(each, "line")) ==
			outline_number(&editing->outline, server->line))
			expect_address(each, text);
	}
	free(text);
	return done;
}

bool change_set_server(struct editing *editing)
{
	struct server_place server = {edit_farm(editing, "farm"), NULL};

	if (server.section != NULL)
		server.line =
			change_find_server(editing, server.section, edit_text(editing, "server"));
	if (server.line == NULL)
		return false;
	for (size_t i = 0; i < PARAMETER_COUNT; i++) {
		const json_t *value = json_object_get(editing->change, parameters[i].key);

		if (value != NULL && parameters[i].kind == SWITCH)
			set_switch(editing, &server, &parameters[i], value);
		else if (value != NULL)
			set_value(editing, &server, &parameters[i], value);
	}
	return (json_object_get(editing->change, "address") == NULL &&
		       json_object_get(editing->change, "port") == NULL) ||
	       set_address(editing, &server);
}

/* --- whole servers --- */

/* The words of a new server's parameter, or of what takes back the one of `default-server`. */
static void print_parameter(FILE *out, const struct parameter *parameter, const json_t *value,
	json_t *expected, const struct setting *given)
{
	char *text = value_text(value), *quoted;

	if (parameter->kind != SWITCH && text != NULL) {
		quoted = edit_quoted(text);
		fprintf(out, " %s %s", parameter->word, quoted);
		free(quoted);
		expect(expected, parameter->word, model_value(parameter, text));
	} else if (parameter->kind == SWITCH && json_is_boolean(value)) {
		bool on = json_is_true(value);

		if (on != setting_is(given, parameter->words->on))
			fprintf(out, " %s", on ? parameter->words->on : parameter->words->off);
		expect(expected, parameter->word, json_boolean(on));
	}
	free(text);
}

/* What `default-server` gives to a new server of the section; SECTION NULL: to one of a new section. */
static struct setting given_to_new(const struct outline *outline,
	const struct edit_section *section, const struct switch_words *words)
{
	struct edit_section new_section = {.defaults = NONE};
	size_t last = outline->section_count - 1;

	if (words == NULL)
		return (struct setting){0};
	if (section != NULL)
		return settings_of_default_switch(
			outline, section, &outline->lines[section->end - 1] + 1, words);
	if (outline->section_count > 0)
		new_section.defaults = outline->sections[last].where == IN_DEFAULTS
					       ? last
					       : outline->sections[last].defaults;
	return settings_of_default_switch(outline, &new_section, NULL, words);
}

static char *server_words(struct editing *editing, const struct edit_section *section,
	const json_t *members, json_t **expected)
{
	const char *source = json_string_value(json_object_get(members, "source"));
	char *address = server_address_text(members, ""), *quoted = edit_quoted(address);
	const char *name = json_string_value(json_object_get(members, "name"));
	char *quoted_name = edit_quoted(name), *source_words = NULL;
	struct text_stream stream;
	json_t *read = NULL;

	*expected = expect_open();
	text_begin(&stream);
	fprintf(stream.out, "server %s %s", quoted_name, quoted);
	expect(*expected, "name", json_string(name));
	expect_address(*expected, address);
	for (size_t i = 0; i < PARAMETER_COUNT; i++) {
		struct setting given =
			given_to_new(&editing->outline, section, parameters[i].words);

		print_parameter(stream.out, &parameters[i],
			json_object_get(members, parameters[i].key), *expected, &given);
	}
	if (source != NULL && *source != '\0')
		read = change_read_source(editing, source, &source_words);
	if (read != NULL) {
		fprintf(stream.out, " source %s", source_words);
		expect(*expected, "source", read);
	}
	free(address);
	free(quoted);
	free(quoted_name);
	free(source_words);
	return text_end(&stream);
}

char *change_server_words(struct editing *editing, const json_t *server, json_t **expected)
{
	return server_words(editing, NULL, server, expected);
}

bool change_add_server(struct editing *editing)
{
	const struct edit_section *section = edit_farm(editing, "farm");
	json_t *expected, *servers;
	char *words;

	if (section == NULL)
		return false;
	words = server_words(editing, section, editing->change, &expected);
	edit_add_line(editing, section, edit_place_of(editing, section, "server"), words);
	free(words);
	servers = json_object_get(edit_expected(editing, section), "servers");
	/* With `option transparent` the farm has one server, which has no line. */
	if (json_integer_value(json_object_get(json_array_get(servers, 0), "line")) ==
		(json_int_t)section->first + 1)
		json_decref(expected);
	else
		json_array_append_new(servers, expected);
	return editing->problem == NULL;
}

bool change_remove_server(struct editing *editing)
{
	const struct edit_section *section = edit_farm(editing, "farm");
	const struct edit_line *line = NULL;
	json_t *servers;

	if (section != NULL)
		line = change_find_server(editing, section, edit_text(editing, "server"));
	if (line == NULL)
		return false;
	edit_remove_line(editing, line);
	servers = json_object_get(edit_expected(editing, section), "servers");
	for (size_t i = json_array_size(servers); i-- > 0;)
		if (json_integer_value(json_object_get(json_array_get(servers, i), "line")) ==
			outline_number(&editing->outline, line))
			json_array_remove(servers, i);
	return true;
}

/* --- names --- */

/* `track SERVER` of the farm's lines, and `track FARM/SERVER` of all. */
static bool rename_tracked(struct editing *editing, const struct edit_section *section,
	const struct edit_line *line, const char *old, const char *new)
{
	const struct outline *outline = &editing->outline;
	size_t at =
		outline_find_parameter(line, outline_server_parameters(line), ON_SERVER, "track");
	bool is_inside = line >= &outline->lines[section->first] &&
			 line < &outline->lines[section->end - 1] + 1;
	size_t skipped = strlen(section->name) + 1;
	const struct edit_word *word;

	if (at == NONE || at + 1 >= line->count)
		return true;
	word = &line->words[at + 1];
	if (strchr(word->text, '/') == NULL)
		skipped = 0;
	else if (strncmp(word->text, section->name, skipped - 1) != 0 ||
		 word->text[skipped - 1] != '/')
		return true;
	if ((skipped == 0 && !is_inside) || strcmp(word->text + skipped, old) != 0)
		return true;
	return edit_piece(editing, word, skipped, strlen(word->text), new);
}

static bool rename_references(struct editing *editing, const struct edit_section *section,
	const char *old, const char *new)
{
	const struct outline *outline = &editing->outline;
	const struct edit_line *rule = NULL;

	while ((rule = outline_next(outline, section, rule, "use-server")) != NULL)
		if (rule->count > 1 && strcmp(rule->words[1].text, old) == 0)
			edit_word(editing, &rule->words[1], new);
	for (size_t i = 0; i < outline->line_count; i++) {
		const struct edit_line *line = &outline->lines[i];

		if (line->count == 0 ||
			(strcmp(line->words[0].text, "server") != 0 &&
				strcmp(line->words[0].text, "server-template") != 0 &&
				strcmp(line->words[0].text, "default-server") != 0))
			continue;
		if (!rename_tracked(editing, section, line, old, new))
			return false;
	}
	return true;
}

static void expect_new_name(struct editing *editing, const struct edit_section *section,
	const char *old, const char *new)
{
	json_t *sections = json_object_get(editing->expected, "sections");
	json_t *rules = json_object_get(edit_expected(editing, section), "rules");

	for (size_t i = 0; i < json_array_size(rules); i++) {
		json_t *rule = json_array_get(rules, i);
		const char *server = json_string_value(json_object_get(rule, "server"));

		if (server != NULL && strcmp(server, old) == 0)
			expect(rule, "server", json_string(new));
	}
	for (size_t i = 0; i < json_array_size(sections); i++) {
		json_t *servers = json_object_get(json_array_get(sections, i), "servers");

		for (size_t j = 0; j < json_array_size(servers); j++) {
			json_t *track = json_object_get(json_array_get(servers, j), "track");
			const char *farm = json_string_value(json_array_get(track, 0));
			const char *server = json_string_value(json_array_get(track, 1));

			if (farm != NULL && strcmp(farm, section->name) == 0 &&
				strcmp(server, old) == 0)
				json_array_set_new(track, 1, json_string(new));
		}
	}
}

bool change_rename_server(struct editing *editing)
{
	const struct edit_section *section = edit_farm(editing, "farm");
	const char *old = edit_text(editing, "server"), *new = edit_text(editing, "to");
	struct server_place server = {section, NULL};

	if (section != NULL)
		server.line = change_find_server(editing, section, old);
	if (server.line == NULL)
		return false;
	if (strcmp(server.line->words[0].text, "server") != 0)
		return edit_refuse(editing,
			"'%s' are the servers of a 'server-template' line; change their names in the text",
			old);
	edit_word(editing, &server.line->words[1], new);
	expect_of_servers(editing, &server, "name", json_string(new));
	expect_new_name(editing, section, old, new);
	return rename_references(editing, section, old, new);
}
