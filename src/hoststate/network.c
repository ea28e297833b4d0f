/*
 * Reads what `ip -j` prints about the host's links, rules and routes.
 *
 * `-N` makes it print numbers: names of tables are the host's own choice. Each kind of entry has fields that
 * iproute2 always prints; an entry without them makes the whole answer unusable.
 *
 * A family's lists come from one `ip -batch`. The trap is an empty list: some versions of `ip` then print nothing at all. So
 * the order of lists says nothing, and each entry tells by its fields what it is.
 */
#include "network.h"
#include "sysctl.h"
#include "tproxy/array.h"
#include "tproxy/json.h"
#include "tproxy/json_list.h"
#include "tproxy/subprocess.h"
#include "tproxy/text.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Copies what fits, else "": a name or address that is cut off would be another one. */
static void copy_whole(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", strlen(from) < size ? from : "");
}

static bool has_flag(const json_t *link, const char *flag)
{
	const json_t *flags = json_object_get(link, "flags"), *each;
	size_t i;

	for (i = 0; (each = json_array_get(flags, i)) != NULL; i++)
		if (strcmp(json_string_value(each) ?: "", flag) == 0)
			return true;
	return false;
}

/* --- links and addresses --- */

/* An entry without an IP address belongs to another family, and `family` says which. */
static bool add_address(struct network *network, const char *link, const json_t *info)
{
	const json_t *length = json_object_get(info, "prefixlen");
	const char *family = json_text(info, "family");
	json_int_t bits = json_integer_value(length);
	struct network_address *made;
	struct addr address;

	if (!addr_parse(&address, json_text(info, "local")))
		return *family != '\0' && strncmp(family, "inet", 4) != 0;
	if (!json_is_integer(length) || bits < 0 || bits > family_bits(addr_family(&address)))
		return false;
	network->addresses = array_room(network->addresses, network->address_count, sizeof(*made));
	made = &network->addresses[network->address_count++];
	copy_whole(made->link, sizeof(made->link), link);
	made->address = address;
	made->length = (unsigned)bits;
	made->passed_over = json_is_true(json_object_get(info, "secondary")) ||
			    json_is_true(json_object_get(info, "tentative")) ||
			    json_is_true(json_object_get(info, "deprecated"));
	return true;
}

static bool read_link(void *context, json_t *link)
{
	const json_t *addresses = json_object_get(link, "addr_info"), *each;
	const char *name = json_text(link, "ifname");
	const char *kind = json_text(json_object_get(link, "linkinfo"), "info_kind");
	struct network *network = context;
	struct network_link *made;
	bool well = true;
	size_t i;

	if (json_object_size(link) == 0)
		return true; /* `ip` prints an empty object for a link that its filter leaves out */
	if (*name == '\0' || strlen(name) >= IF_NAMESIZE)
		return false;
	network->links = array_room(network->links, network->link_count, sizeof(*made));
	made = &network->links[network->link_count++];
	copy_whole(made->name, sizeof(made->name), name);
	copy_whole(made->mac, sizeof(made->mac), json_text(link, "address"));
	made->up = has_flag(link, "UP");
	made->bridge = strcmp(kind, "bridge") == 0;
	made->macvlan = strcmp(kind, "macvlan") == 0;
	for (i = 0; (each = json_array_get(addresses, i)) != NULL; i++)
		well = well && add_address(network, name, each);
	return well;
}

bool network_parse_links(struct network *network, const char *json)
{
	size_t before = network->link_count;
	char *problem = NULL;
	bool well = json_list_read(json, NULL, read_link, network, &problem);

	free(problem);
	return well && network->link_count > before; /* every host has lo */
}

static bool read_proxied(struct network *network, int family, const json_t *entry)
{
	struct network_proxied *made;
	struct addr address;

	if (!addr_parse(&address, json_text(entry, "dst")) || addr_family(&address) != family)
		return false;
	network->proxied = array_room(network->proxied, network->proxied_count, sizeof(*made));
	made = &network->proxied[network->proxied_count++];
	copy_whole(made->link, sizeof(made->link), json_text(entry, "dev"));
	made->address = address;
	return true;
}

/* --- rules and routes --- */

/* Reads a number that `ip` prints as text. Where there is none, *NUMBER stays. False: not a number. */
static bool read_number(const json_t *object, const char *key, uint32_t *number)
{
	unsigned value = *number;
	bool well =
		json_object_get(object, key) == NULL || text_number(json_text(object, key), &value);

	*number = value;
	return well;
}

