/*
 * What a proxy asks of its host: the addresses that it serves and where it calls.
 *
 * Taken from a configuration of tproxyd, from options of the command line (for every other proxy), or,
 * when neither says anything, the walk-through's set: the address of its example. All that the
 * checklist and the planner know about the proxy is in here.
 */
#ifndef TPROXY_NEEDS_H
#define TPROXY_NEEDS_H

#include "tproxy/addr.h"
#include "tproxy/config.h"

#include <stdbool.h>
#include <stddef.h>

#define NEEDS_MAX 256

struct need_listener {
	struct addr address;
	int protocol;     /* IPPROTO_TCP or IPPROTO_UDP */
	bool transparent; /* the proxy says that it sets IP_TRANSPARENT */
	unsigned line;    /* of the configuration, or 0 */
	enum v6_mode v6_mode;
};

struct needs {
	const char *file; /* the configuration, or NULL */
	bool example;     /* nobody said anything: the walk-through's example */
	bool spoofs;      /* servers are called from the client's address */
	struct need_listener listeners[NEEDS_MAX];
	size_t listener_count;
	struct addr servers[NEEDS_MAX];
	size_t server_count;
	struct addr clients[NEEDS_MAX]; /* clients to be thought of (--client) */
	size_t client_count;
	const char *user; /* the proxy's, or NULL */
};

/* The walk-through's: a transparent listener on port 80, and servers called from the client's address. */
void needs_of_example(struct needs *needs);

/* Adds what a configuration needs; returns -1 where there is more than NEEDS_MAX of anything. */
int needs_of_config(struct needs *needs, const struct config *config, const char *file);

/* "ADDRESS:PORT", "[ADDRESS]:PORT", with "/udp" behind it for datagrams; -1 where it is neither. */
int needs_add_listener(struct needs *needs, const char *text);
int needs_add_server(struct needs *needs, const char *text);
int needs_add_client(struct needs *needs, const char *text);

/* What V6_SYSTEM means on this host: net.ipv6.bindv6only. Without it, the kernel's default: IPv4, too. */
void needs_bindv6only(struct needs *needs, bool only);

/* Whether a listener hears clients of a family: of its own, and on [::] of IPv4 where its mode allows it. */
bool needs_hears(const struct need_listener *listener, int family);

/*
 * Whether anything of an address family (AF_INET, AF_INET6) or of a protocol is served: by a listener of
 * the family, or by a transparent one that hears it.
 */
bool needs_family(const struct needs *needs, int family);
bool needs_protocol(const struct needs *needs, int family, int protocol);

#endif
