/*
 * Words: one row a rule of the manual's sections 2.2 and 2.3.
 */
#include "unit.h"

#include "words/words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct words words;
static char culprits[4 * LINE_LENGTH_MAX];

/* Notes what an error is about, one after the other with a | between them. */
static void note(void *context, const char *culprit, const char *error)
{
	size_t used = strlen(culprits);

	assert_ptr_equal(context, &words);
	assert_non_null(error);
	snprintf(culprits + used, sizeof(culprits) - used, "%s%s", used == 0 ? "" : "|",
		culprit == NULL ? "(line)" : culprit);
}

static bool split_bytes(const char *line, size_t length)
{
	culprits[0] = '\0';
	return words_split(&words, line, length, note, &words);
}

/* The words of LINE, each in angle brackets, or what is wrong. */
static const char *split(const char *line)
{
	static char text[3 * LINE_LENGTH_MAX];
	size_t used = 0;

	if (!split_bytes(line, strlen(line)))
		return culprits;
	text[0] = '\0';
	for (size_t i = 0; i < words.count; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "<%s>", words.list[i]);
	return text;
}

static void expect_words(const char *line, const char *expected)
{
	assert_string_equal(split(line), expected);
}

/* PIECES are those that are wrong, with a | between them. */
static void expect_error(const char *line, const char *pieces)
{
	assert_false(split_bytes(line, strlen(line)));
	assert_string_equal(culprits, pieces);
}

static void white_space_separates_words(void **state)
{
	(void)state;
	expect_words("", "");
	expect_words(" \t\v\f ", "");
	expect_words("a  b\tc ", "<a><b><c>");
}

static void a_hash_begins_a_comment_even_within_a_word(void **state)
{
	(void)state;
	expect_words("# all", "");
	expect_words("a #b", "<a>");
	expect_words("a#b c", "<a>");
	expect_words("a\\#b '#' \"#\"", "<a#b><#><#>");
}

static void pieces_that_touch_are_one_word(void **state)
{
	(void)state;
	expect_words("a\"b c\"d'e f'", "<ab cde f>");
	expect_words("\"\" '' x", "<><><x>");
}

static void escapes_stand_for_what_the_manual_lists(void **state)
{
	(void)state;
	expect_words("a\\ b \\\\ \\' \\\" \\#", "<a b><\\><'><\"><#>");
	expect_words("\\n\\r\\t", "<\n\r\t>");
	expect_words("\\x41\\x4a", "<AJ>");
	expect_words("\"\\x24\\n\\$x\\\"\"", "<$\n$x\">");
}

static void single_quotes_protect_everything(void **state)
{
	(void)state;
	expect_words("'a\\nb \"$HOME\" # c'", "<a\\nb \"$HOME\" # c>");
}

static void variables_are_filled_in_within_double_quotes_only(void **state)
{
	(void)state;
	setenv("TPROXY_TEST_A", "one two", 1);
	setenv("TPROXY_TEST_EMPTY", "", 1);
	unsetenv("TPROXY_TEST_UNSET");
	expect_words("\"$TPROXY_TEST_A\"", "<one two>");
	expect_words("\"x${TPROXY_TEST_A}y\"", "<xone twoy>");
	expect_words("\"$TPROXY_TEST_A-b\"", "<one two-b>");
	expect_words("$TPROXY_TEST_A '$TPROXY_TEST_A'", "<$TPROXY_TEST_A><$TPROXY_TEST_A>");
	expect_words("\"$TPROXY_TEST_EMPTY\"", "<>");
}

static void a_default_replaces_a_variable_that_is_not_set(void **state)
{
	(void)state;
	expect_words("\"${TPROXY_TEST_UNSET-a b}\"", "<a b>");
	expect_words("\"${TPROXY_TEST_UNSET-}\"", "<>");
	expect_words("\"${TPROXY_TEST_UNSET--}\"", "<->");
	expect_words("\"${TPROXY_TEST_EMPTY-x}\"", "<>");
}

static void nothing_in_a_default_is_interpreted(void **state)
{
	(void)state;
	expect_words("\"${TPROXY_TEST_UNSET-a\"\\t$b}\"", "<a\"\\t$b>");
}

static void a_value_is_not_read_again(void **state)
{
	(void)state;
	setenv("TPROXY_TEST_A", "\"#\\$HOME", 1);
	expect_words("\"$TPROXY_TEST_A\"", "<\"#\\$HOME>");
}

