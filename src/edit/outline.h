/*
 * A configuration's text as lines, words with their places, and sections.
 *
 * Words are cut by the daemon's own rules (words/words.h), so that quotes, escapes, variables, comments and line ends are
 * what they are to it. A line that cannot be cut has no words here; the parser reports it. All of an outline lives
 * until outline_free(), and the text must live as long.
 */
#ifndef TPROXY_EDIT_OUTLINE_H
#define TPROXY_EDIT_OUTLINE_H

#include "config/keyword.h"

#include <stdbool.h>
#include <stddef.h>

#define NONE ((size_t)-1)

/* TEXT is what the word means; it was written with the bytes FROM to TO of the whole text. */
struct edit_word {
	const char *text;
	size_t from, to;
};

struct edit_line {
	size_t from, to; /* in the text, without the line's end */
	size_t next;     /* where the next line begins */
	struct edit_word *words;
	size_t count;
	size_t same; /* the next line of its section that begins with the same word; NONE: it is the last one */
};

/* Lines of a section that begin with the same word: a text may have many lines, and each section has few such words. */
struct edit_lines {
	const char *keyword;
	size_t first, last;
};

struct edit_section {
	unsigned where;   /* its place, of enum where; 0: a section that tproxyd does not have */
	const char *name; /* "" where it has none */
	size_t first,
		end; /* its lines: the one that begins it, and the one behind its last one with words */
	size_t defaults; /* the `defaults` that hold for it, as an index of sections; NONE: there are none */
	size_t proxy; /* its index in struct config's proxies; NONE: it is not there */
	struct edit_lines *kinds;
	size_t kind_count;
};

struct outline {
	const char *text;
	size_t length;
	struct edit_line *lines;
	size_t line_count;
	struct edit_section *sections;
	size_t section_count;
	size_t proxy_count;
	struct config_memory *memory;
};

/* Fills OUTLINE. Without memory the program ends. */
void outline_read(struct outline *outline, const char *text, size_t length);
void outline_free(struct outline *outline);

/* The section NAME whose place has one of the bits of WHERE: IN_FRONTEND finds listeners, IN_BACKEND farms. NULL: none. */
const struct edit_section *outline_find(
	const struct outline *outline, unsigned where, const char *name);

/* The next line of the section behind AFTER that begins with KEYWORD; AFTER NULL: the first one. NULL: there is none. */
const struct edit_line *outline_next(const struct outline *outline,
	const struct edit_section *section, const struct edit_line *after, const char *keyword);

/* How many words the parameter at AT of a line has, with its name. WHERE is ON_BIND or ON_SERVER. */
size_t outline_parameter(const struct edit_line *line, size_t at, unsigned where);

/*
 * The index of the parameter NAME among the words of the line from AT on, or NONE. Arguments of other parameters are
 * passed over.
 */
size_t outline_find_parameter(
	const struct edit_line *line, size_t at, unsigned where, const char *name);

/* Where the parameters of a `server`, `server-template` or `default-server` line begin. */
size_t outline_server_parameters(const struct edit_line *line);

/* The number of a line, from 1. */
unsigned outline_number(const struct outline *outline, const struct edit_line *line);

#endif
