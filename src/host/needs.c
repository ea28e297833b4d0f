/*
 * What a proxy asks of its host; see the header.
 *
 * A listener on a family's wildcard address stays one: every address may be called then, and the
 * checklist thinks of the walk-through's example as one of them.
 */
#include "tproxy/needs.h"

#include <stdlib.h>
#include <string.h>

void needs_of_example(struct needs *needs)
{
	*needs = (struct needs){.example = true, .spoofs = true};
	needs_add_listener(needs, "192.0.2.80:80");
}

static int add_listener(struct needs *needs, struct need_listener listener)
{
	if (needs->listener_count == NEEDS_MAX)
		return -1;
	needs->listeners[needs->listener_count++] = listener;
	return 0;
}

static int add_address(struct addr *list, size_t *count, const struct addr *address)
{
	if (*count == NEEDS_MAX)
		return -1;
	list[(*count)++] = *address;
	return 0;
}

static bool is_spoofed(const struct source *source)
{
	return source->mode == SOURCE_CLIENTIP || source->mode == SOURCE_CLIENT;
}

static int of_proxy(struct needs *needs, const struct proxy *proxy)
{
	int result = 0;

	for (size_t i = 0; i < proxy->bind_count; i++) {
		const struct bind *bind = &proxy->binds[i];

		result |=
			add_listener(needs, (struct need_listener){bind->address, IPPROTO_TCP,
						    bind->transparent, bind->line, bind->v6_mode});
	}
	for (size_t i = 0; i < proxy->server_count; i++) {
		needs->spoofs |= is_spoofed(&proxy->servers[i].source);
		result |= add_address(
			needs->servers, &needs->server_count, &proxy->servers[i].address);
	}
	return result;
}

int needs_of_config(struct needs *needs, const struct config *config, const char *file)
{
	int result = 0;

	needs->file = file;
	needs->user = config->global.user;
	for (size_t i = 0; i < config->proxy_count; i++)
		result |= of_proxy(needs, &config->proxies[i]);
	return result;
}

/* Reads "ADDRESS:PORT" or, without a port where that is allowed, "ADDRESS". */
static int read_address(const char *text, bool port_needed, struct addr *address)
{
	char copy[ADDR_TEXT_MAX];
	char *colon, *end = NULL;
	long port;

	if (strlen(text) >= sizeof(copy))
		return -1;
	strcpy(copy, text);
	if (!port_needed && addr_parse(address, copy))
		return 0;
	colon = strrchr(copy, ':');
	if (colon == NULL || colon == copy || (strchr(copy, ':') != colon && colon[-1] != ']'))
		return -1;
	*colon = '\0';
	port = strtol(colon + 1, &end, 10);
	if (end == colon + 1 || *end != '\0' || port < 1 || port > 65535 ||
		!addr_parse(address, copy))
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
	return add_listener(needs, listener);
}

int needs_add_server(struct needs *needs, const char *text)
{
	struct addr address;

	if (read_address(text, false, &address) == -1)
		return -1;
	return add_address(needs->servers, &needs->server_count, &address);
}

int needs_add_client(struct needs *needs, const char *text)
{
	struct addr address;

	if (!addr_parse(&address, text))
		return -1;
	return add_address(needs->clients, &needs->client_count, &address);
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
