/*
 * Keywords: how a line finds its row of the table, and what is said where there is none.
 *
 * What is not in the table is reported with the best help that there is: where the keyword would
 * belong, what to use in place of a keyword of HAProxy that is not supported (refusals.c), or the
 * nearest name. The trap is the echo: the lines of a section whose own name is wrong, and the
 * arguments of a parameter that is not known, are passed over in silence, since the error is said.
 */
#include "parser.h"

#include <stdio.h>
#include <string.h>

const char *peek_word(const struct parser *parser)
{
	return parser->next < parser->words.count ? parser->words.list[parser->next] : NULL;
}

const char *next_word(struct parser *parser)
{
	const char *word = peek_word(parser);

	if (word != NULL)
		parser->next++;
	return word;
}

bool take_word(struct parser *parser, const char *word)
{
	const char *next = peek_word(parser);

	if (next == NULL || strcmp(next, word) != 0)
		return false;
	parser->next++;
	return true;
}

const char *want_word(struct parser *parser, const char *what)
{
	const char *before = parser->next > 0 ? parser->words.list[parser->next - 1] : NULL;
	const char *word = next_word(parser);

	if (word != NULL && *word != '\0')
		return word;
	fail(parser, before, "%s is missing after it", what);
	return NULL;
}

const char *want_text(struct parser *parser, const char *what)
{
	const char *word = want_word(parser, what);

	return word == NULL ? NULL : memory_copy(parser->memory, word);
}

/*
 * How many of the line's words, from the one at START, are the keyword NAME: 0 where it is another.
 */
static size_t name_words(const struct parser *parser, size_t start, const char *name)
{
	const char *word = parser->words.list[start], *space = strchr(name, ' ');
	size_t length = strlen(word);

	if (space == NULL)
		return strcmp(word, name) == 0 ? 1 : 0;
	if (length != (size_t)(space - name) || memcmp(word, name, length) != 0)
		return 0;
	if (start + 1 >= parser->words.count)
		return 0;
	return strcmp(parser->words.list[start + 1], space + 1) == 0 ? 2 : 0;
}

/* The row of the keyword that the next words name and that may stand at one of WHERE. */
static const struct keyword *find(const struct parser *parser, unsigned where, size_t *words)
{
	for (size_t i = 0; keyword_at(i) != NULL && peek_word(parser) != NULL; i++) {
		*words = name_words(parser, parser->next, keyword_at(i)->name);
		if (*words != 0 && (keyword_at(i)->where & where))
			return keyword_at(i);
	}
	return NULL;
}

