/*
 * What a rule of nft asks: the left side says which match it is, the right side its values.
 *
 * A right side is one value, a range, a prefix, a set, or the name of a set, whose elements are looked
 * up among what was listed. Each side of an address or port brings its protocol along, which nft leaves
 * out of its listing: `tcp dport 80` asks for TCP, too, negated or not. The traps: `tcp flags syn` asks
 * whether any of the bits is there, `tcp flags == syn` whether it is the only one; and a match that
 * follows a statement does not keep that statement from being done, which the model cannot say, so it
 * is taken for one that is not known.
 */
#include "nftables.h"
#include "ruleset_build.h"

#include <stdlib.h>
#include <string.h>

struct name {
	const char *name;
	uint32_t bits;
};

static const struct name flag_names[] = {{"fin", 1}, {"syn", 2}, {"rst", 4}, {"psh", 8},
	{"ack", 16}, {"urg", 32}, {"ecn", 64}, {"cwr", 128}, {NULL, 0}};

static const struct name state_names[] = {{"new", CT_NEW}, {"established", CT_ESTABLISHED},
	{"related", CT_RELATED}, {"invalid", CT_INVALID}, {"untracked", CT_OTHER}, {NULL, 0}};

/* --- values --- */

static bool is_set(const struct nft_parse *parse, const json_t *set, const char *name)
{
	return strcmp(nft_text(set, "name"), name) == 0 &&
	       strcmp(nft_text(set, "family"), parse->family) == 0 &&
	       strcmp(nft_text(set, "table"), parse->table_name) == 0;
}

/* A new list of the values of RIGHT; NULL: a set that is not listed. */
static json_t *values_of(const struct nft_parse *parse, const json_t *right)
{
	const json_t *inner = json_object_get(right, "set"), *object;
	const char *name = json_string_value(right);
	size_t i;

	if (json_is_array(inner))
		return json_copy((json_t *)inner);
	if (name == NULL || name[0] != '@')
		return json_pack("[O]", right);
	json_array_foreach(parse->objects, i, object)
	{
		const json_t *set = json_object_get(object, "set");

		if (set != NULL && is_set(parse, set, name + 1)) {
			inner = json_object_get(set, "elem");
			return inner == NULL ? json_array() : json_copy((json_t *)inner);
		}
	}
	return NULL;
}

static bool read_uint(const json_t *value, json_int_t most, uint32_t *number)
{
	json_int_t integer = json_integer_value(value);

	*number = (uint32_t)integer;
	return json_is_integer(value) && integer >= 0 && integer <= most;
}

static bool add_address(struct match *match, const json_t *value)
{
	const json_t *prefix = json_object_get(value, "prefix");
	const json_t *range = json_object_get(value, "range");
	struct addr first, last;
	uint32_t length;

	if (prefix != NULL)
		return addr_parse(&first, nft_text(prefix, "addr")) &&
		       read_uint(json_object_get(prefix, "len"), 128, &length) &&
		       add_prefix(match, first, length);
	if (range != NULL) {
		const char *low = json_string_value(json_array_get(range, 0));
		const char *high = json_string_value(json_array_get(range, 1));

		if (low == NULL || high == NULL || !addr_parse(&first, low) ||
			!addr_parse(&last, high))
			return false;
		add_range(match, first, last);
		return true;
	}
	return json_is_string(value) && addr_parse(&first, json_string_value(value)) &&
	       add_prefix(match, first, address_bits(addr_family(&first)));
}

static bool add_port(struct match *match, const json_t *value)
{
	const json_t *range = json_object_get(value, "range");
	const json_t *low = range != NULL ? json_array_get(range, 0) : value;
	const json_t *high = range != NULL ? json_array_get(range, 1) : value;
	uint32_t first, last;

	if (!read_uint(low, UINT16_MAX, &first) || !read_uint(high, UINT16_MAX, &last))
		return false;
	add_numbers(match, (uint16_t)first, (uint16_t)last);
	return true;
}

/* The first is the match's number as well, so that a single protocol is found there. */
static bool add_protocol(struct match *match, const json_t *value)
{
	int number = -1;

	if (json_is_string(value))
		number = protocol_number(json_string_value(value));
	else if (json_is_integer(value) && json_integer_value(value) <= 255)
		number = (int)json_integer_value(value);
	if (number < 0)
		return false;
	if (match->range_count == 0)
		match->number = (uint32_t)number;
	add_numbers(match, (uint16_t)number, (uint16_t)number);
	return true;
}

