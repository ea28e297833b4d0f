/*
 * The table of words: a row for each keyword, with all that is known about it, and the words of HAProxy that
 * tproxyd does not act on.
 *
 * What a row says holds everywhere: reading a line, `defaults`, `tproxyd -c` and the table in
 * docs/CONFIGURATION.md go by it. A keyword with a plain value needs no code of its own.
 */
#ifndef TPROXY_CONFIG_KEYWORD_H
#define TPROXY_CONFIG_KEYWORD_H

#include "tproxy/config.h"

#include <stdbool.h>
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
	IN_RESOLVERS = 1 << 7,
};

#define IN_LISTEN    (IN_FRONTEND | IN_BACKEND)
#define IN_FRONTENDS (IN_DEFAULTS | IN_FRONTEND)
#define IN_BACKENDS  (IN_DEFAULTS | IN_BACKEND)
#define IN_PROXIES   (IN_FRONTENDS | IN_BACKENDS)

enum keyword_flags {
	MANY_TIMES = 1 << 0, /* may stand more than once in its place */
	NEGATABLE = 1 << 1,  /* may follow `no` */
};

enum value_type {
	VALUE_OWN,  /* the row's function reads it */
	VALUE_FLAG, /* bool: the keyword sets it */
	VALUE_OPTIONS, /* bits of proxy.options: the keyword sets them, `no` and the keyword clear them */
	VALUE_NUMBER, /* unsigned, from minimum to maximum */
	VALUE_TIME,   /* unsigned, in milliseconds */
	VALUE_TEXT,   /* const char *, of at most maximum bytes; 0: of any length */
};

struct parser;

/*
 * What follows a keyword, and where it goes: to the struct of the keyword's place, which is struct global,
 * proxy, bind, server or resolvers. All of a row's places have the same struct, so that offset is right in each of them.
 */
struct value {
	enum value_type type;
	void (*parse)(struct parser *parser); /* of VALUE_OWN */
	size_t offset;                        /* of all others, in bytes */
	unsigned minimum, maximum; /* of VALUE_NUMBER; of VALUE_TIME the minimum, in milliseconds */
	unsigned bits;             /* of VALUE_OPTIONS: of enum proxy_option */
	const char *what;          /* of VALUE_TEXT, for messages, such as "the file's path" */
};

/* One row of the table of keywords. */
struct keyword {
	const char *name; /* one word, or two as in "timeout client" */
	const char *arguments;
	unsigned where; /* of enum where */
	unsigned flags; /* of enum keyword_flags */
	struct value value;
	const char *help; /* for docs/CONFIGURATION.md */

	/* For `tproxyd -c`: */
	const char *label; /* the value's name; NULL: the keyword's, and options are left out */
	const char *unset; /* printed where the value is 0; NULL: nothing */
};

/* The table has no more rows than this. */
#define KEYWORDS_MAX 160

/* The rows of the table, from 0; NULL after the last. */
const struct keyword *keyword_at(size_t index);

/* The places of a section of that role, of enum where. */
unsigned role_places(enum role role);

/* The name of the one place that WHERE is, such as "listen". */
const char *place_name(unsigned where);

/* The places of WHERE in words, such as "frontend, listen"; cut off at SIZE bytes. Returns TEXT. */
const char *where_text(unsigned where, char *text, size_t size);

enum foreign_class {
	FOREIGN_REFUSED,   /* an error: to leave it out would change what the file means */
	FOREIGN_NO_EFFECT, /* a warning: it changes nothing here, whatever its arguments are */
	FOREIGN_HTTP,      /* in `defaults` one warning for all of them, elsewhere refused */
};

/* A word of HAProxy that is no keyword here. */
struct foreign {
	enum foreign_class class;
	const char *text;      /* why, and what to write instead */
	size_t argument_count; /* words after a parameter of a `bind` or `server` line */
};

/*
 * Looks up NAME, which is one word or two, at any place of WHERE (enum where). A row that gives one
 * word stands for whatever follows it, too: "stats" is every `stats …`. False where HAProxy has no such
 * word at that place, or where it is a keyword here.
 */
bool foreign_find(const char *name, unsigned where, struct foreign *found);

#endif
