/*
 * HAProxy's words: tproxyd knows each of them, at its place.
 *
 * fixtures/config/haproxy-words.txt has them. What becomes of each is in the files under good/ and
 * bad/, which test_config.c reads.
 */
#include "unit.h"

#include "config/keyword.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned place_of(const char *name)
{
	static const struct {
		const char *name;
		unsigned where;
	} places[] = {{"file", IN_FILE}, {"global", IN_GLOBAL}, {"proxy", IN_PROXIES},
		{"bind", ON_BIND}, {"server", ON_SERVER}};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (strcmp(places[i].name, name) == 0)
			return places[i].where;
	fail_msg("%s: no such place", name);
	return 0;
}

/* Or the first word of keywords, which is known to need a second one. */
static bool is_keyword(const char *name, unsigned where)
{
	size_t length = strlen(name);

	for (size_t i = 0; keyword_at(i) != NULL; i++)
		if (strncmp(keyword_at(i)->name, name, length) == 0 &&
			strchr(" ", keyword_at(i)->name[length]) != NULL &&
			(keyword_at(i)->where & where))
			return true;
	return false;
}

static void check_word(const char *place, const char *name, const char *arguments)
{
	unsigned where = place_of(place);
	struct foreign foreign;

	if (is_keyword(name, where))
		return;
	if (!foreign_find(name, where, &foreign))
		fail_msg("%s %s: neither a keyword nor among the words of foreign.c", place, name);
	if (arguments != NULL && foreign.argument_count != strtoul(arguments, NULL, 10))
		fail_msg("%s %s: %s words belong to it, not %zu", place, name, arguments,
			foreign.argument_count);
}

static void every_word_of_haproxys_is_known_at_its_place(void **state)
{
	FILE *in = fopen("fixtures/config/haproxy-words.txt", "re");
	char line[256], *rest, *place, *name;
	size_t count = 0;

	(void)state;
	assert_non_null(in);
	while (fgets(line, sizeof(line), in) != NULL) {
		if (*line == '#')
			continue;
		rest = line;
		place = strsep(&rest, "\t\n");
		name = strsep(&rest, "\t\n");
		check_word(place, name, *rest == '\0' ? NULL : strsep(&rest, "\n"));
		count++;
	}
	fclose(in);
	assert_true(count > 500);
}

static void a_name_stands_for_what_begins_with_its_words(void **state)
{
	struct foreign foreign;

	(void)state;
	assert_true(foreign_find("stats enable", IN_PROXIES, &foreign));
	assert_true(foreign_find("tune.rcvbuf.anything", IN_GLOBAL, &foreign));
	assert_int_equal(foreign.class, FOREIGN_REFUSED);
	assert_true(foreign_find("tune.ssl.anything", IN_GLOBAL, &foreign));
	assert_int_equal(foreign.class, FOREIGN_NO_EFFECT);
	assert_false(foreign_find("statsocket", IN_GLOBAL, &foreign));
	assert_false(foreign_find("stat", IN_GLOBAL, &foreign));
	assert_false(foreign_find("stats", IN_FILE, &foreign));
	assert_false(foreign_find("", IN_GLOBAL | IN_PROXIES | ON_SERVER, &foreign));
}

static void what_is_supported_is_not_foreign(void **state)
{
	struct foreign foreign;

	(void)state;
	for (size_t i = 0; keyword_at(i) != NULL; i++)
		if (foreign_find(keyword_at(i)->name, keyword_at(i)->where, &foreign))
			fail_msg("%s: a keyword, and among the foreign words, too",
				keyword_at(i)->name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_word_of_haproxys_is_known_at_its_place),
		cmocka_unit_test(a_name_stands_for_what_begins_with_its_words),
		cmocka_unit_test(what_is_supported_is_not_foreign),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
