/*
 * The rule sets in fixtures/rulesets, for the tests that read them.
 */
#ifndef TESTS_RULESETS_H
#define TESTS_RULESETS_H

#include "unit.h"

#include <stdio.h>

/* The text of a fixture; to be freed. */
static inline char *ruleset_text(const char *name)
{
	char path[256], *text = NULL;
	size_t room = 0;
	FILE *file;

	snprintf(path, sizeof(path), "fixtures/rulesets/%s", name);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_true(getdelim(&text, &room, '\0', file) > 0);
	fclose(file);
	return text;
}

#endif
