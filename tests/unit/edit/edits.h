/*
 * Random edits of a configuration, and two oracles of what they do: to the text, and to the daemon's model of it.
 *
 * Neither oracle uses a line of src/edit. Lines are split into words here by a few lines of code, and what an edit means is done
 * to the model that the daemon has of the old text.
 */
#ifndef TESTS_EDITS_H
#define TESTS_EDITS_H

#include "tproxy/config.h"

#include <jansson.h>
#include <stdbool.h>

/* --- lines and words (edits_words.c) --- */

/* A word as it is written, and the blanks before it. */
struct token {
	const char *gap, *raw;
	size_t gap_length, length;
};

struct tokens {
	struct token list[80];
	size_t count;
	const char *rest; /* blanks and the comment behind the last one, and the line's end */
	size_t rest_length;
};

struct lines {
	char **list;
	size_t count;
	bool closed; /* the last one has a line feed */
};

/* What differs between two texts: lines FIRST to OLD_END of the old one became FIRST to NEW_END of the new one. */
struct window {
	struct lines old, new;
	size_t first, old_end, new_end;
};

/* The words that differ between two lines: FIRST to OLD_END became FIRST to NEW_END. All else must be the same. */
struct words_window {
	struct tokens old, new;
	size_t first, old_end, new_end;
};

struct lines edits_split_lines(const char *text);
void edits_free_lines(struct lines *lines);
void edits_split_tokens(const char *line, struct tokens *tokens);
bool edits_token_is(const struct tokens *tokens, size_t index, const char *text);
bool edits_same_token(const struct token *a, const struct token *b);

/* The word as written, "" where there is none; the fourth call after it overwrites it. */
const char *edits_token_text(const struct tokens *tokens, size_t index);

void edits_find_window(struct window *window, const char *old, const char *new);
void edits_free_window(struct window *window);

/* Fails the test where the blanks and comments of the lines are not the same. */
void edits_find_words(struct words_window *words, const char *old, const char *new);
size_t old_words(const struct words_window *words);
size_t new_words(const struct words_window *words);

size_t edits_count_char(const char *text, char c);

/* The item number INDEX between the commas, to be freed. */
char *edits_item_of(const char *list, size_t index);

/* --- edits (edits_draw.c) --- */

enum operation {
	SET_TRANSPARENT,
	SET_BIND,
	ADD_BIND,
	REMOVE_BIND,
	SET_DEFAULT_BACKEND,
	SET_MAXCONN,
	SET_TIMEOUT,
	RENAME_SECTION,
	SET_BALANCE,
	SET_FARM_SOURCE,
	SET_SERVER_SOURCE,
	SET_SERVER_VALUE,
	SET_SERVER_ADDRESS,
	ADD_SERVER,
	REMOVE_SERVER,
	RENAME_SERVER,
	ADD_LISTENER,
	ADD_FARM,
	REMOVE_SECTION,
	SET_MODE,
	OPERATION_COUNT
};

struct edit {
	enum operation operation;
	json_t *change;
	struct proxy *proxy; /* of the old model */
	unsigned line;       /* of the `bind` or `server` line */
	size_t item;         /* of an address: its place between the commas */
	bool on;
	bool keeps_address, keeps_port; /* of SET_BIND: the other one changes alone */
	char name[64], text[128];       /* the new name; the new address or value, as one word */
	const char *key;
	struct source source;
	struct addr address;
	unsigned number;
};

/* Draws an edit of the text whose lines and model are given. False: this one is not possible. The caller frees edit->change. */
bool edits_draw(struct edit *edit, const struct config *config, const struct lines *lines);

/* --- oracles (edits_text.c, edits_model.c) --- */

/* Fails the test unless the texts differ in the words that the edit means, and nowhere else. */
void edits_judge_text(const char *old, const char *new, const struct edit *edit);

/* The daemon's model of the text, read with a last line feed. NULL: it has errors. */
struct config *edits_parse(const char *text);

/* Fails the test unless NEW means what the edit makes of CONFIG, the model of OLD, which is changed. */
void edits_judge_meaning(
	const char *old, const char *new, const struct edit *edit, struct config *config);

#endif
