/*
 * Matches of nft: the left side says which field, the right side which values.
 *
 * The right side is a value, a range, a prefix, a set, or the name of a set, which was listed before. nft leaves out
 * the protocol that a port or flag needs: `tcp dport 80` needs TCP, negated or not. So that match is added here.
 *
 * The traps: `tcp flags syn` matches if any of the bits is set, `tcp flags == syn` if it is the only one. And a match
 * behind a statement does not undo that statement, which the model cannot express; such a match is unknown.
 */
#include "nftables.h"
#include "ruleset_build.h"
#include "tproxy/array.h"
#include "tproxy/text.h"

#include <stdlib.h>
#include <string.h>

struct name {
	const char *name;
	uint32_t bits;
};

static const struct name flag_names[] = {{"fin", 1}, {"syn", 2}, {"rst", 4}, {"psh", 8},
	{"ack", 16}, {"urg", 32}, {"ecn", 64}, {"cwr", 128}, {NULL, 0}};

static const struct name state_names[] = {{"new", CT_NEW}, {"established", CT_ESTABLISHED},
	{"related", CT_RELATED}, {"invalid", CT_INVALID}, {"untracked", CT_UNTRACKED}, {NULL, 0}};

/* What `ct status` says of a simulated packet's connection; `assured` is not known. */
static const struct name status_names[] = {{"dnat", CT_CHANGED}, {"snat", CT_CHANGED},
	{"expected", CT_CHANGED}, {"seen-reply", CT_ESTABLISHED}, {"confirmed", CT_ESTABLISHED},
	{NULL, 0}};

static const struct name type_names[] = {{"local", ADDRESS_LOCAL}, {"unicast", ADDRESS_UNICAST},
	{"broadcast", ADDRESS_BROADCAST}, {"multicast", ADDRESS_MULTICAST},
	{"anycast", ADDRESS_ANYCAST}, {"unreachable", ADDRESS_UNREACHABLE},
	{"blackhole", ADDRESS_UNREACHABLE}, {"prohibit", ADDRESS_UNREACHABLE}, {NULL, 0}};

static const struct name fib_flags[] = {{"saddr", ROUTE_TO_SOURCE}, {"daddr", 0},
	{"mark", ROUTE_BY_MARK}, {"iif", ROUTE_ON_LINK_IN}, {"oif", ROUTE_ON_LINK_OUT}, {NULL, 0}};

static const struct name icmpv6_types[] = {{"destination-unreachable", 1}, {"packet-too-big", 2},
	{"time-exceeded", 3}, {"parameter-problem", 4}, {"echo-request", 128}, {"echo-reply", 129},
	{"mld-listener-query", 130}, {"mld-listener-report", 131}, {"mld-listener-done", 132},
	{"mld-listener-reduction", 132}, {"nd-router-solicit", 133}, {"nd-router-advert", 134},
	{"nd-neighbor-solicit", 135}, {"nd-neighbor-advert", 136}, {"nd-redirect", 137},
	{"router-renumbering", 138}, {"ind-neighbor-solicit", 141}, {"ind-neighbor-advert", 142},
	{"mld2-listener-report", 143}, {NULL, 0}};

static const struct name icmpv6_codes[] = {{"no-route", 0}, {"admin-prohibited", 1},
	{"addr-unreachable", 3}, {"port-unreachable", 4}, {"policy-fail", 5}, {"reject-route", 6},
	{NULL, 0}};

/* --- values --- */

static bool add_address(struct match *match, const json_t *value)
{
	const json_t *prefix = json_object_get(value, "prefix");
	const json_t *range = json_object_get(value, "range");
	struct addr first, last;
	uint32_t length;

	if (prefix != NULL)
		return addr_parse(&first, json_text(prefix, "addr")) &&
		       nft_uint(json_object_get(prefix, "len"), 128, &length) &&
		       ruleset_add_prefix(match, first, length);
	if (range != NULL) {
		const char *low = json_string_value(json_array_get(range, 0));
		const char *high = json_string_value(json_array_get(range, 1));

		if (low == NULL || high == NULL || !addr_parse(&first, low) ||
			!addr_parse(&last, high) || addr_family(&first) != addr_family(&last))
			return false;
		ruleset_add_range(match, first, last);
		return true;
	}
	return json_is_string(value) && addr_parse(&first, json_string_value(value)) &&
	       ruleset_add_prefix(match, first, family_bits(addr_family(&first)));
}

