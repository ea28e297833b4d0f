/*
 * Words: quotes, escapes, comments and environment variables, as in HAProxy's manual, sections 2.2
 * and 2.3.
 *
 * One pass over the line, one function for each thing that can begin at a character. A word ends at
 * white space outside of quotes, so pieces that touch are one word: a"b c"d is <ab cd>.
 *
 * Where HAProxy lets something pass that its manual does not give a meaning to, the line is refused
 * here instead: an escape that the manual does not list (HAProxy keeps the backslash), a backslash
 * at the end of a line (HAProxy has no line continuation), a variable that is not set (HAProxy puts
 * nothing in its place), and \$ outside of quotes (the manual says <$>, version 2.6 makes <\$> of
 * it). The trap is the default of a variable, "${NAME-default}": nothing in it is interpreted, not
 * even a quote, up to the closing brace.
 */
#include "words.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lexer {
	const char *line, *at, *end;
	struct words *words;
	char quote; /* the quote that is open, or 0 */
	const char *quote_at;
	bool in_word;
	bool failed;
	bool stopped; /* by an error after which the rest of the line means nothing */
	words_report *report;
	void *context;
};

/* Variables that HAProxy sets by itself: an unset one would be a silent change. */
static const char *const haproxys_own[] = {"HAPROXY_CFGFILES", "HAPROXY_CLI", "HAPROXY_LOCALPEER",
	"HAPROXY_MASTER_CLI", "HAPROXY_MWORKER", "HAPROXY_STARTUP_VERSION"};

/* FROM is NULL where the error is about the line as a whole. */
static void fail_piece(struct lexer *lexer, const char *from, const char *to, const char *error)
{
	char culprit[64];
	size_t length = from == NULL ? 0 : (size_t)(to - from);

	if (length >= sizeof(culprit))
		length = sizeof(culprit) - 1;
	if (length > 0)
		memcpy(culprit, from, length);
	culprit[length] = '\0';
	lexer->report(lexer->context, from == NULL ? NULL : culprit, error);
	lexer->failed = true;
}

static void stop_line(struct lexer *lexer, const char *from, const char *error)
{
	fail_piece(lexer, from, lexer->end, error);
	lexer->stopped = true;
}

static void put_byte(struct lexer *lexer, char c)
{
	struct words *words = lexer->words;

	if (words->used + 1 >= sizeof(words->text))
		stop_line(lexer, NULL, "the line is too long with its variables filled in");
	else
		words->text[words->used++] = c;
}

static void open_word(struct lexer *lexer)
{
	struct words *words = lexer->words;

	if (lexer->in_word)
		return;
	if (words->count == WORDS_MAX) {
		stop_line(lexer, lexer->at, "a line has 64 words at most");
		return;
	}
	words->places[words->count].from = (size_t)(lexer->at - lexer->line);
	words->list[words->count++] = words->text + words->used;
	lexer->in_word = true;
}

static void close_word(struct lexer *lexer)
{
	if (lexer->in_word) {
		put_byte(lexer, '\0');
		lexer->words->places[lexer->words->count - 1].to =
			(size_t)(lexer->at - lexer->line);
	}
	lexer->in_word = false;
}

static void take_quote(struct lexer *lexer)
{
	char c = *lexer->at;

	if (lexer->quote == 0) {
		lexer->quote = c;
		lexer->quote_at = lexer->at;
	} else {
		lexer->quote = 0;
	}
	lexer->at++;
}

static void take_hex_escape(struct lexer *lexer)
{
	const char *at = lexer->at;
	char digits[3] = "";
	long value;

	if (lexer->end - at < 4 || !isxdigit((unsigned char)at[2]) ||
		!isxdigit((unsigned char)at[3])) {
		fail_piece(lexer, at, at + 2, "two hexadecimal digits follow it, as in \\x20");
		lexer->at += 2;
		return;
	}
	memcpy(digits, at + 2, 2);
	value = strtol(digits, NULL, 16);
	if (value == 0)
		fail_piece(lexer, at, at + 4, "a NUL byte cannot be part of a word");
	put_byte(lexer, (char)value);
	lexer->at += 4;
}

