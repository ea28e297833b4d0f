/*
 * The first oracle: which words of the text an edit may change, and to what.
 */
#include "unit.h"

#include "edits.h"

#include <stdio.h>
#include <stdlib.h>

/* "ADDRESS:PORT" of the edit, as a line has it. */
static const char *address_word(const struct edit *edit)
{
	static char text[ADDR_TEXT_MAX];

	return addr_format(&edit->address, text);
}

/* Two lists between commas are the same but for one item, which OLD alone has (SHORTER), or which both have. */
static void expect_other_items(const char *old, const char *new, size_t item, bool shorter)
{
	size_t count = edits_count_char(old, ',') + 1;

	assert_int_equal(edits_count_char(new, ',') + 1, count - shorter);
	for (size_t i = 0; i < count; i++) {
		char *before = edits_item_of(old, i);
		char *after =
			i == item && shorter ? NULL : edits_item_of(new, i - (shorter && i > item));

		if (i != item)
			assert_string_equal(before, after);
		free(before);
		free(after);
	}
}

/* A line "KEYWORD … WORD" was changed in its last word, added or removed, or there is no difference. */
static void expect_line(
	const struct window *window, const char *keyword, size_t index, const char *word)
{
	size_t old = window->old_end - window->first, new = window->new_end - window->first;
	struct words_window words;

	assert_true(old <= 1 && new <= 1);
	if (old == 1 && new == 1) {
		edits_find_words(
			&words, window->old.list[window->first], window->new.list[window->first]);
		assert_true(edits_token_is(&words.new, 0, keyword));
		assert_int_equal(words.first, index);
		assert_true(old_words(&words) == 1 && new_words(&words) == 1);
	} else if (old == 1) {
		edits_split_tokens(window->old.list[window->first], &words.old);
		assert_true(edits_token_is(&words.old, 0, keyword));
		return;
	} else if (new == 1) {
		edits_split_tokens(window->new.list[window->first], &words.new);
		assert_true(edits_token_is(&words.new, 0, keyword));
		assert_int_equal(words.new.count, index + 1);
	}
	if (new == 1)
		assert_true(edits_token_is(&words.new, index, word));
}

/* Exactly one line was changed, or none. False: none. */
static bool one_line(const struct window *window, struct words_window *words)
{
	if (window->old_end == window->first && window->new_end == window->first)
		return false;
	assert_int_equal(window->old_end - window->first, 1);
	assert_int_equal(window->new_end - window->first, 1);
	edits_find_words(words, window->old.list[window->first], window->new.list[window->first]);
	return true;
}

static bool has_quotes(const struct tokens *tokens, size_t index)
{
	return strpbrk(edits_token_text(tokens, index), "\\\"'") != NULL;
}

static void judge_bind_text(const struct window *window, const struct edit *edit)
{
	struct words_window words;

	if (edit->operation == ADD_BIND) {
		assert_true(window->old_end == window->first);
		assert_int_equal(window->new_end - window->first, 1);
		edits_split_tokens(window->new.list[window->first], &words.new);
		assert_int_equal(words.new.count, edit->on ? 3 : 2);
		assert_true(edits_token_is(&words.new, 0, "bind"));
		assert_true(edits_token_is(&words.new, 1, address_word(edit)));
		return;
	}
	if (window->new_end == window->first && edit->operation == REMOVE_BIND) {
		assert_int_equal(window->old_end - window->first, 1);
		assert_int_equal(window->first + 1, edit->line);
		return;
	}
	if (!one_line(window, &words))
		return;
	assert_int_equal(window->first + 1, edit->line);
	assert_true(edits_token_is(&words.old, 0, "bind"));
	if (edit->operation == SET_TRANSPARENT) {
		assert_int_equal(new_words(&words), edit->on);
		assert_int_equal(old_words(&words), !edit->on);
		assert_true(edits_token_is(
			edit->on ? &words.new : &words.old, words.first, "transparent"));
		return;
	}
	assert_int_equal(words.first, 1);
	assert_true(old_words(&words) == 1 && new_words(&words) == 1);
	if (!has_quotes(&words.old, 1))
		expect_other_items(edits_token_text(&words.old, 1), edits_token_text(&words.new, 1),
			edit->item, edit->operation == REMOVE_BIND);
}

