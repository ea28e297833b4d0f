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

#define BEGINNING ".Sh CHECKLIST\n.Bl -tag -width Ds\n"

/* The list of the section CHECKLIST, in which a blank stands for the end of a line. */
static char *list_of_manual(void)
{
	FILE *in = fopen(MANUAL, "re");
	char *text = NULL, *begin, *end;
	size_t size = 0;

	assert_non_null(in);
	assert_true(getdelim(&text, &size, '\0', in) > 0); /* all of it: it has no such byte */
	fclose(in);
	begin = strstr(text, BEGINNING);
	assert_non_null(begin);
	begin += strlen(BEGINNING);
	end = strstr(begin, "\n.Sh ");
	assert_non_null(end);
	if (strncmp(end - strlen("\n.El"), "\n.El", strlen("\n.El")) == 0)
		end -= strlen("\n.El");
	end[1] = '\0';
	memmove(text, begin, strlen(begin) + 1);
	for (char *at = text; *at != '\0'; at++)
		if (*at == '\n')
			*at = ' ';
	return text;
}

/* The same as the table has it. The manual's sentences begin with a capital letter. */
static char *list_of_table(void)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	for (int item = 0; item < CHECK_ITEMS; item++) {
		const struct check_row *row = &check_rows[item];

		if (row->id == NULL)
			fail_msg("item %d of check.h has no row in src/check/items.c", item);
		fprintf(out, ".It Li %s %c%s. %s ", row->id, toupper((unsigned char)*row->what),
			row->what + 1, row->why);
	}
	fclose(out);
	return text;
}

static void the_manual_has_the_checklist_as_the_code_has_it(void **state)
{
	char *manual = list_of_manual(), *table = list_of_table();
	size_t same = 0;

	(void)state;
	while (manual[same] != '\0' && manual[same] == table[same])
		same++;
	if (manual[same] != table[same])
		fail_msg(MANUAL ", CHECKLIST: it says \"%.60s\"; src/check/items.c says \"%.60s\"",
			manual + same, table + same);
	free(manual);
	free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_manual_has_the_checklist_as_the_code_has_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