static bool add_interface(struct match *match, const json_t *value)
{
	char *before = match->text;

	if (!json_is_string(value) || strcmp(json_string_value(value), "*") == 0)
		return false;
	match->text = text_printed("%s%s%s", before == NULL ? "" : before,
		before == NULL ? "" : " ", json_string_value(value));
	free(before);
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
	uint32_t number;
	size_t i;

	if (list == NULL)
		list = json_object_get(value, "set");
	if (list != NULL) {
		json_array_foreach(list, i, one) if (!add_bits(one, names, bits)) return false;
		return true;
	}
	if (read_uint(value, UINT8_MAX, &number) && names == flag_names) {
		*bits |= number;
		return true;
	}
	for (; json_is_string(value) && names->name != NULL; names++)
		if (strcmp(names->name, json_string_value(value)) == 0) {
			*bits |= names->bits;
			return true;
		}
	return false;
}

/* --- matches --- */

/* Adds a match with all the values of RIGHT. One per match means: a set of several is not known. */
static bool add_values(struct nft_parse *parse, enum match_kind kind, bool negated,
	const json_t *right, bool (*add)(struct match *match, const json_t *value), bool one)
{
	struct match *match = add_match(parse->rule, kind, negated);
	json_t *values = values_of(parse, right), *value;
	bool well = values != NULL && (!one || json_array_size(values) == 1);
	size_t i;

	json_array_foreach(values, i, value)
	{
		const json_t *element = json_object_get(json_object_get(value, "elem"), "val");

		well = well && add(match, element != NULL ? element : value);
	}
	json_decref(values);
	if (kind == MATCH_IN || kind == MATCH_OUT)
		match->text = match->text != NULL ? match->text : text_copy("");
	if (!well)
		drop_match(parse->rule);
	return well;
}

static void add_number(struct nft_parse *parse, enum match_kind kind, int number)
{
	add_match(parse->rule, kind, false)->number = (uint32_t)number;
}

static bool add_mark(struct match *match, const json_t *value)
{
	match->mask = UINT32_MAX;
	return read_uint(value, UINT32_MAX, &match->number);
}

static bool match_meta(
	struct nft_parse *parse, const json_t *meta, bool negated, const json_t *right)
{
	static const struct {
		const char *key;
		bool (*add)(struct match *match, const json_t *value);
		enum match_kind kind;
		bool one;
	} keys[] = {{"l4proto", add_protocol, MATCH_PROTOCOL, false},
		{"iifname", add_interface, MATCH_IN, false},
		{"iif", add_interface, MATCH_IN, false},
		{"oifname", add_interface, MATCH_OUT, false},
		{"oif", add_interface, MATCH_OUT, false}, {"mark", add_mark, MATCH_MARK, true},
		{"nfproto", add_family, MATCH_FAMILY, true},
		{"protocol", add_family, MATCH_FAMILY, true}};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strcmp(keys[i].key, nft_text(meta, "key")) == 0)
			return add_values(
				parse, keys[i].kind, negated, right, keys[i].add, keys[i].one);
	return false;
}

/* Of which protocol a field is; a rule of one family alone needs not ask for it. */
static void add_dependency(struct nft_parse *parse, const char *protocol)
{
	int family = nft_family(protocol);

	if (family > 0 && parse->family_number == AF_UNSPEC)
		add_number(parse, MATCH_FAMILY, family);
	else if (family == -1 && strcmp(protocol, "th") != 0 && protocol_number(protocol) != -1)
		add_number(parse, MATCH_PROTOCOL, protocol_number(protocol));
}

/* (flags & MASK) OP RIGHT. */
static bool match_flags(struct nft_parse *parse, const char *op, uint32_t mask, const json_t *right)
{
	bool any = strcmp(op, "in") == 0, none = strcmp(op, "!") == 0;
	struct match *match;
	uint32_t bits = 0;

	if (!add_bits(right, flag_names, &bits) || json_object_get(right, "set") != NULL)
		return false;
	match = add_match(parse->rule, MATCH_TCP_FLAGS, any || strcmp(op, "!=") == 0);
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
		bool (*add)(struct match *match, const json_t *value);
	} fields[] = {{"saddr", MATCH_SOURCE, add_address},
		{"daddr", MATCH_DESTINATION, add_address}, {"sport", MATCH_SOURCE_PORT, add_port},
		{"dport", MATCH_DESTINATION_PORT, add_port},
		{"protocol", MATCH_PROTOCOL, add_protocol},
		{"nexthdr", MATCH_PROTOCOL, add_protocol}};
	const char *protocol = nft_text(payload, "protocol"), *field = nft_text(payload, "field");

	add_dependency(parse, protocol);
	if (strcmp(protocol, "tcp") == 0 && strcmp(field, "flags") == 0)
		return match_flags(parse, op, UINT8_MAX, right);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (strcmp(fields[i].field, field) == 0)
			return add_values(parse, fields[i].kind, strcmp(op, "!=") == 0, right,
				fields[i].add, false);
	return false;
}

/* `socket transparent 0`: a socket is there, and it is not a transparent one. */
static bool match_socket(
	struct nft_parse *parse, const json_t *socket, bool negated, const json_t *right)
{
	bool transparent = strcmp(nft_text(socket, "key"), "transparent") == 0;
	struct match *match;
	uint32_t wanted;

