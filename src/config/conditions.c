/*
 * `acl` lines, and the conditions behind `if` and `unless`.
 *
 * An ACL is known from its first line on, and grows with each further line of its name, also by lines that follow the
 * rule which uses it: as in HAProxy, whose own names TRUE, FALSE and LOCALHOST are known, too. A pair of braces is an
 * ACL without a name.
 *
 * Values are addresses or numbers; where they stand, on the line or in a file, makes no difference but for the place in
 * messages.
 */
#include "parser.h"

#include "tproxy/file.h"
#include "tproxy/spelling.h"
#include "tproxy/units.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum {
	FILE_ERRORS = 10 /* that are reported of one file of values */
};

enum values {
	ADDRESSES,
	NUMBERS,
	NO_VALUES
};

static const struct subject_row {
	const char *name;
	enum subject subject;
	enum values values;
} subjects[] = {
	{"src", SUBJECT_SOURCE, ADDRESSES},
	{"dst", SUBJECT_DESTINATION, ADDRESSES},
	{"src_port", SUBJECT_SOURCE_PORT, NUMBERS},
	{"dst_port", SUBJECT_DESTINATION_PORT, NUMBERS},
	{"nbsrv", SUBJECT_SERVERS, NUMBERS},
	{"always_true", SUBJECT_TRUE, NO_VALUES},
	{"always_false", SUBJECT_FALSE, NO_VALUES},
};

#define SUBJECT_COUNT (sizeof(subjects) / sizeof(subjects[0]))

enum comparison {
	EQUAL,
	GREATER_OR_EQUAL,
	GREATER,
	LESS_OR_EQUAL,
	LESS
};

/* Where the values of a test come from, and how a number is compared. */
struct reader {
	struct parser *parser;
	struct acl_test *test;
	enum values values;
	enum comparison comparison;
	const char *file; /* for messages */
	unsigned line;
};

#define reader_fail(reader, word, ...)                                                             \
	diag_add((reader)->parser->diag, DIAG_ERROR, (reader)->file, (reader)->line, word,         \
		__VA_ARGS__)

/* --- values --- */

static void add_range(struct reader *reader, unsigned first, unsigned last)
{
	struct acl_test *test = reader->test;
	struct number_range *grown = memory_grow(
		reader->parser->memory, test->ranges, test->range_count, sizeof(*grown));

	if (grown == NULL)
		return;
	test->ranges = grown;
	test->ranges[test->range_count++] = (struct number_range){first, last};
}

/* FIRST:LAST, of which one may be missing. */
static const char *parse_range(const char *text, const char *colon, struct number_range *range)
{
	char first[16];
	const char *error = NULL;

	*range = (struct number_range){0, INT_MAX};
	if ((size_t)(colon - text) >= sizeof(first) || strlen(text) == 1)
		return "not a range of numbers, as in 1024:65535";
	memcpy(first, text, (size_t)(colon - text));
	first[colon - text] = '\0';
	if (*first != '\0')
		error = number_parse(first, 0, INT_MAX, &range->first);
	if (error == NULL && colon[1] != '\0')
		error = number_parse(colon + 1, 0, INT_MAX, &range->last);
	if (error != NULL || range->first > range->last)
		return "not a range of numbers, as in 1024:65535";
	return NULL;
}

/* The numbers that VALUE admits; none of them is less than 0. */
static struct number_range compared(enum comparison comparison, unsigned value)
{
	switch (comparison) {
	case EQUAL:
		break;
	case GREATER_OR_EQUAL:
		return (struct number_range){value, INT_MAX};
	case GREATER:
		return (struct number_range){value + 1, INT_MAX};
	case LESS_OR_EQUAL:
		return (struct number_range){0, value};
	case LESS:
		return value == 0 ? (struct number_range){1, 0}
				  : (struct number_range){0, value - 1};
	}
	return (struct number_range){value, value};
}

static const char *parse_number(
	const char *text, enum comparison comparison, struct number_range *range)
{
	const char *colon = strchr(text, ':'), *error;
	unsigned number = 0;

	if (colon != NULL)
		return comparison == EQUAL ? parse_range(text, colon, range)
					   : "a range cannot follow a comparison; write one number";
	error = number_parse(text, 0, INT_MAX - 1, &number);
	*range = compared(comparison, number);
	return error;
}

static void add_number(struct reader *reader, const char *text)
{
	struct number_range range;
	const char *error = parse_number(text, reader->comparison, &range);

	if (error != NULL)
		reader_fail(reader, text, "%s", error);
	else
		add_range(reader, range.first, range.last);
}

