/*
 * What `ip -j` tells; see the header.
 *
 * Numbers are asked for (`-N`), since names of tables are the host's own affair. An entry that has not
 * what its kind always has makes the whole answer one that cannot be trusted. The trap is a list that
 * is empty: some versions of `ip` then print nothing at all.
 */
#include "tproxy/network.h"
#include "tproxy/command.h"
#include "tproxy/sysctls.h"
#include "tproxy/text.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *grown(void *list, size_t count, size_t size)
{
	char *larger = reallocarray(list, count + 1, size);

	if (larger == NULL)
		abort(); /* out of memory */
	memset(larger + count * size, 0, size);
	return larger;
}

static const char *word(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value != NULL ? value : "";
}

/* A list of objects; NULL where it is anything else. */
static json_t *list_of(const char *json)
{
	json_t *list = json_loads(*json != '\0' ? json : "[]", 0, NULL);
	const json_t *each;
	size_t i;

	for (i = 0; (each = json_array_get(list, i)) != NULL && json_is_object(each); i++)
		;
	if (json_is_array(list) && i == json_array_size(list))
		return list;
	json_decref(list);
	return NULL;
}

static void copy(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from);
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

static unsigned bits_of(int family)
{
	return family == AF_INET6 ? 128 : 32;
}

/* --- links and addresses --- */

static bool add_address(struct network *network, const char *link, const json_t *info)
{
	const json_t *length = json_object_get(info, "prefixlen");
	struct network_address *made;
	struct addr address;

	if (!addr_parse(&address, word(info, "local")))
		return json_object_get(info, "family") != NULL;
	network->addresses = grown(network->addresses, network->address_count, sizeof(*made));
	made = &network->addresses[network->address_count++];
	copy(made->link, sizeof(made->link), link);
	made->address = address;
	made->length = (unsigned)json_integer_value(length);
	return json_is_integer(length) && made->length <= bits_of(addr_family(&address));
}

static bool add_link(struct network *network, const json_t *link)
{
	const json_t *addresses = json_object_get(link, "addr_info"), *each;
	const char *name = word(link, "ifname");
	struct network_link *made;
	bool well = *name != '\0';
	size_t i;

	network->links = grown(network->links, network->link_count, sizeof(*made));
	made = &network->links[network->link_count++];
	copy(made->name, sizeof(made->name), name);
	copy(made->mac, sizeof(made->mac), word(link, "address"));
	made->up = has_flag(link, "UP");
	made->bridge = strcmp(word(json_object_get(link, "linkinfo"), "info_kind"), "bridge") == 0;
	for (i = 0; well && (each = json_array_get(addresses, i)) != NULL; i++)
		well = add_address(network, name, each);
	return well;
}

bool network_of_links(struct network *network, const char *json)
{
	json_t *list = list_of(json), *each;
	bool well = json_array_size(list) > 0; /* no host is without lo */
	size_t i;

	/* `ip` leaves an empty object for what a filter passed over. */
	for (i = 0; well && (each = json_array_get(list, i)) != NULL; i++)
		well = json_object_size(each) == 0 || add_link(network, each);
	json_decref(list);
	return well;
}

bool network_of_proxied(struct network *network, const char *json)
{
	json_t *list = list_of(json), *each;
	bool well = list != NULL;
	size_t i;

	for (i = 0; well && (each = json_array_get(list, i)) != NULL; i++) {
		struct network_proxied *made;
		struct addr address;

		well = addr_parse(&address, word(each, "dst"));
		if (!well)
			break;
		network->proxied = grown(network->proxied, network->proxied_count, sizeof(*made));
		made = &network->proxied[network->proxied_count++];
		copy(made->link, sizeof(made->link), word(each, "dev"));
		made->address = address;
	}
	json_decref(list);
	return well;
}

/* --- rules and routes --- */