/* The entry of NAMES for a value, or NULL. */
static const struct name *find_name(const struct name *names, const json_t *value)
{
	for (; json_is_string(value) && names->name != NULL; names++)
		if (strcmp(names->name, json_string_value(value)) == 0)
			return names;
	return NULL;
}

/* A number, or one of NAMES (NULL: there are none). */
static bool read_number(const json_t *value, const struct name *names, uint32_t *number)
{
	const struct name *name = names != NULL ? find_name(names, value) : NULL;

	if (name == NULL)
		return nft_uint(value, UINT16_MAX, number);
	*number = name->bits;
	return true;
}

static bool add_named(struct match *match, const json_t *value, const struct name *names)
{
	const json_t *range = json_object_get(value, "range");
	const json_t *low = range != NULL ? json_array_get(range, 0) : value;
	const json_t *high = range != NULL ? json_array_get(range, 1) : value;
	uint32_t first, last;

	if (!read_number(low, names, &first) || !read_number(high, names, &last))
		return false;
	ruleset_add_numbers(match, (uint16_t)first, (uint16_t)last);
	return true;
}

/* Ports, and smaller numbers. */
static bool add_numbers(struct match *match, const json_t *value)
{
	return add_named(match, value, NULL);
}

static bool add_icmpv6_type(struct match *match, const json_t *value)
{
	return add_named(match, value, icmpv6_types);
}

static bool add_icmpv6_code(struct match *match, const json_t *value)
{
	return add_named(match, value, icmpv6_codes);
}

/* The first one is also the number of the match, so that a single protocol is found there. */
static bool add_protocol(struct match *match, const json_t *value)
{
	uint32_t given;
	int number = -1;

	if (json_is_string(value))
		number = ruleset_protocol(json_string_value(value));
	else if (nft_uint(value, UINT8_MAX, &given))
		number = (int)given;
	if (number == -1)
		return false;
	if (match->range_count == 0)
		match->number = (uint32_t)number;
	ruleset_add_numbers(match, (uint16_t)number, (uint16_t)number);
	return true;
}

static bool add_family(struct match *match, const json_t *value)
{
	const char *name = json_is_string(value) ? json_string_value(value) : "";
	bool four = strcmp(name, "ipv4") == 0 || strcmp(name, "ip") == 0;

	match->number = four ? AF_INET : AF_INET6;
	return four || strcmp(name, "ipv6") == 0 || strcmp(name, "ip6") == 0;
}

/* Adds the bits of a name, a number, or a list of them. */
static bool add_bits(const json_t *value, const struct name *names, uint32_t *bits)
{
	const json_t *list = json_is_array(value) ? value : json_object_get(value, "|"), *one;
	const struct name *name;
	uint32_t number;
	size_t i;

	if (list == NULL)
		list = json_object_get(value, "set");
	if (list != NULL) {
		json_array_foreach(list, i, one) if (!add_bits(one, names, bits)) return false;
		return true;
	}
	if (names == flag_names && nft_uint(value, UINT8_MAX, &number)) {
		*bits |= number;
		return true;
	}
	name = find_name(names, value);
	if (name != NULL)
		*bits |= name->bits;
	return name != NULL;
}

/* --- matches --- */

/* Names of interfaces, with blanks between them. */
static bool read_names(struct match *match, const json_t *list)
{
	struct text_stream names;
	const json_t *value;
	bool well = true;
	size_t i;

	text_begin(&names);
	json_array_foreach(list, i, value)
	{
		const json_t *element = json_object_get(json_object_get(value, "elem"), "val");
		const char *name = json_string_value(element != NULL ? element : value);

		well = well && name != NULL && strcmp(name, "*") != 0;
		if (well)
			fprintf(names.out, "%s%s", i > 0 ? " " : "", name);
	}
	match->text = text_end(&names);
	return well;
}

/* Adds all values of a list to the match; false: one is unknown. */
static bool read_values(struct match *match, const json_t *list, nft_adder *add)
{
	const json_t *value;
	size_t i;

	if (add == NULL)
		return read_names(match, list);
	json_array_foreach(list, i, value)
	{
		const json_t *element = json_object_get(json_object_get(value, "elem"), "val");

		if (!add(match, element != NULL ? element : value))
			return false;
	}
	ruleset_sort_ranges(match);
	return true;
}

