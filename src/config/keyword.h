/*
 * The table of keywords: one row for each, with all that is known about it.
 */
#ifndef TPROXY_CONFIG_KEYWORD_H
#define TPROXY_CONFIG_KEYWORD_H

#include <stddef.h>

/* Where a keyword may stand. A `listen` section is a frontend and a backend. */
enum where {
	IN_FILE = 1 << 0, /* the keyword begins a section */
	IN_GLOBAL = 1 << 1,
	IN_DEFAULTS = 1 << 2,
	IN_FRONTEND = 1 << 3,
	IN_BACKEND = 1 << 4,
	ON_BIND = 1 << 5,   /* after the addresses of a `bind` line */
	ON_SERVER = 1 << 6, /* after the address of a `server` line */
};

#define IN_LISTEN    (IN_FRONTEND | IN_BACKEND)
#define IN_FRONTENDS (IN_DEFAULTS | IN_FRONTEND)
#define IN_BACKENDS  (IN_DEFAULTS | IN_BACKEND)
#define IN_PROXIES   (IN_FRONTENDS | IN_BACKENDS)

enum keyword_flags {
	MANY_TIMES = 1 << 0, /* may stand more than once in its place */
	NEGATABLE = 1 << 1,  /* may follow `no` */
};

struct parser;

/* One row of the table of keywords. */
struct keyword {
	const char *name; /* one word, or two as in "timeout client" */
	const char *arguments;
	unsigned where; /* of enum where */
	unsigned flags; /* of enum keyword_flags */
	void (*parse)(struct parser *parser);
	const char *help;
};

/* The rows of the table, from 0; NULL after the last. */
const struct keyword *keyword_at(size_t index);
/* The name of the one place that WHERE is, such as "listen". */
const char *place_name(unsigned where);

/* The places of WHERE in words, such as "frontend, listen"; cut off at SIZE. Returns TEXT. */
const char *where_text(unsigned where, char *text, size_t size);

#endif
