/*
 * What a proxy asks of its host: the addresses that it serves and where it calls.
 *
 * Taken from a configuration of tproxyd, from options of the command line (for every other proxy), or,
 * when neither says anything, the walk-through's set: the address of its example. All that the
 * checklist and the planner know about the proxy is in here.
 */
#ifndef TPROXY_SERVICE_H
#define TPROXY_SERVICE_H

#include "tproxy/addr.h"
#include "tproxy/config.h"

#include <stdbool.h>
#include <stddef.h>

struct service_listener {
	struct addr address;
	int protocol;     /* IPPROTO_TCP or IPPROTO_UDP */
	bool transparent; /* the proxy says that it sets IP_TRANSPARENT */
	unsigned line;    /* of the configuration, or 0 */
	enum v6_mode v6_mode;
};

struct service {
	const char *file; /* the configuration, or NULL */
	bool example;     /* nobody said anything: the walk-through's example */
	bool spoofs;      /* servers are connected to from addresses that are not this host's */
	struct service_listener *listeners; /* one for each port of a range */
	size_t listener_count;
	struct addr *servers;
	struct addr *sources; /* of each server, in the same order; see service_source() */
	size_t server_count;
	struct addr *clients; /* clients to be thought of (--client) */
	size_t client_count;
	const char *user; /* the proxy's, or NULL */
};

/* Listeners that differ by their ports alone, which follow each other. */
struct service_port_range {
	struct addr address; /* with the first port */
	uint16_t last;
	int protocol;
};

/* Adds the walk-through's: a transparent listener on port 80, and servers that see the client's address. */
void service_add_example(struct service *service);

/* Adds what a configuration needs; CONFIG and FILE have to outlive it. */
void service_add_config(struct service *service, const struct config *config, const char *file);

void service_free(struct service *service);

/* "ADDRESS:PORT", "[ADDRESS]:PORT", with "/udp" behind it for datagrams; -1 where it is neither. */
int service_add_listener(struct service *service, const char *text);
int service_add_server(struct service *service, const char *text);
int service_add_client(struct service *service, const char *text);

/*
 * The source of connections to a server, by its place in the list, for a client: the client's address; with
 * `usesrc ADDR` that one, for every client. The servers' answers are to that address, and have to be
 * diverted like those to a client. The wildcard of the server's family: an address of this host.
 */
struct addr service_source(const struct service *service, size_t server, const struct addr *client);

/*
 * The listeners for which IS_ONE of FAMILY says true, as runs of ports: named addresses first, wildcards
 * last, by protocol, address and port, none of them twice. The wildcard of either family is that of FAMILY,
 * unless that is AF_UNSPEC. A list to be freed, its length in *COUNT.
 */
struct service_port_range *service_port_ranges(const struct service *service, int family,
	bool (*is_one)(const struct service_listener *listener, int family), size_t *count);

/* "192.0.2.80:80", "192.0.2.80:80-90", "[::]:80", to be freed. */
char *service_port_range_text(const struct service_port_range *ports);

/* What V6_SYSTEM means on this host: net.ipv6.bindv6only. Without it, the kernel's default: IPv4, too. */
void service_set_bindv6only(struct service *service, bool only);

/* Whether a listener hears clients of a family: of its own, and on [::] of IPv4 where its mode allows it. */
bool service_listener_accepts(const struct service_listener *listener, int family);

/*
 * Whether anything of an address family (AF_INET, AF_INET6) or of a protocol is served: by a listener of
 * the family, or by a transparent one that hears it.
 */
bool service_has_family(const struct service *service, int family);
bool service_has_protocol(const struct service *service, int family, int protocol);

/* Whether packets of a family and protocol must be diverted: clients', or servers' answers. */
bool service_needs_divert(const struct service *service, int family, int protocol);

/* Whether a listener serves a family on every address. */
bool service_has_wildcard(const struct service *service, int family, int protocol);

#endif
