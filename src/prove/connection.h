/*
 * A whole transparent connection through the scratch network, from client to proxy to server.
 *
 * This process opens all sockets of the three hosts. The two sides of a connection are tried independently:
 * the client's side, to a listener on an address that no host has, and the server's side, from the client's
 * address. The connection works if both do and bytes pass in both directions.
 */
#ifndef TPROXY_CONNECTION_H
#define TPROXY_CONNECTION_H

#include "hoststate/capability.h"
#include "scratch_network.h"

#include <stdbool.h>
#include <stddef.h>

enum connection_state {
	CONNECTION_UNTRIED,
	CONNECTION_WORKS,
	CONNECTION_FAILED
};

/* A way to make a connection: where the client connects to, and what leads it to the proxy. */
struct connection_recipe {
	const char *name;
	const char *const *destination; /* that the client connects to, by family */
	int protocol;                   /* IPPROTO_TCP or IPPROTO_UDP */
	unsigned tools;                 /* bits 1 << RULES_...; 0: no packet rules */
	unsigned features;              /* of those rules, bits 1 << RULES_... */
	int port;                       /* that the client connects to */
	int behind;                     /* the proxy's port is this much higher */
	bool any;                       /* the proxy listens on the wildcard address */
	bool spoofs; /* the proxy connects to the server from the client's address */
};

extern const struct connection_recipe connection_recipes[];
extern const size_t connection_recipe_count;

struct connection {
	const struct connection_recipe *recipe;
	int tool; /* enum firewall_tool, or -1 where no packet rules are needed */
	int family;
	enum connection_state state;
	bool listener_reached;     /* the client side works */
	bool client_seen;          /* the server saw the client's address: the server side works */
	bool destination_reported; /* the kernel reported the right destination of a datagram */
	char detail[320];
};

/* "works", "failed" or "untried". */
const char *connection_state_name(enum connection_state state);

/* "iptables", "iptables-legacy", "nft" or "none". */
const char *connection_tool_name(const struct connection *connection);

/* Fills in the capabilities that a connection depends on, of its family; returns how many. */
#define CONNECTION_CAPABILITIES_MAX 12
size_t connection_capabilities(const struct connection *connection,
	enum capability_name needed[CONNECTION_CAPABILITIES_MAX]);

/*
 * Tries a connection and fills in its results. If a capability that it depends on does not work, it stays
 * untried, and the detail names the capability. The rules of its firewall tool have to be loaded on the proxy's
 * host. Each side takes MILLISECONDS at most. The process is on any of the three hosts afterwards.
 */
void connection_try(struct connection *connection, const struct scratch_network *network,
	const struct findings *findings, int milliseconds);

#endif
