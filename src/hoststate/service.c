/*
 * The listeners and servers of the service.
 *
 * A wildcard listener stays one entry. Clients may connect to every address then, and the checklist takes the
 * walk-through's example as one of them. Each port is an entry of its own, because it has its own socket and other
 * rules may match; a plan joins consecutive ports again.
 */
#include "service.h"
#include "tproxy/array.h"
#include "tproxy/text.h"

#include <stdlib.h>
#include <string.h>

void service_add_example(struct service *service)
{
	service->example = true;
	service->spoofs = true;
	service_add_listener(service, "192.0.2.80:80");
}

void service_free(struct service *service)
{
	free(service->listeners);
	free(service->servers);
	free(service->sources);
	free(service->clients);
	*service = (struct service){0};
}

void service_put_listener(struct service *service, struct service_listener listener)
{
	service->listeners =
		array_room(service->listeners, service->listener_count, sizeof(listener));
	service->listeners[service->listener_count++] = listener;
}

void service_put_server(struct service *service, struct addr address, struct addr source)
{
	service->servers = array_room(service->servers, service->server_count, sizeof(address));
	service->sources = array_room(service->sources, service->server_count, sizeof(source));
	service->servers[service->server_count] = address;
	service->sources[service->server_count++] = source;
}

/* In the list of sources, an address without a family stands for the client's. */
static struct addr client_source(void)
{
	return addr_any(AF_UNSPEC);
}

/* The source of connections to a server. *SPOOFED: it is not an address of this host. */
static struct addr source_of(const struct server *server, bool *spoofed)
{
	switch (server->source.mode) {
	case SOURCE_CLIENTIP:
	case SOURCE_CLIENT:
		*spoofed = true;
		return client_source();
	case SOURCE_FOREIGN:
		*spoofed = true;
		return server->source.address;
	default:
		*spoofed = false;
		return addr_any(addr_family(&server->address));
	}
}

/* A server that is any host: the first EXAMPLES of the list are taken for it. */
static void add_original(struct service *service, size_t examples, struct addr source, bool spoofed)
{
	service->intercepts = true;
	for (size_t i = 0; i < examples; i++)
		service->sources[i] =
			spoofed ? source : addr_any(addr_family(&service->servers[i]));
}

static void add_proxy(struct service *service, size_t examples, const struct proxy *proxy)
{
	for (size_t i = 0; i < proxy->bind_count; i++) {
		const struct bind *bind = &proxy->binds[i];

		int protocol = proxy->mode == MODE_UDP ? IPPROTO_UDP : IPPROTO_TCP;

		service_put_listener(
			service, (struct service_listener){bind->address, protocol,
					 bind->transparent, bind->line, bind->v6_mode});
	}
	for (size_t i = 0; i < proxy->server_count; i++) {
		bool spoofed;
		struct addr source = source_of(&proxy->servers[i], &spoofed);

		service->spoofs |=
			spoofed || addr_family(&proxy->servers[i].check.usesrc) != AF_UNSPEC;
		if (server_is_original(&proxy->servers[i]))
			add_original(service, examples, source, spoofed);
		else
			service_put_server(service, proxy->servers[i].address, source);
	}
}

void service_add_config(struct service *service, const struct config *config, const char *file)
{
	size_t examples = service->server_count;

	service->file = file;
	service->user = config->global.user;
	for (size_t i = 0; i < config->proxy_count; i++)
		add_proxy(service, examples, &config->proxies[i]);
}

struct addr service_source(const struct service *service, size_t server, const struct addr *client)
{
	struct addr source = service->sources[server];

	return addr_family(&source) == AF_UNSPEC ? *client : source;
}

/* Reads "ADDRESS:PORT", or "ADDRESS" unless PORT_NEEDED. */
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

int service_add_listener(struct service *service, const char *text)
{
	struct service_listener listener = {.protocol = IPPROTO_TCP, .transparent = true};
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
	service_put_listener(service, listener);
	return 0;
}

int service_add_server(struct service *service, const char *text)
{
	struct addr address;

	if (read_address(text, false, &address) == -1)
		return -1;
	service_put_server(service, address, client_source());
	return 0;
}