/* The contents of a named set for matches of this kind. */
static const struct nft_values *values_of(struct nft_set *set, enum match_kind kind, nft_adder *add)
{
	struct nft_values *made;

	for (size_t i = 0; i < set->value_count; i++)
		if (set->values[i].kind == kind && set->values[i].add == add)
			return &set->values[i];
	set->values = array_room(set->values, set->value_count, sizeof(*set->values));
	made = &set->values[set->value_count++];
	made->kind = made->match.kind = kind;
	made->add = add;
	made->known = read_values(&made->match, set->elements, add);
	return made;
}

/* Lets a match borrow the contents of a named set; false: a value is unknown, or the set is not listed. */
static bool borrow_values(
	struct nft_parse *parse, struct match *match, const char *name, nft_adder *add, bool one)
{
	const struct nft_values *values;
	struct nft_set *set;
	size_t place;

	if (!names_find(&parse->sets->names, name, &place))
		return false;
	set = &parse->sets->list[place];
	if (one && json_array_size(set->elements) != 1)
		return false;
	values = values_of(set, match->kind, add);
	match->number = values->match.number;
	match->mask = values->match.mask;
	match->ranges = values->match.ranges;
	match->range_count = values->match.range_count;
	match->text = values->match.text;
	match->borrowed = true;
	return values->known;
}

/* Adds a match with all values of RIGHT. ONE: a set of several values is unknown. */
static bool add_values(struct nft_parse *parse, enum match_kind kind, bool negated,
	const json_t *right, nft_adder *add, bool one)
{
	struct match *match = ruleset_add_match(parse->rule, kind, negated);
	const char *name = json_string_value(right);
	json_t *inner = json_object_get(right, "set"), *list;
	bool well;

	if (name != NULL && name[0] == '@')
		well = borrow_values(parse, match, name + 1, add, one);
	else {
		list = json_is_array(inner) ? json_incref(inner) : json_pack("[O]", right);
		well = (!one || json_array_size(list) == 1) && read_values(match, list, add);
		json_decref(list);
	}
	if (!well)
		ruleset_drop_match(parse->rule);
	return well;
}

static void add_number(struct nft_parse *parse, enum match_kind kind, int number)
{
	ruleset_add_match(parse->rule, kind, false)->number = (uint32_t)number;
}

static bool add_mark(struct match *match, const json_t *value)
{
	match->mask = UINT32_MAX;
	return nft_uint(value, UINT32_MAX, &match->number);
}

static bool match_meta(
	struct nft_parse *parse, const json_t *meta, bool negated, const json_t *right)
{
	static const struct {
		const char *key;
		nft_adder *add; /* NULL: names, which are read together */
		enum match_kind kind;
		bool one;
	} keys[] = {{"l4proto", add_protocol, MATCH_PROTOCOL, false},
		{"iifname", NULL, MATCH_IN, false}, {"iif", NULL, MATCH_IN, false},
		{"oifname", NULL, MATCH_OUT, false}, {"oif", NULL, MATCH_OUT, false},
		{"mark", add_mark, MATCH_MARK, true}, {"nfproto", add_family, MATCH_FAMILY, true},
		{"protocol", add_family, MATCH_FAMILY, true}};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strcmp(keys[i].key, json_text(meta, "key")) == 0)
			return add_values(
				parse, keys[i].kind, negated, right, keys[i].add, keys[i].one);
	return false;
}

/* Adds the match of the protocol that a field belongs to; in a table of one family, its family is clear. */
static void add_dependency(struct nft_parse *parse, const char *protocol)
{
	int family = nft_family(protocol);

	if (family > 0 && parse->family_number == AF_UNSPEC)
		add_number(parse, MATCH_FAMILY, family);
	else if (family == -1 && strcmp(protocol, "th") != 0 && ruleset_protocol(protocol) != -1)
		add_number(parse, MATCH_PROTOCOL, ruleset_protocol(protocol));
}

/* (flags & MASK) OP RIGHT. */
static bool match_flags(struct nft_parse *parse, const char *op, uint32_t mask, const json_t *right)
{
	bool any = strcmp(op, "in") == 0, none = strcmp(op, "!") == 0;
	struct match *match;
	uint32_t bits = 0;

	if (!add_bits(right, flag_names, &bits) || json_object_get(right, "set") != NULL)
		return false;
	match = ruleset_add_match(parse->rule, MATCH_TCP_FLAGS, any || strcmp(op, "!=") == 0);
	match->mask = any || none ? mask & bits : mask;
	match->number = any || none ? 0 : bits;
	return true;
}