/* A number that ip writes as text; absent it stays as it was. False for anything else. */
static bool take_number(const json_t *object, const char *key, uint32_t *number)
{
	unsigned value = *number;
	bool well = json_object_get(object, key) == NULL || text_number(word(object, key), &value);

	*number = value;
	return well;
}

static bool add_rule(struct network *network, int family, const json_t *rule)
{
	const json_t *priority = json_object_get(rule, "priority");
	struct network_rule *made;
	unsigned number = 0;

	network->rules = grown(network->rules, network->rule_count, sizeof(*made));
	made = &network->rules[network->rule_count++];
	made->family = family;
	made->priority = (unsigned)json_integer_value(priority);
	made->mask = UINT32_MAX;
	made->text = json_dumps(rule, JSON_COMPACT);
	if (text_number(word(rule, "table"), &number))
		made->table = number;
	/* `not`: it is for all but that mark. */
	made->marks =
		json_object_get(rule, "fwmark") != NULL && json_object_get(rule, "not") == NULL;
	return json_is_integer(priority) && take_number(rule, "fwmark", &made->mark) &&
	       take_number(rule, "fwmask", &made->mask);
}

bool network_of_rules(struct network *network, int family, const char *json)
{
	json_t *list = list_of(json), *each;
	bool well = list != NULL;
	size_t i;

	for (i = 0; well && (each = json_array_get(list, i)) != NULL; i++)
		well = add_rule(network, family, each);
	json_decref(list);
	return well;
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
	copy(copied, sizeof(copied), text);
	slash = strchr(copied, '/');
	if (slash != NULL)
		*slash = '\0';
	if (!addr_parse(address, copied) || addr_family(address) != family)
		return false;
	*length = bits_of(family);
	return slash == NULL || (text_number(slash + 1, length) && *length <= bits_of(family));
}

static bool is_type(const char *type, const char *number, const char *name)
{
	return strcmp(type, number) == 0 || strcmp(type, name) == 0;
}

static bool add_route(struct network *network, int family, const json_t *route)
{
	struct network_route *made;
	const char *type = word(route, "type"), *table = word(route, "table");
	unsigned number = TABLE_MAIN;

	network->routes = grown(network->routes, network->route_count, sizeof(*made));
	made = &network->routes[network->route_count++];
	if (*table != '\0' && !text_number(table, &number))
		return false;
	made->table = number;
	made->local = is_type(type, "2", "local");
	copy(made->link, sizeof(made->link), word(route, "dev"));
	if (*type != '\0' && !made->local && !is_type(type, "1", "unicast"))
		made->link[0] = '\0'; /* leads nowhere: broadcast, blackhole and so on */
	return read_prefix(word(route, "dst"), family, &made->to, &made->length);
}

bool network_of_routes(struct network *network, int family, const char *json)
{
	json_t *list = list_of(json), *each;
	bool well = list != NULL;
	size_t i;

	for (i = 0; well && (each = json_array_get(list, i)) != NULL; i++)
		well = add_route(network, family, each);
	json_decref(list);
	return well;
}

/* --- asking --- */

static bool ask(const char *line, struct command_result *result, char **problem)
{
	if (command_line(line, NULL, result))
		return true;
	*problem =
		text_format("`%s`: %.*s", line, (int)strcspn(result->errors, "\n"), result->errors);
	return false;
}

static bool take(bool well, const char *line, char **problem)
{
	if (!well && *problem == NULL)
		*problem = text_format("`%s` prints what cannot be read", line);
	return well;
}

static bool read_routing(struct network *network, int family, char **problem)
{
	char *rules = text_format("ip -N -j -%d rule show", family == AF_INET6 ? 6 : 4);
	char *routes = text_format("ip -N -j -%d route show table all", family == AF_INET6 ? 6 : 4);
	struct command_result told;
	bool well;

	well = ask(rules, &told, problem) &&
	       take(network_of_rules(network, family, told.out), rules, problem);
	command_free(&told);
	if (well) {
		well = ask(routes, &told, problem) &&
		       take(network_of_routes(network, family, told.out), routes, problem);
		command_free(&told);
	}
	free(routes);
	free(rules);
	return well;
}

