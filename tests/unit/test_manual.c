/*
 * The manual page against the tables of the code: tproxyctl(8) has the checklist as src/check/items.c has it.
 *
 * The ids are permanent, and the manual is where their users find them. So a row that is added, renamed or
 * left out in one of both places fails here, and the page needs no copy elsewhere.
 */
#include "unit.h"

#include "check/check.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MANUAL "man/tproxyctl.8"

static char *read_manual(void)
{
	FILE *in = fopen(MANUAL, "re");
	char *text = NULL;
	size_t size = 0;
	ssize_t length;

	assert_non_null(in);
	length = getdelim(&text, &size, '\0', in); /* the whole file: it has no such byte */
	fclose(in);
	assert_true(length > 0);
	return text;
}

/* A line for each sentence, as mdoc(7) asks for it. */
static void put_sentences(const char *text, FILE *out)
{
	for (; *text != '\0'; text++)
		if (text[0] == '.' && text[1] == ' ') {
			fputs(".\n", out);
			text++;
		} else
			fputc(*text, out);
	fputc('\n', out);
}

/* The checklist as the manual has it. The manual's sentences begin with a capital letter. */
static char *checklist(void)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	fputs(".Sh CHECKLIST\n.Bl -tag -width Ds\n", out);
	for (int item = 0; item < CHECK_ITEMS; item++) {
		const struct check_row *row = &check_rows[item];

		if (row->id == NULL)
			fail_msg("item %d of check.h has no row in src/check/items.c", item);
		fprintf(out, ".It Li %s\n%c%s.\n", row->id, toupper((unsigned char)*row->what),
			row->what + 1);
		put_sentences(row->why, out);
	}
	fputs(".El\n", out);
	fclose(out);
	return text;
}

static void the_manual_has_the_checklist_as_the_code_has_it(void **state)
{
	char *manual = read_manual(), *expected = checklist();

	(void)state;
	if (strstr(manual, expected) == NULL) {
		fputs(expected, stderr);
		fail_msg(MANUAL " should have the section above");
	}
	free(manual);
	free(expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_manual_has_the_checklist_as_the_code_has_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
