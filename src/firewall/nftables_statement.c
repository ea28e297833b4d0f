/*
 * Statements of nft: verdicts, marks, tproxy, NAT.
 *
 * A new mark may be computed from the old one. Every combination of `&`, `|` and `^` with constants equals
 * (mark & ~mask) ^ number, which is what the model has.
 *
 * The trap is `tproxy`: it does not end the chain, and it sets no mark.
 */
#include "nftables.h"
#include "ruleset_build.h"
#include "tproxy/text.h"

#include <string.h>

static const struct {
	const char *name;
	enum target_kind kind;
} plain[] = {{"accept", TARGET_ACCEPT}, {"drop", TARGET_DROP}, {"reject", TARGET_DROP},
	{"return", TARGET_RETURN}, {"continue", TARGET_NONE}, {"snat", TARGET_NAT_SOURCE},
	{"masquerade", TARGET_NAT_SOURCE}, {"dnat", TARGET_NAT_DESTINATION},
	{"redirect", TARGET_NAT_DESTINATION}, {"counter", TARGET_NONE}, {"log", TARGET_NONE},
	{"comment", TARGET_NONE}, {"last", TARGET_NONE}, {"set", TARGET_NONE},
	{"ct helper", TARGET_NONE}, {"ct timeout", TARGET_NONE}, {"ct expectation", TARGET_NONE},
	{"dup", TARGET_NONE}};

static void add_unknown_target(struct nft_parse *parse, const char *name, const json_t *value)
{
	char *text = nft_format(name, value);

	ruleset_add_target(parse->rule, TARGET_UNKNOWN)->text = text;
}

static void add_unknown_match(struct nft_parse *parse, const char *name, const json_t *value)
{
	char *text = nft_format(name, value);

	ruleset_add_match(parse->rule, MATCH_UNKNOWN, false)->text = text;
}

/* --- marks --- */

/* Applies OP with a constant to (mark & KEEP) ^ FLIP. */
static bool apply_operator(char op, uint32_t constant, uint32_t *keep, uint32_t *flip)
{
	if (op == '&') {
		*keep &= constant;
		*flip &= constant;
	} else if (op == '|') {
		*keep &= ~constant;
		*flip |= constant;
	} else
		*flip ^= constant;
	return true;
}

/* VALUE as (mark & KEEP) ^ FLIP, DEPTH operations deep; false: it depends on something else. */
static bool read_mark(const json_t *value, uint32_t *keep, uint32_t *flip, int depth)
{
	static const char *const operators[] = {"&", "|", "^"};
	uint32_t constant;

	*keep = 0;
	if (nft_uint(value, UINT32_MAX, flip))
		return true;
	*keep = UINT32_MAX;
	*flip = 0;
	if (strcmp(json_text(json_object_get(value, "meta"), "key"), "mark") == 0)
		return true;
	for (size_t i = 0; depth < 16 && i < sizeof(operators) / sizeof(operators[0]); i++) {
		const json_t *sides = json_object_get(value, operators[i]);
		size_t count = json_array_size(sides), side = 1;

		if (count < 2 || !read_mark(json_array_get(sides, 0), keep, flip, depth + 1))
			continue;
		while (side < count &&
			nft_uint(json_array_get(sides, side), UINT32_MAX, &constant) &&
			apply_operator(operators[i][0], constant, keep, flip))
			side++;
		return side == count;
	}
	return false;
}

static void add_mark_target(struct nft_parse *parse, const json_t *value)
{
	struct target *target;
	uint32_t keep, flip;

	if (!read_mark(value, &keep, &flip, 0)) {
		add_unknown_target(parse, "meta mark set", value);
		return;
	}
	target = ruleset_add_target(parse->rule, TARGET_MARK);
	target->mask = ~keep;
	target->number = flip;
}

/* `set`: the model matches marks, addresses and ports; a change of anything else has no effect. */
static void read_mangle(struct nft_parse *parse, const json_t *value)
{
	static const char *const fields[] = {"saddr", "daddr", "sport", "dport"};
	const json_t *key = json_object_get(value, "key");
	const char *field = json_text(json_object_get(key, "payload"), "field");

	if (strcmp(json_text(json_object_get(key, "meta"), "key"), "mark") == 0) {
		add_mark_target(parse, json_object_get(value, "value"));
		return;
	}
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (strcmp(fields[i], field) == 0) {
			add_unknown_target(parse, "set", value);
			return;
		}
	ruleset_add_target(parse->rule, TARGET_NONE);
}

/* --- the rest --- */

static void read_tproxy(struct nft_parse *parse, const json_t *value)
{
	const json_t *address = json_object_get(value, "addr"),
		     *port = json_object_get(value, "port");
	int named = nft_family(json_text(value, "family"));
	int family = named > 0 ? named : parse->family_number;
	struct addr to = addr_any(family);
	json_int_t number = json_integer_value(port);

	if ((address != NULL &&
		    (!json_is_string(address) || !addr_parse(&to, json_string_value(address)))) ||
		(port != NULL && (!json_is_integer(port) || number < 0 || number > UINT16_MAX))) {
		add_unknown_target(parse, "tproxy", value);
		return;
	}
	addr_set_port(&to, (uint16_t)number);
	if (parse->family_number == AF_UNSPEC && addr_family(&to) != AF_UNSPEC)
		ruleset_add_match(parse->rule, MATCH_FAMILY, false)->number =
			(uint32_t)addr_family(&to);
	ruleset_add_target(parse->rule, TARGET_TPROXY)->to = to;
}

static void read_jump(struct nft_parse *parse, enum target_kind kind, const json_t *value)
{
	char *chain = text_copy(json_text(value, "target"));

	ruleset_add_target(parse->rule, kind)->text = chain;
}

/* What iptables wrote and nft cannot print. */
static void read_xt(struct nft_parse *parse, const json_t *value)
{
	if (strcmp(json_text(value, "type"), "match") != 0)
		add_unknown_target(parse, "xt", value);
	else if (strcmp(json_text(value, "name"), "comment") != 0)
		add_unknown_match(parse, "xt", value);
}

/* A limit holds until it is exceeded; an inverted one holds only then. */
static void read_limit(struct nft_parse *parse, const json_t *value)
{
	if (json_is_true(json_object_get(value, "inv")) || json_is_string(value))
		add_unknown_match(parse, "limit", value);
	else
		ruleset_add_match(parse->rule, MATCH_ALWAYS, false);
}

void nft_statement(struct nft_parse *parse, const char *name, const json_t *value)
{
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (strcmp(plain[i].name, name) == 0) {
			ruleset_add_target(parse->rule, plain[i].kind);
			return;
		}
	if (strcmp(name, "mangle") == 0)
		read_mangle(parse, value);
	else if (strcmp(name, "tproxy") == 0)
		read_tproxy(parse, value);
	else if (strcmp(name, "jump") == 0)
		read_jump(parse, TARGET_JUMP, value);
	else if (strcmp(name, "goto") == 0)
		read_jump(parse, TARGET_GOTO, value);
	else if (strcmp(name, "xt") == 0)
		read_xt(parse, value);
	else if (strcmp(name, "limit") == 0)
		read_limit(parse, value);
	else if (strcmp(name, "quota") == 0 || strcmp(name, "ct count") == 0 ||
		 strcmp(name, "meter") == 0 || strcmp(name, "connlimit") == 0)
		add_unknown_match(parse, name, value);
	else
		add_unknown_target(parse, name, value);
}