bool network_read(struct network *network, char **problem)
{
	static const char links[] = "ip -d -j address show",
			  proxied[] = "ip -j -%d neigh show proxy";
	bool ipv6 = sysctl_exists("net/ipv6/conf/all/forwarding");
	struct command_result told;
	bool well = ask(links, &told, problem) &&
		    take(network_of_links(network, told.out), links, problem);

	command_free(&told);
	for (int version = 4; well && version <= (ipv6 ? 6 : 4); version += 2) {
		char *line = text_format(proxied, version);

		well = ask(line, &told, problem) &&
		       take(network_of_proxied(network, told.out), line, problem);
		command_free(&told);
		free(line);
	}
	well = well && read_routing(network, AF_INET, problem);
	return well && (!ipv6 || read_routing(network, AF_INET6, problem));
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

bool network_of_answer(struct route_answer *answer, int family, const char *json)
{
	json_t *list = list_of(json);
	const json_t *route = json_array_get(list, 0);
	bool well = json_is_object(route);

	answer->gateway = answer->source = addr_any(family);
	answer->there = well;
	answer->local = is_type(word(route, "type"), "2", "local");
	copy(answer->link, sizeof(answer->link), word(route, "dev"));
	addr_parse(&answer->gateway, word(route, "gateway"));
	addr_parse(&answer->source, word(route, "prefsrc"));
	json_decref(list);
	return well;
}

void network_route(const struct route_question *question, struct route_answer *answer)
{
	int family = addr_family(&question->to);
	char to[ADDR_TEXT_MAX], from[ADDR_TEXT_MAX];
	struct command_result told;
	char *line = text_format("ip -j -%d route get %s", family == AF_INET6 ? 6 : 4,
		addr_format_ip(&question->to, to));

	*answer = (struct route_answer){.gateway = addr_any(family), .source = addr_any(family)};
	if (question->in != NULL)
		text_add(&line, " from %s iif %s", addr_format_ip(question->from, from),
			question->in);
	if (question->mark != 0)
		text_add(&line, " mark 0x%x", question->mark);
	if (!command_line(line, NULL, &told))
		snprintf(answer->words, sizeof(answer->words), "%.*s",
			(int)strcspn(told.errors, "\n"), told.errors);
	else if (!network_of_answer(answer, family, told.out))
		snprintf(answer->words, sizeof(answer->words), "ip prints what cannot be read");
	command_free(&told);
	free(line);
}

/* --- looking things up --- */

const struct network_link *network_link_named(const struct network *network, const char *name)
{
	for (size_t i = 0; i < network->link_count; i++)
		if (strcmp(network->links[i].name, name) == 0)
			return &network->links[i];
	return NULL;
}

static const unsigned char *bytes_of(const struct addr *address)
{
	if (addr_family(address) == AF_INET6)
		return address->in6.sin6_addr.s6_addr;
	return (const unsigned char *)&address->in4.sin_addr;
}

bool network_covers(const struct addr *net, unsigned length, const struct addr *address)
{
	const unsigned char *a = bytes_of(net), *b = bytes_of(address);
	unsigned rest = length % 8;

	if (addr_family(net) != addr_family(address) || memcmp(a, b, length / 8) != 0)
		return false;
	return rest == 0 || (a[length / 8] ^ b[length / 8]) >> (8 - rest) == 0;
}

const struct network_address *network_own(const struct network *network, const struct addr *address)
{
	unsigned length = bits_of(addr_family(address));

	for (size_t i = 0; i < network->address_count; i++)
		if (network_covers(&network->addresses[i].address, length, address))
			return &network->addresses[i];
	return NULL;
}

const struct network_route *network_local_route(
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
