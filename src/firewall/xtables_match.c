/*
 * The known matches of iptables: a table of options, and a reader for each kind of value.
 *
 * An option belongs to the last match before it ("-m tcp --dport 80"), and is looked up with it: --dport of another
 * protocol is another option. A value that cannot be read is not an error of the text: the match is unknown then.
 *
 * The trap is iptables' socket match: it ignores wildcard listeners unless --nowildcard is given. nft's match does
 * not ignore them.
 */
#include "ruleset_build.h"
#include "tproxy/text.h"
#include "xtables.h"

#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

/* How many bits a mask like 255.255.255.0 has; -1 where it has holes. */
static int mask_length(const char *text)
{
	struct addr mask;
	const uint8_t *bytes;
	unsigned length = 0, bits;

	if (!addr_parse(&mask, text))
		return -1;
	bits = family_bits(addr_family(&mask));
	bytes = addr_bytes(&mask);
	while (length < bits && (bytes[length / 8] & 0x80 >> length % 8) != 0)
		length++;
	for (unsigned bit = length; bit < bits; bit++)
		if ((bytes[bit / 8] & 0x80 >> bit % 8) != 0)
			return -1;
	return (int)length;
}

static bool read_length(const char *text, unsigned *length)
{
	const char *end;
	int bits;

	if (xtables_number(text, length, &end) && *end == '\0')
		return true;
	bits = mask_length(text);
	*length = (unsigned)bits;
	return bits != -1;
}

/* Removes the match that was added last unless its value was read WELL. */
static bool keep_match_if(struct xtables_parse *parse, bool well)
{
	if (!well)
		ruleset_drop_match(parse->rule);
	return well;
}

static bool read_prefix(
	struct xtables_parse *parse, enum match_kind kind, const struct xtables_word *values)
{
	struct match *match = ruleset_add_match(parse->rule, kind, parse->negated);
	char *text = text_copy(values->text), *slash = strchr(text, '/');
	unsigned length = 0;
	struct addr address;
	bool well;

	if (slash != NULL)
		*slash = '\0';
	well = addr_parse(&address, text);
	if (well && slash == NULL)
		length = family_bits(addr_family(&address));
	else if (well)
		well = read_length(slash + 1, &length);
	well = well && ruleset_add_prefix(match, address, length);
	free(text);
	return keep_match_if(parse, well);
}

static bool read_address_range(
	struct xtables_parse *parse, enum match_kind kind, const struct xtables_word *values)
{
	struct match *match = ruleset_add_match(parse->rule, kind, parse->negated);
	char *text = text_copy(values->text), *dash = strchr(text, '-');
	struct addr first, last;
	bool well;

	if (dash != NULL)
		*dash = '\0';
	well = addr_parse(&first, text) && addr_parse(&last, dash == NULL ? text : dash + 1) &&
	       addr_family(&first) == addr_family(&last);
	if (well)
		ruleset_add_range(match, first, last);
	free(text);
	return keep_match_if(parse, well);
}

/* "80", "80:90", ":90" or "80:", up to a comma or the end: ports, and smaller numbers. */
static bool add_numbers(struct match *match, const char *text)
{
	uint32_t first = 0, last = UINT16_MAX;
	const char *end = text;

	if (*text != ':' && !xtables_number(text, &first, &end))
		return false;
	if (*end != ':')
		last = first;
	else if (*++end != '\0' && *end != ',' && !xtables_number(end, &last, &end))
		return false;
	if ((*end != '\0' && *end != ',') || first > UINT16_MAX || last > UINT16_MAX)
		return false;
	ruleset_add_numbers(match, (uint16_t)first, (uint16_t)last);
	return true;
}

static bool read_numbers(
	struct xtables_parse *parse, enum match_kind kind, const struct xtables_word *values)
{
	struct match *match = ruleset_add_match(parse->rule, kind, parse->negated);
	const char *text = values->text;
	bool well = add_numbers(match, text);

	while (well && (text = strchr(text, ',')) != NULL)
		well = add_numbers(match, ++text);
	return keep_match_if(parse, well);
}