static void add_network(struct reader *reader, const char *text)
{
	struct addr address;
	unsigned bits;
	const char *error = network_parse(text, &address, &bits);

	if (error != NULL)
		reader_fail(reader, text, "%s", error);
	else
		networks_add(&reader->test->networks, reader->parser->memory, &address, bits);
}

static void add_value(struct reader *reader, const char *text)
{
	if (reader->values == ADDRESSES)
		add_network(reader, text);
	else
		add_number(reader, text);
}

/* A line of a file of values: blanks before the value and lines that begin with # say nothing. */
static void add_file_line(struct reader *reader, char *line)
{
	if (*line == '#')
		return;
	line += strspn(line, " \t");
	line[strcspn(line, "\r")] = '\0';
	if (*line != '\0')
		add_value(reader, line);
}

static size_t count_lines(const char *text, size_t length)
{
	size_t count = 1;

	for (const char *end = text + length;
		(text = memchr(text, '\n', (size_t)(end - text))) != NULL; text++)
		count++;
	return count;
}

static void add_file_text(struct reader *reader, char *text, size_t length)
{
	struct parser *parser = reader->parser;
	size_t before = diag_count(parser->diag, DIAG_ERROR), errors = 0;
	char *next = text, *line;

	if (memchr(text, '\0', length) != NULL) {
		reader_fail(reader, NULL, "not a text: it holds a NUL byte");
		return;
	}
	if (length > 0 && text[length - 1] != '\n')
		diag_add(parser->diag, DIAG_WARNING, reader->file, 0, NULL,
			"the last line has no line feed; the file may be cut off");
	if (reader->values == ADDRESSES)
		networks_reserve(
			&reader->test->networks, parser->memory, count_lines(text, length));
	while (errors < FILE_ERRORS && (line = strsep(&next, "\n")) != NULL) {
		reader->line++;
		add_file_line(reader, line);
		errors = diag_count(parser->diag, DIAG_ERROR) - before;
	}
	if (errors == FILE_ERRORS && next != NULL)
		reader_fail(
			reader, NULL, "the lines behind it were not read, since so many are wrong");
}

static void add_file(
	struct parser *parser, struct acl_test *test, enum values values, const char *path)
{
	struct reader reader = {.parser = parser, .test = test, .values = values, .file = path};
	size_t length;
	char *text = parser->text_alone ? NULL : file_read_regular(path, &length);

	if (parser->text_alone)
		return;
	if (text == NULL)
		parser_fail(parser, path, "cannot be read: %s",
			errno == EINVAL ? "not a regular file" : strerror(errno));
	else
		add_file_text(&reader, text, length);
	free(text);
}

/* --- a test --- */

/* Whether nothing is left of it: the line has ended, or the pair of braces is closed. */
static bool at_end(const struct parser *parser, bool in_braces)
{
	const char *word = parser_peek_word(parser);

	return word == NULL || (in_braces && strcmp(word, "}") == 0);
}

static bool parse_match(struct parser *parser, enum values values)
{
	static const char *const names[] = {
		[ADDRESSES] = "ip", [NUMBERS] = "int", [NO_VALUES] = "bool"};
	const char *word = parser_require_word(parser, "a way to match");

	if (word != NULL && strcmp(word, names[values]) != 0)
		parser_fail(parser, word,
			"not supported: this test matches by '-m %s'; leave it out", names[values]);
	return word != NULL;
}

/* The flags before the values. True where there was a file of values. */
static bool parse_flags(
	struct parser *parser, struct acl_test *test, enum values values, bool in_braces)
{
	bool has_file = false;

	while (!at_end(parser, in_braces) && *parser_peek_word(parser) == '-') {
		const char *flag = parser_next_word(parser), *path;

		if (strcmp(flag, "--") == 0)
			break;
		if (strcmp(flag, "-n") == 0 || strcmp(flag, "-i") == 0)
			continue; /* names are never looked up, and numbers have no case */
		if (strcmp(flag, "-m") == 0 && parse_match(parser, values))
			continue;
		path = strcmp(flag, "-f") == 0 ? parser_require_word(parser, "the file's path")
					       : NULL;
		if (path != NULL && values != NO_VALUES) {
			add_file(parser, test, values, path);
			has_file = true;
		} else if (strcmp(flag, "-f") != 0 && strcmp(flag, "-m") != 0) {
			parser_fail(parser, flag, "unknown flag; there are -f FILE, -m, -n and --");
		}
	}
	return has_file;
}

