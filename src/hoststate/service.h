/*
 * The service: the addresses that a proxy serves, and where it connects to.
 *
 * It comes from a configuration of tproxyd, or from options of the command line (for other proxies). Without
 * either, it is the walk-through's example. The checklist and the planner know nothing else about the proxy.
 */
#ifndef TPROXY_SERVICE_H
#define TPROXY_SERVICE_H

#include "network.h"
#include "sockets.h"
#include "tproxy/addr.h"
#include "tproxy/config.h"

#include <stdbool.h>
#include <stddef.h>

struct service_listener {
	struct addr address;
	int protocol;     /* IPPROTO_TCP or IPPROTO_UDP */
	bool transparent; /* the proxy is configured to set IP_TRANSPARENT */
	unsigned line;    /* of the configuration, or 0 */
	enum v6_mode v6_mode;
};

struct service {
	const char *file; /* of the configuration, or NULL */
	bool example;     /* no configuration was given: this is the walk-through's example */
	bool found;       /* no configuration was given: these are sockets that are there */
	bool intercepts; /* it connects to where clients connect to; `servers` may have examples of that */
	bool spoofs; /* the proxy connects to servers from addresses that are not this host's */
	struct service_listener *listeners; /* one for each port of a range */
	size_t listener_count;
	struct addr *servers;
	struct addr *sources; /* for each server, in the same order; see service_source() */
	size_t server_count;
	struct addr *clients; /* simulated clients (--client) */
	size_t client_count;
	const char *user; /* the proxy's, or NULL */
};

/* Listeners on one address with consecutive ports. */
struct service_port_range {
	struct addr address; /* with the first port */
	uint16_t last;
	int protocol;
};

/* Adds the walk-through's example: a transparent listener on port 80; servers see the client's address. */
void service_add_example(struct service *service);

/*
 * Adds what sockets of this host show: transparent listeners, and servers that are connected to from an address that is not
 * the host's. Returns whether a listener was found; else nothing is added.
 */
bool service_add_found(
	struct service *service, const struct host_sockets *sockets, const struct network *network);

/*
 * Adds the listeners and servers of a configuration; CONFIG and FILE have to outlive SERVICE. Where a server is wherever
 * clients connect to, the servers that SERVICE has already are examples of it.
 */
void service_add_config(struct service *service, const struct config *config, const char *file);

void service_free(struct service *service);

/* Each adds one entry. SOURCE as in the list of sources: without a family it stands for the client's. */
void service_put_listener(struct service *service, struct service_listener listener);
void service_put_server(struct service *service, struct addr address, struct addr source);

/*
 * Each adds one entry and returns 0, or -1 where TEXT is something else: a listener "ADDRESS:PORT" or
 * "[ADDRESS]:PORT", with "/udp" behind it for datagrams; a server, whose port may be left out; a client
 * "ADDRESS".
 */
int service_add_listener(struct service *service, const char *text);
int service_add_server(struct service *service, const char *text);
int service_add_client(struct service *service, const char *text);

/*
 * The source address of a connection to server number SERVER for CLIENT: the client's address; with `usesrc ADDR`
 * that address, for every client. Replies go to that address, and must be diverted like those to a client. The
 * wildcard of the server's family means an address of this host.
 */
struct addr service_source(const struct service *service, size_t server, const struct addr *client);

/*
 * The listeners for which IS_ONE returns true with FAMILY, as ranges of ports: named addresses first, wildcards
 * last, then by protocol, address and port, each once. Wildcards of either family become that of FAMILY, unless it
 * is AF_UNSPEC. The list is to be freed; *COUNT is its length.
 */
struct service_port_range *service_port_ranges(const struct service *service, int family,
	bool (*is_one)(const struct service_listener *listener, int family), size_t *count);

/* "192.0.2.80:80", "192.0.2.80:80-90" or "[::]:80", to be freed. */
char *service_port_range_text(const struct service_port_range *ports);

/*
 * Replaces V6_SYSTEM by what net.ipv6.bindv6only of this host says. The kernel's default is false: a listener on
 * [::] accepts IPv4, too (ipv6(7)).
 */
void service_set_bindv6only(struct service *service, bool only);

/* Whether a listener accepts clients of FAMILY: of its own family, and of IPv4 on [::] if its mode allows it. */
bool service_listener_accepts(const struct service_listener *listener, int family);

/*
 * Whether FAMILY (AF_INET, AF_INET6), or a protocol of it, is served: by a listener of the family, or by a
 * transparent listener that accepts it.
 */
bool service_has_family(const struct service *service, int family);
bool service_has_protocol(const struct service *service, int family, int protocol);

/* Whether packets of a family and protocol must be diverted: those of clients, or replies of servers. */
bool service_needs_divert(const struct service *service, int family, int protocol);

/* Whether a listener serves every address of a family. */
bool service_has_wildcard(const struct service *service, int family, int protocol);

#endif
