/*
 * What a proxy asks of its host; see the header.
 *
 * A listener on a family's wildcard address stays one: every address may be called then, and the
 * checklist thinks of the walk-through's example as one of them. Each port is a listener of its own, since
 * each has its own socket and may meet other rules; a plan puts runs of ports together again.
 */
#include "service.h"
#include "tproxy/array.h"
#include "tproxy/text.h"

#include <stdlib.h>
#include <string.h>

void needs_of_example(struct needs *needs)
{
	needs->example = true;
	needs->spoofs = true;
	needs_add_listener(needs, "192.0.2.80:80");
}

void needs_free(struct needs *needs)
{
	free(needs->listeners);
	free(needs->servers);
	free(needs->sources);
	free(needs->clients);
	*needs = (struct needs){0};
}

static void add_listener(struct needs *needs, struct need_listener listener)
{
	needs->listeners = array_room(needs->listeners, needs->listener_count, sizeof(listener));
	needs->listeners[needs->listener_count++] = listener;
}

static void add_server(struct needs *needs, struct addr address, struct addr source)
{
	needs->servers = array_room(needs->servers, needs->server_count, sizeof(address));
	needs->sources = array_room(needs->sources, needs->server_count, sizeof(source));
	needs->servers[needs->server_count] = address;
	needs->sources[needs->server_count++] = source;
}

/* In the list of sources the address without a family is the client's. */
static struct addr of_client(void)
{
	return addr_any(AF_UNSPEC);
}

/* Where connections to a server come from; *SPOOFED: not from this host's addresses. */
static struct addr source_of(const struct server *server, bool *spoofed)
{
	switch (server->source.mode) {
	case SOURCE_CLIENTIP:
	case SOURCE_CLIENT:
		*spoofed = true;
		return of_client();
	case SOURCE_FOREIGN:
		*spoofed = true;
		return server->source.address;
	default:
		*spoofed = false;
		return addr_any(addr_family(&server->address));
	}
}

static void of_proxy(struct needs *needs, const struct proxy *proxy)
{
	for (size_t i = 0; i < proxy->bind_count; i++) {
		const struct bind *bind = &proxy->binds[i];

		add_listener(needs, (struct need_listener){bind->address, IPPROTO_TCP,
					    bind->transparent, bind->line, bind->v6_mode});
	}
	for (size_t i = 0; i < proxy->server_count; i++) {
		bool spoofed;
		struct addr source = source_of(&proxy->servers[i], &spoofed);

		add_server(needs, proxy->servers[i].address, source);
		needs->spoofs |= spoofed;
	}
}

void needs_of_config(struct needs *needs, const struct config *config, const char *file)
{
	needs->file = file;
	needs->user = config->global.user;
	for (size_t i = 0; i < config->proxy_count; i++)
		of_proxy(needs, &config->proxies[i]);
}

struct addr needs_source(const struct needs *needs, size_t server, const struct addr *client)
{
	struct addr source = needs->sources[server];

	return addr_family(&source) == AF_UNSPEC ? *client : source;
}

/* Reads "ADDRESS:PORT" or, without a port where that is allowed, "ADDRESS". */
static int read_address(const char *text, bool port_needed, struct addr *address)
{
	char copy[ADDR_TEXT_MAX];
	unsigned port;
	char *colon;

	if (strlen(text) >= sizeof(copy))
		return -1;
	strcpy(copy, text);
	if (!port_needed && addr_parse(address, copy))
		return 0;
	colon = strrchr(copy, ':');
	if (colon == NULL || colon == copy || (strchr(copy, ':') != colon && colon[-1] != ']'))
		return -1;
	*colon = '\0';
	if (colon[1 + strspn(colon + 1, "0123456789")] != '\0' || !text_number(colon + 1, &port) ||
		port < 1 || port > UINT16_MAX || !addr_parse(address, copy))
		return -1;
	addr_set_port(address, (uint16_t)port);
	return 0;
}

int needs_add_listener(struct needs *needs, const char *text)
{
	struct need_listener listener = {.protocol = IPPROTO_TCP, .transparent = true};
	char copy[ADDR_TEXT_MAX + 4];
	char *slash;

	if (strlen(text) >= sizeof(copy))
		return -1;
	strcpy(copy, text);
	slash = strchr(copy, '/');
	if (slash != NULL) {
		if (strcmp(slash, "/udp") == 0)
			listener.protocol = IPPROTO_UDP;
		else if (strcmp(slash, "/tcp") != 0)
			return -1;
		*slash = '\0';
	}
	if (read_address(copy, true, &listener.address) == -1)
		return -1;
	add_listener(needs, listener);
	return 0;
}

int needs_add_server(struct needs *needs, const char *text)
{
	struct addr address;

	if (read_address(text, false, &address) == -1)
		return -1;
	add_server(needs, address, of_client());
	return 0;
}

