/*
 * Diagnostics: order, counts, and one line a message.
 */
#include "unit.h"

#include "tproxy/diag.h"

#include <stdlib.h>
#include <string.h>

static void expect_text(const struct diag *diag, const char *expected)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	assert_non_null(out);
	diag_print(diag, out);
	fclose(out);
	assert_string_equal(text, expected);
	free(text);
}

static void nothing_is_printed_where_nothing_is_wrong(void **state)
{
	struct diag *diag = diag_new();

	(void)state;
	expect_text(diag, "");
	assert_int_equal(diag_count(diag, DIAG_ERROR), 0);
	assert_int_equal(diag_count(diag, DIAG_WARNING), 0);
	diag_free(diag);
	diag_free(NULL);
}

static void messages_keep_their_order_and_are_counted_by_severity(void **state)
{
	struct diag *diag = diag_new();

	(void)state;
	diag_add(diag, DIAG_WARNING, "a.cfg", 7, "word", "number %d", 1);
	diag_add(diag, DIAG_ERROR, "a.cfg", 3, NULL, "number %d", 2);
	diag_add(diag, DIAG_ERROR, "b.cfg", 0, NULL, "number %d", 3);
	expect_text(diag, "a.cfg:7: warning: 'word': number 1\n"
			  "a.cfg:3: error: number 2\n"
			  "b.cfg: error: number 3\n");
	assert_int_equal(diag_count(diag, DIAG_ERROR), 2);
	assert_int_equal(diag_count(diag, DIAG_WARNING), 1);
	diag_free(diag);
}

static void note_parts(void *arg, const struct diag_message *message)
{
	fprintf(arg, "%d %u <%s> <%s>\n", message->severity == DIAG_ERROR, message->line,
		message->word == NULL ? "(none)" : message->word, message->text);
}

static void each_message_is_also_there_in_parts(void **state)
{
	struct diag *diag = diag_new();
	char text[128] = "";
	FILE *out = fmemopen(text, sizeof(text), "w");

	(void)state;
	diag_add(diag, DIAG_WARNING, "a.cfg", 7, "a\nb", "number %d", 1);
	diag_add(diag, DIAG_ERROR, "a.cfg", 0, NULL, "number %d", 2);
	diag_each(diag, note_parts, out);
	fclose(out);
	assert_string_equal(text, "0 7 <a\nb> <number 1>\n1 0 <(none)> <number 2>\n");
	diag_free(diag);
}

static void a_word_cannot_break_its_line(void **state)
{
	struct diag *diag = diag_new();

	(void)state;
	diag_add(diag, DIAG_ERROR, "a.cfg", 1, "a\nb\x1b[0m\x7f", "wrong");
	expect_text(diag, "a.cfg:1: error: 'a\\x0ab\\x1b[0m\\x7f': wrong\n");
	diag_free(diag);
}

static void append_message(void *arg, enum diag_severity severity, const char *text)
{
	strcat(arg, severity == DIAG_ERROR ? "E " : "W ");
	strcat(arg, text);
	strcat(arg, "|");
}

static void messages_are_reported_one_by_one(void **state)
{
	struct diag *diag = diag_new();
	char got[200] = "";

	(void)state;
	diag_add(diag, DIAG_WARNING, "a.cfg", 7, "word", "first");
	diag_add(diag, DIAG_ERROR, "a.cfg", 3, NULL, "second");
	diag_report(diag, append_message, got);
	assert_string_equal(got, "W a.cfg:7: warning: 'word': first|E a.cfg:3: error: second|");
	diag_free(diag);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_printed_where_nothing_is_wrong),
		cmocka_unit_test(messages_keep_their_order_and_are_counted_by_severity),
		cmocka_unit_test(each_message_is_also_there_in_parts),
		cmocka_unit_test(a_word_cannot_break_its_line),
		cmocka_unit_test(messages_are_reported_one_by_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