/* Whether WORD is the first of two-word names, such as timeout. */
static bool begins_names(const char *word)
{
	size_t length = strlen(word);

	for (size_t i = 0; keyword_at(i) != NULL; i++)
		if (strncmp(keyword_at(i)->name, word, length) == 0 &&
			keyword_at(i)->name[length] == ' ')
			return true;
	return false;
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/*
 * The edit distance of two names, in which a letter may be inserted, left out, replaced, or swapped
 * with its neighbour; a large number where they are too long to be compared.
 */
static size_t distance(const char *a, const char *b)
{
	enum {
		LONGEST = 40
	};
	size_t table[LONGEST + 1][LONGEST + 1], a_length = strlen(a), b_length = strlen(b);

	if (a_length > LONGEST || b_length > LONGEST)
		return LONGEST;
	for (size_t i = 0; i <= a_length; i++) {
		for (size_t j = 0; j <= b_length; j++) {
			size_t *here = &table[i][j];

			*here = i + j;
			if (i == 0 || j == 0)
				continue;
			*here = table[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
			*here = smaller(*here, table[i - 1][j] + 1);
			*here = smaller(*here, table[i][j - 1] + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				*here = smaller(*here, table[i - 2][j - 2] + 1);
		}
	}
	return table[a_length][b_length];
}

/* How much of a keyword's name NAME is compared with: its first word where NAME is one word. */
static int compared_length(const char *name, const struct keyword *keyword)
{
	return (int)(strchr(name, ' ') == NULL ? strcspn(keyword->name, " ")
					       : strlen(keyword->name));
}

/* The keyword that NAME is probably meant to be: two mistakes at most, and less than half of it. */
static const struct keyword *nearest(const char *name, unsigned where)
{
	const struct keyword *best = NULL;
	size_t least = 3, mistakes;
	char other[64];

	for (size_t i = 0; keyword_at(i) != NULL; i++) {
		if (!(keyword_at(i)->where & where))
			continue;
		snprintf(other, sizeof(other), "%.*s", compared_length(name, keyword_at(i)),
			keyword_at(i)->name);
		mistakes = distance(name, other);
		if (mistakes >= least || 2 * mistakes >= strlen(name))
			continue;
		best = keyword_at(i);
		least = mistakes;
	}
	return best;
}

/* The name that the next words give: both of them where the first one begins two-word names. */
static const char *name_of_line(const struct parser *parser, char *text, size_t size)
{
	const char *word = parser->words.list[parser->next], *second = "";

	if (begins_names(word) && parser->next + 1 < parser->words.count)
		second = parser->words.list[parser->next + 1];
	snprintf(text, size, "%s%s%s", word, *second == '\0' ? "" : " ", second);
	return text;
}

/* All places at which the keyword that the next words name may stand. */
static unsigned places_of(const struct parser *parser)
{
	unsigned where = 0;

	for (size_t i = 0; keyword_at(i) != NULL; i++)
		if (name_words(parser, parser->next, keyword_at(i)->name) != 0)
			where |= keyword_at(i)->where;
	return where;
}

/* Reports words that are no keyword at WHERE, with what helps best. */
static void report_unknown(struct parser *parser, unsigned where)
{
	char name[128], text[128];
	const struct keyword *meant;
	const char *hint;

	name_of_line(parser, name, sizeof(name));
	hint = refusal_text(name, where);
	if (hint != NULL)
		fail(parser, name, "not supported: %s", hint);
	else if (places_of(parser) != 0)
		fail(parser, name, "does not belong here; its place is: %s",
			where_text(places_of(parser), text, sizeof(text)));
	else if (begins_names(name))
		fail(parser, name, "a second word is missing after it");
	else if ((meant = nearest(name, where)) != NULL)
		fail(parser, name, "unknown keyword; did you mean '%.*s'?",
			compared_length(name, meant), meant->name);
	else if (where == IN_FILE)
		fail(parser, name,
			"unknown section; there are global, defaults, frontend, backend and "
			"listen");
	else
		fail(parser, name, "unknown keyword in this place, which is: %s",
			place_name(where & ~(unsigned)IN_FILE));
}

/* The line of an earlier one of the same kind, where only one may be; and notes this one. */
static unsigned seen_before(struct parser *parser, const struct keyword *keyword)
{
	enum scope scope = SCOPE_SECTION;
	unsigned *seen, before;

	if (keyword->where & (ON_BIND | ON_SERVER))
		scope = SCOPE_LINE;
	else if (parser->where == IN_GLOBAL)
		scope = SCOPE_GLOBAL;
	seen = &parser->seen[scope][keyword_index(keyword)];
	before = *seen;
	*seen = parser->line;
	return keyword->flags & MANY_TIMES ? 0 : before;
}

static void run(struct parser *parser, const struct keyword *keyword, size_t words)
{
	unsigned before = seen_before(parser, keyword);

	parser->next += words;
	if (before == parser->line)
		fail(parser, keyword->name, "stands on this line already; keep one of them");
	else if (before != 0)
		fail(parser, keyword->name, "stands in line %u already; keep one of them", before);
	if (parser->negated && !(keyword->flags & NEGATABLE))
		fail(parser, keyword->name, "cannot follow 'no'");
	keyword->parse(parser);
}

/* Goes on to the next word that is a keyword of HAProxy at WHERE, supported or not. */
static void skip_arguments(struct parser *parser, unsigned where)
{
	size_t words;

	for (parser->next++; peek_word(parser) != NULL; parser->next++)
		if (find(parser, where, &words) != NULL ||
			refusal_text(peek_word(parser), where) != NULL)
			return;
}

void parse_parameters(struct parser *parser, enum where where)
{
	const struct keyword *keyword;
	size_t words;

	memset(parser->seen[SCOPE_LINE], 0, sizeof(parser->seen[SCOPE_LINE]));
	while (peek_word(parser) != NULL) {
		keyword = find(parser, where, &words);
		if (keyword != NULL) {
			run(parser, keyword, words);
		} else {
			report_unknown(parser, where);
			skip_arguments(parser, where);
		}
	}
}

/* `no` goes before `option` and `log` only, as in HAProxy. */
static void take_no(struct parser *parser)
{
	const char *word;

	parser->negated = take_word(parser, "no");
	word = peek_word(parser);
	if (!parser->negated)
		return;
	if (word == NULL || (strcmp(word, "option") != 0 && strcmp(word, "log") != 0)) {
		fail(parser, "no", "only 'option' and 'log' can follow it");
		parser->next = parser->words.count;
	}
}

/*
 * Whether the line was probably meant to begin a section. Such a section swallows its lines, since
 * each of them would be wrong for its sake alone.
 */
static bool names_section(const struct parser *parser)
{
	const char *word = parser->words.list[0];
	const struct keyword *meant = nearest(word, parser->where | IN_FILE);

	if (places_of(parser) != 0 || refusal_text(word, parser->where) != NULL)
		return false;
	if (refusal_text(word, IN_FILE) != NULL)
		return true;
	return meant != NULL && (meant->where & IN_FILE);
}

/* A line within a section, or one before the first. */
static void parse_other(struct parser *parser)
{
	const struct keyword *keyword;
	size_t words;

	take_no(parser);
	if (peek_word(parser) == NULL)
		return;
	keyword = find(parser, parser->where, &words);
	if (keyword != NULL) {
		run(parser, keyword, words);
		if (peek_word(parser) != NULL)
			fail(parser, peek_word(parser), "unexpected word; '%s' ends before it",
				keyword->name);
		return;
	}
	report_unknown(parser, parser->where | IN_FILE);
	if (parser->where == 0 || names_section(parser))
		parser->skipping = parser->skipped = true;
}

void parse_line(struct parser *parser)
{
	const struct keyword *keyword;
	size_t words;

	parser->next = 0;
	parser->negated = false;
	keyword = find(parser, IN_FILE, &words);
	if (keyword != NULL) {
		parser->skipping = false;
		memset(parser->seen[SCOPE_SECTION], 0, sizeof(parser->seen[SCOPE_SECTION]));
		parser->next = words;
		keyword->parse(parser);
		if (peek_word(parser) != NULL)
			fail(parser, peek_word(parser), "unexpected word; '%s' ends before it",
				keyword->name);
	} else if (!parser->skipping) {
		parse_other(parser);
	} else if (names_section(parser)) {
		report_unknown(parser, IN_FILE);
	}
}