int needs_add_client(struct needs *needs, const char *text)
{
	struct addr address;

	if (!addr_parse(&address, text))
		return -1;
	needs->clients = array_room(needs->clients, needs->client_count, sizeof(address));
	needs->clients[needs->client_count++] = address;
	return 0;
}

void needs_bindv6only(struct needs *needs, bool only)
{
	for (size_t i = 0; i < needs->listener_count; i++)
		if (needs->listeners[i].v6_mode == V6_SYSTEM)
			needs->listeners[i].v6_mode = only ? V6_ONLY : V6_AND_V4;
}

bool needs_hears(const struct need_listener *listener, int family)
{
	if (addr_family(&listener->address) == family)
		return true;
	return family == AF_INET && addr_is_any(&listener->address) && listener->v6_mode != V6_ONLY;
}

bool needs_protocol(const struct needs *needs, int family, int protocol)
{
	for (size_t i = 0; i < needs->listener_count; i++) {
		const struct need_listener *listener = &needs->listeners[i];

		if (listener->protocol != protocol)
			continue;
		if (addr_family(&listener->address) == family ||
			(listener->transparent && needs_hears(listener, family)))
			return true;
	}
	return false;
}

bool needs_family(const struct needs *needs, int family)
{
	return needs_protocol(needs, family, IPPROTO_TCP) ||
	       needs_protocol(needs, family, IPPROTO_UDP);
}

/* --- runs of ports --- */

/* By what has to be the same in a run: wildcards last, then by protocol and address. */
static int compare_kinds(const struct need_ports *a, const struct need_ports *b)
{
	const struct addr *one = &a->address, *other = &b->address;
	bool any = addr_is_any(one);

	if (any != addr_is_any(other))
		return any ? 1 : -1;
	if (a->protocol != b->protocol)
		return a->protocol - b->protocol;
	if (addr_family(one) != addr_family(other))
		return addr_family(one) - addr_family(other);
	if (addr_family(one) == AF_INET6)
		return memcmp(
			&one->in6.sin6_addr, &other->in6.sin6_addr, sizeof(one->in6.sin6_addr));
	return memcmp(&one->in4.sin_addr, &other->in4.sin_addr, sizeof(one->in4.sin_addr));
}

static int compare_ports(const void *a, const void *b)
{
	const struct need_ports *one = a, *other = b;
	int kinds = compare_kinds(one, other);

	return kinds != 0 ? kinds : (int)one->last - (int)other->last;
}

static struct need_ports ports_of(const struct need_listener *listener, int family)
{
	struct need_ports made = {
		listener->address, addr_port(&listener->address), listener->protocol};

	if (family != AF_UNSPEC && addr_is_any(&made.address)) {
		made.address = addr_any(family);
		addr_set_port(&made.address, made.last);
	}
	return made;
}

struct need_ports *needs_ports(const struct needs *needs, int family,
	bool (*is_one)(const struct need_listener *listener, int family), size_t *count)
{
	struct need_ports *list = NULL;
	size_t found = 0;

	for (size_t i = 0; i < needs->listener_count; i++) {
		if (!is_one(&needs->listeners[i], family))
			continue;
		list = array_room(list, found, sizeof(*list));
		list[found++] = ports_of(&needs->listeners[i], family);
	}
	if (found > 1)
		qsort(list, found, sizeof(*list), compare_ports);
	*count = 0;
	for (size_t i = 0; i < found; i++) {
		struct need_ports *before = *count > 0 ? &list[*count - 1] : NULL;

		if (before != NULL && compare_kinds(before, &list[i]) == 0 &&
			list[i].last <= before->last + 1)
			before->last = list[i].last;
		else
			list[(*count)++] = list[i];
	}
	return list;
}

char *needs_ports_text(const struct need_ports *ports)
{
	char text[ADDR_TEXT_MAX];

	addr_format(&ports->address, text);
	if (ports->last == addr_port(&ports->address))
		return text_copy(text);
	return text_format("%s-%u", text, ports->last);
}

static bool listens(const struct needs *needs, int protocol)
{
	return needs_protocol(needs, AF_INET, protocol) ||
	       needs_protocol(needs, AF_INET6, protocol);
}

bool needs_diverted(const struct needs *needs, int family, int protocol)
{
	if (needs_protocol(needs, family, protocol))
		return true;
	if (!needs->spoofs || !listens(needs, protocol))
		return false;
	for (size_t i = 0; i < needs->server_count; i++)
		if (addr_family(&needs->servers[i]) == family)
			return true;
	return false;
}

bool needs_wildcard(const struct needs *needs, int family, int protocol)
{
	for (size_t i = 0; i < needs->listener_count; i++) {
		const struct need_listener *listener = &needs->listeners[i];

		if (listener->protocol == protocol && addr_is_any(&listener->address) &&
			needs_hears(listener, family))
			return true;
	}
	return false;
}
