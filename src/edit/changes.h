/*
 * The operations (edit.h): each writes the pieces of the text that it means, and puts into the expected model what is
 * meant. False: the change is refused, and the reason noted.
 */
#ifndef TPROXY_EDIT_CHANGES_H
#define TPROXY_EDIT_CHANGES_H

#include "editing.h"
#include "settings.h"

bool change_add_listener(struct editing *editing);
bool change_remove_listener(struct editing *editing);
bool change_rename_listener(struct editing *editing);
bool change_add_bind(struct editing *editing);
bool change_set_bind(struct editing *editing);
bool change_remove_bind(struct editing *editing);
bool change_set_transparent(struct editing *editing);
bool change_set_default_backend(struct editing *editing);
bool change_set_mode(struct editing *editing);
bool change_set_maxconn(struct editing *editing);
bool change_set_timeout(struct editing *editing);

bool change_add_farm(struct editing *editing);
bool change_remove_farm(struct editing *editing);
bool change_rename_farm(struct editing *editing);
bool change_set_balance(struct editing *editing);
bool change_set_source(struct editing *editing);

bool change_add_server(struct editing *editing);
bool change_remove_server(struct editing *editing);
bool change_rename_server(struct editing *editing);
bool change_set_server(struct editing *editing);

/* --- what operations share --- */

/* Puts VALUE at KEY of an object of the expected model, or of a part of it. VALUE is taken over. */
void expect(json_t *object, const char *key, json_t *value);

/* A value of the expected model that may be any. */
json_t *expect_any(void);

/* An object of the expected model of which only the members that are put there count. */
json_t *expect_open(void);

/* Writes NEW in place of OLD wherever a line names the farm, and in the expected model. */
bool change_farm_references(struct editing *editing, const char *old, const char *new);

/*
 * Adds a section of KIND ("frontend") with COUNT LINES, which it frees with their list. EXPECTED is what the daemon is to read of
 * it, without its name and role; it is taken.
 */
void change_add_section(
	struct editing *editing, const char *kind, char **lines, size_t count, json_t *expected);

/* Removes a section with all of its lines. */
bool change_remove_section(struct editing *editing, const struct edit_section *section);

/* Writes the section's name anew. */
bool change_rename_section(
	struct editing *editing, const struct edit_section *section, const char *to);

/*
 * Makes the section have the line KEYWORD VALUE, by an edit of its own line or by a new one; VALUE NULL: makes it have no
 * such line.
 */
void change_section_line(struct editing *editing, const struct edit_section *section,
	const char *keyword, const char *value);

/* The line of the farm's server of that name. NULL: refused. */
const struct edit_line *change_find_server(
	struct editing *editing, const struct edit_section *section, const char *name);

/* The words of a new `server` line, to be freed, and in *EXPECTED what is meant of it. NULL: refused. */
char *change_server_words(struct editing *editing, const json_t *server, json_t **expected);

/*
 * The source that TEXT means ("none", "clientip", "client", "ADDRESS", "usesrc ADDRESS") for the model, and in *WORDS what
 * is written after `source`, to be freed. NULL: refused.
 */
json_t *change_read_source(struct editing *editing, const char *text, char **words);

/* The name of a way to balance as the model has it. */
json_t *change_balance_name(const char *name);

#endif
