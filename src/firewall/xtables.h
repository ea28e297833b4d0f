/*
 * The parser of one rule of iptables-save, in four files: words, options, matches, targets.
 */
#ifndef TPROXY_XTABLES_H
#define TPROXY_XTABLES_H

#include "ruleset.h"

struct xtables_word {
	const char *text;
	bool quoted; /* then it is never an option */
};

/* The state of the parser of one rule. */
struct xtables_parse {
	const struct table *table;
	enum hook hook; /* of the rule's chain */
	struct rule *rule;
	struct xtables_word *words;
	size_t count, at;   /* `at`: the next word */
	const char *module; /* the match ("-m") that options belong to, or NULL */
	bool negated;
	bool restores_mark; /* the socket match sets the packet's mark to the socket's */
	const char *wrong;  /* what is wrong with the text, or NULL */
};

struct xtables_option {
	const char *module, *name; /* module NULL: known in every rule */
	size_t values;             /* how many words follow */
	/* Adds a match of KIND; false: the value is unknown. */
	bool (*read)(struct xtables_parse *parse, enum match_kind kind,
		const struct xtables_word *values);
	enum match_kind kind;
};

/*
 * Parses TEXT, what follows "-A CHAIN " in a line, into RULE; TEXT is changed. TABLE has all its chains, HOOK is
 * that of the rule's chain. Returns NULL, or what is wrong with the text.
 */
const char *xtables_rule(const struct table *table, enum hook hook, struct rule *rule, char *text);

/* Splits TEXT, which is changed, into *WORDS, to be freed; they point into TEXT. False: a quote is not closed. */
bool xtables_split(char *text, struct xtables_word **words, size_t *count);

/* The known option at parse->at, or NULL. */
const struct xtables_option *xtables_find_option(const struct xtables_parse *parse);

/* Whether any option of the match of that name is known. */
bool xtables_knows_match(const char *name);

/* Parses "-j NAME" or "-g NAME" at parse->at, and all words behind it. */
void xtables_target(struct xtables_parse *parse);

/* The words from FIRST up to parse->at as one text, to be freed; "! " before them if negated. */
char *xtables_join(const struct xtables_parse *parse, size_t first);

/* Whether WORD is TEXT, and not quoted. */
bool xtables_is(const struct xtables_word *word, const char *text);

/* Reads a number of up to 32 bits at the beginning of TEXT; *END is behind it. False: there is none. */
bool xtables_number(const char *text, uint32_t *number, const char **end);

/* Reads "VALUE/MASK", or "VALUE" with a mask of all bits. */
bool xtables_masked(const char *text, uint32_t *number, uint32_t *mask);

#endif
