/* One rule of iptables-save, for the parser of the whole text. */
#ifndef TPROXY_HOST_XTABLES_H
#define TPROXY_HOST_XTABLES_H

#include "ruleset.h"

struct xtables_word {
	const char *text;
	bool quoted; /* never an option, whatever it looks like */
};

/* Where a rule's parser stands. */
struct xtables_parse {
	const struct table *table;
	enum hook hook; /* of the rule's chain */
	struct rule *rule;
	struct xtables_word *words;
	size_t count, at;
	const char *module; /* the match that options belong to, or NULL */
	bool negated;
	bool restores_mark; /* the socket match sets the packet's mark to the socket's */
	const char *wrong;
};

struct xtables_option {
	const char *module, *name; /* module NULL: of every rule */
	size_t values;
	/* Adds a match of KIND; false: the value is not known. */
	bool (*read)(struct xtables_parse *parse, enum match_kind kind,
		const struct xtables_word *values);
	enum match_kind kind;
};

/*
 * Reads what follows "-A CHAIN " in TEXT, which is taken apart, into RULE. TABLE has all of its chains,
 * HOOK is that of the rule's chain. NULL, or what is wrong with the text.
 */
const char *xtables_rule(const struct table *table, enum hook hook, struct rule *rule, char *text);

/* The words of TEXT, which is taken apart, in a list to be freed. False: a quote is not closed. */
bool xtables_split(char *text, struct xtables_word **words, size_t *count);

/* The option at parse->at, of every rule or of parse->module, or NULL. */
const struct xtables_option *xtables_find_option(const struct xtables_parse *parse);

/* Whether a match of that name has options that are known. */
bool xtables_knows_match(const char *name);

/* Reads "-j NAME" or "-g NAME" at parse->at, and all that follows. */
void xtables_target(struct xtables_parse *parse);

/* The words from FIRST up to parse->at as one text, to be freed; "! " in front where it is negated. */
char *xtables_join(const struct xtables_parse *parse, size_t first);

/* Whether WORD is TEXT, and not quoted. */
bool xtables_is(const struct xtables_word *word, const char *text);

/* A number up to 32 bits; *END is what follows. */
bool xtables_number(const char *text, uint32_t *number, const char **end);

/* "VALUE/MASK", or "VALUE" with all bits. */
bool xtables_masked(const char *text, uint32_t *number, uint32_t *mask);

#endif
