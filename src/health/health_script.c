/*
 * The steps of a check's conversation, and the regular expressions in it.
 *
 * HAProxy's expressions are PCRE's, and POSIX has no such dialect. What both have is translated: a dot is no
 * line feed, a dollar may have one behind it, and \d, \s and \w are written out. What only PCRE has is refused. Whether an
 * expression matches is all that is asked, so the order in which alternatives are tried does not matter.
 */
#include "tproxy/health_script.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum {
	EXPRESSION_MAX = 2048 /* bytes of a translated one */
};

struct health_step health_expectation(enum health_match match, enum health_kind kind)
{
	bool of_code =
		kind == HEALTH_BY_HTTP && (match == MATCH_STATUS || match == MATCH_STATUS_REGEX);

	return (struct health_step){.action = HEALTH_EXPECT,
		.match = match,
		.least = -1,
		.passed = HEALTH_L7OK,
		.failed = of_code ? HEALTH_L7STS : HEALTH_L7RSP,
		.silent = HEALTH_L7TOUT};
}

void health_add_step(
	struct health_script *script, struct config_memory *memory, struct health_step step)
{
	struct health_step *grown = memory_grow(memory, script->steps, script->count, sizeof(step));

	if (grown == NULL)
		return;
	script->steps = grown;
	script->steps[script->count++] = step;
}

/* --- regular expressions --- */

struct translation {
	const char *at;
	char text[EXPRESSION_MAX];
	size_t used;
	const char *problem;
};

static void put(struct translation *translation, const char *text)
{
	size_t length = strlen(text);

	if (translation->used + length >= sizeof(translation->text)) {
		translation->problem = "too long for an expression";
		return;
	}
	memcpy(translation->text + translation->used, text, length + 1);
	translation->used += length;
}

static void put_byte(struct translation *translation, char byte)
{
	put(translation, (const char[]){byte, '\0'});
}

static void translate_escape(struct translation *translation)
{
	char byte = *translation->at++;

	if (byte == 'd')
		put(translation, "[0-9]");
	else if (byte == 's')
		put(translation, "[ \t\n\v\f\r]");
	else if (byte == 'w')
		put(translation, "[A-Za-z0-9_]");
	else if (byte == 'r')
		put(translation, "\r");
	else if (byte == 'n')
		put(translation, "\n");
	else if (byte == 't')
		put(translation, "\t");
	else if (byte == '\0')
		translation->problem = "an expression cannot end with a backslash";
	else if (isalnum((unsigned char)byte))
		translation->problem =
			"of the escapes with a letter there are \\d, \\s, \\w, \\r, \\n and \\t";
	else
		put(translation, (const char[]){'\\', byte, '\0'});
}

/* What is in brackets. PCRE's negated classes match a line feed, and so do POSIX's here. */
static void translate_brackets(struct translation *translation)
{
	const char *begin = translation->at;

	if (*translation->at == '^')
		put_byte(translation, *translation->at++);
	do {
		const char *named = *translation->at == '[' && translation->at[1] == ':'
					    ? strstr(translation->at, ":]")
					    : NULL;

		if (*translation->at == '\0' || *translation->at == '\\') {
			translation->problem =
				"a set in brackets cannot be open, or hold a backslash";
			return;
		}
		while (named != NULL && translation->at < named + 1)
			put_byte(translation, *translation->at++);
		put_byte(translation, *translation->at++);
	} while (translation->problem == NULL &&
		 (*translation->at != ']' || translation->at == begin));
	put_byte(translation, *translation->at++);
}

static void translate(struct translation *translation)
{
	while (translation->problem == NULL && *translation->at != '\0') {
		char byte = *translation->at++;

		if (byte == '\\') {
			translate_escape(translation);
			continue;
		}
		if (byte == '.')
			put(translation, "[^\n]");
		else if (byte == '$')
			put(translation, "\n?$");
		else
			put_byte(translation, byte);
		if (byte == '[')
			translate_brackets(translation);
		else if (byte == '(' && *translation->at == '?')
			translation->problem = "a group cannot begin with a question mark";
		else if (strchr("*+?}", byte) != NULL && *translation->at != '\0' &&
			 strchr("*+?", *translation->at) != NULL)
			translation->problem = "a repetition cannot have a second sign";
	}
}

static void free_expression(void *regex)
{
	regfree(regex);
}

const char *health_compile(struct config_memory *memory, const char *text, const regex_t **regex)
{
	struct translation translation = {.at = text};
	regex_t *compiled = memory_alloc(memory, sizeof(*compiled));

	translate(&translation);
	if (compiled == NULL || translation.problem != NULL)
		return translation.problem;
	if (regcomp(compiled, translation.text, REG_EXTENDED | REG_NOSUB) != 0)
		return "not a regular expression";
	if (!memory_clean(memory, free_expression, compiled)) {
		regfree(compiled);
		return NULL;
	}
	*regex = compiled;
	return NULL;
}
