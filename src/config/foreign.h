/* HAProxy's words that have no row in the table of keywords: what becomes of each, and why. */
#ifndef TPROXY_CONFIG_FOREIGN_H
#define TPROXY_CONFIG_FOREIGN_H

#include <stdbool.h>
#include <stddef.h>

enum foreign_class {
	FOREIGN_REFUSED,   /* an error: to leave it out would change what the file means */
	FOREIGN_NO_EFFECT, /* a warning: it changes nothing here, whatever its arguments are */
};

struct foreign {
	enum foreign_class class;
	const char *text;      /* why, and what to write instead */
	size_t argument_count; /* words after a parameter of a `bind` or `server` line */
};

/*
 * Looks up NAME, which is one word or two, at any place of WHERE (enum where). A row that gives one
 * word stands for whatever follows it, too: "stats" is every `stats …`. False where it is no word
 * of HAProxy's at that place.
 */
bool foreign_find(const char *name, unsigned where, struct foreign *found);

#endif