static bool read_interface(
	struct xtables_parse *parse, enum match_kind kind, const struct xtables_word *values)
{
	ruleset_add_match(parse->rule, kind, parse->negated)->text = text_copy(values->text);
	return true;
}

static bool read_protocol(
	struct xtables_parse *parse, enum match_kind kind, const struct xtables_word *values)
{
	int number = ruleset_protocol(values->text);

	parse->module = values->text; /* options of the protocol need no -m */
	if (strcmp(values->text, "all") == 0)
		return true;
	if (number == -1)
		return false;
	ruleset_add_match(parse->rule, kind, parse->negated)->number = (uint32_t)number;
	return true;
}

/* -f matches later fragments; a simulated packet never is one. */
static bool read_fragment(
	struct xtables_parse *parse, enum match_kind kind, const struct xtables_word *values)
{
	(void)values;
	ruleset_add_match(parse->rule, kind, !parse->negated);
	return true;
}

/* Of a routing header, which a simulated packet does not have: such a match fails, negated or not. */
static bool read_routing_header(
	struct xtables_parse *parse, enum match_kind kind, const struct xtables_word *values)
{
	(void)values;
	ruleset_add_match(parse->rule, kind, true);
	return true;
}

static bool read_always(
	struct xtables_parse *parse, enum match_kind kind, const struct xtables_word *values)
{
	(void)values;
	ruleset_add_match(parse->rule, kind, false);
	return !parse->negated;
}

static bool read_mark(
	struct xtables_parse *parse, enum match_kind kind, const struct xtables_word *values)
{
	struct match *match = ruleset_add_match(parse->rule, kind, parse->negated);

	return keep_match_if(parse, xtables_masked(values->text, &match->number, &match->mask));
}

static bool add_flags(struct xtables_parse *parse, uint32_t mask, uint32_t flags)
{
	struct match *match = ruleset_add_match(parse->rule, MATCH_TCP_FLAGS, parse->negated);

	match->mask = mask;
	match->number = flags;
	return true;
}

static bool read_syn(
	struct xtables_parse *parse, enum match_kind kind, const struct xtables_word *values)
{
	(void)kind;
	(void)values;
	return add_flags(parse, TH_SYN | TH_RST | TH_ACK | TH_FIN, TH_SYN);
}

struct name {
	const char *name;
	uint32_t bits;
};

/* The bits of names with commas between them; false: one is unknown. */
static bool read_names(const char *text, const struct name *names, size_t count, uint32_t *bits)
{
	*bits = 0;
	for (;;) {
		size_t length = strcspn(text, ","), i = 0;

		while (i < count && (strlen(names[i].name) != length ||
					    strncmp(names[i].name, text, length) != 0))
			i++;
		if (i == count)
			return false;
		*bits |= names[i].bits;
		if (text[length] == '\0')
			return true;
		text += length + 1;
	}
}

static bool read_flags(
	struct xtables_parse *parse, enum match_kind kind, const struct xtables_word *values)
{
	static const struct name names[] = {{"FIN", TH_FIN}, {"SYN", TH_SYN}, {"RST", TH_RST},
		{"PSH", TH_PUSH}, {"ACK", TH_ACK}, {"URG", TH_URG},
		{"ALL", TH_FIN | TH_SYN | TH_RST | TH_PUSH | TH_ACK | TH_URG}, {"NONE", 0}};
	const size_t count = sizeof(names) / sizeof(names[0]);
	uint32_t mask, flags;

	(void)kind;
	return read_names(values[0].text, names, count, &mask) &&
	       read_names(values[1].text, names, count, &flags) && add_flags(parse, mask, flags);
}

static bool read_states(
	struct xtables_parse *parse, enum match_kind kind, const struct xtables_word *values)
{
	static const struct name names[] = {{"NEW", CT_NEW}, {"ESTABLISHED", CT_ESTABLISHED},
		{"RELATED", CT_RELATED}, {"INVALID", CT_INVALID}, {"UNTRACKED", CT_UNTRACKED},
		{"DNAT", CT_CHANGED}, {"SNAT", CT_CHANGED}};
	uint32_t bits;

