/*
 * One change while it is made: pieces of the text that are replaced, and the model that is meant to come of it.
 */
#ifndef TPROXY_EDIT_EDITING_H
#define TPROXY_EDIT_EDITING_H

#include "outline.h"

#include <jansson.h>

/* The bytes FROM to TO of the text become TEXT, which is on the heap. */
struct splice {
	size_t from, to;
	char *text;
};

struct editing {
	struct outline outline;
	const json_t *change; /* its members have the types that change.c lists */
	struct splice *splices;
	size_t splice_count;
	json_t *expected; /* the model (model.h) */
	char *problem;    /* NULL: none */
};

/* --- refusing --- */

/* Notes why the change is refused. Returns false. */
bool edit_refuse(struct editing *editing, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* --- what the change says --- */

/* The string at KEY, part of the change; NULL where it is missing. */
const char *edit_text(const struct editing *editing, const char *key);

/* The section that KEY names. NULL: it was refused. */
const struct edit_section *edit_listener(struct editing *editing, const char *key);
const struct edit_section *edit_farm(struct editing *editing, const char *key);

/* Its object of the expected model. */
json_t *edit_expected(struct editing *editing, const struct edit_section *section);

/* --- words --- */

/* TEXT as a word of a line, to be freed: in a way that the daemon reads it as one word. */
char *edit_quoted(const char *text);

/* Writes TEXT in place of the word; nothing where it is the same. */
void edit_word(struct editing *editing, const struct edit_word *word, const char *text);

/*
 * Writes TEXT in place of the bytes FROM to TO of what the word means. A word with quotes or escapes is written anew, one with a
 * variable is refused: false.
 */
bool edit_piece(struct editing *editing, const struct edit_word *word, size_t from, size_t to,
	const char *text);

/* Adds words, as they are to be written, behind the last word of the line. */
void edit_add_words(struct editing *editing, const struct edit_line *line, const char *words);

/* Adds words, as they are to be written, behind word number AT. */
void edit_add_words_behind(
	struct editing *editing, const struct edit_line *line, size_t at, const char *words);

/* Takes COUNT words of the line away, from number FIRST (not 0) on, with the blanks before them. */
void edit_remove_words(
	struct editing *editing, const struct edit_line *line, size_t first, size_t count);

/* --- lines --- */

/* Adds a line with these words to the section, behind line number AFTER, with the section's indentation. */
void edit_add_line(struct editing *editing, const struct edit_section *section, size_t after,
	const char *words);

/* Behind which line of the section one that begins with KEYWORD goes. */
size_t edit_place_of(
	const struct editing *editing, const struct edit_section *section, const char *keyword);

/* Takes the lines FIRST to END away, END not among them. */
void edit_remove_lines(struct editing *editing, size_t first, size_t end);
void edit_remove_line(struct editing *editing, const struct edit_line *line);

/* Adds a section at the end of the text: HEAD and then LINES, which ends with NULL, each to be indented. */
void edit_add_section(struct editing *editing, const char *head, char *const *lines);

/* --- addresses --- */

/* ADDRESS:PORT for a line, to be freed; PORT NULL: the address alone. An IPv6 address gets its brackets. */
char *edit_address(const char *address, const char *port);

/*
 * Makes ADDRESS:PORT, which stands from byte OFFSET on in what the word means and is WRITTEN, into TEXT. The part that
 * MEMBERS, an object with "address" or "port" or both, does not have stays as it is written. False: refused.
 */
bool edit_address_word(struct editing *editing, const struct edit_word *word, size_t offset,
	const char *written, const char *text, const json_t *members);

/* Where the port begins in ADDRESS:PORT: at the last colon behind any bracket, or at the end of the text. */
size_t edit_port_place(const char *written);

/* --- the result --- */

/* The new text with a NUL byte behind it, to be freed. */
char *edit_apply(struct editing *editing, size_t *length);
void edit_free(struct editing *editing);

#endif