/* "src"/"srclen" or "dst"/"dstlen"; without a length, of one address. */
static bool read_selected(
	const json_t *rule, const char *key, const char *length_key, struct rule_prefix *prefix)
{
	const char *text = json_text(rule, key);
	const json_t *length = json_object_get(rule, length_key);

	if (*text == '\0' || strcmp(text, "all") == 0)
		return true;
	if (!addr_parse(&prefix->net, text))
		return false;
	prefix->length = family_bits(addr_family(&prefix->net));
	if (json_is_integer(length))
		prefix->length = (unsigned)json_integer_value(length);
	return true;
}

/* KEY alone, or KEY_start and KEY_end. */
static struct rule_range read_range(const json_t *rule, const char *key)
{
	char start[32], end[32];
	json_int_t one = json_integer_value(json_object_get(rule, key));

	snprintf(start, sizeof(start), "%s_start", key);
	snprintf(end, sizeof(end), "%s_end", key);
	if (one != 0)
		return (struct rule_range){(unsigned)one, (unsigned)one};
	return (struct rule_range){(unsigned)json_integer_value(json_object_get(rule, start)),
		(unsigned)json_integer_value(json_object_get(rule, end))};
}

/* "ipproto-6", as `ip -N` prints it, or "tcp". */
static bool read_ip_protocol(const json_t *rule, unsigned *number)
{
	const char *text = json_text(rule, "ipproto"), *digits = strrchr(text, '-');

	if (*text == '\0' || text_number(digits != NULL ? digits + 1 : text, number))
		return true;
	*number = strcmp(text, "tcp") == 0   ? IPPROTO_TCP
		  : strcmp(text, "udp") == 0 ? IPPROTO_UDP
					     : 0;
	return *number != 0;
}

static enum rule_action read_action(const json_t *rule, const struct network_rule *read)
{
	static const char *const others[] = {"tun_id", "suppress_ifgroup", "l3mdev"};
	const char *action = json_text(rule, "action");

	if (json_object_get(rule, "nop") != NULL)
		return RULE_NOTHING;
	if (json_object_get(rule, "goto") != NULL)
		return RULE_GOTO;
	if (json_object_get(rule, "l3mdev") != NULL)
		return RULE_NOTHING; /* for packets of a VRF */
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (json_object_get(rule, others[i]) != NULL)
			return RULE_UNKNOWN;
	if (*action != '\0')
		return RULE_REFUSE;
	return read->table != 0 ? RULE_LOOKUP : RULE_UNKNOWN;
}

/* What the rule selects, besides the mark. */
static bool read_selectors(const json_t *rule, struct network_rule *read)
{
	const json_t *suppressed = json_object_get(rule, "suppress_prefixlen");

	copy_whole(read->iif, sizeof(read->iif), json_text(rule, "iif"));
	copy_whole(read->oif, sizeof(read->oif), json_text(rule, "oif"));
	read->source_ports = read_range(rule, "sport");
	read->destination_ports = read_range(rule, "dport");
	read->uids = read_range(rule, "uid");
	read->suppressed = json_is_integer(suppressed) ? (int)json_integer_value(suppressed) : -1;
	read->target = (unsigned)json_integer_value(json_object_get(rule, "goto"));
	return read_selected(rule, "src", "srclen", &read->from) &&
	       read_selected(rule, "dst", "dstlen", &read->to) &&
	       read_number(rule, "tos", &read->tos) && read_ip_protocol(rule, &read->ip_protocol);
}

static void write_prefix(FILE *out, const char *word, const struct rule_prefix *prefix)
{
	char text[ADDR_TEXT_MAX];

	if (prefix->length != 0)
		fprintf(out, " %s %s/%u", word, addr_format_ip(&prefix->net, text), prefix->length);
}

static void write_range(FILE *out, const char *word, const struct rule_range *range)
{
	if (range->last == 0)
		return;
	fprintf(out, " %s %u", word, range->first);
	if (range->last != range->first)
		fprintf(out, "-%u", range->last);
}

/* What the rule does, in the words of `ip rule`. */
static void write_action(FILE *out, const json_t *rule, const struct network_rule *read)
{
	static const struct {
		const char *number, *word;
	} actions[] = {{"6", "blackhole"}, {"7", "unreachable"}, {"8", "prohibit"}};

	if (read->action == RULE_GOTO)
		fprintf(out, " goto %u", read->target);
	else if (json_object_get(rule, "l3mdev") != NULL)
		fputs(" l3mdev", out);
	else if (read->action == RULE_NOTHING)
		fputs(" nop", out);
	else if (read->table != 0)
		fprintf(out, " lookup %s",
			read->table == TABLE_MAIN      ? "main"
			: read->table == TABLE_LOCAL   ? "local"
			: read->table == TABLE_DEFAULT ? "default"
						       : json_text(rule, "table"));
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		if (strcmp(json_text(rule, "action"), actions[i].number) == 0 ||
			strcmp(json_text(rule, "action"), actions[i].word) == 0)
			fprintf(out, " %s", actions[i].word);
	if (read->suppressed >= 0)
		fprintf(out, " suppress_prefixlength %d", read->suppressed);
}

