/*
 * Keywords: how a line finds its row of the table, and what is said where there is none.
 *
 * What is not in the table is reported with the best help that there is: what becomes of a keyword of
 * HAProxy that is no keyword here (foreign.c), where the keyword would belong, or the nearest name. Then
 * reading goes on behind it, so that all mistakes of a line are said: a misspelt word is read as what
 * was probably meant, and a parameter takes as many words with it as belong to it. The lines of
 * HAProxy's other sections are passed over, since they are no mistakes but for the section's sake.
 */
#include "parser.h"

#include "tproxy/spelling.h"
#include "tproxy/units.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

const char *parser_peek_word(const struct parser *parser)
{
	return parser->next < parser->words.count ? parser->words.list[parser->next] : NULL;
}

const char *parser_next_word(struct parser *parser)
{
	const char *word = parser_peek_word(parser);

	if (word != NULL)
		parser->next++;
	return word;
}

bool parser_take_word(struct parser *parser, const char *word)
{
	const char *next = parser_peek_word(parser);

	if (next == NULL || strcmp(next, word) != 0)
		return false;
	parser->next++;
	return true;
}

const char *parser_require_word(struct parser *parser, const char *what)
{
	const char *before = parser->next > 0 ? parser->words.list[parser->next - 1] : NULL;
	const char *word = parser_next_word(parser);

	if (word != NULL && *word != '\0')
		return word;
	parser_fail(parser, before, "%s is missing after it", what);
	return NULL;
}

const char *parser_require_text(struct parser *parser, const char *what)
{
	const char *word = parser_require_word(parser, what);

	return word == NULL ? NULL : memory_copy(parser->memory, word);
}

bool parser_require_number(
	struct parser *parser, unsigned minimum, unsigned maximum, unsigned *value)
{
	const char *word = parser_require_word(parser, "a number");
	const char *error = word == NULL ? NULL : number_parse(word, minimum, maximum, value);

	if (error != NULL)
		parser_fail(parser, word, "%s; it can be %u to %u", error, minimum, maximum);
	return word != NULL && error == NULL;
}

bool parser_check_name(struct parser *parser, const char *name)
{
	for (const char *at = name; *at != '\0'; at++) {
		if (isalnum((unsigned char)*at) || strchr(".:_-", *at) != NULL)
			continue;
		parser_fail(parser, name, "a name can hold letters, digits and . : _ - only");
		return false;
	}
	return true;
}

void parser_note_http(struct parser *parser, const char *name)
{
	if (parser->http_count++ > 0)
		return;
	snprintf(parser->http_word, sizeof(parser->http_word), "%.60s", name);
	parser->http_line = parser->line;
}

/* --- places: where a keyword may stand --- */

static const struct place {
	unsigned where;
	const char *name;
} place_names[] = {
	{IN_FILE, "the file"},
	{IN_GLOBAL, "global"},
	{IN_DEFAULTS, "defaults"},
	{IN_FRONTEND, "frontend"},
	{IN_BACKEND, "backend"},
	{IN_LISTEN, "listen"},
	{ON_BIND, "bind line"},
	{ON_SERVER, "server line"},
	{IN_RESOLVERS, "resolvers"},
};

#define PLACE_COUNT (sizeof(place_names) / sizeof(place_names[0]))

const char *where_text(unsigned where, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < PLACE_COUNT && used < size; i++)
		if (where & place_names[i].where)
			used += (size_t)snprintf(text + used, size - used, "%s%s",
				used == 0 ? "" : ", ", place_names[i].name);
	return text;
}

const char *place_name(unsigned where)
{
	for (size_t i = 0; i < PLACE_COUNT; i++)
		if (place_names[i].where == where)
			return place_names[i].name;
	return "this place";
}

unsigned role_places(enum role role)
{
	return (role & ROLE_FRONTEND ? IN_FRONTEND : 0U) | (role & ROLE_BACKEND ? IN_BACKEND : 0U);
}

/* --- finding the row --- */

/*
 * How many of the line's words, from the one at START, are the keyword NAME: 0 where it is another.
 */
