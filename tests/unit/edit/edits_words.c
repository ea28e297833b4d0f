/*
 * Lines and words of a configuration, split by a few lines of code of the tests' own.
 *
 * What differs between two lines, or two texts, is what lies between their common beginning and their common end.
 */
#include "unit.h"

#include "edits.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

struct lines edits_split_lines(const char *text)
{
	struct lines lines = {NULL, 0, *text == '\0' || text[strlen(text) - 1] == '\n'};
	size_t room = 16;

	lines.list = calloc(room, sizeof(*lines.list));
	while (*text != '\0') {
		size_t length = strcspn(text, "\n");

		if (lines.count == room)
			lines.list = realloc(lines.list, (room *= 2) * sizeof(*lines.list));
		assert_non_null(lines.list);
		lines.list[lines.count++] = strndup(text, length);
		text += length + (text[length] == '\n');
	}
	return lines;
}

void edits_free_lines(struct lines *lines)
{
	for (size_t i = 0; i < lines->count; i++)
		free(lines->list[i]);
	free(lines->list);
}

static size_t token_length(const char *at)
{
	const char *start = at;
	char quote = 0;

	for (; *at != '\0' && (quote != 0 || (!isspace((unsigned char)*at) && *at != '#')); at++) {
		if (*at == '\\' && quote != '\'' && at[1] != '\0')
			at++;
		else if (quote != 0 && *at == quote)
			quote = 0;
		else if (quote == 0 && (*at == '"' || *at == '\''))
			quote = *at;
	}
	return (size_t)(at - start);
}

void edits_split_tokens(const char *line, struct tokens *tokens)
{
	tokens->count = 0;
	for (;;) {
		size_t gap = strspn(line, " \t\v\f\r");
		size_t length = token_length(line + gap);

		if (length == 0)
			break;
		assert_true(tokens->count < 80);
		tokens->list[tokens->count++] = (struct token){line, line + gap, gap, length};
		line += gap + length;
	}
	tokens->rest = line;
	tokens->rest_length = strlen(line);
}

bool edits_token_is(const struct tokens *tokens, size_t index, const char *text)
{
	return index < tokens->count && tokens->list[index].length == strlen(text) &&
	       memcmp(tokens->list[index].raw, text, strlen(text)) == 0;
}

bool edits_same_token(const struct token *a, const struct token *b)
{
	return a->length == b->length && a->gap_length == b->gap_length &&
	       memcmp(a->raw, b->raw, a->length) == 0 && memcmp(a->gap, b->gap, a->gap_length) == 0;
}

const char *edits_token_text(const struct tokens *tokens, size_t index)
{
	static char texts[4][2100];
	static int next;
	char *text = texts[next++ % 4];

	snprintf(text, 2100, "%.*s", index < tokens->count ? (int)tokens->list[index].length : 0,
		index < tokens->count ? tokens->list[index].raw : "");
	return text;
}

void edits_find_window(struct window *window, const char *old, const char *new)
{
	size_t last = 0;

	*window = (struct window){.old = edits_split_lines(old), .new = edits_split_lines(new)};
	while (window->first < window->old.count &&
		window->first < window->new.count &&strcmp(window->old.list[window->first],
					window->new.list[window->first]) ==
			0)
		window->first++;
	while (last < window->old.count - window->first &&
		last < window->new.count -
					window->first &&strcmp(
						window->old.list[window->old.count - 1 - last],
						window->new.list[window->new.count - 1 - last]) ==
			0)
		last++;
	window->old_end = window->old.count - last;
	window->new_end = window->new.count - last;
}

void edits_free_window(struct window *window)
{
	edits_free_lines(&window->old);
	edits_free_lines(&window->new);
}

void edits_find_words(struct words_window *words, const char *old, const char *new)
{
	size_t last = 0, a, b;

	edits_split_tokens(old, &words->old);
	edits_split_tokens(new, &words->new);
	a = words->old.count;
	b = words->new.count;
	words->first = 0;
	while (words->first < a && words->first < b &&
		edits_same_token(&words->old.list[words->first], &words->new.list[words->first]))
		words->first++;
	while (last < a - words->first && last < b - words->first &&
		edits_same_token(&words->old.list[a - 1 - last], &words->new.list[b - 1 - last]))
		last++;
	words->old_end = a - last;
	words->new_end = b - last;
	/* The blanks before a word that was replaced, and all behind the last word, stay. */
	assert_string_equal(words->old.rest, words->new.rest);
	for (size_t i = words->first; i < words->old_end && i < words->new_end; i++)
		assert_true(words->old.list[i].gap_length ==
			    words->new.list[i].gap_length &&memcmp(words->old.list[i].gap,
				    words->new.list[i].gap, words->old.list[i].gap_length) == 0);
}

size_t old_words(const struct words_window *words)
{
	return words->old_end - words->first;
}

size_t new_words(const struct words_window *words)
{
	return words->new_end - words->first;
}

size_t edits_count_char(const char *text, char c)
{
	size_t count = 0;

	for (; *text != '\0'; text++)
		count += *text == c;
	return count;
}

/* The item number INDEX between the commas. */
char *edits_item_of(const char *list, size_t index)
{
	for (; index > 0; index--)
		list = strchr(list, ',') + 1;
	return strndup(list, strcspn(list, ","));
}