	if (!read_names(values->text, names, sizeof(names) / sizeof(names[0]), &bits))
		return false;
	ruleset_add_match(parse->rule, kind, parse->negated)->number = bits;
	return true;
}

/* --dst-type, --src-type: the kernel asks its routes, without the packet's mark. */
static bool read_type(
	struct xtables_parse *parse, enum match_kind kind, const struct xtables_word *values)
{
	static const struct name names[] = {{"LOCAL", ADDRESS_LOCAL}, {"UNICAST", ADDRESS_UNICAST},
		{"BROADCAST", ADDRESS_BROADCAST}, {"MULTICAST", ADDRESS_MULTICAST},
		{"ANYCAST", ADDRESS_ANYCAST}, {"UNREACHABLE", ADDRESS_UNREACHABLE},
		{"BLACKHOLE", ADDRESS_UNREACHABLE}, {"PROHIBIT", ADDRESS_UNREACHABLE}};
	struct match *match;
	uint32_t bits;

	if (!read_names(values->text, names, sizeof(names) / sizeof(names[0]), &bits))
		return false;
	match = ruleset_add_match(parse->rule, kind, parse->negated);
	match->number = bits;
	if (xtables_is(values - 1, "--src-type"))
		match->mask = ROUTE_TO_SOURCE;
	return true;
}

/* An option that changes the match before it, if that is of its kind. */
static struct match *match_before(struct xtables_parse *parse, enum match_kind kind)
{
	struct rule *rule = parse->rule;
	struct match *match = rule->match_count > 0 ? &rule->matches[rule->match_count - 1] : NULL;

	return match != NULL && match->kind == kind ? match : NULL;
}

static bool read_type_on_link(
	struct xtables_parse *parse, enum match_kind kind, const struct xtables_word *values)
{
	struct match *match = match_before(parse, kind);

	if (match == NULL || parse->negated)
		return false;
	match->mask |=
		xtables_is(values - 1, "--limit-iface-in") ? ROUTE_ON_LINK_IN : ROUTE_ON_LINK_OUT;
	return true;
}

/* Options of the rpfilter match change the match that "-m rpfilter" added. */
static bool read_rpfilter_option(
	struct xtables_parse *parse, enum match_kind kind, const struct xtables_word *values)
{
	struct match *match = match_before(parse, kind);

	if (match == NULL || parse->negated)
		return false;
	if (xtables_is(values - 1, "--loose"))
		match->mask &= ~(uint32_t)ROUTE_ON_LINK_IN;
	else if (xtables_is(values - 1, "--validmark"))
		match->mask |= ROUTE_BY_MARK;
	else if (xtables_is(values - 1, "--accept-local"))
		match->mask |= ROUTE_MAY_BE_LOCAL;
	else
		match->negated = true; /* --invert */
	return true;
}

/* "3/min", "10/second", "5/sec": as packets a minute, one at least. */
static bool read_rate(const char *text, uint32_t *rate)
{
	static const struct name units[] = {{"s", 3600}, {"m", 60}, {"h", 1}, {"d", 0}};
	const char *end;
	uint32_t number;

	if (!xtables_number(text, &number, &end) || *end != '/')
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (end[1] == *units[i].name) {
			uint64_t each = (uint64_t)number * units[i].bits / 60;

			*rate = each > UINT32_MAX ? UINT32_MAX : (uint32_t)each;
			return true;
		}
	return false;
}

static bool read_limit(
	struct xtables_parse *parse, enum match_kind kind, const struct xtables_word *values)
{
	uint32_t rate;

	if (parse->negated || !read_rate(values->text, &rate))
		return false;
	ruleset_add_match(parse->rule, kind, false)->number = rate;
	return true;
}

/* Options of the socket match change the match that "-m socket" added. */
static bool read_socket_option(
	struct xtables_parse *parse, enum match_kind kind, const struct xtables_word *values)
{
	const char *name = values[-1].text;
	struct match *match = &parse->rule->matches[parse->rule->match_count - 1];

	if (match->kind != kind || parse->negated)
		return false;
	if (strcmp(name, "--transparent") == 0)
		match->transparent = true;
	else if (strcmp(name, "--nowildcard") == 0)
		match->no_wildcard_sockets = false;
	else
		parse->restores_mark = true;
	return true;
}

