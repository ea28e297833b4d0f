/*
 * Strings and numbers in them, lists that grow, and the index of names.
 */
#include "tproxy/array.h"
#include "tproxy/names.h"
#include "tproxy/text.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

static void pieces_become_one_text(void **state)
{
	struct text_stream stream;
	char *text = NULL, *printed;

	(void)state;
	text_add(&text, "%s-%d", "a", 1);
	text_add(&text, "%s", "");
	text_add(&text, "b");
	assert_string_equal(text, "a-1b");
	text_begin(&stream);
	printed = text_end(&stream);
	assert_string_equal(printed, "");
	free(printed);
	text_begin(&stream);
	fprintf(stream.out, "%s", text);
	fprintf(stream.out, "%d", 2);
	printed = text_end(&stream);
	assert_string_equal(printed, "a-1b2");
	free(printed);
	free(text);
}

static void a_text_is_taken_line_by_line(void **state)
{
	const char *at = "one\n\nlast";
	static const char *const expected[] = {"one", "", "last"};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		char *line = text_line(&at);

		assert_string_equal(line, expected[i]);
		free(line);
	}
	assert_null(text_line(&at));
}

static void numbers_have_32_bits_and_nothing_behind_them(void **state)
{
	static const char *const wrong[] = {"", " 1", "-1", "+1", "1 ", "1x", "0x", "x", "0x1g",
		"4294967296", "0x100000000", "99999999999999999999"};
	unsigned number = 7;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		if (text_number(wrong[i], &number))
			fail_msg("'%s' is read as %u", wrong[i], number);
		assert_int_equal(number, 7);
	}
	assert_true(text_number("0", &number));
	assert_int_equal(number, 0);
	assert_true(text_number("4294967295", &number));
	assert_true(text_number("0xffffffff", &number));
	assert_true(number == UINT32_MAX);
}

static void a_list_grows_and_its_new_elements_are_zero(void **state)
{
	int *list = NULL;

	(void)state;
	for (size_t i = 0; i < 1000; i++) {
		list = array_room(list, i, sizeof(*list));
		assert_int_equal(list[i], 0);
		list[i] = (int)i + 1;
	}
	for (size_t i = 0; i < 1000; i++)
		assert_int_equal(list[i], i + 1);
	free(list);
}

static void a_name_is_found_and_added_once(void **state)
{
	struct names names = {0};
	char name[16];
	size_t number = 0;

	(void)state;
	assert_false(names_find(&names, "", &number));
	for (size_t i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "n%zu", i * 7919 % 1000);
		assert_true(names_add(&names, name, i));
	}
	assert_false(names_add(&names, "n7", 7));
	assert_true(names_find(&names, "n7919", &number) == false);
	assert_true(names_find(&names, "n919", &number));
	assert_int_equal(number, 1);
	names_free(&names);
	assert_false(names_find(&names, "n919", &number));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_become_one_text),
		cmocka_unit_test(a_text_is_taken_line_by_line),
		cmocka_unit_test(numbers_have_32_bits_and_nothing_behind_them),
		cmocka_unit_test(a_list_grows_and_its_new_elements_are_zero),
		cmocka_unit_test(a_name_is_found_and_added_once),
	};

	return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
