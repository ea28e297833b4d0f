/*
 * The two sides of a connection through the scratch network: client to proxy, and proxy to server.
 */
#ifndef TPROXY_CONNECTION_SIDES_H
#define TPROXY_CONNECTION_SIDES_H

#include "connection.h"
#include "tproxy/addr.h"

/* The sockets of one connection, each in the namespace of its host. */
enum end {
	END_LISTENER, /* the proxy's, for clients */
	END_CLIENT,   /* the client's */
	END_ACCEPTED, /* the proxy's, to the client */
	END_SERVER,   /* the server's, for the proxy */
	END_UPSTREAM, /* the proxy's, to the server */
	END_SERVED,   /* the server's, to the proxy */
	ENDS
};

/* One attempt to make a connection. */
struct connection_attempt {
	struct connection *connection; /* the results go here */
	const struct scratch_network *network;
	int family;
	long long deadline;      /* of this side, by clock_ms() */
	struct addr destination; /* that the client connects to */
	struct addr listening;   /* that the proxy is bound to */
	struct addr client, server;
	int ends[ENDS]; /* descriptors, -1: not open; the caller closes them */
};

/*
 * Each opens its sockets and leaves the process in the namespace of one of the hosts. It waits until the
 * deadline. Returns true; or false, with the reason in the connection's detail unless one is there already.
 *
 * client_side: the client reaches the listener, and both see the right addresses (of a datagram, the
 * destination that the kernel reports, too). server_side: the proxy reaches the server, from the client's address
 * if the recipe says so. both_ways, after both sides: bytes pass in both directions.
 */
bool connection_tcp_client_side(struct connection_attempt *attempt);
bool connection_tcp_server_side(struct connection_attempt *attempt);
bool connection_tcp_both_ways(struct connection_attempt *attempt);
bool connection_udp_client_side(struct connection_attempt *attempt);
bool connection_udp_server_side(struct connection_attempt *attempt);
bool connection_udp_both_ways(struct connection_attempt *attempt);

#endif
