/*
 * What a rule of nft does.
 *
 * A new mark may be calculated from the old one; whatever is made of `&`, `|` and `^` with constants is
 * (mark & ~mask) ^ number, which is what the model has. The trap is `tproxy`: it does not end the
 * chain, and it sets no mark of its own.
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

/* One step of a calculation: OP with a constant. */
static bool step(char op, uint32_t constant, uint32_t *keep, uint32_t *flip)
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

static bool read_constant(const json_t *value, uint32_t *constant)
{
	json_int_t integer = json_integer_value(value);

	*constant = (uint32_t)integer;
	return json_is_integer(value) && integer >= 0 && integer <= UINT32_MAX;
}

/* VALUE as (mark & KEEP) ^ FLIP, DEPTH calculations deep; false: it hangs on something else. */
static bool calculate(const json_t *value, uint32_t *keep, uint32_t *flip, int depth)
{
	static const char *const operators[] = {"&", "|", "^"};
	uint32_t constant;

	*keep = 0;
	if (read_constant(value, flip))
		return true;
	*keep = UINT32_MAX;
	*flip = 0;
	if (strcmp(json_text(json_object_get(value, "meta"), "key"), "mark") == 0)
		return true;
	for (size_t i = 0; depth < 16 && i < sizeof(operators) / sizeof(operators[0]); i++) {
		const json_t *sides = json_object_get(value, operators[i]);
		size_t count = json_array_size(sides), side = 1;

		if (count < 2 || !calculate(json_array_get(sides, 0), keep, flip, depth + 1))
			continue;
		while (side < count && read_constant(json_array_get(sides, side), &constant) &&
			step(operators[i][0], constant, keep, flip))
			side++;
		return side == count;
	}
	return false;
}

static void add_mark(struct nft_parse *parse, const json_t *value)
{
	struct target *target;
	uint32_t keep, flip;

	if (!calculate(value, &keep, &flip, 0)) {
		add_unknown_target(parse, "meta mark set", value);
		return;
	}
	target = ruleset_add_target(parse->rule, TARGET_MARK);
	target->mask = ~keep;
	target->number = flip;
}

/* What rules ask for is the mark, addresses and ports; anything else may be changed. */
static void mangle(struct nft_parse *parse, const json_t *value)
{
	static const char *const asked[] = {"saddr", "daddr", "sport", "dport"};
	const json_t *key = json_object_get(value, "key");
	const char *field = json_text(json_object_get(key, "payload"), "field");

	if (strcmp(json_text(json_object_get(key, "meta"), "key"), "mark") == 0) {
		add_mark(parse, json_object_get(value, "value"));
		return;
	}
	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++)
		if (strcmp(asked[i], field) == 0) {
			add_unknown_target(parse, "set", value);
			return;
		}
	ruleset_add_target(parse->rule, TARGET_NONE);
}

/* --- the rest --- */

static void tproxy(struct nft_parse *parse, const json_t *value)
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

static void jump(struct nft_parse *parse, enum target_kind kind, const json_t *value)
{
	char *chain = text_copy(json_text(value, "target"));

	ruleset_add_target(parse->rule, kind)->text = chain;
}

/* What iptables wrote and nft has no words for. */
static void foreign(struct nft_parse *parse, const json_t *value)
{
	if (strcmp(json_text(value, "type"), "match") != 0)
		add_unknown_target(parse, "xt", value);
	else if (strcmp(json_text(value, "name"), "comment") != 0)
		add_unknown_match(parse, "xt", value);
}

/* A limit passes, until it is exceeded; one that asks for just that does not. */
static void limit(struct nft_parse *parse, const json_t *value)
{
	if (json_is_true(json_object_get(value, "inv")) || json_is_string(value))
		add_unknown_match(parse, "limit", value);
	else
		ruleset_add_match(parse->rule, MATCH_ALWAYS, false);
}

static bool is_one_of(const char *name, const char *const *names)
{
	while (*names != NULL && strcmp(*names, name) != 0)
		names++;
	return *names != NULL;
}

void nft_statement(struct nft_parse *parse, const char *name, const json_t *value)
{
	static const char *const counting[] = {"quota", "ct count", "meter", "connlimit", NULL};

	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (strcmp(plain[i].name, name) == 0) {
			ruleset_add_target(parse->rule, plain[i].kind);
			return;
		}
	if (strcmp(name, "mangle") == 0)
		mangle(parse, value);
	else if (strcmp(name, "tproxy") == 0)
		tproxy(parse, value);
	else if (strcmp(name, "jump") == 0)
		jump(parse, TARGET_JUMP, value);
	else if (strcmp(name, "goto") == 0)
		jump(parse, TARGET_GOTO, value);
	else if (strcmp(name, "xt") == 0)
		foreign(parse, value);
	else if (strcmp(name, "limit") == 0)
		limit(parse, value);
	else if (is_one_of(name, counting))
		add_unknown_match(parse, name, value);
	else
		add_unknown_target(parse, name, value);
}