/* Every word that differs is the old name as the new one, or has it in it. */
static void judge_rename_text(const struct window *window, const struct edit *edit, const char *old)
{
	struct words_window words;

	assert_int_equal(window->old.count, window->new.count);
	for (size_t i = window->first; i < window->old_end; i++) {
		if (strcmp(window->old.list[i], window->new.list[i]) == 0)
			continue;
		edits_find_words(&words, window->old.list[i], window->new.list[i]);
		assert_int_equal(words.old.count, words.new.count);
		for (size_t j = words.first; j < words.old_end; j++) {
			const char *found, *text = edits_token_text(&words.old, j);
			char expected[300];

			if (edits_same_token(&words.old.list[j], &words.new.list[j]) ||
				has_quotes(&words.old, j))
				continue;
			found = strstr(text, old);
			assert_non_null(found);
			/* The last one: `track FARM/SERVER` may have the name twice. */
			while (edit->operation == RENAME_SERVER && strstr(found + 1, old) != NULL)
				found = strstr(found + 1, old);
			snprintf(expected, sizeof(expected), "%.*s%s%s", (int)(found - text), text,
				edit->name, found + strlen(old));
			assert_true(edits_token_is(&words.new, j, expected));
		}
	}
}

/* The words of a source: all that may differ. */
static void expect_source_words(const struct tokens *tokens, size_t from, size_t end)
{
	static const char *const allowed[] = {
		"source", "0.0.0.0", "*", "usesrc", "clientip", "client"};

	for (size_t i = from; i < end; i++) {
		const char *text = edits_token_text(tokens, i);
		bool is = strspn(text, "0123456789.:abcdef[]\"${}_-TPROXYES") == strlen(text);

		for (size_t j = 0; j < sizeof(allowed) / sizeof(allowed[0]); j++)
			is |= strcmp(text, allowed[j]) == 0;
		assert_true(is);
	}
}

static void judge_source_text(const struct window *window, const struct edit *edit)
{
	size_t old = window->old_end - window->first, new = window->new_end - window->first;
	const char *keyword = edit->operation == SET_FARM_SOURCE ? "source" : "server";
	struct words_window words;

	assert_true(old <= 1 && new <= 1);
	if (old == 1 && new == 1) {
		edits_find_words(
			&words, window->old.list[window->first], window->new.list[window->first]);
		assert_true(
			strncmp(edits_token_text(&words.old, 0), keyword, strlen(keyword)) == 0);
		expect_source_words(&words.old, words.first, words.old_end);
		expect_source_words(&words.new, words.first, words.new_end);
		return;
	}
	assert_true(edit->operation == SET_FARM_SOURCE || (old == 0 && new == 0));
	if (old + new == 0)
		return;
	edits_split_tokens(
		old == 1 ? window->old.list[window->first] : window->new.list[window->first],
		&words.new);
	assert_true(edits_token_is(&words.new, 0, "source"));
}

/* The words that a value may take the place of, and become. */
static void judge_value_text(const struct window *window, const struct edit *edit)
{
	static const char *const pairs[][2] = {
		{"check", "no-check"}, {"backup", "no-backup"}, {"disabled", "enabled"}};
	const char *word = strcmp(edit->key, "check_port") == 0 ? "port" : edit->key;
	struct words_window words;

	if (!one_line(window, &words))
		return;
	assert_int_equal(window->first + 1, edit->line);
	for (size_t i = 0; i < 3; i++) {
		if (strcmp(pairs[i][0], edit->key) != 0)
			continue;
		assert_true(old_words(&words) <= 1 && new_words(&words) <= 1);
		if (old_words(&words) == 1)
			assert_true(edits_token_is(&words.old, words.first, pairs[i][edit->on]));
		if (new_words(&words) == 1)
			assert_true(edits_token_is(&words.new, words.first, pairs[i][!edit->on]));
		return;
	}
	if (new_words(&words) == 2) {
		assert_int_equal(old_words(&words), 0);
		assert_true(edits_token_is(&words.new, words.first, word));
		words.first++;
	} else {
		assert_true(old_words(&words) == 1 && new_words(&words) == 1);
		assert_true(edits_token_is(&words.old, words.first - 1, word));
	}
	assert_true(edits_token_is(&words.new, words.first, edit->text));
}

