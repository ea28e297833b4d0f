/*
 * The text as listeners and farms, for display.
 *
 * All of it is taken from the words, so that a text with errors is shown as far as it can be read; the errors come from the
 * daemon's parser. A value that was not understood is shown as it was written, or as the default.
 */
#include "edit.h"

#include "messages.h"
#include "settings.h"

#include "tproxy/config.h"
#include "tproxy/text.h"
#include "tproxy/units.h"
#include "words/address.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static void put(json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new(object, key, value) != 0)
		abort(); /* out of memory */
}

static void put_number(json_t *object, const char *key, size_t number)
{
	put(object, key, json_integer((json_int_t)number));
}

/* Notes that KEY of the object is not its own. */
static void put_inherited(json_t *object, const char *key, const struct setting *setting)
{
	if (setting->inherited)
		json_array_append_new(json_object_get(object, "inherited"), json_string(key));
}

/* The words of a line from AT on, parted by spaces. */
static json_t *rest_of_line(const struct edit_line *line, size_t at)
{
	struct text_stream stream;
	json_t *rest;
	char *text;

	text_begin(&stream);
	for (size_t i = at; i < line->count; i++)
		fprintf(stream.out, "%s%s", i == at ? "" : " ", line->words[i].text);
	text = text_end(&stream);
	rest = json_plain_text(text);
	free(text);
	return rest;
}

static json_t *describe_address(const char *written, size_t index, const struct edit_line *line)
{
	struct address address;
	char text[ADDR_TEXT_MAX];
	bool good = address_parse(written, PORT_REQUIRED | PORT_RANGE, &address) == NULL;
	json_t *bind = json_object();

	put_number(bind, "index", index);
	put(bind, "address",
		good ? json_string(addr_format_ip(&address.addr, text)) : json_plain_text(written));
	put_number(bind, "port_low", good ? addr_port(&address.addr) : 0);
	put_number(bind, "port_high", good ? address.last_port : 0);
	put(bind, "transparent",
		json_boolean(outline_find_parameter(line, 2, ON_BIND, "transparent") != NONE));
	put(bind, "written", json_plain_text(written));
	put(bind, "words", rest_of_line(line, 2));
	return bind;
}

static void describe_bind_line(
	json_t *binds, const struct outline *outline, const struct edit_line *line)
{
	size_t first = json_array_size(binds), count;
	char *list, *next, *item;

	if (line->count < 2)
		return;
	next = list = text_copy(line->words[1].text);
	while ((item = strsep(&next, ",")) != NULL)
		json_array_append_new(binds, describe_address(item, json_array_size(binds), line));
	free(list);
	count = json_array_size(binds) - first;
	for (size_t i = first; i < first + count; i++) {
		put_number(json_array_get(binds, i), "line", outline_number(outline, line));
		put_number(json_array_get(binds, i), "shared", count);
	}
}

static json_t *describe_binds(const struct outline *outline, const struct edit_section *section)
{
	const struct edit_line *line = NULL;
	json_t *binds = json_array();

	while ((line = outline_next(outline, section, line, "bind")) != NULL)
		describe_bind_line(binds, outline, line);
	return binds;
}

static unsigned number_of(const struct setting *setting, unsigned otherwise)
{
	const char *word = setting_word(setting, 1);
	unsigned number;

	return word != NULL && number_parse(word, 0, INT_MAX, &number) == NULL ? number : otherwise;
}

/* What listeners and farms have in common. */
static json_t *describe_section(const struct outline *outline, const struct edit_section *section)
{
	struct setting mode = settings_of_section(outline, section, "mode");
	const char *word = setting_word(&mode, 1);
	json_t *object = json_object();

	put(object, "inherited", json_array());
	put(object, "name", json_plain_text(section->name));
	put(object, "section", json_string(place_name(section->where)));
	put_number(object, "line", section->first + 1);
	put(object, "mode", json_plain_text(word == NULL ? "tcp" : word));
	put_inherited(object, "mode", &mode);
	return object;
}

static void describe_timeouts(json_t *object, const struct outline *outline,
	const struct edit_section *section, const char *const *names)
{
	json_t *timeouts = json_object();

	put(object, "timeouts", timeouts);
	for (; *names != NULL; names++) {
		struct setting setting = settings_of_timeout(outline, section, *names);
		const char *value = setting_word(&setting, 2);
		char *key;

		if (value == NULL)
			continue;
		put(timeouts, *names, json_plain_text(value));
		key = text_format("timeout %s", *names);
		put_inherited(object, key, &setting);
		free(key);
	}
}