/* `statistic` matches some packets, by chance or by counting. */
static bool read_statistic(
	struct xtables_parse *parse, enum match_kind kind, const struct xtables_word *values)
{
	(void)values;
	ruleset_add_match(parse->rule, kind, true);
	return true;
}

/* --connlimit-above and --hashlimit-above hold from a limit on, -upto until it. Of a hashlimit the rate counts. */
static bool read_limit_each(
	struct xtables_parse *parse, enum match_kind kind, const struct xtables_word *values)
{
	bool above = strstr(values[-1].text, "-above") != NULL;
	uint32_t rate = UINT32_MAX;

	if (strncmp(values[-1].text, "--hashlimit", 11) == 0 && !read_rate(values->text, &rate))
		rate = UINT32_MAX; /* of bytes */
	ruleset_add_match(parse->rule, kind, above != parse->negated)->number = rate;
	return true;
}

/* Options that say how a limit counts. */
static bool read_detail(
	struct xtables_parse *parse, enum match_kind kind, const struct xtables_word *values)
{
	(void)kind;
	(void)values;
	return !parse->negated;
}

/* "1000" or "1000-2000". */
static bool read_uid(
	struct xtables_parse *parse, enum match_kind kind, const struct xtables_word *values)
{
	const char *end;
	struct match *match = ruleset_add_match(parse->rule, kind, parse->negated);
	bool well = xtables_number(values->text, &match->number, &end);

	match->mask = match->number;
	if (well && *end == '-')
		well = xtables_number(end + 1, &match->mask, &end);
	return keep_match_if(parse, well && *end == '\0');
}

/* "NAME src,dst": what is in the set is read later (ipset.c). */
static bool read_set(
	struct xtables_parse *parse, enum match_kind kind, const struct xtables_word *values)
{
	ruleset_add_match(parse->rule, kind, parse->negated)->text =
		text_format("%s %s", values[0].text, values[1].text);
	return true;
}

