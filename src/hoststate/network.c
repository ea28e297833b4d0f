/*
 * What `ip -j` tells; see the header.
 *
 * Numbers are asked for (`-N`), since names of tables are the host's own affair. An entry that has not
 * what its kind always has makes the whole answer one that cannot be trusted. The trap is a list that
 * is empty: some versions of `ip` then print nothing at all.
 */
#include "network.h"
#include "sysctl.h"
#include "tproxy/array.h"
#include "tproxy/json.h"
#include "tproxy/json_list.h"
#include "tproxy/subprocess.h"
#include "tproxy/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Gives each object of a list to TAKE; false where the text is no such list, or TAKE says so. */
static bool take_list(const char *json, bool (*take)(void *context, json_t *object), void *context)
{
	char *problem = NULL;
	bool well = json_list_read(json, NULL, take, context, &problem);

	free(problem);
	return well;
}

/* The same of a list that may be empty: some versions of `ip` then print nothing at all. */
static bool take_some(const char *json, bool (*take)(void *context, json_t *object), void *context)
{
	return *json == '\0' || take_list(json, take, context);
}

/* What does not fit is as good as none: a name or address that was cut is another one. */
static void copy(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", strlen(from) < size ? from : "");
}

static bool is_link_name(const char *name)
{
	return *name != '\0' && strlen(name) < IF_NAMESIZE;
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

/* An entry without an IP address is of another family, and says so. */
static bool add_address(struct network *network, const char *link, const json_t *info)
{
	const json_t *length = json_object_get(info, "prefixlen");
	const char *family = json_text(info, "family");
	json_int_t bits = json_integer_value(length);
	struct network_address *made;
	struct addr address;

	if (!addr_parse(&address, json_text(info, "local")))
		return *family != '\0' && strncmp(family, "inet", 4) != 0;
	if (!json_is_integer(length) || bits < 0 || bits > addr_bits(addr_family(&address)))
		return false;
	network->addresses = array_room(network->addresses, network->address_count, sizeof(*made));
	made = &network->addresses[network->address_count++];
	copy(made->link, sizeof(made->link), link);
	made->address = address;
	made->length = (unsigned)bits;
	return true;
}

static bool take_link(void *context, json_t *link)
{
	const json_t *addresses = json_object_get(link, "addr_info"), *each;
	const char *name = json_text(link, "ifname");
	struct network *network = context;
	struct network_link *made;
	bool well = true;
	size_t i;

	if (json_object_size(link) == 0)
		return true; /* `ip` leaves an empty object for what a filter passed over */
	if (!is_link_name(name))
		return false;
	network->links = array_room(network->links, network->link_count, sizeof(*made));
	made = &network->links[network->link_count++];
	copy(made->name, sizeof(made->name), name);
	copy(made->mac, sizeof(made->mac), json_text(link, "address"));
	made->up = has_flag(link, "UP");
	made->bridge =
		strcmp(json_text(json_object_get(link, "linkinfo"), "info_kind"), "bridge") == 0;
	for (i = 0; (each = json_array_get(addresses, i)) != NULL; i++)
		well = well && add_address(network, name, each);
	return well;
}

bool network_parse_links(struct network *network, const char *json)
{
	size_t before = network->link_count;

	return take_list(json, take_link, network) &&
	       network->link_count > before; /* no host is without lo */
}

static bool take_proxied(void *context, json_t *entry)
{
	struct network *network = context;
	struct network_proxied *made;
	struct addr address;

	if (!addr_parse(&address, json_text(entry, "dst")))
		return false;
	network->proxied = array_room(network->proxied, network->proxied_count, sizeof(*made));
	made = &network->proxied[network->proxied_count++];
	copy(made->link, sizeof(made->link), json_text(entry, "dev"));
	made->address = address;
	return true;
}

bool network_parse_proxied(struct network *network, const char *json)
{
	return take_some(json, take_proxied, network);
}

/* --- rules and routes --- */

/* A number that ip writes as text; absent it stays as it was. False for anything else. */
static bool take_number(const json_t *object, const char *key, uint32_t *number)
{
	unsigned value = *number;
	bool well =
		json_object_get(object, key) == NULL || text_number(json_text(object, key), &value);

	*number = value;
	return well;
}

/* Reading rules or routes of a family. */
struct taking {
	struct network *network;
	int family;
};

static bool take_rule(void *context, json_t *rule)
{
	const struct taking *taking = context;
	struct network *network = taking->network;
	const json_t *written = json_object_get(rule, "priority");
	json_int_t priority = json_integer_value(written);
	struct network_rule read = {.family = taking->family, .mask = UINT32_MAX};

	/* A rule that leads to no table, such as one of action `unreachable`, has table 0. */
	if (!json_is_integer(written) || priority < 0 || priority > UINT32_MAX ||
		!take_number(rule, "table", &read.table) ||
		!take_number(rule, "fwmark", &read.mark) ||
		!take_number(rule, "fwmask", &read.mask))
		return false;
	read.priority = (unsigned)priority;
	/* `not`: it is for all but that mark. */
	read.has_mark =
		json_object_get(rule, "fwmark") != NULL && json_object_get(rule, "not") == NULL;
	read.text = json_dumps(rule, JSON_COMPACT);
	if (read.text == NULL)
		abort(); /* out of memory */
	network->rules = array_room(network->rules, network->rule_count, sizeof(read));
	network->rules[network->rule_count++] = read;
	return true;
}

bool network_parse_rules(struct network *network, int family, const char *json)
{
	struct taking taking = {network, family};

	return take_some(json, take_rule, &taking);
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
	copy(copied, sizeof(copied), text);
	slash = strchr(copied, '/');
	if (slash != NULL)
		*slash = '\0';
	if (!addr_parse(address, copied) || addr_family(address) != family)
		return false;
	*length = addr_bits(family);
	return slash == NULL || (text_number(slash + 1, length) && *length <= addr_bits(family));
}

static bool is_type(const char *type, const char *number, const char *name)
{
	return strcmp(type, number) == 0 || strcmp(type, name) == 0;
}

static bool take_route(void *context, json_t *route)
{
	const struct taking *taking = context;
	struct network *network = taking->network;
	struct network_route read = {.table = TABLE_MAIN};
	const char *type = json_text(route, "type");

	if (!take_number(route, "table", &read.table) ||
		!read_prefix(json_text(route, "dst"), taking->family, &read.to, &read.length))
		return false;
	read.local = is_type(type, "2", "local");
	copy(read.link, sizeof(read.link), json_text(route, "dev"));
	if (*type != '\0' && !read.local && !is_type(type, "1", "unicast"))
		read.link[0] = '\0'; /* leads nowhere: broadcast, blackhole and so on */
	network->routes = array_room(network->routes, network->route_count, sizeof(read));
	network->routes[network->route_count++] = read;
	return true;
}

bool network_parse_routes(struct network *network, int family, const char *json)
{
	struct taking taking = {network, family};

	return take_some(json, take_route, &taking);
}

/* --- asking --- */

static bool ask(const char *line, struct subprocess_result *result, char **problem)
{
	if (subprocess_run_line(line, NULL, result))
		return true;
	*problem =
		text_format("`%s`: %.*s", line, (int)strcspn(result->errors, "\n"), result->errors);
	return false;
}

static bool take(bool well, const char *line, char **problem)
{
	if (!well && *problem == NULL)
		*problem = text_format("cannot parse the output of `%s`", line);
	return well;
}

static bool read_routing(struct network *network, int family, char **problem)
{
	char *rules = text_format("ip -N -j -%d rule show", family == AF_INET6 ? 6 : 4);
	char *routes = text_format("ip -N -j -%d route show table all", family == AF_INET6 ? 6 : 4);
	struct subprocess_result told;
	bool well;

	well = ask(rules, &told, problem) &&
	       take(network_parse_rules(network, family, told.out), rules, problem);
	subprocess_free(&told);
	if (well) {
		well = ask(routes, &told, problem) &&
		       take(network_parse_routes(network, family, told.out), routes, problem);
		subprocess_free(&told);
	}
	free(routes);
	free(rules);
	return well;
}

static bool read_links(struct network *network, char **problem)
{
	static const char line[] = "ip -d -j address show";
	struct subprocess_result told;
	bool well = ask(line, &told, problem) &&
		    take(network_parse_links(network, told.out), line, problem);

	subprocess_free(&told);
	return well;
}

static bool read_proxied(struct network *network, int family, char **problem)
{
	char *line = text_format("ip -j -%d neigh show proxy", family == AF_INET6 ? 6 : 4);
	struct subprocess_result told;
	bool well = ask(line, &told, problem) &&
		    take(network_parse_proxied(network, told.out), line, problem);

	subprocess_free(&told);
	free(line);
	return well;
}

static bool read_family(struct network *network, int family, char **problem)
{
	return read_proxied(network, family, problem) && read_routing(network, family, problem);
}

bool network_read(struct network *network, char **problem)
{
	bool ipv6 = sysctl_exists("net/ipv6/conf/all/forwarding");
	bool well = read_links(network, problem) && read_family(network, AF_INET, problem) &&
		    (!ipv6 || read_family(network, AF_INET6, problem));

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

/* --- looking things up --- */

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

	if (addr_family(net) != addr_family(address) || length > addr_bits(addr_family(net)) ||
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
