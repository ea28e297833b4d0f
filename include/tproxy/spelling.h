/* Misspelt words. */
#ifndef TPROXY_SPELLING_H
#define TPROXY_SPELLING_H

#include <stdbool.h>
#include <stddef.h>

/*
 * How many mistakes lie between two words: a letter that is inserted, left out, replaced, or swapped with its
 * neighbour. A large number if a word is too long, or their lengths differ too much.
 */
size_t spelling_mistakes(const char *a, const char *b);

/* Whether WORD is probably a misspelt NAME: at most two mistakes, in less than half of its letters. */
bool spelling_is_near(const char *word, const char *name);

#endif