static bool take_comparison(struct reader *reader, const char *word)
{
	static const char *const comparisons[] = {[EQUAL] = "eq",
		[GREATER_OR_EQUAL] = "ge",
		[GREATER] = "gt",
		[LESS_OR_EQUAL] = "le",
		[LESS] = "lt"};

	for (size_t i = 0; i < sizeof(comparisons) / sizeof(comparisons[0]); i++)
		if (reader->values == NUMBERS && strcmp(word, comparisons[i]) == 0) {
			reader->comparison = (enum comparison)i;
			return true;
		}
	return false;
}

static void parse_values(
	struct parser *parser, const struct subject_row *row, struct acl_test *test, bool in_braces)
{
	struct reader reader = {.parser = parser,
		.test = test,
		.values = row->values,
		.file = parser->file,
		.line = parser->line};
	bool has_value = parse_flags(parser, test, row->values, in_braces);

	while (!at_end(parser, in_braces)) {
		const char *word = parser_next_word(parser);

		if (row->values == NO_VALUES) {
			parser_fail(parser, word, "'%s' takes no value; leave it out", row->name);
		} else if (!take_comparison(&reader, word)) {
			add_value(&reader, word);
			has_value = true;
		}
	}
	if (!has_value && row->values != NO_VALUES)
		parser_fail(parser, row->name, "%s is missing after it",
			row->values == ADDRESSES ? "an address or a network" : "a number");
}

static void count_servers(struct parser *parser, struct acl_test *test, const char *backend)
{
	struct counting_test *grown = memory_grow(parser->memory, parser->counting_tests,
		parser->counting_test_count, sizeof(*grown));

	if (*backend == '\0' && !(parser->where & IN_BACKEND)) {
		parser_fail(parser, "nbsrv", "the name of a backend is missing, as in nbsrv(web)");
		return;
	}
	if (*backend == '\0')
		backend = parser->section->proxy.name;
	else
		backend = memory_copy(parser->memory, backend);
	if (grown == NULL || backend == NULL)
		return;
	parser->counting_tests = grown;
	parser->counting_tests[parser->counting_test_count++] =
		(struct counting_test){test, backend, parser->line};
}

/* The row of a test such as "src" or "nbsrv(web)", whose argument is copied to ARGUMENT; NULL after an error. */
static const struct subject_row *find_subject(
	struct parser *parser, const char *word, char *argument, size_t size)
{
	size_t length = strcspn(word, "(,"), inner = strlen(word) - length;
	const char *near = NULL;

	*argument = '\0';
	for (size_t i = 0; i < SUBJECT_COUNT; i++) {
		if (spelling_is_near(word, subjects[i].name))
			near = subjects[i].name;
		if (strncmp(subjects[i].name, word, length) != 0 ||
			subjects[i].name[length] != '\0')
			continue;
		if (inner == 0)
			return &subjects[i];
		if (word[length] == ',' || subjects[i].subject != SUBJECT_SERVERS || inner < 2 ||
			inner - 2 >= size || word[length + inner - 1] != ')') {
			parser_fail(parser, word, "not supported; write '%s%s'", subjects[i].name,
				subjects[i].subject == SUBJECT_SERVERS ? "(NAME)" : "");
			return NULL;
		}
		memcpy(argument, word + length + 1, inner - 2);
		argument[inner - 2] = '\0';
		return &subjects[i];
	}
	if (near != NULL)
		parser_fail(parser, word, "unknown test; did you mean '%s'?", near);
	else
		parser_fail(parser, word,
			"not supported: tests are src, dst, src_port, dst_port, nbsrv, always_true "
			"and always_false; tproxyd reads nothing of what passes");
	return NULL;
}

/* One test and its values, to the end of the line or of the braces. It is added to ACL where there is one. */
static void parse_test(struct parser *parser, struct acl *acl, bool in_braces)
{
	const char *word = at_end(parser, in_braces) ? NULL : parser_next_word(parser);
	struct acl_test *test = memory_alloc(parser->memory, sizeof(*test));
	const struct subject_row *row = NULL;
	char argument[128];

	if (word == NULL)
		parser_fail(parser, in_braces ? "{" : NULL, "a test such as 'src' is missing");
	else
		row = find_subject(parser, word, argument, sizeof(argument));
	if (row == NULL || test == NULL) {
		while (!at_end(parser, in_braces))
			parser->next++;
		return;
	}
	test->subject = row->subject;
	if (row->subject == SUBJECT_SERVERS)
		count_servers(parser, test, argument);
	parse_values(parser, row, test, in_braces);
	if (acl != NULL) {
		test->next = acl->tests;
		acl->tests = test;
	}
}

/* --- ACLs --- */

static struct acl *find_acl(const struct section *section, const char *name)
{
	const struct claim *claim = claims_find(&section->acl_names, name);

	return claim == NULL ? NULL : section->acls[claim->index];
}