static void judge_server_text(const struct window *window, const struct edit *edit)
{
	struct words_window words;

	if (edit->operation == ADD_SERVER) {
		assert_true(window->old_end == window->first);
		assert_int_equal(window->new_end - window->first, 1);
		edits_split_tokens(window->new.list[window->first], &words.new);
		assert_int_equal(words.new.count, 3);
		assert_true(edits_token_is(&words.new, 0, "server"));
		assert_true(edits_token_is(&words.new, 1, edit->name));
		assert_true(edits_token_is(&words.new, 2, address_word(edit)));
	} else if (edit->operation == REMOVE_SERVER) {
		assert_true(window->new_end == window->first);
		assert_int_equal(window->old_end - window->first, 1);
		assert_int_equal(window->first + 1, edit->line);
	} else if (one_line(window, &words)) {
		assert_int_equal(window->first + 1, edit->line);
		assert_true(old_words(&words) == 1 && new_words(&words) == 1);
		assert_int_equal(words.first, edits_token_is(&words.old, 0, "server") ? 2 : 3);
		assert_true(edits_token_is(&words.new, words.first, address_word(edit)));
	}
}

static bool begins_section(const char *line)
{
	static const char *const kinds[] = {
		"global", "defaults", "frontend", "backend", "listen", "resolvers"};
	struct tokens tokens;

	edits_split_tokens(line, &tokens);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (edits_token_is(&tokens, 0, kinds[i]))
			return true;
	return false;
}

static void judge_section_text(const struct window *window, const struct edit *edit)
{
	size_t at = window->first;
	struct tokens tokens;

	if (edit->operation == REMOVE_SECTION) {
		assert_true(window->new_end == at && window->old_end > at);
		assert_int_equal(at + 1, edit->proxy->line);
		for (size_t i = at + 1; i < window->old_end; i++)
			assert_false(begins_section(window->old.list[i]));
		edits_split_tokens(window->old.list[window->old_end - 1], &tokens);
		assert_true(tokens.count > 0);
		return;
	}
	assert_true(window->old_end == at && at == window->old.count);
	edits_split_tokens(window->new.list[at], &tokens);
	if (tokens.count == 0)
		edits_split_tokens(window->new.list[++at], &tokens);
	assert_true(begins_section(window->new.list[at]));
	assert_true(edits_token_is(&tokens, 1, edit->name));
	for (size_t i = at + 1; i < window->new_end; i++) {
		edits_split_tokens(window->new.list[i], &tokens);
		assert_true(tokens.count >= 2 && !begins_section(window->new.list[i]));
	}
}

/* Lines that are new end as the others do. */
static void judge_ends(const struct window *window, const char *old)
{
	size_t feed = strcspn(old, "\n");
	bool carriage = feed > 0 && old[feed - 1] == '\r';

	/* Where the last line is removed, the one before keeps its own end. */
	if (window->new_end > window->first || window->old_end < window->old.count)
		assert_true(window->new.closed == window->old.closed);
	for (size_t i = window->first; i < window->new_end && carriage; i++) {
		size_t length = strlen(window->new.list[i]);

		if (i + 1 < window->new.count || window->new.closed)
			assert_true(length > 0 && window->new.list[i][length - 1] == '\r');
	}
}

void edits_judge_text(const char *old, const char *new, const struct edit *edit)
{
	struct window window;

	edits_find_window(&window, old, new);
	judge_ends(&window, old);
	switch (edit->operation) {
	case SET_TRANSPARENT:
	case SET_BIND:
	case ADD_BIND:
	case REMOVE_BIND:
		judge_bind_text(&window, edit);
		break;
	case SET_DEFAULT_BACKEND:
		expect_line(&window, "default_backend", 1, edit->text);
		break;
	case SET_MAXCONN:
		expect_line(&window, "maxconn", 1, edit->text);
		break;
	case SET_TIMEOUT:
		expect_line(&window, "timeout", 2, edit->text);
		break;
	case SET_BALANCE:
		expect_line(&window, "balance", 1, edit->text);
		break;
	case SET_MODE:
		expect_line(&window, "mode", 1, edit->text);
		break;
	case RENAME_SECTION:
		judge_rename_text(&window, edit, edit->proxy->name);
		break;
	case RENAME_SERVER:
		judge_rename_text(
			&window, edit, json_string_value(json_object_get(edit->change, "server")));
		break;
	case SET_FARM_SOURCE:
	case SET_SERVER_SOURCE:
		judge_source_text(&window, edit);
		break;
	case SET_SERVER_VALUE:
		judge_value_text(&window, edit);
		break;
	case SET_SERVER_ADDRESS:
	case ADD_SERVER:
	case REMOVE_SERVER:
		judge_server_text(&window, edit);
		break;
	default:
		judge_section_text(&window, edit);
	}
	edits_free_window(&window);
}