/* The farm that a listener's clients come to unless a rule says otherwise; "": none. */
static const char *default_backend(
	const struct outline *outline, const struct edit_section *section, struct setting *setting)
{
	const char *word;

	*setting = settings_of_section(outline, section, "default_backend");
	word = setting_word(setting, 1);
	if (word != NULL)
		return word;
	return section->where == IN_LISTEN ? section->name : "";
}

static json_t *describe_listener(const struct outline *outline, const struct edit_section *section)
{
	static const char *const timeouts[] = {"client", "client-fin", NULL};
	json_t *object = describe_section(outline, section);
	struct setting maxconn = settings_of_section(outline, section, "maxconn"), backend;

	put(object, "default_backend",
		json_plain_text(default_backend(outline, section, &backend)));
	put_inherited(object, "default_backend", &backend);
	put_number(object, "maxconn", number_of(&maxconn, 0));
	put_inherited(object, "maxconn", &maxconn);
	describe_timeouts(object, outline, section, timeouts);
	put(object, "binds", describe_binds(outline, section));
	return object;
}

static void describe_server_address(
	json_t *object, const struct edit_line *line, const char *written)
{
	struct address address;
	char text[ADDR_TEXT_MAX];
	bool good = address_parse(written, NAMES, &address) == NULL;

	if (!good)
		put(object, "address", json_plain_text(written));
	else if (address.name[0] != '\0')
		put(object, "address", json_plain_text(address.name));
	else
		put(object, "address", json_string(addr_format_ip(&address.addr, text)));
	put_number(object, "port", good ? addr_port(&address.addr) : 0);
	put(object, "written", json_plain_text(written));
	put(object, "words", rest_of_line(line, outline_server_parameters(line)));
}

struct server_place {
	const struct outline *outline;
	const struct edit_section *section;
	const struct edit_line *line;
};

/* The values that are shown as they are written, where there is one. */
static void describe_written_values(json_t *object, const struct server_place *place)
{
	static const struct {
		const char *key, *word;
	} values[] = {{"inter", "inter"}, {"fastinter", "fastinter"}, {"downinter", "downinter"},
		{"rise", "rise"}, {"fall", "fall"}, {"slowstart", "slowstart"},
		{"maxqueue", "maxqueue"}, {"check_port", "port"}};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct setting setting = settings_of_server(
			place->outline, place->section, place->line, values[i].word);
		const char *word = setting_word(&setting, 1);

		if (word == NULL)
			continue;
		put(object, values[i].key, json_plain_text(word));
		put_inherited(object, values[i].key, &setting);
	}
}

static void describe_server_values(json_t *object, const struct server_place *place)
{
	static const struct {
		const char *key;
		unsigned otherwise;
	} numbers[] = {{"weight", 1}, {"maxconn", 0}};
	static const struct {
		const char *key;
		const struct switch_words *words;
	} switches[] = {{"check", &switch_check}, {"backup", &switch_backup},
		{"disabled", &switch_disabled}};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		struct setting setting = settings_of_server(
			place->outline, place->section, place->line, numbers[i].key);

		put_number(object, numbers[i].key, number_of(&setting, numbers[i].otherwise));
		put_inherited(object, numbers[i].key, &setting);
	}
	for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]); i++) {
		struct setting setting = settings_of_switch(
			place->outline, place->section, place->line, switches[i].words);

		put(object, switches[i].key,
			json_boolean(setting_is(&setting, switches[i].words->on)));
		put_inherited(object, switches[i].key, &setting);
	}
}

static json_t *describe_server(const struct server_place *place)
{
	struct setting source =
		settings_of_server(place->outline, place->section, place->line, "source");
	size_t address = outline_server_parameters(place->line) - 1;
	char *name = settings_server_name(place->line), *text;
	json_t *object = json_object();

	put(object, "inherited", json_array());
	put(object, "name", json_plain_text(name));
	free(name);
	put_number(object, "line", outline_number(place->outline, place->line));
	describe_server_address(object, place->line,
		address < place->line->count ? place->line->words[address].text : "");
	describe_server_values(object, place);
	describe_written_values(object, place);
	if (source.line == NULL) {
		source = settings_of_section(place->outline, place->section, "source");
		source.inherited = true;
	}
	text = settings_source(&source);
	put(object, "source", json_plain_text(text));
	put_inherited(object, "source", &source);
	free(text);
	return object;
}