static void errors_name_the_piece_that_is_wrong(void **state)
{
	(void)state;
	expect_error("a 'b c", "'b c");
	expect_error("a \"b 'c'", "\"b 'c'");
	expect_error("a\\q", "\\q");
	expect_error("a \\", "\\");
	expect_error("\\$", "\\$");
	expect_error("\\x4", "\\x");
	expect_error("\\x00", "\\x00");
	expect_error("\"$TPROXY_TEST_UNSET\"", "TPROXY_TEST_UNSET");
	expect_error("\"${TPROXY_TEST_UNSET-x\"", "${TPROXY_TEST_UNSET-x\"");
	expect_error("\"$HAPROXY_LOCALPEER\"", "HAPROXY_LOCALPEER");
	expect_error("\"$\"", "$\"");
	expect_error("a\rb", "(line)");
}

static void every_error_of_a_line_is_reported(void **state)
{
	(void)state;
	unsetenv("TPROXY_TEST_A");
	unsetenv("TPROXY_TEST_UNSET");
	expect_error("\"$TPROXY_TEST_A:$TPROXY_TEST_UNSET\" a\\q 'b",
		"TPROXY_TEST_A|TPROXY_TEST_UNSET|\\q|'b");
	expect_error("\\x4 \\x00 \\$ \"$1\" \"$ \" \"${HAPROXY_CLI}\" \\",
		"\\x|\\x00|\\$|$1\"|$ |HAPROXY_CLI|\\");
}

/* Each word's place, cut out of LINE, in angle brackets. */
static void expect_places(const char *line, const char *expected)
{
	char text[256] = "";
	size_t used = 0;

	assert_true(split_bytes(line, strlen(line)));
	for (size_t i = 0; i < words.count; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "<%.*s>",
			(int)(words.places[i].to - words.places[i].from),
			line + words.places[i].from);
	assert_string_equal(text, expected);
}

static void a_word_has_its_place_in_the_line(void **state)
{
	(void)state;
	setenv("TPROXY_TEST_A", "one two", 1);
	expect_places("  bind\t:80,:81  name 'a b'\"c\" # d", "<bind><:80,:81><name><'a b'\"c\">");
	expect_places("x\\ y \"${TPROXY_TEST_A}\"z#c", "<x\\ y><\"${TPROXY_TEST_A}\"z>");
	expect_places("a \"\"", "<a><\"\">");
}

static void a_nul_byte_is_an_error(void **state)
{
	(void)state;
	assert_false(split_bytes("a\0b", 3));
}

static void a_line_has_2048_bytes_at_most(void **state)
{
	char line[LINE_LENGTH_MAX + 2];

	(void)state;
	memset(line, 'x', sizeof(line));
	assert_true(split_bytes(line, LINE_LENGTH_MAX));
	assert_int_equal(words.count, 1);
	assert_int_equal(strlen(words.list[0]), LINE_LENGTH_MAX);
	assert_false(split_bytes(line, LINE_LENGTH_MAX + 1));
}

static void a_line_has_64_words_at_most(void **state)
{
	char line[2 * (WORDS_MAX + 1) + 1] = "";

	(void)state;
	for (size_t i = 0; i <= WORDS_MAX; i++)
		memcpy(line + 2 * i, "w ", 3);
	assert_true(split_bytes(line, 2 * (size_t)WORDS_MAX));
	assert_int_equal(words.count, WORDS_MAX);
	expect_error(line, "w ");
}

static void values_that_are_too_long_are_an_error(void **state)
{
	char value[3 * LINE_LENGTH_MAX];

	(void)state;
	memset(value, 'x', sizeof(value));
	value[sizeof(value) - 1] = '\0';
	setenv("TPROXY_TEST_A", value, 1);
	expect_error("\"$TPROXY_TEST_A\"", "(line)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(white_space_separates_words),
		cmocka_unit_test(a_hash_begins_a_comment_even_within_a_word),
		cmocka_unit_test(pieces_that_touch_are_one_word),
		cmocka_unit_test(escapes_stand_for_what_the_manual_lists),
		cmocka_unit_test(single_quotes_protect_everything),
		cmocka_unit_test(variables_are_filled_in_within_double_quotes_only),
		cmocka_unit_test(a_default_replaces_a_variable_that_is_not_set),
		cmocka_unit_test(nothing_in_a_default_is_interpreted),
		cmocka_unit_test(a_value_is_not_read_again),
		cmocka_unit_test(errors_name_the_piece_that_is_wrong),
		cmocka_unit_test(every_error_of_a_line_is_reported),
		cmocka_unit_test(a_word_has_its_place_in_the_line),
		cmocka_unit_test(a_nul_byte_is_an_error),
		cmocka_unit_test(a_line_has_2048_bytes_at_most),
		cmocka_unit_test(a_line_has_64_words_at_most),
		cmocka_unit_test(values_that_are_too_long_are_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