static size_t name_words(const struct parser *parser, size_t start, const char *name)
{
	const char *word = parser->words.list[start], *space = strchr(name, ' ');
	const char *argument = strchr(name, '(');
	size_t length = strlen(word);

	if (argument != NULL) /* its own function reads what is in the parentheses */
		return strncmp(word, name, (size_t)(argument - name) + 1) == 0 ? 1 : 0;
	if (space == NULL)
		return strcmp(word, name) == 0 ? 1 : 0;
	if (length != (size_t)(space - name) || memcmp(word, name, length) != 0)
		return 0;
	if (start + 1 >= parser->words.count)
		return 0;
	return strcmp(parser->words.list[start + 1], space + 1) == 0 ? 2 : 0;
}

/* The row of the keyword that the next words name and that may stand at one of WHERE. */
static const struct keyword *find_keyword(
	const struct parser *parser, unsigned where, size_t *words)
{
	for (size_t i = 0; parser->keyword_at(i) != NULL && parser_peek_word(parser) != NULL; i++) {
		*words = name_words(parser, parser->next, parser->keyword_at(i)->name);
		if (*words != 0 && (parser->keyword_at(i)->where & where))
			return parser->keyword_at(i);
	}
	return NULL;
}

/* Whether WORD is the first of two-word names, such as timeout. */
static bool begins_names(const struct parser *parser, const char *word)
{
	size_t length = strlen(word);

	for (size_t i = 0; parser->keyword_at(i) != NULL; i++)
		if (strncmp(parser->keyword_at(i)->name, word, length) == 0 &&
			parser->keyword_at(i)->name[length] == ' ')
			return true;
	return false;
}

/* How much of a keyword's name NAME is compared with: its first word where NAME is one word. */
static int compared_length(const char *name, const struct keyword *keyword)
{
	return (int)(strchr(name, ' ') == NULL ? strcspn(keyword->name, " ")
					       : strlen(keyword->name));
}

/* The keyword that NAME is probably meant to be: two mistakes at most, and less than half of it. */
static const struct keyword *nearest_keyword(
	const struct parser *parser, const char *name, unsigned where)
{
	const struct keyword *best = NULL;
	size_t least = 3, mistakes;
	char other[64];

	for (size_t i = 0; parser->keyword_at(i) != NULL; i++) {
		if (!(parser->keyword_at(i)->where & where))
			continue;
		snprintf(other, sizeof(other), "%.*s", compared_length(name, parser->keyword_at(i)),
			parser->keyword_at(i)->name);
		mistakes = spelling_mistakes(name, other);
		if (mistakes >= least || !spelling_is_near(name, other))
			continue;
		best = parser->keyword_at(i);
		least = mistakes;
	}
	return best;
}

/*
 * The name that the next words give: both of them where the first one begins two-word names.
 * Returns how many words it is.
 */
static size_t name_of_line(const struct parser *parser, char *text, size_t size)
{
	const char *word = parser->words.list[parser->next];
	bool two = begins_names(parser, word) && parser->next + 1 < parser->words.count;

	snprintf(text, size, "%s%s%s", word, two ? " " : "",
		two ? parser->words.list[parser->next + 1] : "");
	return two ? 2 : 1;
}

/* All places at which the keyword that the next words name may stand; *ROW is one of its rows. */
static unsigned places_of(const struct parser *parser, const struct keyword **row)
{
	unsigned where = 0;

	for (size_t i = 0; parser->keyword_at(i) != NULL; i++) {
		if (name_words(parser, parser->next, parser->keyword_at(i)->name) == 0)
			continue;
		where |= parser->keyword_at(i)->where;
		*row = parser->keyword_at(i);
	}
	return where;
}

/* How many words a keyword must have after it; what may follow begins with a bracket. */
static size_t argument_count(const struct keyword *keyword)
{
	const char *at = keyword->arguments;
	size_t count = 0;

	while (*at != '\0' && *at != '[') {
		count++;
		at += strcspn(at, " ");
		at += strspn(at, " ");
	}
	return count;
}

/*
 * Passes over COUNT words and ARGUMENTS more. The arguments of a parameter are counted, so that what
 * follows is read; those of a line of its own are all that is left of it.
 */
static void pass_over(struct parser *parser, unsigned where, size_t count, size_t arguments)
{
	size_t left = parser->words.count - parser->next;

	if (where & (ON_BIND | ON_SERVER))
		left = count + arguments < left ? count + arguments : left;
	parser->next += left;
}