/* Whether `option transparent` holds: no server of the farm is used. */
static bool is_original(const struct outline *outline, const struct edit_section *section)
{
	bool is = false;

	if (section->where != IN_DEFAULTS && section->defaults != NONE)
		is = is_original(outline, &outline->sections[section->defaults]);
	for (size_t i = section->first + 1; i < section->end; i++) {
		const struct edit_line *line = &outline->lines[i];
		bool negated = line->count > 0 && strcmp(line->words[0].text, "no") == 0;
		size_t last = line->count - 1;
		bool is_option =
			last == 1U + negated && strcmp(line->words[last - 1].text, "option") == 0;

		if (line->count > 0 && strcmp(line->words[last].text, "transparent") == 0 &&
			(is_option || last == 0))
			is = !negated;
	}
	return is;
}

static json_t *describe_farm(const struct outline *outline, const struct edit_section *section)
{
	static const char *const timeouts[] = {
		"connect", "queue", "server", "server-fin", "tunnel", "check", NULL};
	json_t *object = describe_section(outline, section), *servers = json_array();
	struct setting balance = settings_of_section(outline, section, "balance");
	struct setting source = settings_of_section(outline, section, "source");
	struct server_place place = {outline, section, NULL};
	const char *word = setting_word(&balance, 1);
	char *text = settings_source(&source);

	put(object, "balance", json_plain_text(word == NULL ? "roundrobin" : word));
	put_inherited(object, "balance", &balance);
	put(object, "source", json_plain_text(text));
	put_inherited(object, "source", &source);
	free(text);
	describe_timeouts(object, outline, section, timeouts);
	put(object, "original", json_boolean(is_original(outline, section)));
	while ((place.line = settings_next_server(outline, section, place.line)) != NULL)
		json_array_append_new(servers, describe_server(&place));
	put(object, "servers", servers);
	put(object, "used_by", json_array());
	return object;
}

/* Adds the name of the listener to the farm's users, unless it is there. */
static void note_use(const struct outline *outline, json_t *const *farms,
	const struct edit_section *listener, const char *farm_name)
{
	const struct edit_section *farm = outline_find(outline, IN_BACKEND, farm_name);
	json_t *users, *last;

	if (farm == NULL)
		return;
	users = json_object_get(farms[farm - outline->sections], "used_by");
	last = json_array_get(users, json_array_size(users) - 1);
	if (last == NULL || strcmp(json_string_value(last), listener->name) != 0)
		json_array_append_new(users, json_plain_text(listener->name));
}

static void note_uses(const struct outline *outline, json_t *const *farms)
{
	for (size_t i = 0; i < outline->section_count; i++) {
		const struct edit_section *section = &outline->sections[i];
		const struct edit_line *line = NULL;
		struct setting unused;

		if (section->proxy == NONE || !(section->where & IN_FRONTEND))
			continue;
		note_use(outline, farms, section, default_backend(outline, section, &unused));
		while ((line = outline_next(outline, section, line, "use_backend")) != NULL)
			if (line->count > 1)
				note_use(outline, farms, section, line->words[1].text);
	}
}

static json_t *describe_sections(const struct outline *outline)
{
	json_t *listeners = json_array(), *farms = json_array();
	json_t **by_section = calloc(outline->section_count + 1, sizeof(*by_section));

	if (by_section == NULL)
		abort(); /* out of memory */
	for (size_t i = 0; i < outline->section_count; i++) {
		const struct edit_section *section = &outline->sections[i];

		if (section->proxy == NONE)
			continue;
		if (section->where & IN_FRONTEND)
			json_array_append_new(listeners, describe_listener(outline, section));
		if (section->where & IN_BACKEND) {
			by_section[i] = describe_farm(outline, section);
			json_array_append_new(farms, by_section[i]);
		}
	}
	note_uses(outline, by_section);
	free(by_section);
	return json_pack("{s:o, s:o}", "listeners", listeners, "farms", farms);
}

json_t *edit_describe(const char *text, size_t length)
{
	struct diag *diag = diag_new();
	struct outline outline;
	json_t *description;

	if (diag == NULL)
		abort(); /* out of memory */
	outline_read(&outline, text, length);
	description = describe_sections(&outline);
	config_free(config_parse_text("the text", text, length, diag));
	put(description, "errors", messages_json(&outline, diag, DIAG_ERROR));
	put(description, "warnings", messages_json(&outline, diag, DIAG_WARNING));
	outline_free(&outline);
	diag_free(diag);
	return description;
}