static const struct xtables_option options[] = {
	{NULL, "-s", 1, read_prefix, MATCH_SOURCE},
	{NULL, "-d", 1, read_prefix, MATCH_DESTINATION},
	{NULL, "-i", 1, read_interface, MATCH_IN},
	{NULL, "-o", 1, read_interface, MATCH_OUT},
	{NULL, "-p", 1, read_protocol, MATCH_PROTOCOL},
	{NULL, "-f", 0, read_fragment, MATCH_ALWAYS},
	{"tcp", "--sport", 1, read_numbers, MATCH_SOURCE_PORT},
	{"tcp", "--dport", 1, read_numbers, MATCH_DESTINATION_PORT},
	{"tcp", "--tcp-flags", 2, read_flags, MATCH_TCP_FLAGS},
	{"tcp", "--syn", 0, read_syn, MATCH_TCP_FLAGS},
	{"udp", "--sport", 1, read_numbers, MATCH_SOURCE_PORT},
	{"udp", "--dport", 1, read_numbers, MATCH_DESTINATION_PORT},
	{"icmp6", "--icmpv6-type", 1, read_numbers, MATCH_ICMP_TYPE},
	{"rt", "--rt-type", 1, read_routing_header, MATCH_ALWAYS},
	{"hl", "--hl-eq", 1, read_numbers, MATCH_HOP_LIMIT},
	{"multiport", "--sports", 1, read_numbers, MATCH_SOURCE_PORT},
	{"multiport", "--dports", 1, read_numbers, MATCH_DESTINATION_PORT},
	{"mark", "--mark", 1, read_mark, MATCH_MARK},
	{"socket", "--transparent", 0, read_socket_option, MATCH_SOCKET},
	{"socket", "--nowildcard", 0, read_socket_option, MATCH_SOCKET},
	{"socket", "--restore-skmark", 0, read_socket_option, MATCH_SOCKET},
	{"comment", "--comment", 1, read_always, MATCH_ALWAYS},
	{"limit", "--limit", 1, read_limit, MATCH_LIMIT},
	{"limit", "--limit-burst", 1, read_always, MATCH_ALWAYS},
	{"statistic", "--mode", 1, read_statistic, MATCH_LIMIT},
	{"statistic", "--probability", 1, read_detail, MATCH_LIMIT},
	{"statistic", "--every", 1, read_detail, MATCH_LIMIT},
	{"statistic", "--packet", 1, read_detail, MATCH_LIMIT},
	{"connlimit", "--connlimit-above", 1, read_limit_each, MATCH_LIMIT},
	{"connlimit", "--connlimit-upto", 1, read_limit_each, MATCH_LIMIT},
	{"connlimit", "--connlimit-mask", 1, read_detail, MATCH_LIMIT},
	{"connlimit", "--connlimit-saddr", 0, read_detail, MATCH_LIMIT},
	{"connlimit", "--connlimit-daddr", 0, read_detail, MATCH_LIMIT},
	{"hashlimit", "--hashlimit-above", 1, read_limit_each, MATCH_LIMIT},
	{"hashlimit", "--hashlimit-upto", 1, read_limit_each, MATCH_LIMIT},
	{"hashlimit", "--hashlimit-burst", 1, read_detail, MATCH_LIMIT},
	{"hashlimit", "--hashlimit-mode", 1, read_detail, MATCH_LIMIT},
	{"hashlimit", "--hashlimit-name", 1, read_detail, MATCH_LIMIT},
	{"hashlimit", "--hashlimit-srcmask", 1, read_detail, MATCH_LIMIT},
	{"hashlimit", "--hashlimit-dstmask", 1, read_detail, MATCH_LIMIT},
	{"hashlimit", "--hashlimit-htable-size", 1, read_detail, MATCH_LIMIT},
	{"hashlimit", "--hashlimit-htable-max", 1, read_detail, MATCH_LIMIT},
	{"hashlimit", "--hashlimit-htable-expire", 1, read_detail, MATCH_LIMIT},
	{"hashlimit", "--hashlimit-htable-gcinterval", 1, read_detail, MATCH_LIMIT},
	{"owner", "--uid-owner", 1, read_uid, MATCH_UID},
	{"conntrack", "--ctstate", 1, read_states, MATCH_CT_STATE},
	{"state", "--state", 1, read_states, MATCH_CT_STATE},
	{"addrtype", "--dst-type", 1, read_type, MATCH_TYPE},
	{"addrtype", "--src-type", 1, read_type, MATCH_TYPE},
	{"addrtype", "--limit-iface-in", 0, read_type_on_link, MATCH_TYPE},
	{"addrtype", "--limit-iface-out", 0, read_type_on_link, MATCH_TYPE},
	{"rpfilter", "--loose", 0, read_rpfilter_option, MATCH_ROUTE},
	{"rpfilter", "--validmark", 0, read_rpfilter_option, MATCH_ROUTE},
	{"rpfilter", "--accept-local", 0, read_rpfilter_option, MATCH_ROUTE},
	{"rpfilter", "--invert", 0, read_rpfilter_option, MATCH_ROUTE},
	{"connmark", "--mark", 1, read_mark, MATCH_CT_MARK},
	{"set", "--match-set", 2, read_set, MATCH_SET},
	{"iprange", "--src-range", 1, read_address_range, MATCH_SOURCE},
	{"iprange", "--dst-range", 1, read_address_range, MATCH_DESTINATION},
};

enum {
	OPTIONS = sizeof(options) / sizeof(options[0])
};

const struct xtables_option *xtables_find_option(const struct xtables_parse *parse)
{
	for (size_t i = 0; i < OPTIONS; i++) {
		const char *module = options[i].module;

		if (!xtables_is(&parse->words[parse->at], options[i].name))
			continue;
		if (module == NULL || (parse->module != NULL && strcmp(module, parse->module) == 0))
			return &options[i];
	}
	return NULL;
}

bool xtables_knows_match(const char *name)
{
	for (size_t i = 0; i < OPTIONS; i++)
		if (options[i].module != NULL && strcmp(options[i].module, name) == 0)
			return true;
	return false;
}