/* Puts what was probably meant in place of the next COUNT words. */
static void correct_name(struct parser *parser, size_t count, const struct keyword *meant)
{
	char *space;

	snprintf(parser->corrected, sizeof(parser->corrected), "%s", meant->name);
	parser->words.list[parser->next] = parser->corrected;
	space = strchr(parser->corrected, ' ');
	if (space == NULL)
		return;
	*space = '\0';
	if (count == 2)
		parser->words.list[parser->next + 1] = space + 1;
}

/*
 * Reports words that are no keyword at WHERE, with what helps best, and passes over them. True where
 * they were corrected instead: then the line is to be read on from there, for its further mistakes.
 */
static bool report_unknown(struct parser *parser, unsigned where)
{
	char name[128], text[128];
	size_t count = name_of_line(parser, name, sizeof(name)), arguments = 0;
	const struct keyword *row = NULL;
	unsigned places = places_of(parser, &row);
	struct foreign foreign;

	if (parser->foreign_find(name, where, &foreign)) {
		arguments = foreign.argument_count;
		if (foreign.class == FOREIGN_HTTP && where == (IN_DEFAULTS | IN_FILE))
			parser_note_http(parser, name);
		else if (foreign.class != FOREIGN_NO_EFFECT)
			parser_fail(parser, name, "not supported: %s", foreign.text);
		else
			parser_warn_at(parser, parser->line, name, "no effect: %s", foreign.text);
	} else if (places != 0) {
		arguments = argument_count(row);
		parser_fail(parser, name, "does not belong here; its place is: %s",
			where_text(places, text, sizeof(text)));
	} else if (begins_names(parser, name)) {
		parser_fail(parser, name, "a second word is missing after it");
	} else if ((row = nearest_keyword(parser, name, where)) != NULL) {
		parser_fail(parser, name, "unknown keyword; did you mean '%.*s'?",
			compared_length(name, row), row->name);
		correct_name(parser, count, row);
		return true;
	} else if (where == IN_FILE) {
		parser_fail(parser, name,
			"unknown section; there are global, defaults, frontend, backend, listen "
			"and resolvers");
	} else {
		parser_fail(parser, name, "unknown keyword in this place, which is: %s",
			place_name(where & ~(unsigned)IN_FILE));
	}
	pass_over(parser, where, count, arguments);
	return false;
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
	seen = &parser->seen[scope][(size_t)(keyword - parser->keyword_at(0))];
	before = *seen;
	*seen = parser->line;
	return keyword->flags & MANY_TIMES ? 0 : before;
}

/* The struct that the keyword's value goes to. */
static void *object_of(struct parser *parser, const struct keyword *keyword)
{
	if (keyword->where & ON_BIND)
		return parser->bind;
	if (keyword->where & ON_SERVER)
		return &parser->server->server;
	if (keyword->where & IN_GLOBAL)
		return &parser->config->global;
	if (keyword->where & IN_RESOLVERS)
		return parser->resolvers;
	return &parser->section->proxy;
}

static void parse_time(struct parser *parser, unsigned minimum, unsigned *milliseconds)
{
	const char *word = parser_require_word(parser, "a duration");
	const char *error = word == NULL ? NULL : duration_parse(word, milliseconds);

	if (error != NULL)
		parser_fail(parser, word, "%s", error);
	else if (word != NULL && *milliseconds < minimum)
		parser_fail(parser, word, "too short; the least is %u ms", minimum);
}

static const char *parse_name(struct parser *parser, const struct value *value)
{
	const char *text = parser_require_text(parser, value->what);

	if (text != NULL && value->maximum != 0 && strlen(text) > value->maximum)
		parser_fail(parser, text, "%s has %u bytes at most", value->what, value->maximum);
	return text;
}

/* Reads what follows the keyword, and puts it where the keyword's row says. */
static void parse_value(struct parser *parser, const struct keyword *keyword)
{
	const struct value *value = &keyword->value;
	void *member;

	if (value->type == VALUE_OWN) {
		value->parse(parser);
		return;
	}
	member = (char *)object_of(parser, keyword) + value->offset;
	switch (value->type) {
	case VALUE_OWN:
		break;
	case VALUE_FLAG:
		*(bool *)member = true;
		break;
	case VALUE_OPTIONS:
		*(unsigned *)member &= ~value->bits;
		*(unsigned *)member |= parser->negated ? 0 : value->bits;
		break;
	case VALUE_NUMBER:
		parser_require_number(parser, value->minimum, value->maximum, member);
		break;
	case VALUE_TIME:
		parse_time(parser, value->minimum, member);
		break;
	case VALUE_TEXT:
		*(const char **)member = parse_name(parser, value);
		break;
	}
}