static bool match_payload(
	struct nft_parse *parse, const char *op, const json_t *payload, const json_t *right)
{
	static const struct {
		const char *field;
		enum match_kind kind;
		nft_adder *add;
	} fields[] = {{"saddr", MATCH_SOURCE, add_address},
		{"daddr", MATCH_DESTINATION, add_address},
		{"sport", MATCH_SOURCE_PORT, add_numbers},
		{"dport", MATCH_DESTINATION_PORT, add_numbers},
		{"hoplimit", MATCH_HOP_LIMIT, add_numbers},
		{"type", MATCH_ICMP_TYPE, add_icmpv6_type},
		{"code", MATCH_ICMP_CODE, add_icmpv6_code},
		{"protocol", MATCH_PROTOCOL, add_protocol},
		{"nexthdr", MATCH_PROTOCOL, add_protocol}};
	const char *protocol = json_text(payload, "protocol"), *field = json_text(payload, "field");

	add_dependency(parse, protocol);
	if (strcmp(protocol, "tcp") == 0 && strcmp(field, "flags") == 0)
		return match_flags(parse, op, UINT8_MAX, right);
	if (strcmp(protocol, "icmpv6") != 0 &&
		(strcmp(field, "type") == 0 || strcmp(field, "code") == 0))
		return false; /* their numbers mean something else */
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (strcmp(fields[i].field, field) == 0)
			return add_values(parse, fields[i].kind, strcmp(op, "!=") == 0, right,
				fields[i].add, false);
	return false;
}

/* `socket transparent 0`: the packet has a socket, but not a transparent one. */
static bool match_socket(
	struct nft_parse *parse, const json_t *socket, bool negated, const json_t *right)
{
	bool transparent = strcmp(json_text(socket, "key"), "transparent") == 0;
	struct match *match;
	uint32_t value;

	if (!nft_uint(right, 1, &value) ||
		(!transparent && strcmp(json_text(socket, "key"), "wildcard") != 0))
		return false;
	value ^= negated;
	if (value != (transparent ? 1 : 0)) {
		ruleset_add_match(parse->rule, MATCH_SOCKET, false);
		match = ruleset_add_match(parse->rule, MATCH_SOCKET, true);
	} else
		match = ruleset_add_match(parse->rule, MATCH_SOCKET, false);
	match->transparent = transparent;
	match->no_wildcard_sockets = !transparent;
	return true;
}

/* `ct state`, `ct status`, `ct mark`. */
static bool match_ct(struct nft_parse *parse, const json_t *ct, const char *op, const json_t *right)
{
	const char *key = json_text(ct, "key");
	const struct name *names = strcmp(key, "status") == 0 ? status_names : state_names;
	bool negated = strcmp(op, "!=") == 0;
	uint32_t bits = 0;

	if (strcmp(op, "!") == 0)
		return false;
	if (strcmp(key, "mark") == 0)
		return strcmp(op, "in") != 0 &&
		       add_values(parse, MATCH_CT_MARK, negated, right, add_mark, true);
	if ((names == state_names && strcmp(key, "state") != 0) || !add_bits(right, names, &bits))
		return false;
	ruleset_add_match(parse->rule, MATCH_CT_STATE, negated)->number = bits;
	return true;
}

/* `fib FLAGS oif missing`, also as `oif 0`; of interfaces by their names nothing is known. */
static bool match_fib_link(
	struct nft_parse *parse, uint32_t flags, bool negated, const json_t *right)
{
	const char *name = json_string_value(right);
	bool none = json_is_false(right) || (name != NULL && strcmp(name, "0") == 0) ||
		    (json_is_integer(right) && json_integer_value(right) == 0);

	if (!none && !json_is_true(right))
		return false;
	ruleset_add_match(parse->rule, MATCH_ROUTE, negated != none)->mask = flags;
	return true;
}

/* `fib FLAGS type …` and `fib FLAGS oif …`. */
static bool match_fib(struct nft_parse *parse, const json_t *fib, bool negated, const json_t *right)
{
	const json_t *named = json_object_get(fib, "flags");
	const char *result = json_text(fib, "result");
	struct match *match;
	uint32_t flags = 0, types = 0;

	if (!add_bits(named, fib_flags, &flags))
		return false;
	if (strncmp(result, "oif", 3) == 0)
		return match_fib_link(parse, flags, negated, right);
	if (strcmp(result, "type") != 0 || !add_bits(right, type_names, &types))
		return false;
	match = ruleset_add_match(parse->rule, MATCH_TYPE, negated);
	match->number = types;
	match->mask = flags;
	return true;
}

