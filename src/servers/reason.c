/*
 * The reasons for which sessions end, as one table; everything about a reason is its row. A reason
 * without a row has no name, and logging it would end the process: a new reason needs its row.
 *
 * The causes are HAProxy's: C client, S server, P proxy, R resources of this host, c and s timeouts,
 * K the proxy stops, - an orderly end.
 */
#include "reason.h"

enum reason_kind {
	ENDED,   /* the session had reached its server */
	REFUSED, /* it had not, and another attempt would fail in the same way */
	RETRIED, /* it had not, and another attempt might */
};

static const struct {
	const char *name;
	char cause;
	enum reason_kind kind;
	const char *text;
} reasons[REASON_COUNT] = {
	[REASON_DONE] = {"done", '-', ENDED, "client and server ended the connection"},
	[REASON_CLIENT_RESET] = {"client-reset", 'C', ENDED, "the client reset the connection"},
	[REASON_SERVER_RESET] = {"server-reset", 'S', ENDED, "the server reset the connection"},
	[REASON_CLIENT_TIMEOUT] = {"client-timeout", 'c', ENDED,
		"`timeout client` passed: the client neither sent nor took data"},
	[REASON_SERVER_TIMEOUT] = {"server-timeout", 's', ENDED,
		"`timeout server` passed: the server neither sent nor took data"},
	[REASON_CONNECT_TIMEOUT] = {"connect-timeout", 's', RETRIED,
		"the server did not answer within `timeout connect`: run `tproxyctl check`; the server's route to the client must lead through this host, and this host must divert the answers to tproxyd"},
	[REASON_CONNECT_REFUSED] = {"connect-refused", 'S', RETRIED,
		"the server refused the connection: no program listens on its port"},
	[REASON_CONNECT_UNREACHABLE] = {"connect-unreachable", 'S', RETRIED,
		"no route to the server, from this host or from a router on the way"},
	[REASON_CONNECT_FAILED] = {"connect-failed", 'S', RETRIED,
		"the connection to the server failed"},
	[REASON_SOURCE_DENIED] = {"source-denied", 'P', REFUSED,
		"no permission to use the source address: CAP_NET_RAW is missing, or CAP_NET_BIND_SERVICE for a port below net.ipv4.ip_unprivileged_port_start; start tproxyd as root"},
	[REASON_SOURCE_FAMILY] = {"source-family", 'P', REFUSED,
		"source and server must both be IPv4, or both IPv6"},
	[REASON_SOURCE_IN_USE] = {"source-in-use", 'R', REFUSED,
		"another connection to this server already uses the source address and port"},
	[REASON_SOURCE_EXHAUSTED] = {"source-exhausted", 'R', REFUSED,
		"the source address has no free port for this server: widen net.ipv4.ip_local_port_range"},
	[REASON_SOURCE_FAILED] = {"source-failed", 'P', REFUSED, "cannot bind the source address"},
	[REASON_NO_SERVER] = {"no-server", 'S', REFUSED,
		"no server: the frontend has no backend, or its backend no usable `server`"},
	[REASON_SERVERS_FULL] = {"servers-full", 's', REFUSED,
		"every usable server has as many flows as its `maxconn`, and no datagram waits for a place: raise it, or add servers"},
	[REASON_QUEUE_FULL] = {"queue-full", 'S', REFUSED,
		"as many clients as its `maxqueue` wait for the client's server already: raise it, or the server's `maxconn`"},
	[REASON_QUEUE_TIMEOUT] = {"queue-timeout", 's', REFUSED,
		"no server had a place within `timeout queue`: raise it, or the servers' `maxconn`, or add servers"},
	[REASON_CLIENT_LEFT] = {"client-left", 'C', ENDED,
		"the client ended its connection while it waited for a server"},
	[REASON_REJECTED] = {"rejected", 'P', REFUSED,
		"a `tcp-request connection` or `session` rule of the frontend rejects this client"},
	[REASON_CONTENT_REJECTED] = {"content-rejected", 'P', REFUSED,
		"a `tcp-request content` rule of the frontend or its backend rejects this client"},
	[REASON_LOOP] = {"loop", 'P', REFUSED,
		"the server's address is this host's own, and the proxy listens there: write the address of a server"},
	[REASON_DIVERTED_AGAIN] = {"diverted-again", 'P', REFUSED,
		"a connection of tproxyd's own to a server was diverted to tproxyd: let the rules leave out what it sends, by its user, its output interface, or its source address"},
	[REASON_DESTINATION_OWN] = {"destination-own", 'P', REFUSED,
		"the client connected to an address of this host, so the connection would come back to it: let the rules divert only what is for other hosts"},
	[REASON_DESTINATION_ADDRESS] = {"destination-address", 'P', REFUSED,
		"no server can be where the client connected to: an unspecified, loopback, multicast or broadcast address, or port 0"},
	[REASON_FLOW_IDLE] = {"flow-idle", '-', ENDED,
		"neither client nor server sent a datagram within `timeout client` or `timeout server`"},
	[REASON_FLOWS_FULL] = {"flows-full", 'R', REFUSED,
		"no room for a new flow of datagrams: raise maxconn, or shorten `timeout client`"},
	[REASON_CLIENT_FLOWS] = {"client-flows", 'P', REFUSED,
		"the client has as many flows of datagrams as `client-flows` lets it have"},
	[REASON_CLIENT_RATE] = {"client-rate", 'P', REFUSED,
		"the client sends more datagrams in a second than `client-rate` lets it send: those beyond it are dropped"},
	[REASON_DESTINATION_PORT] = {"destination-port", 'P', REFUSED,
		"the client sent to another port than the listener's, from which no reply could come: let the rules leave the port as it is, or write a `bind` line for it"},
	[REASON_HEADER_TIMEOUT] = {"header-timeout", 'c', REFUSED,
		"no PROXY header came within `timeout client`: let the client's proxy send one, or remove `accept-proxy` or `expect-proxy`"},
	[REASON_HEADER_CUT] = {"header-cut", 'C', REFUSED,
		"the client ended its data within the PROXY header, or sent none"},
	[REASON_HEADER_MALFORMED] = {"header-malformed", 'P', REFUSED,
		"the client sent no valid PROXY header: let its proxy send one, or remove `accept-proxy` or `expect-proxy`"},
	[REASON_HEADER_ADDRESS] = {"header-address", 'P', REFUSED,
		"the PROXY header names an address from which no client can connect: loopback, multicast, unspecified, or one of this host's own"},
	[REASON_SERVER_DOWN] = {"server-down", 'D', ENDED,
		"the server went down, and `on-marked-down shutdown-sessions` ends its sessions"},
	[REASON_SERVER_UP] = {"server-up", 'U', ENDED,
		"a server came up, and its `on-marked-up shutdown-backup-sessions` ends those of backups"},
	[REASON_KILLED] = {"killed", 'K', ENDED,
		"an operator ended it, by `shutdown session` or `shutdown sessions server`"},
	[REASON_DESCRIPTORS] = {"descriptors", 'R', REFUSED,
		"no file descriptor left: raise the limit (ulimit -n, LimitNOFILE=) or lower maxconn"},
	[REASON_MEMORY] = {"memory", 'R', REFUSED, "out of memory"},
	[REASON_SHUTDOWN] = {"shutdown", 'K', ENDED, "tproxyd was stopped"},
};

const char *reason_name(enum reason reason)
{
	return reasons[reason].name;
}

const char *reason_text(enum reason reason)
{
	return reasons[reason].text;
}

char reason_cause(enum reason reason)
{
	return reasons[reason].cause;
}

bool reason_is_retried(enum reason reason)
{
	return reasons[reason].kind == RETRIED;
}

bool reason_is_refusal(enum reason reason)
{
	return reasons[reason].kind != ENDED;
}