static void run_keyword(struct parser *parser, const struct keyword *keyword, size_t words)
{
	unsigned before;

	parser->next += words;
	if (parser->negated && !(keyword->flags & NEGATABLE)) {
		parser_fail(parser, keyword->name, "cannot follow 'no'; leave the line out");
		parser->next = parser->words.count;
		return;
	}
	before = seen_before(parser, keyword);
	if (before == parser->line)
		parser_fail(parser, keyword->name, "stands on this line already; keep one of them");
	else if (before != 0)
		parser_fail(parser, keyword->name, "stands in line %u already; keep one of them",
			before);
	parse_value(parser, keyword);
}

void parse_parameters(struct parser *parser, enum where where)
{
	const struct keyword *keyword;
	size_t words;

	memset(parser->seen[SCOPE_LINE], 0, sizeof(parser->seen[SCOPE_LINE]));
	while (parser_peek_word(parser) != NULL) {
		keyword = find_keyword(parser, where, &words);
		if (keyword != NULL)
			run_keyword(parser, keyword, words);
		else
			report_unknown(parser, where);
	}
}

/* Reports what a line has after all that its keyword takes. */
static void report_rest(struct parser *parser, const char *name)
{
	char rest[128];
	size_t count = parser->words.count - parser->next, used = 0;

	for (; parser_peek_word(parser) != NULL; parser->next++)
		if (used < sizeof(rest))
			used += (size_t)snprintf(rest + used, sizeof(rest) - used, "%s%s",
				used == 0 ? "" : " ", parser_peek_word(parser));
	if (count == 1)
		parser_fail(parser, rest, "unexpected word; '%s' ends before it", name);
	else if (count > 1)
		parser_fail(parser, rest, "unexpected words; '%s' ends before them", name);
}

/* Whether the line was meant to begin a section: one of HAProxy's, or one that is misspelt. */
static bool names_section(const struct parser *parser)
{
	const char *word = parser_peek_word(parser);
	const struct keyword *meant = nearest_keyword(parser, word, parser->where | IN_FILE), *row;
	struct foreign foreign;

	if (places_of(parser, &row) != 0 || parser->foreign_find(word, parser->where, &foreign))
		return false;
	return parser->foreign_find(word, IN_FILE, &foreign) ||
	       (meant != NULL && (meant->where & IN_FILE));
}

static void begin_section(struct parser *parser, const struct keyword *keyword, size_t words)
{
	parser->skipping = false;
	memset(parser->seen[SCOPE_SECTION], 0, sizeof(parser->seen[SCOPE_SECTION]));
	parser->next += words;
	parse_value(parser, keyword);
	report_rest(parser, keyword->name);
}

/* A line within a section, or one before the first. True where it is to be read again. */
static bool parse_other(struct parser *parser)
{
	const struct keyword *keyword;
	bool begins_section;
	size_t words;

	if (parser_take_word(parser, "no")) {
		parser->negated = true;
		if (parser_peek_word(parser) == NULL) {
			parser_fail(parser, "no", "an option or 'log' is missing after it");
			return false;
		}
	}
	keyword = find_keyword(parser, parser->where, &words);
	if (keyword != NULL) {
		run_keyword(parser, keyword, words);
		report_rest(parser, keyword->name);
		return false;
	}
	begins_section = names_section(parser);
	if (report_unknown(parser, parser->where | IN_FILE))
		return true;
	if (begins_section || parser->where == 0)
		parser->skipping = true;
	/* It may have been meant for a backend that another section names. */
	if (parser->where == 0 && !begins_section)
		parser->skipped = true;
	return false;
}

void parse_line(struct parser *parser)
{
	const struct keyword *keyword;
	bool again;
	size_t words;

	parser->next = 0;
	parser->negated = false;
	do {
		keyword = find_keyword(parser, IN_FILE, &words);
		if (keyword != NULL) {
			begin_section(parser, keyword, words);
			return;
		}
		if (!parser->skipping)
			again = parse_other(parser);
		else
			again = names_section(parser) && report_unknown(parser, IN_FILE);
	} while (again);
}
