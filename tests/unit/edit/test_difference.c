/*
 * Differences: as `diff -u` writes them, as rows, and for many texts as short as they can be.
 */
#include "unit.h"

#include "edit/difference.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void expect_unified(const char *old, const char *new, const char *expected)
{
	char *text = difference_unified("a", old, strlen(old), "b", new, strlen(new));

	assert_string_equal(text, expected);
	free(text);
}

static void the_same_text_has_no_difference(void **state)
{
	(void)state;
	expect_unified("", "", "");
	expect_unified("x\ny\n", "x\ny\n", "");
}

static void a_line_is_shown_with_three_around_it(void **state)
{
	(void)state;
	expect_unified("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n",
		"--- a\n+++ b\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n");
	expect_unified("1\n", "0\n1\n", "--- a\n+++ b\n@@ -1 +1,2 @@\n+0\n 1\n");
	expect_unified("", "1\n", "--- a\n+++ b\n@@ -0,0 +1 @@\n+1\n");
	expect_unified("1\n2\n", "", "--- a\n+++ b\n@@ -1,2 +0,0 @@\n-1\n-2\n");
}

static void differences_far_apart_are_shown_apart(void **state)
{
	(void)state;
	expect_unified("a\n1\n2\n3\n4\n5\n6\nb\n", "A\n1\n2\n3\n4\n5\n6\nB\n",
		"--- a\n+++ b\n@@ -1,8 +1,8 @@\n-a\n+A\n 1\n 2\n 3\n 4\n 5\n 6\n-b\n+B\n");
	expect_unified("a\n1\n2\n3\n4\n5\n6\n7\nb\n", "A\n1\n2\n3\n4\n5\n6\n7\nB\n",
		"--- a\n+++ b\n@@ -1,4 +1,4 @@\n-a\n+A\n 1\n 2\n 3\n@@ -6,4 +6,4 @@\n 5\n 6\n 7\n-b\n+B\n");
}

static void the_end_of_a_line_is_a_part_of_it(void **state)
{
	(void)state;
	expect_unified(
		"x\n", "x", "--- a\n+++ b\n@@ -1 +1 @@\n-x\n+x\n\\ No newline at end of file\n");
	expect_unified("x\r\n", "x\n", "--- a\n+++ b\n@@ -1 +1 @@\n-x\r\n+x\n");
}

static void rows_have_the_numbers_of_both_texts(void **state)
{
	static const char old[] = "1\n2\n3\n4\n5\n6\n", new[] = "1\n2\n3\nfour\r\n5\n6\n";
	json_t *rows = difference_rows(old, strlen(old), new, strlen(new), 1);
	char *text = json_dumps(rows, JSON_COMPACT | JSON_SORT_KEYS);

	(void)state;
	assert_string_equal(text, "[{\"count\":2,\"kind\":\"gap\"},"
				  "{\"kind\":\"same\",\"new\":3,\"old\":3,\"text\":\"3\"},"
				  "{\"kind\":\"removed\",\"new\":0,\"old\":4,\"text\":\"4\"},"
				  "{\"kind\":\"added\",\"new\":4,\"old\":0,\"text\":\"four\"},"
				  "{\"kind\":\"same\",\"new\":5,\"old\":5,\"text\":\"5\"},"
				  "{\"count\":1,\"kind\":\"gap\"}]");
	free(text);
	json_decref(rows);
}

/* --- made-up texts, against the table of all common parts --- */

enum {
	LINES = 24
};

/* Up to LINES lines of one of three letters each. */
static char *make_text(unsigned *seed)
{
	size_t count = (size_t)rand_r(seed) % LINES;
	char *text = calloc(2 * LINES + 1, 1);

	assert_non_null(text);
	for (size_t i = 0; i < count; i++) {
		text[2 * i] = "abc"[rand_r(seed) % 3];
		text[2 * i + 1] = '\n';
	}
	return text;
}