int service_add_client(struct service *service, const char *text)
{
	struct addr address;

	if (!addr_parse(&address, text))
		return -1;
	service->clients = array_room(service->clients, service->client_count, sizeof(address));
	service->clients[service->client_count++] = address;
	return 0;
}

void service_set_bindv6only(struct service *service, bool only)
{
	for (size_t i = 0; i < service->listener_count; i++)
		if (service->listeners[i].v6_mode == V6_SYSTEM)
			service->listeners[i].v6_mode = only ? V6_ONLY : V6_AND_V4;
}

bool service_listener_accepts(const struct service_listener *listener, int family)
{
	if (addr_family(&listener->address) == family)
		return true;
	return family == AF_INET && addr_is_any(&listener->address) && listener->v6_mode != V6_ONLY;
}

bool service_has_protocol(const struct service *service, int family, int protocol)
{
	for (size_t i = 0; i < service->listener_count; i++) {
		const struct service_listener *listener = &service->listeners[i];

		if (listener->protocol != protocol)
			continue;
		if (addr_family(&listener->address) == family ||
			(listener->transparent && service_listener_accepts(listener, family)))
			return true;
	}
	return false;
}

bool service_has_family(const struct service *service, int family)
{
	return service_has_protocol(service, family, IPPROTO_TCP) ||
	       service_has_protocol(service, family, IPPROTO_UDP);
}

/* --- ranges of ports --- */

/* Orders by what is the same in a range: wildcards last, then protocol and address. */
static int compare_kinds(const struct service_port_range *a, const struct service_port_range *b)
{
	const struct addr *one = &a->address, *other = &b->address;
	bool any = addr_is_any(one);

	if (any != addr_is_any(other))
		return any ? 1 : -1;
	if (a->protocol != b->protocol)
		return a->protocol - b->protocol;
	return addr_compare_ip(one, other);
}

static int compare_ports(const void *a, const void *b)
{
	const struct service_port_range *one = a, *other = b;
	int kinds = compare_kinds(one, other);

	return kinds != 0 ? kinds : (int)one->last - (int)other->last;
}

static struct service_port_range range_of(const struct service_listener *listener, int family)
{
	struct service_port_range made = {
		listener->address, addr_port(&listener->address), listener->protocol};

	if (family != AF_UNSPEC && addr_is_any(&made.address)) {
		made.address = addr_any(family);
		addr_set_port(&made.address, made.last);
	}
	return made;
}

struct service_port_range *service_port_ranges(const struct service *service, int family,
	bool (*is_one)(const struct service_listener *listener, int family), size_t *count)
{
	struct service_port_range *list = NULL;
	size_t found = 0;

	for (size_t i = 0; i < service->listener_count; i++) {
		if (!is_one(&service->listeners[i], family))
			continue;
		list = array_room(list, found, sizeof(*list));
		list[found++] = range_of(&service->listeners[i], family);
	}
	if (found > 1)
		qsort(list, found, sizeof(*list), compare_ports);
	*count = 0;
	for (size_t i = 0; i < found; i++) {
		struct service_port_range *before = *count > 0 ? &list[*count - 1] : NULL;

		if (before != NULL && compare_kinds(before, &list[i]) == 0 &&
			list[i].last <= before->last + 1)
			before->last = list[i].last;
		else
			list[(*count)++] = list[i];
	}
	return list;
}

char *service_port_range_text(const struct service_port_range *ports)
{
	char text[ADDR_TEXT_MAX];

	addr_format(&ports->address, text);
	if (ports->last == addr_port(&ports->address))
		return text_copy(text);
	return text_format("%s-%u", text, ports->last);
}

bool service_needs_divert(const struct service *service, int family, int protocol)
{
	if (service_has_protocol(service, family, protocol))
		return true;
	if (!service->spoofs || (!service_has_protocol(service, AF_INET, protocol) &&
					!service_has_protocol(service, AF_INET6, protocol)))
		return false;
	for (size_t i = 0; i < service->server_count; i++)
		if (addr_family(&service->servers[i]) == family)
			return true;
	return false;
}

bool service_has_wildcard(const struct service *service, int family, int protocol)
{
	for (size_t i = 0; i < service->listener_count; i++) {
		const struct service_listener *listener = &service->listeners[i];

		if (listener->protocol == protocol && addr_is_any(&listener->address) &&
			service_listener_accepts(listener, family))
			return true;
	}
	return false;
}
