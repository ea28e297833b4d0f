/*
 * The texts in fixtures, for the tests that read them.
 */
#ifndef TESTS_RULESETS_H
#define TESTS_RULESETS_H

#include "unit.h"

#include <stdio.h>

/* The text of fixtures/FOLDER/NAME; to be freed. */
static inline char *fixture_text(const char *folder, const char *name)
{
	char path[256], *text = NULL;
	size_t room = 0;
	FILE *file;

	snprintf(path, sizeof(path), "fixtures/%s/%s", folder, name);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_true(getdelim(&text, &room, '\0', file) > 0);
	fclose(file);
	return text;
}

static inline char *ruleset_text(const char *name)
{
	return fixture_text("rulesets", name);
}

#endif
