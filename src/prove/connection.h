/*
 * A whole transparent connection through the scratch network, from client to proxy to server.
 *
 * Every socket of the three hosts is opened by this process. A connection has two legs, which are tried
 * independently: to a listener at an address that no host has, and to the server from the client's
 * address. It works when both do and bytes pass both ways.
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

/* What is tried: data. */
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
	bool listener_reached;     /* the first leg worked */
	bool client_seen;          /* the server saw the client's address: the second leg worked */
	bool destination_reported; /* the kernel told where a datagram was sent, and was right */
	char detail[320];
};

/* "works", "failed" or "untried". */
const char *connection_state_name(enum connection_state state);

/* "iptables", "iptables-legacy", "nft" or "none". */
const char *connection_tool_name(const struct connection *connection);

/* The capabilities that it is built on, with the family's; returns how many. */
#define CONNECTION_CAPABILITIES_MAX 12
size_t connection_capabilities(const struct connection *connection,
	enum capability_name needed[CONNECTION_CAPABILITIES_MAX]);

/*
 * Tries it, or notes which of the capabilities that it needs does not work. The tool's rules are
 * loaded. Takes no longer than MILLISECONDS for each leg.
 */
void connection_try(struct connection *connection, const struct scratch_network *network,
	const struct findings *findings, int milliseconds);

#endif
