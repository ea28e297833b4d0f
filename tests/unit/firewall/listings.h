/*
 * What `nft -j list ruleset` prints, from fixtures or made of its objects.
 */
#ifndef TESTS_LISTINGS_H
#define TESTS_LISTINGS_H

#include "firewall/ruleset.h"
#include "rulesets.h"

#include <stdlib.h>

static inline void add_text(struct ruleset *ruleset, const char *text)
{
	char *problem = NULL;

	if (ruleset_parse_nft(ruleset, text, &problem) == -1)
		fail_msg("%s", problem);
}

static inline void add_nft(struct ruleset *ruleset, const char *name)
{
	char *text = ruleset_text(name);

	add_text(ruleset, text);
	free(text);
}

#define LIST(objects)    "{\"nftables\": [" objects "]}"
#define TABLE_OF(family) "{\"table\": {\"family\": \"" family "\", \"name\": \"t\"}}"
#define CHAIN_OF(family, rest)                                                                     \
	",{\"chain\": {\"family\": \"" family "\", \"table\": \"t\", \"name\": \"c\"" rest "}}"
#define RULE_OF(family, expr)                                                                      \
	",{\"rule\": {\"family\": \"" family                                                       \
	"\", \"table\": \"t\", \"chain\": \"c\", \"handle\": 7, \"expr\": "                        \
	"[" expr "]}}"

#endif