static void take_escape(struct lexer *lexer)
{
	static const char escapes[] = " #\\'\"nrt", meanings[] = " #\\'\"\n\r\t";
	const char *at = lexer->at, *escape;

	if (lexer->end - at < 2) {
		fail_piece(lexer, at, at + 1,
			"a line cannot go on in the next one; write \\\\ for a backslash");
		lexer->at++;
		return;
	}
	if (at[1] == 'x') {
		take_hex_escape(lexer);
		return;
	}
	lexer->at += 2;
	escape = memchr(escapes, at[1], sizeof(escapes) - 1);
	if (at[1] == '$' && lexer->quote == '"')
		put_byte(lexer, '$');
	else if (at[1] == '$')
		fail_piece(lexer, at, at + 2, "outside of quotes write $ alone, or '$'");
	else if (escape == NULL)
		fail_piece(lexer, at, at + 2, "unknown escape; write \\\\ for a backslash");
	else
		put_byte(lexer, meanings[escape - escapes]);
}

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

static bool is_haproxys_own(const char *name)
{
	for (size_t i = 0; i < sizeof(haproxys_own) / sizeof(haproxys_own[0]); i++)
		if (strcmp(name, haproxys_own[i]) == 0)
			return true;
	return false;
}

/* Puts the value of the variable NAME, or else the text from FALLBACK to END, into the word. */
static void put_variable(
	struct lexer *lexer, const char *name, size_t length, const char *fallback, const char *end)
{
	char copy[LINE_LENGTH_MAX + 1];
	const char *value, *text;

	memcpy(copy, name, length);
	copy[length] = '\0';
	if (is_haproxys_own(copy)) {
		fail_piece(lexer, name, name + length,
			"HAProxy sets this variable itself, tproxyd does not");
		return;
	}
	value = getenv(copy);
	if (value == NULL && fallback == NULL) {
		fail_piece(lexer, name, name + length,
			"this environment variable is not set; \"${NAME-text}\" gives a default");
		return;
	}
	if (value != NULL)
		end = value + strlen(value);
	for (text = value != NULL ? value : fallback; text < end && !lexer->stopped; text++)
		put_byte(lexer, *text);
}

/* $NAME, ${NAME} or ${NAME-default}, within double quotes. */
static void take_variable(struct lexer *lexer)
{
	const char *start = lexer->at, *name, *after, *fallback = NULL;
	bool braces = lexer->end - start > 1 && start[1] == '{';

	name = after = start + (braces ? 2 : 1);
	while (after < lexer->end && is_name(*after))
		after++;
	lexer->at = after;
	if (after == name || isdigit((unsigned char)*name)) {
		fail_piece(lexer, start, after + (after < lexer->end),
			"not the name of a variable; write \\$ for a dollar sign");
		return;
	}
	if (braces && after < lexer->end && *after == '-') {
		fallback = after + 1;
		while (lexer->at < lexer->end && *lexer->at != '}')
			lexer->at++;
	}
	if (braces && (lexer->at == lexer->end || *lexer->at != '}')) {
		stop_line(lexer, start,
			lexer->at < lexer->end && *lexer->at == '['
				? "expanding a variable to several words is not supported"
				: "the closing brace of the variable is missing");
		return;
	}
	put_variable(lexer, name, (size_t)(after - name), fallback, lexer->at);
	lexer->at += braces;
}

/* Handles what stands at lexer->at. False at a comment. */
static bool take_piece(struct lexer *lexer)
{
	char c = *lexer->at;

	if (lexer->quote == 0 && isspace((unsigned char)c)) {
		close_word(lexer);
		lexer->at++;
		return true;
	}
	if (lexer->quote == 0 && c == '#')
		return false;
	open_word(lexer);
	if ((c == '"' && lexer->quote != '\'') || (c == '\'' && lexer->quote != '"'))
		take_quote(lexer);
	else if (c == '\\' && lexer->quote != '\'')
		take_escape(lexer);
	else if (c == '$' && lexer->quote == '"')
		take_variable(lexer);
	else {
		put_byte(lexer, c);
		lexer->at++;
	}
	return true;
}

bool words_split(
	struct words *words, const char *line, size_t length, words_report *report, void *context)
{
	struct lexer lexer = {.line = line,
		.at = line,
		.end = line + length,
		.words = words,
		.report = report,
		.context = context};

	words->count = words->used = 0;
	if (length > LINE_LENGTH_MAX)
		stop_line(&lexer, NULL, "the line is too long; 2048 bytes are the most");
	else if (memchr(line, '\0', length) != NULL)
		stop_line(&lexer, NULL, "the line holds a NUL byte");
	else if (memchr(line, '\r', length) != NULL)
		stop_line(&lexer, NULL, "a carriage return can only stand at the end of a line");
	while (lexer.at < lexer.end && !lexer.stopped && take_piece(&lexer))
		;
	if (!lexer.stopped)
		close_word(&lexer);
	if (!lexer.stopped && lexer.quote != 0)
		fail_piece(
			&lexer, lexer.quote_at, lexer.end, "the quote is not closed on this line");
	return !lexer.failed;
}