static struct acl *add_acl(struct parser *parser, const char *name)
{
	struct section *section = parser->section;
	struct acl **grown = memory_grow(
		parser->memory, section->acls, section->acl_count, sizeof(struct acl *));
	struct acl *acl = memory_alloc(parser->memory, sizeof(*acl));

	if (grown == NULL || acl == NULL)
		return NULL;
	acl->name = name;
	section->acls = grown;
	section->acls[section->acl_count] = acl;
	claims_add(&section->acl_names, parser->memory,
		(struct claim){name, parser->line, (unsigned)section->acl_count++});
	return acl;
}

void parse_acl(struct parser *parser)
{
	const char *name = parser_require_text(parser, "the ACL's name");
	struct acl *acl;

	if (name == NULL)
		return;
	if (strcasecmp(name, "or") == 0)
		parser_fail(parser, name, "not a name for an ACL: it parts alternatives");
	parser_check_name(parser, name);
	acl = find_acl(parser->section, name);
	parse_test(parser, acl != NULL ? acl : add_acl(parser, name), false);
}

/* HAProxy's own ACLs, as far as they are about connections (configuration manual, section 7.4). */
static struct acl *add_predefined(struct parser *parser, const char *name)
{
	static const char *const local[] = {"127.0.0.1/8", "::1"};
	struct acl_test *test = memory_alloc(parser->memory, sizeof(*test));
	struct acl *acl = NULL;
	struct addr address;
	unsigned bits;

	if (strcmp(name, "TRUE") == 0 || strcmp(name, "FALSE") == 0 ||
		strcmp(name, "LOCALHOST") == 0)
		acl = add_acl(parser, memory_copy(parser->memory, name));
	if (acl == NULL || test == NULL)
		return acl;
	acl->tests = test;
	test->subject = *name == 'T' ? SUBJECT_TRUE : *name == 'F' ? SUBJECT_FALSE : SUBJECT_SOURCE;
	for (size_t i = 0; *name == 'L' && i < sizeof(local) / sizeof(local[0]); i++)
		if (network_parse(local[i], &address, &bits) == NULL)
			networks_add(&test->networks, parser->memory, &address, bits);
	return acl;
}

/* --- conditions --- */

static const struct acl *parse_braces(struct parser *parser)
{
	struct acl *acl = memory_alloc(parser->memory, sizeof(*acl));

	parse_test(parser, acl, true);
	if (!parser_take_word(parser, "}"))
		parser_fail(parser, "{", "the closing brace is missing; it is a word of its own");
	return acl;
}

/* The ACL that WORD names or begins, or NULL after an error. */
static const struct acl *parse_acl_of_term(struct parser *parser, const char *word)
{
	const struct acl *acl;

	if (strcmp(word, "{") == 0)
		return parse_braces(parser);
	acl = find_acl(parser->section, word);
	if (acl == NULL)
		acl = add_predefined(parser, word);
	if (acl == NULL && *word == '{') {
		parser_fail(parser, word, "a brace is a word of its own; write a space after it");
		while (!at_end(parser, true))
			parser->next++;
		parser_take_word(parser, "}");
	} else if (acl == NULL) {
		parser_fail(parser, word, "no 'acl' line above has this name");
	}
	return acl;
}

static bool add_term(struct parser *parser, struct condition *condition, struct condition_term term)
{
	struct condition_term *grown = memory_grow(
		parser->memory, condition->terms, condition->term_count, sizeof(*grown));

	if (grown == NULL)
		return false;
	condition->terms = grown;
	condition->terms[condition->term_count++] = term;
	return true;
}

bool parse_condition(struct parser *parser, struct condition *condition)
{
	const char *word = parser_next_word(parser), *last = word;
	size_t errors = diag_count(parser->diag, DIAG_ERROR);
	struct condition_term term = {0};
	bool awaits_acl = true;

	condition->unless = strcmp(word, "unless") == 0;
	while ((word = parser_next_word(parser)) != NULL) {
		last = word;
		if (strcasecmp(word, "or") == 0 || strcmp(word, "||") == 0) {
			if (awaits_acl)
				parser_fail(parser, word, "an ACL is missing before it");
			term = (struct condition_term){.after_or = true};
			awaits_acl = true;
			continue;
		}
		for (; *word == '!'; word++)
			term.negated = !term.negated;
		awaits_acl = *word == '\0';
		if (awaits_acl)
			continue;
		term.acl = parse_acl_of_term(parser, word);
		if (!add_term(parser, condition, term))
			return false;
		term = (struct condition_term){0};
	}
	if (awaits_acl)
		parser_fail(parser, last, "an ACL is missing after it");
	return diag_count(parser->diag, DIAG_ERROR) == errors;
}
