/* One line of a configuration, cut into words by HAProxy's rules (HAProxy manual, 2.2 quoting and escaping). */
#ifndef TPROXY_WORDS_H
#define TPROXY_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#define LINE_LENGTH_MAX 2048
#define WORDS_MAX       64

struct words {
	size_t count;
	const char *list[WORDS_MAX]; /* into text */
	struct word_place {
		size_t from, to; /* the bytes of the line that it was written with, quotes too */
	} places[WORDS_MAX];
	size_t used;
	char text[2 * LINE_LENGTH_MAX];
};

/* Receives what is wrong with a line. CULPRIT is the piece that it is about, NULL the whole line. */
typedef void words_report(void *context, const char *culprit, const char *error);

/*
 * Cuts a line, given without its line feed, into words. False where anything is wrong with the line;
 * each such thing is reported, and the words are then not to be used. The words live in WORDS until the next line.
 */
bool words_split(
	struct words *words, const char *line, size_t length, words_report *report, void *context);

#endif