/* `meta mark & MASK`, `ct mark & MASK`, `tcp flags & MASK`. */
static bool match_masked(
	struct nft_parse *parse, const char *op, const json_t *sides, const json_t *right)
{
	const json_t *value = json_array_get(sides, 0), *mask = json_array_get(sides, 1);
	const json_t *payload = json_object_get(value, "payload");
	const json_t *meta = json_object_get(value, "meta"), *ct = json_object_get(value, "ct");
	uint32_t bits = 0;

	if (strcmp(json_text(meta, "key"), "mark") == 0 ||
		strcmp(json_text(ct, "key"), "mark") == 0) {
		if (!nft_uint(mask, UINT32_MAX, &bits) ||
			!(meta != NULL ? match_meta(parse, meta, strcmp(op, "!=") == 0, right)
				       : match_ct(parse, ct, op, right)))
			return false;
		parse->rule->matches[parse->rule->match_count - 1].mask = bits;
		return true;
	}
	if (strcmp(json_text(payload, "protocol"), "tcp") != 0 ||
		strcmp(json_text(payload, "field"), "flags") != 0 ||
		!add_bits(mask, flag_names, &bits))
		return false;
	add_dependency(parse, "tcp");
	return match_flags(parse, op, bits, right);
}

/* `meta skuid 1000` or `meta skuid 1000-2000`; nft prints the names of users that it knows. */
static bool match_uid(struct nft_parse *parse, bool negated, const json_t *right)
{
	const json_t *range = json_object_get(right, "range");
	struct match *match = ruleset_add_match(parse->rule, MATCH_UID, negated);
	const json_t *first = range != NULL ? json_array_get(range, 0) : right;
	const json_t *last = range != NULL ? json_array_get(range, 1) : right;

	if (nft_uint(first, UINT32_MAX, &match->number) && nft_uint(last, UINT32_MAX, &match->mask))
		return true;
	ruleset_drop_match(parse->rule);
	return false;
}

static bool match_known(
	struct nft_parse *parse, const char *op, const json_t *left, const json_t *right)
{
	bool negated = strcmp(op, "!=") == 0, plain = negated || strcmp(op, "==") == 0;
	const json_t *inner;

	if ((inner = json_object_get(left, "payload")) != NULL)
		return (plain || strcmp(json_text(inner, "field"), "flags") == 0) &&
		       match_payload(parse, op, inner, right);
	if ((inner = json_object_get(left, "ct")) != NULL)
		return match_ct(parse, inner, op, right);
	if (!plain)
		return false;
	if (json_object_get(left, "numgen") != NULL) {
		ruleset_add_match(parse->rule, MATCH_LIMIT, true); /* some packets, by chance */
		return true;
	}
	if ((inner = json_object_get(left, "meta")) != NULL &&
		strcmp(json_text(inner, "key"), "skuid") == 0)
		return match_uid(parse, negated, right);
	if (inner != NULL)
		return match_meta(parse, inner, negated, right);
	if ((inner = json_object_get(left, "socket")) != NULL)
		return match_socket(parse, inner, negated, right);
	if ((inner = json_object_get(left, "fib")) != NULL)
		return match_fib(parse, inner, negated, right);
	if ((inner = json_object_get(left, "&")) != NULL)
		return match_masked(parse, op, inner, right);
	return false;
}

static void add_unknown(
	struct nft_parse *parse, const char *op, const json_t *left, const json_t *right)
{
	char *field = nft_format("match", left), *value = nft_format(op, right);

	ruleset_add_match(parse->rule, MATCH_UNKNOWN, false)->text =
		text_format("%s %s", field, value);
	free(field);
	free(value);
}

void nft_match(struct nft_parse *parse, const char *op, const json_t *left, const json_t *right)
{
	static const char *const known[] = {"==", "!=", "in", "!"};
	bool well = false;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		well = well || strcmp(known[i], op) == 0;
	if (!well || ruleset_has_effect(parse->rule) || !match_known(parse, op, left, right))
		add_unknown(parse, op, left, right);
}