/* The rule in the words of `ip rule`, to be freed. */
static char *format_rule(const json_t *rule, const struct network_rule *read)
{
	struct text_stream text;

	text_begin(&text);
	fprintf(text.out, "pref %u%s", read->priority, read->inverted ? " not" : "");
	write_prefix(text.out, "from", &read->from);
	write_prefix(text.out, "to", &read->to);
	if (read->iif[0] != '\0')
		fprintf(text.out, " iif %s", read->iif);
	if (read->oif[0] != '\0')
		fprintf(text.out, " oif %s", read->oif);
	if (read->mask != 0)
		fprintf(text.out, " fwmark 0x%x", read->mark);
	if (read->mask != 0 && read->mask != UINT32_MAX)
		fprintf(text.out, "/0x%x", read->mask);
	if (read->tos != 0)
		fprintf(text.out, " tos %u", read->tos);
	if (read->ip_protocol != 0)
		fprintf(text.out, " ipproto %u", read->ip_protocol);
	write_range(text.out, "sport", &read->source_ports);
	write_range(text.out, "dport", &read->destination_ports);
	write_range(text.out, "uidrange", &read->uids);
	write_action(text.out, rule, read);
	return text_end(&text);
}

static bool read_rule(struct network *network, int family, const json_t *rule)
{
	const json_t *written = json_object_get(rule, "priority");
	json_int_t priority = json_integer_value(written);
	struct network_rule read = {.family = family, .mask = UINT32_MAX};

	/* A rule without a table, such as one of action `unreachable`, has table 0 here. */
	if (!json_is_integer(written) || priority < 0 || priority > UINT32_MAX ||
		!read_number(rule, "table", &read.table) ||
		!read_number(rule, "fwmark", &read.mark) ||
		!read_number(rule, "fwmask", &read.mask) || !read_selectors(rule, &read))
		return false;
	read.priority = (unsigned)priority;
	text_number(json_text(rule, "protocol"), &read.protocol);
	read.action = read_action(rule, &read);
	read.inverted = json_object_get(rule, "not") != NULL;
	if (json_object_get(rule, "fwmark") == NULL)
		read.mask = 0;
	read.has_mark = json_object_get(rule, "fwmark") != NULL && !read.inverted;
	read.text = format_rule(rule, &read);
	network->rules = array_room(network->rules, network->rule_count, sizeof(read));
	network->rules[network->rule_count++] = read;
	return true;
}

/* "default", "192.0.2.0/24" or an address alone. */
static bool read_prefix(const char *text, int family, struct addr *address, unsigned *length)
{
	char copied[ADDR_TEXT_MAX];
	char *slash;

	*address = addr_any(family);
	*length = 0;
	if (strcmp(text, "default") == 0)
		return true;
	if (strlen(text) >= sizeof(copied))
		return false;
	copy_whole(copied, sizeof(copied), text);
	slash = strchr(copied, '/');
	if (slash != NULL)
		*slash = '\0';
	if (!addr_parse(address, copied) || addr_family(address) != family)
		return false;
	*length = family_bits(family);
	return slash == NULL || (text_number(slash + 1, length) && *length <= family_bits(family));
}

static bool is_type(const char *type, const char *number, const char *name)
{
	return strcmp(type, number) == 0 || strcmp(type, name) == 0;
}

static bool read_route(struct network *network, int family, const json_t *route)
{
	struct network_route read = {.table = TABLE_MAIN};
	const char *type = json_text(route, "type");

	if (!read_number(route, "table", &read.table) ||
		!read_prefix(json_text(route, "dst"), family, &read.to, &read.length))
		return false;
	text_number(json_text(route, "protocol"), &read.protocol);
	read.local = is_type(type, "2", "local");
	read.refuses = is_type(type, "6", "blackhole") || is_type(type, "7", "unreachable") ||
		       is_type(type, "8", "prohibit");
	read.thrown = is_type(type, "9", "throw");
	read.has_gateway = json_object_get(route, "gateway") != NULL ||
			   json_object_get(route, "via") != NULL ||
			   json_object_get(route, "nexthops") != NULL;
	read.metric = (unsigned)json_integer_value(json_object_get(route, "metric"));
	copy_whole(read.link, sizeof(read.link), json_text(route, "dev"));
	if (read.link[0] == '\0') /* of several next hops, the first */
		copy_whole(read.link, sizeof(read.link),
			json_text(json_array_get(json_object_get(route, "nexthops"), 0), "dev"));
	if (*type != '\0' && !read.local && !is_type(type, "1", "unicast"))
		read.link[0] = '\0'; /* broadcast, blackhole and the like leave by no link */
	network->routes = array_room(network->routes, network->route_count, sizeof(read));
	network->routes[network->route_count++] = read;
	return true;
}

