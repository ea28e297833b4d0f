/*
 * Where a section or a server has a value from: its own words, or those of `defaults` or `default-server`.
 */
#ifndef TPROXY_EDIT_SETTINGS_H
#define TPROXY_EDIT_SETTINGS_H

#include "outline.h"

/* The word that names the setting is number AT of the line. LINE is NULL where no word sets it. */
struct setting {
	const struct edit_line *line;
	size_t at;
	bool inherited; /* the line is one of `defaults`, or a `default-server` line */
};

/* Two words of which the last one on a line holds. */
struct switch_words {
	const char *on, *off;
};

extern const struct switch_words switch_check, switch_backup, switch_disabled;

/* The first line of the section that begins with one or two words; SECOND is NULL for one. NULL: there is none. */
const struct edit_line *settings_line(const struct outline *outline,
	const struct edit_section *section, const char *keyword, const char *second);

/* `timeout WHICH` of the section, or of its `defaults`; its value is two words behind the one that names it. */
struct setting settings_of_timeout(
	const struct outline *outline, const struct edit_section *section, const char *which);

/* The line of the section that begins with KEYWORD, or the one of its `defaults`. */
struct setting settings_of_section(
	const struct outline *outline, const struct edit_section *section, const char *keyword);

/* What `defaults` say of it, whatever the section says. */
struct setting settings_of_defaults(
	const struct outline *outline, const struct edit_section *section, const char *keyword);

/* The parameter NAME of a `server` line, or of what `default-server` says before it. */
struct setting settings_of_server(const struct outline *outline, const struct edit_section *section,
	const struct edit_line *line, const char *name);

/* What `default-server` says of it, whatever the line says. */
struct setting settings_of_default_server(const struct outline *outline,
	const struct edit_section *section, const struct edit_line *line, const char *name);

/* The same of two words: the one that holds. */
struct setting settings_of_switch(const struct outline *outline, const struct edit_section *section,
	const struct edit_line *line, const struct switch_words *words);
struct setting settings_of_default_switch(const struct outline *outline,
	const struct edit_section *section, const struct edit_line *line,
	const struct switch_words *words);

/* Whether the setting is the word NAME. */
bool setting_is(const struct setting *setting, const char *name);

/* The word COUNT places behind the one that names the setting; NULL where there is none. */
const char *setting_word(const struct setting *setting, size_t count);

/* The next `server` or `server-template` line of the section; AFTER NULL: the first. NULL: there is none. */
const struct edit_line *settings_next_server(const struct outline *outline,
	const struct edit_section *section, const struct edit_line *after);

/* The name of the servers of that line, to be freed: PREFIX{FIRST-LAST} for a template. */
char *settings_server_name(const struct edit_line *line);

/* The words of `source` as "none", "clientip", "client", "ADDRESS" or "usesrc ADDRESS", to be freed. */
char *settings_source(const struct setting *setting);

#endif
