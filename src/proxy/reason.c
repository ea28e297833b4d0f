/*
 * The reasons for which sessions end, as one table; everything about a reason is its row.
 *
 * The causes are HAProxy's: C client, S server, P proxy, R resources of this host, c and s
 * timeouts, I internal, K the proxy stops, - a proper end.
 */
#include "tproxy/reason.h"

enum kind {
	ENDED,   /* the session had reached its server */
	REFUSED, /* it had not, and another attempt would fail in the same way */
	RETRIED, /* it had not, and another attempt might */
};

static const struct {
	const char *name;
	char cause;
	enum kind kind;
	const char *text;
} reasons[REASON_COUNT] = {
	[REASON_DONE] = {"done", '-', ENDED, "both sides finished"},
	[REASON_CLIENT_RESET] = {"client-reset", 'C', ENDED, "the client reset the connection"},
	[REASON_SERVER_RESET] = {"server-reset", 'S', ENDED, "the server reset the connection"},
	[REASON_CLIENT_TIMEOUT] = {"client-timeout", 'c', ENDED,
		"the client was silent for too long"},
	[REASON_SERVER_TIMEOUT] = {"server-timeout", 's', ENDED,
		"the server was silent for too long"},
	[REASON_CONNECT_TIMEOUT] = {"connect-timeout", 's', RETRIED,
		"the server did not answer in time; does its return route lead through this host, "
		"and "
		"are the answers diverted to the proxy?"},
	[REASON_CONNECT_REFUSED] = {"connect-refused", 'S', RETRIED,
		"nothing listens on the server's port"},
	[REASON_CONNECT_UNREACHABLE] = {"connect-unreachable", 'S', RETRIED,
		"this host has no route to the server, or a router on the way has none"},
	[REASON_CONNECT_FAILED] = {"connect-failed", 'S', RETRIED,
		"the connection to the server failed"},
	[REASON_SOURCE_DENIED] = {"source-denied", 'P', REFUSED,
		"the source address may not be used: CAP_NET_RAW is missing, or the port is below "
		"net.ipv4.ip_unprivileged_port_start"},
	[REASON_SOURCE_FAMILY] = {"source-family", 'P', REFUSED,
		"the source and the server are not of the same address family"},
	[REASON_SOURCE_IN_USE] = {"source-in-use", 'R', REFUSED,
		"another connection has the source address and port already"},
	[REASON_SOURCE_EXHAUSTED] = {"source-exhausted", 'R', REFUSED,
		"the source address has no port left for this server; see "
		"net.ipv4.ip_local_port_range"},
	[REASON_SOURCE_FAILED] = {"source-failed", 'P', REFUSED,
		"the source address could not be bound"},
	[REASON_NO_SERVER] = {"no-server", 'S', REFUSED, "the backend has no server"},
	[REASON_LOOP] = {"loop", 'P', REFUSED,
		"the server's address is this host's own, and the proxy listens there: the "
		"connection would come back to it"},
	[REASON_DESCRIPTORS] = {"descriptors", 'R', REFUSED,
		"no descriptor was left; raise the limit or lower maxconn"},
	[REASON_MEMORY] = {"memory", 'R', REFUSED, "no memory was left"},
	[REASON_SHUTDOWN] = {"shutdown", 'K', ENDED, "tproxyd is stopping"},
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
