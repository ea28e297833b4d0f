/*
 * One rule of iptables-save: its words, and which of them belong together.
 *
 * Of an unknown match ("-m"), all words up to the next one become the text of an unknown match. Of a known one, an
 * unknown option or value becomes an unknown match of its own.
 *
 * The trap is negation: each option has its own "!" before it, and "! -m" does not exist.
 */
#include "ruleset_build.h"
#include "tproxy/text.h"
#include "xtables.h"

#include <stdlib.h>
#include <string.h>

/* Reads the word at *TEXT without its quotes, and moves *TEXT behind it. False: no closing quote at its end. */
static bool read_word(char **text, struct xtables_word *word)
{
	char *from = *text, *to = *text;

	*word = (struct xtables_word){from, *from == '"'};
	if (word->quoted)
		from++;
	while (*from != '\0' && *from != (word->quoted ? '"' : ' ')) {
		if (word->quoted && *from == '\\' && from[1] != '\0')
			from++;
		*to++ = *from++;
	}
	if (word->quoted && (*from++ != '"' || (*from != ' ' && *from != '\0')))
		return false;
	*text = *from == '\0' ? from : from + 1;
	*to = '\0';
	return true;
}

bool xtables_split(char *text, struct xtables_word **words, size_t *count)
{
	*count = 0;
	*words = calloc(strlen(text) / 2 + 2, sizeof(**words));
	if (*words == NULL)
		abort(); /* out of memory */
	for (;;) {
		text += strspn(text, " ");
		if (*text == '\0')
			return true;
		if (!read_word(&text, &(*words)[(*count)++]))
			return false;
	}
}

static bool begins_option(const struct xtables_word *word)
{
	return !word->quoted && (word->text[0] == '-' || strcmp(word->text, "!") == 0);
}

static void keep_unknown_match(struct xtables_parse *parse, size_t first)
{
	char *text = xtables_join(parse, first);

	ruleset_add_match(parse->rule, MATCH_UNKNOWN, false)->text = text;
}

/* "-m NAME"; for an unknown one, its options, too. */
static void read_module(struct xtables_parse *parse)
{
	size_t first = parse->at++;

	if (parse->at == parse->count || parse->negated) {
		parse->wrong = "-m has no name";
		return;
	}
	parse->module = parse->words[parse->at++].text;
	if (strcmp(parse->module, "socket") == 0)
		ruleset_add_match(parse->rule, MATCH_SOCKET, false)->no_wildcard_sockets = true;
	if (strcmp(parse->module, "rpfilter") == 0)
		ruleset_add_match(parse->rule, MATCH_ROUTE, false)->mask =
			ROUTE_TO_SOURCE | ROUTE_ON_LINK_IN;
	if (xtables_knows_match(parse->module))
		return;
	while (parse->at < parse->count && !xtables_is(&parse->words[parse->at], "-m") &&
		!xtables_is(&parse->words[parse->at], "-j") &&
		!xtables_is(&parse->words[parse->at], "-g"))
		parse->at++;
	keep_unknown_match(parse, first);
}

static void read_option(struct xtables_parse *parse)
{
	const struct xtables_option *option = xtables_find_option(parse);
	size_t first = parse->at++;

	if (!begins_option(&parse->words[first]))
		parse->wrong = "expected an option";
	else if (option == NULL) {
		while (parse->at < parse->count && !begins_option(&parse->words[parse->at]))
			parse->at++;
		keep_unknown_match(parse, first);
	} else if (parse->count - parse->at < option->values)
		parse->wrong = "an option has no value";
	else {
		parse->at += option->values;
		if (!option->read(parse, option->kind, &parse->words[first + 1]))
			keep_unknown_match(parse, first);
	}
}

static void read_words(struct xtables_parse *parse)
{
	parse->negated = xtables_is(&parse->words[parse->at], "!");
	if (parse->negated && ++parse->at == parse->count)
		parse->wrong = "! has no option";
	else if (xtables_is(&parse->words[parse->at], "-m"))
		read_module(parse);
	else if (xtables_is(&parse->words[parse->at], "-j") ||
		 xtables_is(&parse->words[parse->at], "-g"))
		xtables_target(parse);
	else
		read_option(parse);
}

const char *xtables_rule(const struct table *table, enum hook hook, struct rule *rule, char *text)
{
	struct xtables_parse parse = {.table = table, .hook = hook, .rule = rule};

	if (!xtables_split(text, &parse.words, &parse.count))
		parse.wrong = "a quote is not closed";
	while (parse.wrong == NULL && parse.at < parse.count)
		read_words(&parse);
	if (parse.restores_mark && rule->target_count == 0)
		ruleset_add_target(rule, TARGET_UNKNOWN)->text = text_copy("--restore-skmark");
	ruleset_sort_rule(rule);
	free(parse.words);
	return parse.wrong;
}
