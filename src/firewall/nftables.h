/* One rule of `nft -j list ruleset`, for the parser of the whole. */
#ifndef TPROXY_HOST_NFTABLES_H
#define TPROXY_HOST_NFTABLES_H

#include "ruleset.h"
#include "tproxy/json.h"
#include "tproxy/names.h"

#include <jansson.h>

/* Reads one value of nft's and adds it to the match; false where it is not known. */
typedef bool nft_adder(struct match *match, const json_t *value);

/* What a named set holds, as a match has it: read once, however many rules name the set. */
struct nft_values {
	enum match_kind kind;
	nft_adder *add;
	bool known;
	struct match match;
};

struct nft_set {
	json_t *elements; /* NULL: none */
	struct nft_values *values;
	size_t value_count;
};

/* The named sets of a table; `names` has their places in the list. */
struct nft_sets {
	struct names names;
	struct nft_set *list;
	size_t count;
};

struct nft_parse {
	struct nft_sets *sets;           /* of the rule's table */
	const char *family, *table_name; /* of the rule, as nft calls them */
	int family_number;               /* AF_UNSPEC for inet */
	struct rule *rule;
};

/* AF_INET, AF_INET6, AF_UNSPEC for "ip", "ip6", "inet"; -1 for families that no packet of IP is in. */
int nft_family(const char *name);

/* Adds what `LEFT OP RIGHT` asks to the rule; what is not known becomes a match that is not known. */
void nft_match(struct nft_parse *parse, const char *op, const json_t *left, const json_t *right);

/* Adds the statement that is called NAME, which is not a match, to the rule. */
void nft_statement(struct nft_parse *parse, const char *name, const json_t *value);

/* NAME and VALUE in a line, to be freed. */
char *nft_format(const char *name, const json_t *value);

#endif
