/* Misspelt words. */
#ifndef TPROXY_CONFIG_SPELLING_H
#define TPROXY_CONFIG_SPELLING_H

#include <stdbool.h>
#include <stddef.h>

/*
 * In how many letters two words differ: one may be inserted, left out, replaced, or swapped with its
 * neighbour. A large number where they are too long, or their lengths too far apart, to be alike.
 */
size_t spelling_mistakes(const char *a, const char *b);

/* Whether WORD is probably meant to be NAME: two mistakes at most, in less than half of it. */
bool spelling_is_near(const char *word, const char *name);

#endif
