/*
 * Why a session ended: every way it can, each with its own name in logs and counters.
 *
 * Whatever goes wrong on the way to the server has its own reason, and none of them leads to a
 * connection from the proxy's own address.
 */
#ifndef TPROXY_SERVERS_REASON_H
#define TPROXY_SERVERS_REASON_H

#include <stdbool.h>

enum reason {
	REASON_DONE,                /* both sides ended in order */
	REASON_CLIENT_RESET,        /* the client's side broke */
	REASON_SERVER_RESET,        /* the server's side broke */
	REASON_CLIENT_TIMEOUT,      /* timeout client or client-fin */
	REASON_SERVER_TIMEOUT,      /* timeout server or server-fin */
	REASON_CONNECT_TIMEOUT,     /* timeout connect */
	REASON_CONNECT_REFUSED,     /* the server's host answered with a reset */
	REASON_CONNECT_UNREACHABLE, /* no route, here or at a router */
	REASON_CONNECT_FAILED,      /* any other failure to connect */
	REASON_SOURCE_DENIED,       /* no capability to use the client's address */
	REASON_SOURCE_FAMILY,       /* an IPv6 client and an IPv4 server, or the reverse */
	REASON_SOURCE_IN_USE,       /* source and server have a connection with this port already */
	REASON_SOURCE_EXHAUSTED,    /* the source address has no port left for this server */
	REASON_SOURCE_FAILED,       /* any other failure to bind the source address */
	REASON_NO_SERVER,           /* no backend, or a backend without a usable server */
	REASON_SERVERS_FULL,        /* every usable server has its maxconn of flows */
	REASON_QUEUE_FULL,    /* the server that it has to wait for has its maxqueue of clients */
	REASON_QUEUE_TIMEOUT, /* timeout queue */
	REASON_CLIENT_LEFT,   /* the client ended its connection while it waited for a server */
	REASON_REJECTED,      /* a rule for connections or sessions refuses the client */
	REASON_CONTENT_REJECTED,    /* a rule for contents does */
	REASON_LOOP,                /* the server is a listener of the proxy itself */
	REASON_DIVERTED_AGAIN,      /* the client is this process, on its way to a server */
	REASON_DESTINATION_OWN,     /* the client connected to an address of this host itself */
	REASON_DESTINATION_ADDRESS, /* the client connected to an address that no server can have */
	REASON_FLOW_IDLE,           /* no datagram for as long as the timeouts say */
	REASON_FLOWS_FULL,          /* maxconn flows of datagrams are there already */
	REASON_CLIENT_FLOWS,        /* the client has as many flows as it may have */
	REASON_CLIENT_RATE,         /* the client sends more datagrams in a second than it may */
	REASON_DESTINATION_PORT,    /* a datagram was sent to another port than the listener's */
	REASON_HEADER_TIMEOUT,      /* no whole PROXY header within timeout client */
	REASON_HEADER_CUT,          /* the client ended its data before the header was whole */
	REASON_HEADER_MALFORMED,    /* what came is no PROXY header */
	REASON_HEADER_ADDRESS,      /* the header names a client whose address cannot be used */
	REASON_SERVER_DOWN,         /* on-marked-down shutdown-sessions */
	REASON_SERVER_UP,           /* on-marked-up shutdown-backup-sessions */
	REASON_KILLED,              /* an operator ended it */
	REASON_DESCRIPTORS,         /* no descriptor left for the server's side */
	REASON_MEMORY,              /* no memory left */
	REASON_SHUTDOWN,            /* the daemon is stopping */
	REASON_COUNT
};

/* The name in logs and counters, as "source-in-use". Static, as all texts here. */
const char *reason_name(enum reason reason);

/* What happened and what to do about it, for the person who reads the log; without a full stop. */
const char *reason_text(enum reason reason);

/* First letter of HAProxy's termination state (configuration manual, section 8.5). */
char reason_cause(enum reason reason);

/* Whether a connection to the server that failed for this reason is tried again (`retries`). */
bool reason_is_retried(enum reason reason);

/* Whether it means that the session never reached its server. Such a session is logged as refused. */
bool reason_is_refusal(enum reason reason);

#endif
