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
	{"comment", TARGET_NONE}, {"last", TARGET_NONE}, {"notrack", TARGET_NOTRACK},
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

/* Whether VALUE is the mark of the packet (`meta mark`), or of its connection (`ct mark`). */
static bool is_mark(const json_t *value, const char *whose)
{
	return strcmp(json_text(json_object_get(value, whose), "key"), "mark") == 0;
}

/*
 * VALUE as (mark & KEEP) ^ FLIP, DEPTH operations deep, where the mark is that of WHOSE; false: it depends on
 * something else.
 */
static bool read_mark(
	const json_t *value, const char *whose, uint32_t *keep, uint32_t *flip, int depth)
{
	static const char *const operators[] = {"&", "|", "^"};
	uint32_t constant;

	*keep = 0;
	if (nft_uint(value, UINT32_MAX, flip))
		return true;
	*keep = UINT32_MAX;
	*flip = 0;
	if (is_mark(value, whose))
		return true;
	for (size_t i = 0; depth < 16 && i < sizeof(operators) / sizeof(operators[0]); i++) {
		const json_t *sides = json_object_get(value, operators[i]);
		size_t count = json_array_size(sides), side = 1;

		if (count < 2 || !read_mark(json_array_get(sides, 0), whose, keep, flip, depth + 1))
			continue;
		while (side < count &&
			nft_uint(json_array_get(sides, side), UINT32_MAX, &constant) &&
			apply_operator(operators[i][0], constant, keep, flip))
			side++;
		return side == count;
	}
	return false;
}

/*
 * Sets the mark of the packet, or for CT of its connection: from itself, or from the other one. A value of the
 * other one is copied whole, but for the bits that KEEP leaves out; then constants may follow.
 */
static void add_mark_target(struct nft_parse *parse, const json_t *value, bool ct)
{
	const char *own = ct ? "ct" : "meta", *other = ct ? "meta" : "ct";
	struct target *target;
	uint32_t keep, flip;

	if (!read_mark(value, own, &keep, &flip, 0)) {
		if (!read_mark(value, other, &keep, &flip, 0)) {
			add_unknown_target(parse, ct ? "ct mark set" : "meta mark set", value);
			return;
		}
		target = ruleset_add_target(
			parse->rule, ct ? TARGET_CT_MARK_SAVE : TARGET_CT_MARK_RESTORE);
		target->number = ct ? keep : UINT32_MAX;
		target->mask = ct ? UINT32_MAX : keep;
		if (flip == 0)
			return;
		keep = UINT32_MAX;
	}
	target = ruleset_add_target(parse->rule, ct ? TARGET_CT_MARK : TARGET_MARK);
	target->mask = ~keep;
	target->number = flip;
}

/* `set`: the model matches marks, addresses and ports; a change of anything else has no effect. */
static void read_mangle(struct nft_parse *parse, const json_t *value)
{
	static const char *const fields[] = {"saddr", "daddr", "sport", "dport"};
	const json_t *key = json_object_get(value, "key");
	const char *field = json_text(json_object_get(key, "payload"), "field");

	if (is_mark(key, "meta") || is_mark(key, "ct")) {
		add_mark_target(parse, json_object_get(value, "value"), is_mark(key, "ct"));
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

/* The rate of a limit in packets a minute; one of bytes counts as high. */
static uint32_t limit_rate(const json_t *limit)
{
	static const struct {
		const char *unit;
		double minutes;
	} units[] = {
		{"second", 1.0 / 60}, {"minute", 1}, {"hour", 60}, {"day", 1440}, {"week", 10080}};
	double rate = (double)json_integer_value(json_object_get(limit, "rate"));

	if (json_object_get(limit, "rate_unit") != NULL)
		return UINT32_MAX;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(units[i].unit, json_text(limit, "per")) == 0)
			rate /= units[i].minutes;
	return rate < UINT32_MAX ? (uint32_t)rate : UINT32_MAX;
}

/* Holds until it is reached, or, inverted (`over`), only from then on; of a named limit no rate is known. */
static void read_limit(struct nft_parse *parse, const char *name, const json_t *value)
{
	bool over = json_is_true(json_object_get(value, "inv"));
	bool rated = strcmp(name, "limit") == 0 && json_is_object(value);

	ruleset_add_match(parse->rule, MATCH_LIMIT, over)->number =
		rated ? limit_rate(value) : UINT32_MAX;
}

static bool is_limit(const char *name)
{
	static const char *const names[] = {"limit", "quota", "ct count", "connlimit"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

/* `add @SET { KEY STATEMENT }` adds an element; what follows applies only if the statement holds. */
static void read_set_statement(struct nft_parse *parse, const json_t *value)
{
	const json_t *inner = json_object_get(value, "stmt"), *each;
	size_t i;

	json_array_foreach(inner, i, each)
	{
		void *at = json_object_iter((json_t *)each);

		if (at != NULL)
			nft_statement(parse, json_object_iter_key(at), json_object_iter_value(at));
	}
	ruleset_add_target(parse->rule, TARGET_NONE);
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
	else if (is_limit(name))
		read_limit(parse, name, value);
	else if (strcmp(name, "set") == 0)
		read_set_statement(parse, value);
	else if (strcmp(name, "meter") == 0)
		add_unknown_match(parse, name, value);
	else
		add_unknown_target(parse, name, value);
}
