/*
 * Lists of JSON objects, one after the other: whole ones are read, and everything else is refused.
 */
#include "tproxy/json_list.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

static bool count_object(void *context, json_t *object)
{
	(void)object;
	++*(unsigned *)context;
	return true;
}

static bool refuse_object(void *context, json_t *object)
{
	count_object(context, object);
	return false;
}

static void assert_objects(const char *text, const char *member, unsigned expected)
{
	unsigned count = 0;
	char *problem = NULL;

	if (!json_list_read(text, member, count_object, &count, &problem))
		fail_msg("%s: %s", text, problem);
	assert_int_equal(count, expected);
}

static void assert_refused(const char *text, const char *member, const char *expected)
{
	unsigned count = 0;
	char *problem = NULL;

	assert_false(json_list_read(text, member, count_object, &count, &problem));
	assert_string_equal(problem, expected);
	free(problem);
}

static void whole_lists_are_read(void **state)
{
	(void)state;
	assert_objects("[]", NULL, 0);
	assert_objects(" [ ] \n", NULL, 0);
	assert_objects("[{},{\"a\":[1,{\"b\":\"]}\"}]}]", NULL, 2);
	assert_objects("{\"nftables\": []}", "nftables", 0);
	assert_objects("\n{ \"nftables\" : [ {\"a\":1} , {} ] } \n", "nftables", 2);
}

static void a_text_that_is_cut_anywhere_is_refused(void **state)
{
	static const char text[] = "{\"n\": [{\"a\": [1, 2]}, {\"b\": \"c\"}]}";
	char cut[sizeof(text)];

	(void)state;
	for (size_t length = 0; length < sizeof(text) - 1; length++) {
		unsigned count = 0;
		char *problem = NULL;

		memcpy(cut, text, length);
		cut[length] = '\0';
		assert_false(json_list_read(cut, "n", count_object, &count, &problem));
		assert_non_null(problem);
		free(problem);
	}
}

static void what_is_wrong_is_reported_with_its_place(void **state)
{
	(void)state;
	assert_refused("", NULL, "byte 1: this is not a list of objects");
	assert_refused("{}", "n", "byte 2: this is not a list of objects");
	assert_refused("{\"name\":[]}", "n", "byte 3: this is not a list of objects");
	assert_refused("[]", "n", "byte 1: this is not a list of objects");
	assert_refused("[[]]", NULL, "byte 2: expected an object");
	assert_refused("[7]", NULL, "byte 3: '[' or '{' expected near '7'");
	assert_refused("[{} {}]", NULL, "byte 5: the list is cut off");
	assert_refused("[{}] []", NULL, "byte 6: something follows the list");
	assert_refused("{\"n\":[{}],\"m\":1}", "n", "byte 10: the list is cut off");
	assert_refused("[{},]", NULL, "byte 6: '[' or '{' expected near ']'");
}

static void several_lists_are_read_to_the_end(void **state)
{
	static const struct {
		const char *text, *problem;
		unsigned count;
	} cases[] = {{"", NULL, 0}, {" \n", NULL, 0}, {"[]", NULL, 0},
		{"[{}]\n[]\n[{},{}]\n", NULL, 3},
		{"[{}] {}", "byte 6: this is not a list of objects", 1},
		{"[{}] [{}", "byte 9: the list is cut off", 2},
		{"[{}] [", "byte 7: '[' or '{' expected near end of file", 1}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned count = 0;
		char *problem = NULL;
		bool well = json_lists_read(cases[i].text, count_object, &count, &problem);

		assert_int_equal(well, cases[i].problem == NULL);
		if (!well)
			assert_string_equal(problem, cases[i].problem);
		assert_int_equal(count, cases[i].count);
		free(problem);
	}
}

static void nesting_has_an_end(void **state)
{
	size_t depth = 100000;
	char *text = calloc(1, depth + 8);
	unsigned count = 0;
	char *problem = NULL;

	(void)state;
	assert_non_null(text);
	strcpy(text, "[{\"a\":");
	memset(text + strlen(text), '[', depth);
	assert_false(json_list_read(text, NULL, count_object, &count, &problem));
	assert_non_null(strstr(problem, "maximum parsing depth"));
	free(problem);
	free(text);
}

static void the_reader_of_the_objects_may_end_it(void **state)
{
	unsigned count = 0;
	char *problem = NULL;

	(void)state;
	assert_false(json_list_read("[{},{},{}]", NULL, refuse_object, &count, &problem));
	assert_int_equal(count, 1);
	assert_null(problem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_lists_are_read),
		cmocka_unit_test(a_text_that_is_cut_anywhere_is_refused),
		cmocka_unit_test(what_is_wrong_is_reported_with_its_place),
		cmocka_unit_test(several_lists_are_read_to_the_end),
		cmocka_unit_test(nesting_has_an_end),
		cmocka_unit_test(the_reader_of_the_objects_may_end_it),
	};

	return cmocka_run_group_tests_name("json lists", tests, NULL, NULL);
}
