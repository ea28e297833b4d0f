/*
 * The two legs of a connection through the scratch network, over TCP and over UDP.
 */
#ifndef TPROXY_CONNECTION_LEGS_H
#define TPROXY_CONNECTION_LEGS_H

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

struct connection_attempt {
	struct connection *connection; /* what is found out goes here */
	const struct scratch_network *network;
	int family;
	long long deadline;      /* of the leg, by clock_ms() */
	struct addr destination; /* of the client */
	struct addr listening;   /* where the proxy waits for it */
	struct addr client, server;
	int ends[ENDS]; /* -1: not open */
};

/* Each true, or false with the connection's detail filled in, unless something failed before. */
bool connection_tcp_client_side(struct connection_attempt *attempt);
bool connection_tcp_server_side(struct connection_attempt *attempt);
bool connection_tcp_both_ways(struct connection_attempt *attempt);
bool connection_udp_client_side(struct connection_attempt *attempt);
bool connection_udp_server_side(struct connection_attempt *attempt);
bool connection_udp_both_ways(struct connection_attempt *attempt);

#endif