/* --- a family's lists --- */

struct family_list {
	struct network *network;
	int family;
};

/* Of the three, a policy rule alone has a priority, and a proxied address alone the field `proxy`. */
static bool read_entry(void *context, json_t *entry)
{
	const struct family_list *list = context;

	if (json_object_get(entry, "priority") != NULL)
		return read_rule(list->network, list->family, entry);
	if (json_object_get(entry, "proxy") != NULL)
		return read_proxied(list->network, list->family, entry);
	return read_route(list->network, list->family, entry);
}

bool network_parse_family(struct network *network, int family, const char *json)
{
	struct family_list list = {network, family};
	char *problem = NULL;
	bool well = json_lists_read(json, read_entry, &list, &problem);

	free(problem);
	return well;
}

/* --- running `ip` --- */

/* FAMILY AF_UNSPEC: links. INPUT: lines for `ip -batch -`, or NULL. */
static bool run_ip(
	struct network *network, int family, const char *line, const char *input, char **problem)
{
	struct subprocess_result result;
	bool well = subprocess_run_line(line, input, &result);

	if (!well)
		*problem = subprocess_problem(line, &result);
	else if (!(family == AF_UNSPEC ? network_parse_links(network, result.out)
				       : network_parse_family(network, family, result.out))) {
		*problem = text_format("cannot parse the output of `%s`", line);
		well = false;
	}
	subprocess_free(&result);
	return well;
}

bool network_read(struct network *network, char **problem)
{
	static const char lists[] = "rule show\nroute show table all\nneigh show proxy\n";
	bool well = run_ip(network, AF_UNSPEC, "ip -d -j address show", NULL, problem) &&
		    run_ip(network, AF_INET, "ip -N -j -4 -batch -", lists, problem);

	if (well && sysctl_exists("net/ipv6/conf/all/forwarding"))
		well = run_ip(network, AF_INET6, "ip -N -j -6 -batch -", lists, problem);
	if (!well)
		network_free(network);
	return well;
}

void network_free(struct network *network)
{
	for (size_t i = 0; i < network->rule_count; i++)
		free(network->rules[i].text);
	free(network->links);
	free(network->addresses);
	free(network->proxied);
	free(network->rules);
	free(network->routes);
	*network = (struct network){0};
}

/* --- searching --- */

const struct network_link *network_find_link(const struct network *network, const char *name)
{
	for (size_t i = 0; i < network->link_count; i++)
		if (strcmp(network->links[i].name, name) == 0)
			return &network->links[i];
	return NULL;
}

bool network_covers(const struct addr *net, unsigned length, const struct addr *address)
{
	const uint8_t *a = addr_bytes(net), *b = addr_bytes(address);
	unsigned rest = length % 8;

	if (addr_family(net) != addr_family(address) || length > family_bits(addr_family(net)) ||
		memcmp(a, b, length / 8) != 0)
		return false;
	return rest == 0 || (a[length / 8] ^ b[length / 8]) >> (8 - rest) == 0;
}

const struct network_address *network_find_address(
	const struct network *network, const struct addr *address)
{
	for (size_t i = 0; i < network->address_count; i++)
		if (addr_compare_ip(&network->addresses[i].address, address) == 0)
			return &network->addresses[i];
	return NULL;
}

const struct network_address *network_first_address(
	const struct network *network, int family, const char *link)
{
	for (size_t i = 0; i < network->address_count; i++) {
		const struct network_address *each = &network->addresses[i];

		if (!each->passed_over && addr_family(&each->address) == family &&
			strcmp(each->link, link) == 0)
			return each;
	}
	return NULL;
}

const struct network_route *network_find_local_route(
	const struct network *network, unsigned table, const struct addr *address)
{
	for (size_t i = 0; i < network->route_count; i++) {
		const struct network_route *route = &network->routes[i];

		if (route->local && network_covers(&route->to, route->length, address) &&
			(table == route->table || (table == 0 && route->table != TABLE_LOCAL)))
			return route;
	}
	return NULL;
}