/* How many lines both texts can have in common. */
static size_t common_lines(const char *old, const char *new)
{
	size_t table[LINES + 1][LINES + 1] = {{0}};
	size_t rows = strlen(old) / 2, columns = strlen(new) / 2;

	for (size_t i = rows; i-- > 0;)
		for (size_t j = columns; j-- > 0;) {
			size_t right = table[i][j + 1], below = table[i + 1][j];

			table[i][j] = right > below ? right : below;
			if (old[2 * i] == new[2 * j])
				table[i][j] = table[i + 1][j + 1] + 1;
		}
	return table[0][0];
}

/* The lines of one side: those that are the same, and those of KIND. */
static char *side(const json_t *rows, const char *kind, size_t *same)
{
	char *text = calloc(2 * LINES + 1, 1);

	assert_non_null(text);
	*same = 0;
	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		const char *is = json_string_value(json_object_get(row, "kind"));

		*same += strcmp(is, "same") == 0;
		if (strcmp(is, "same") != 0 && strcmp(is, kind) != 0)
			continue;
		strcat(text, json_string_value(json_object_get(row, "text")));
		strcat(text, "\n");
	}
	return text;
}

static void made_up_texts_have_the_shortest_difference(void **state)
{
	unsigned seed = 7;

	(void)state;
	for (int i = 0; i < 5000; i++) {
		char *old = make_text(&seed), *new = make_text(&seed), *left, *right;
		json_t *rows = difference_rows(old, strlen(old), new, strlen(new), 2 * LINES);
		size_t same;

		if (strcmp(old, new) != 0) {
			left = side(rows, "removed", &same);
			right = side(rows, "added", &same);
			assert_string_equal(left, old);
			assert_string_equal(right, new);
			assert_int_equal(same, common_lines(old, new));
			free(left);
			free(right);
		}
		json_decref(rows);
		free(old);
		free(new);
	}
}

/* COUNT lines, of which each one that STEP divides is another one. */
static char *long_text(int count, int step, const char *word, size_t *length)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, length);

	for (int i = 0; i < count; i++)
		fprintf(out, "    server s%d 198.51.100.%d:%d%s\n", i, i % 256, i,
			step != 0 && i % step == 0 ? word : "");
	fclose(out);
	return text;
}

/* Applies no patch: counts what the difference removes and adds. */
static void expect_counts(const char *difference, size_t removed, size_t added)
{
	size_t counts[2] = {0, 0};

	for (const char *at = difference; (at = strchr(at, '\n')) != NULL; at++) {
		counts[0] += at[1] == '-' && at[2] != '-';
		counts[1] += at[1] == '+' && at[2] != '+';
	}
	assert_int_equal(counts[0], removed);
	assert_int_equal(counts[1], added);
}

static void ten_thousand_lines_are_compared(void **state)
{
	static const struct {
		int step;
		size_t changes;
	} rows[] = {{1000, 10}, {10, 1000}, {5, 2000}, {1, 10000}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t lengths[2];
		char *old = long_text(10000, 0, "", &lengths[0]);
		char *new = long_text(10000, rows[i].step, " check", &lengths[1]);
		clock_t start = clock();
		char *text = difference_unified("a", old, lengths[0], "b", new, lengths[1]);

		print_message("%zu of 10,000 lines differ: %.1f ms\n", rows[i].changes,
			(double)(clock() - start) * 1000 / CLOCKS_PER_SEC);
		expect_counts(text, rows[i].changes, rows[i].changes);
		free(text);
		free(old);
		free(new);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_text_has_no_difference),
		cmocka_unit_test(a_line_is_shown_with_three_around_it),
		cmocka_unit_test(differences_far_apart_are_shown_apart),
		cmocka_unit_test(the_end_of_a_line_is_a_part_of_it),
		cmocka_unit_test(rows_have_the_numbers_of_both_texts),
		cmocka_unit_test(made_up_texts_have_the_shortest_difference),
		cmocka_unit_test(ten_thousand_lines_are_compared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
