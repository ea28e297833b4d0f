/*
 * Settings: own words first, then those that were given for all.
 *
 * `defaults` hold for a section, and `default-server` lines for the servers after them; a section begins with the
 * `default-server` lines of its `defaults`. Later words replace earlier ones.
 */
#include "settings.h"

#include "tproxy/text.h"
#include "words/address.h"

#include <stdio.h>
#include <string.h>

const struct switch_words switch_check = {"check", "no-check"};
const struct switch_words switch_backup = {"backup", "no-backup"};
const struct switch_words switch_disabled = {"disabled", "enabled"};

struct setting settings_of_defaults(
	const struct outline *outline, const struct edit_section *section, const char *keyword)
{
	const struct edit_line *line = NULL;

	if (section->defaults != NONE)
		line = outline_next(outline, &outline->sections[section->defaults], NULL, keyword);
	return (struct setting){line, 0, line != NULL};
}

const struct edit_line *settings_line(const struct outline *outline,
	const struct edit_section *section, const char *keyword, const char *second)
{
	const struct edit_line *line = NULL;

	while ((line = outline_next(outline, section, line, keyword)) != NULL)
		if (second == NULL || (line->count > 1 && strcmp(line->words[1].text, second) == 0))
			return line;
	return NULL;
}

struct setting settings_of_timeout(
	const struct outline *outline, const struct edit_section *section, const char *which)
{
	const struct edit_line *line = settings_line(outline, section, "timeout", which);

	if (line != NULL || section->defaults == NONE)
		return (struct setting){line, 0, false};
	line = settings_line(outline, &outline->sections[section->defaults], "timeout", which);
	return (struct setting){line, 0, line != NULL};
}

struct setting settings_of_section(
	const struct outline *outline, const struct edit_section *section, const char *keyword)
{
	const struct edit_line *line = outline_next(outline, section, NULL, keyword);

	return line != NULL ? (struct setting){line, 0, false}
			    : settings_of_defaults(outline, section, keyword);
}

/* The last parameter of the line that is one of both words. */
static size_t find_switch(const struct edit_line *line, const struct switch_words *words)
{
	size_t found = NONE;

	for (size_t at = outline_server_parameters(line); at < line->count;
		at += outline_parameter(line, at, ON_SERVER))
		if (strcmp(line->words[at].text, words->on) == 0 ||
			strcmp(line->words[at].text, words->off) == 0)
			found = at;
	return found;
}

/* Looks for the words in the `default-server` lines of a section that stand before END (NULL: in all). */
static void look_in_default_servers(const struct outline *outline,
	const struct edit_section *section, const struct edit_line *end,
	const struct switch_words *words, struct setting *setting)
{
	const struct edit_line *line = NULL;
	size_t at;

	while ((line = outline_next(outline, section, line, "default-server")) != NULL) {
		if (end != NULL && line > end)
			return;
		at = find_switch(line, words);
		if (at != NONE)
			*setting = (struct setting){line, at, true};
	}
}

struct setting settings_of_default_switch(const struct outline *outline,
	const struct edit_section *section, const struct edit_line *line,
	const struct switch_words *words)
{
	struct setting setting = {0};

	if (section->defaults != NONE)
		look_in_default_servers(
			outline, &outline->sections[section->defaults], NULL, words, &setting);
	look_in_default_servers(outline, section, line, words, &setting);
	return setting;
}

struct setting settings_of_switch(const struct outline *outline, const struct edit_section *section,
	const struct edit_line *line, const struct switch_words *words)
{
	size_t at = find_switch(line, words);

	return at != NONE ? (struct setting){line, at, false}
			  : settings_of_default_switch(outline, section, line, words);
}

struct setting settings_of_server(const struct outline *outline, const struct edit_section *section,
	const struct edit_line *line, const char *name)
{
	return settings_of_switch(outline, section, line, &(struct switch_words){name, name});
}

struct setting settings_of_default_server(const struct outline *outline,
	const struct edit_section *section, const struct edit_line *line, const char *name)
{
	return settings_of_default_switch(
		outline, section, line, &(struct switch_words){name, name});
}

bool setting_is(const struct setting *setting, const char *name)
{
	return setting->line != NULL && strcmp(setting->line->words[setting->at].text, name) == 0;
}

const char *setting_word(const struct setting *setting, size_t count)
{
	if (setting->line == NULL || setting->at + count >= setting->line->count)
		return NULL;
	return setting->line->words[setting->at + count].text;
}

const struct edit_line *settings_next_server(const struct outline *outline,
	const struct edit_section *section, const struct edit_line *after)
{
	const struct edit_line *one = outline_next(outline, section, after, "server");
	const struct edit_line *many = outline_next(outline, section, after, "server-template");

	return one == NULL || (many != NULL && many < one) ? many : one;
}

char *settings_server_name(const struct edit_line *line)
{
	const char *range;

	if (line->count < 2)
		return text_copy("");
	if (strcmp(line->words[0].text, "server") == 0)
		return text_copy(line->words[1].text);
	range = line->count > 2 ? line->words[2].text : "";
	return text_format("%s{%s%s}", line->words[1].text,
		*range != '\0' && strchr(range, '-') == NULL ? "1-" : "", range);
}

char *settings_source(const struct setting *setting)
{
	const char *address = setting_word(setting, 1), *usesrc = setting_word(setting, 2);
	const char *whose = setting_word(setting, 3);
	struct address parsed;

	if (address == NULL)
		return text_copy("none");
	if (usesrc != NULL && strcmp(usesrc, "usesrc") == 0 && whose != NULL) {
		if (strcmp(whose, "clientip") == 0 || strcmp(whose, "client") == 0)
			return text_copy(whose);
		return text_format("usesrc %s", whose);
	}
	if (address_parse(address, 0, &parsed) == NULL && addr_is_any(&parsed.addr) &&
		addr_port(&parsed.addr) == 0)
		return text_copy("none");
	return text_copy(address);
}