	if (!read_uint(right, 1, &wanted) ||
		(!transparent && strcmp(nft_text(socket, "key"), "wildcard") != 0))
		return false;
	wanted ^= negated;
	if (wanted != (transparent ? 1 : 0)) {
		add_match(parse->rule, MATCH_SOCKET, false);
		match = add_match(parse->rule, MATCH_SOCKET, true);
	} else
		match = add_match(parse->rule, MATCH_SOCKET, false);
	match->transparent = transparent;
	match->no_wildcard_sockets = !transparent;
	return true;
}

static bool match_state(
	struct nft_parse *parse, const json_t *ct, const char *op, const json_t *right)
{
	uint32_t bits = 0;

	if (strcmp(nft_text(ct, "key"), "state") != 0 || strcmp(op, "!") == 0 ||
		!add_bits(right, state_names, &bits))
		return false;
	add_match(parse->rule, MATCH_CT_STATE, strcmp(op, "!=") == 0)->number = bits;
	return true;
}

/* `fib daddr type local`; with an interface as well, it is another question. */
static bool match_fib(struct nft_parse *parse, const json_t *fib, bool negated, const json_t *right)
{
	const json_t *flags = json_object_get(fib, "flags");
	const char *flag =
		json_string_value(json_is_array(flags) ? json_array_get(flags, 0) : flags);
	const char *type = json_string_value(right);

	if (json_array_size(flags) > 1 || flag == NULL || strcmp(flag, "daddr") != 0 ||
		strcmp(nft_text(fib, "result"), "type") != 0 || type == NULL ||
		strcmp(type, "local") != 0)
		return false;
	add_match(parse->rule, MATCH_LOCAL, negated);
	return true;
}

/* `meta mark & MASK`, `tcp flags & MASK`. */
static bool match_masked(
	struct nft_parse *parse, const char *op, const json_t *sides, const json_t *right)
{
	const json_t *value = json_array_get(sides, 0), *mask = json_array_get(sides, 1);
	const json_t *payload = json_object_get(value, "payload");
	uint32_t bits = 0;

	if (strcmp(nft_text(json_object_get(value, "meta"), "key"), "mark") == 0) {
		if (!read_uint(mask, UINT32_MAX, &bits) ||
			!match_meta(parse, json_object_get(value, "meta"), strcmp(op, "!=") == 0,
				right))
			return false;
		parse->rule->matches[parse->rule->match_count - 1].mask = bits;
		return true;
	}
	if (strcmp(nft_text(payload, "protocol"), "tcp") != 0 ||
		strcmp(nft_text(payload, "field"), "flags") != 0 ||
		!add_bits(mask, flag_names, &bits))
		return false;
	add_dependency(parse, "tcp");
	return match_flags(parse, op, bits, right);
}

static bool match_known(
	struct nft_parse *parse, const char *op, const json_t *left, const json_t *right)
{
	bool negated = strcmp(op, "!=") == 0, plain = negated || strcmp(op, "==") == 0;
	const json_t *inner;

	if ((inner = json_object_get(left, "payload")) != NULL)
		return (plain || strcmp(nft_text(inner, "field"), "flags") == 0) &&
		       match_payload(parse, op, inner, right);
	if ((inner = json_object_get(left, "ct")) != NULL)
		return match_state(parse, inner, op, right);
	if (!plain)
		return false;
	if ((inner = json_object_get(left, "meta")) != NULL)
		return match_meta(parse, inner, negated, right);
	if ((inner = json_object_get(left, "socket")) != NULL)
		return match_socket(parse, inner, negated, right);
	if ((inner = json_object_get(left, "fib")) != NULL)
		return match_fib(parse, inner, negated, right);
	if ((inner = json_object_get(left, "&")) != NULL)
		return match_masked(parse, op, inner, right);
	return false;
}

static bool has_acted(const struct rule *rule)
{
	for (size_t i = 0; i < rule->target_count; i++)
		if (rule->targets[i].kind != TARGET_NONE)
			return true;
	return false;
}

static void add_unknown(
	struct nft_parse *parse, const char *op, const json_t *left, const json_t *right)
{
	char *asked = nft_words("match", left), *value = nft_words(op, right);

	add_match(parse->rule, MATCH_UNKNOWN, false)->text = text_printed("%s %s", asked, value);
	free(asked);
	free(value);
}

void nft_match(struct nft_parse *parse, const char *op, const json_t *left, const json_t *right)
{
	static const char *const known[] = {"==", "!=", "in", "!"};
	bool well = false;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		well = well || strcmp(known[i], op) == 0;
	if (!well || has_acted(parse->rule) || !match_known(parse, op, left, right))
		add_unknown(parse, op, left, right);
}
