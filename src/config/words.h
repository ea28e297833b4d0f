/* One line of a configuration, cut into words by HAProxy's rules. */
#ifndef TPROXY_CONFIG_WORDS_H
#define TPROXY_CONFIG_WORDS_H

#include <stddef.h>

#define LINE_LENGTH_MAX 2048
#define WORDS_MAX       64

struct words {
	size_t count;
	const char *list[WORDS_MAX]; /* into text */
	size_t used;
	char text[2 * LINE_LENGTH_MAX];
	char culprit[64]; /* the piece of the line that an error is about */
};

/*
 * Cuts a line, given without its line feed, into words. Returns NULL, or what is wrong with the
 * line; words->culprit then holds the piece that it is about.
 */
const char *words_split(struct words *words, const char *line, size_t length);

#endif
