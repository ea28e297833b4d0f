/*
 * The parser of one rule of `nft -j list ruleset`: its matches and its statements (libnftables-json(5)).
 */
#ifndef TPROXY_NFTABLES_H
#define TPROXY_NFTABLES_H

#include "ruleset.h"
#include "tproxy/json.h"
#include "tproxy/names.h"

#include <jansson.h>

/* Adds one value, as nft prints it, to the match; false: it is unknown. */
typedef bool nft_adder(struct match *match, const json_t *value);

/* The contents of a named set as a match: read once, however many rules name the set. */
struct nft_values {
	enum match_kind kind;
	nft_adder *add;
	bool known;
	struct match match;
};

struct nft_set {
	json_t *elements; /* NULL: it is empty */
	struct nft_values *values;
	size_t value_count;
};

/* The named sets of a table; `names` maps to places in the list. */
struct nft_sets {
	struct names names;
	struct nft_set *list;
	size_t count;
};

struct nft_parse {
	struct nft_sets *sets;           /* of the rule's table */
	const char *family, *table_name; /* of the rule, as nft prints them */
	int family_number;               /* AF_UNSPEC for inet */
	struct rule *rule;
};

/* AF_INET, AF_INET6, AF_UNSPEC for "ip", "ip6", "inet" and "netdev"; -1 for other families, which have no IP packets. */
int nft_family(const char *name);

/* Reads a whole number from 0 to MOST into *NUMBER. */
bool nft_uint(const json_t *value, json_int_t most, uint32_t *number);

/*
 * The values that a choice has: a set of a rule, or the elements of a named set or map ("@NAME"), or NULL if it
 * is not listed.
 */
const json_t *nft_elements(const struct nft_parse *parse, const json_t *data);

/* Adds the match `LEFT OP RIGHT` to the rule, as an unknown match if it is unknown. */
void nft_match(struct nft_parse *parse, const char *op, const json_t *left, const json_t *right);

/* Adds the statement NAME, which is not a match, to the rule, as an unknown target if it is unknown. */
void nft_statement(struct nft_parse *parse, const char *name, const json_t *value);

/* NAME and the JSON of VALUE in one line, to be freed. */
char *nft_format(const char *name, const json_t *value);

#endif
