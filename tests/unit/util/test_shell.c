/*
 * Names that others choose: as they are shown, and as a shell reads them.
 */
#include "tproxy/shell.h"
#include "tproxy/text.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void assert_shown(const char *text, const char *as)
{
	char *made = shell_printable(text);

	assert_string_equal(made, as);
	free(made);
}

static void plain_text_is_shown_as_it_is(void **state)
{
	(void)state;
	assert_shown("", "");
	assert_shown("a b \\ ' \"", "a b \\ ' \"");
	assert_shown("Gr\xc3\xbc\xc3\x9f"
		     "e \xe2\x82\xac \xf0\x9f\x98\x80",
		"Gr\xc3\xbc\xc3\x9f"
		"e \xe2\x82\xac \xf0\x9f\x98\x80");
}

static void control_characters_are_never_shown(void **state)
{
	(void)state;
	assert_shown("\x1b[2Jx", "\\x1b[2Jx");
	assert_shown("one\ntwo\tthree\r", "one two three\\x0d");
	assert_shown("\x7f\x08", "\\x7f\\x08");
	assert_shown("\xc2\x9b"
		     "2J",
		"\\xc2\\x9b2J"); /* U+009B begins a sequence */
	assert_shown("a\xe2\x80\xae"
		     "b",
		"a\\xe2\\x80\\xaeb"); /* U+202E turns it round */
	assert_shown("a\xe2\x81\xa6"
		     "b",
		"a\\xe2\\x81\\xa6b"); /* U+2066 does, too */
}

static void what_is_not_utf_8_is_shown_by_its_bytes(void **state)
{
	(void)state;
	assert_shown("\x9b"
		     "2J",
		"\\x9b2J");
	assert_shown("p\xff", "p\\xff");
	assert_shown("\xc0\xaf", "\\xc0\\xaf"); /* too long for what it says */
	assert_shown("\xe0\x9f\xbf", "\\xe0\\x9f\\xbf");
	assert_shown("\xed\xa0\x80", "\\xed\\xa0\\x80"); /* half of a pair */
	assert_shown("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80");
	assert_shown("\xe2\x82", "\\xe2\\x82"); /* cut off */
	assert_shown("\xc3", "\\xc3");
}

/* What the shell makes of a word that was put into a command. */
static void assert_taken(const char *word)
{
	char *line = shell_format("printf %%s %s", word), got[256] = "";
	FILE *out;

	assert_non_null(line);
	out = popen(line, "r");
	assert_non_null(out);
	got[fread(got, 1, sizeof(got) - 1, out)] = '\0';
	assert_int_equal(pclose(out), 0);
	assert_string_equal(got, word);
	free(line);
}

static void a_shell_takes_each_word_as_it_was(void **state)
{
	static const char *const words[] = {"", "plain", "two words", "$(id)", "`id`", "a;b",
		"it's", "''", "\"", "\\", "*", "~", "#x", "!x", "a&b|c>d<e", "{a,b}", "x=1", "-n",
		"\xc3\xbc"};

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		assert_taken(words[i]);
}

static void assert_made(char *line, const char *as)
{
	if (as == NULL)
		assert_null(line);
	else {
		assert_non_null(line);
		assert_string_equal(line, as);
	}
	free(line);
}

static void a_command_is_quoted_where_it_has_to_be(void **state)
{
	(void)state;
	assert_made(shell_format("ip -%d route add %s/%u via %s", 4, "192.0.2.1", 32U, "e th"),
		"ip -4 route add 192.0.2.1/32 via 'e th'");
	assert_made(shell_format("x 0x%x %cport %s", 255U, 's', "it's"), "x 0xff sport 'it'\\''s'");
	assert_made(shell_format("sysctl -w %s=%s", "a.b", "1\t2"), NULL);
}

static void what_cannot_be_typed_makes_no_command(void **state)
{
	(void)state;
	assert_made(shell_format("run %s", "a\x1b[2J"), NULL);
	assert_made(shell_format("run %s and %s", "b\n", "c"), NULL);
	assert_made(shell_format("run %s", "\xff"), NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_text_is_shown_as_it_is),
		cmocka_unit_test(control_characters_are_never_shown),
		cmocka_unit_test(what_is_not_utf_8_is_shown_by_its_bytes),
		cmocka_unit_test(a_shell_takes_each_word_as_it_was),
		cmocka_unit_test(a_command_is_quoted_where_it_has_to_be),
		cmocka_unit_test(what_cannot_be_typed_makes_no_command),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
