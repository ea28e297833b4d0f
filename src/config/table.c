/*
 * The table of keywords: all that is supported, and where.
 *
 * It is the one place that says what may stand where: parsers are called only where their row
 * allows it (keywords.c), and the manual's table is checked against this one. A name is one word,
 * or two where HAProxy's own second word is a keyword ("timeout client").
 */
#include "parser.h"

#include <assert.h>

/* clang-format off */
static const struct keyword keywords[] = {
	{"global", "", IN_FILE, MANY_TIMES, parse_global,
		"begins the section for the whole process"},
	{"defaults", "", IN_FILE, MANY_TIMES, parse_defaults,
		"begins a section that the proxies after it start from; it replaces an earlier one"},
	{"frontend", "NAME", IN_FILE, MANY_TIMES, parse_frontend,
		"begins a section for what listens"},
	{"backend", "NAME", IN_FILE, MANY_TIMES, parse_backend,
		"begins a section for servers"},
	{"listen", "NAME", IN_FILE, MANY_TIMES, parse_listen,
		"begins a section that is a frontend and its backend in one"},

	{"backlog", "N", IN_FRONTENDS, 0, parse_backlog,
		"connections that the kernel holds until they are accepted; default: from maxconn"},
	{"balance", "roundrobin", IN_BACKENDS, 0, parse_balance,
		"servers take turns, which is also the default"},
	{"bind", "ADDRESS:PORT[-PORT],… [PARAMETER]…", IN_FRONTEND, MANY_TIMES, parse_bind,
		"addresses to listen on"},
	{"daemon", "", IN_GLOBAL, 0, parse_daemon,
		"an error: tproxyd stays in the foreground"},
	{"default_backend", "NAME", IN_FRONTENDS, 0, parse_default_backend,
		"the backend or listen section that the connections go to"},
	{"group", "NAME", IN_GLOBAL, 0, parse_group,
		"group to run as; default: the user's"},
	{"log", "global", IN_PROXIES, MANY_TIMES | NEGATABLE, parse_log,
		"logs to the targets of `global`; `no log` forgets what `defaults` said"},
	{"log", "TARGET [format raw] FACILITY [LEVEL]", IN_GLOBAL | IN_PROXIES,
		MANY_TIMES | NEGATABLE, parse_log,
		"logs to stdout, stderr, a UNIX socket's path, ADDRESS[:PORT] or file@/PATH"},
	{"maxconn", "N", IN_GLOBAL, 0, parse_global_maxconn,
		"connections at the same time in all; default: from the descriptor limit"},
	{"maxconn", "N", IN_FRONTENDS, 0, parse_maxconn,
		"connections at the same time of one frontend; default: no limit of its own"},
	{"mode", "tcp", IN_PROXIES, 0, parse_mode,
		"the only mode, and the default"},
	{"nbthread", "N", IN_GLOBAL, 0, parse_nbthread,
		"worker threads, 1 to 64; default: one for each processor"},
	{"nosplice", "", IN_GLOBAL, 0, parse_nosplice,
		"always copies, never splices"},
	{"option clitcpka", "", IN_FRONTENDS, MANY_TIMES | NEGATABLE, parse_option_clitcpka,
		"keep-alives to the client"},
	{"option splice-auto", "", IN_PROXIES, MANY_TIMES | NEGATABLE, parse_option_splice_auto,
		"allowed; it changes nothing, since tproxyd always chooses by itself"},
	{"option splice-request", "", IN_PROXIES, MANY_TIMES | NEGATABLE, parse_option_splice_request,
		"always splices from client to server"},
	{"option splice-response", "", IN_PROXIES, MANY_TIMES | NEGATABLE, parse_option_splice_response,
		"always splices from server to client"},
	{"option srvtcpka", "", IN_BACKENDS, MANY_TIMES | NEGATABLE, parse_option_srvtcpka,
		"keep-alives to the server"},
	{"option tcpka", "", IN_PROXIES, MANY_TIMES, parse_option_tcpka,
		"keep-alives to client and server"},
	{"option tcplog", "", IN_FRONTENDS, MANY_TIMES, parse_option_tcplog,
		"logs each connection's end with its timers, counts and reason"},
	{"pidfile", "PATH", IN_GLOBAL, 0, parse_pidfile,
		"file for the process's number"},
	{"retries", "N", IN_BACKENDS, 0, parse_retries,
		"further attempts after a failed connection to a server; default 3"},
	{"server", "NAME ADDRESS[:PORT] [PARAMETER]…", IN_BACKEND, MANY_TIMES, parse_server,
		"a server; without a port, the port that the client connected to"},
	{"source", "ADDRESS[:PORT] [usesrc WHOSE]", IN_BACKENDS, 0, parse_source,
		"where connections to the servers come from: this host's ADDRESS, or with usesrc the `clientip`, the `client` (address and port), or another ADDRESS[:PORT]"},
	{"timeout client", "TIME", IN_FRONTENDS, 0, parse_timeout_client,
		"longest silence of the client"},
	{"timeout client-fin", "TIME", IN_FRONTENDS, 0, parse_timeout_client_fin,
		"the same once one direction has ended; default: timeout client"},
	{"timeout connect", "TIME", IN_BACKENDS, 0, parse_timeout_connect,
		"longest wait for a server to accept"},
	{"timeout server", "TIME", IN_BACKENDS, 0, parse_timeout_server,
		"longest silence of the server"},
	{"timeout server-fin", "TIME", IN_BACKENDS, 0, parse_timeout_server_fin,
		"the same once one direction has ended; default: timeout server"},
	{"user", "NAME", IN_GLOBAL, 0, parse_user,
		"user to run as; default: the one who started it"},

	{"backlog", "N", ON_BIND, 0, parse_bind_backlog,
		"as in the section, for these addresses"},
	{"interface", "NAME", ON_BIND, 0, parse_bind_interface,
		"only what arrives by this interface"},
	{"name", "NAME", ON_BIND, 0, parse_bind_name,
		"name of the listener in logs"},
	{"transparent", "", ON_BIND, 0, parse_bind_transparent,
		"the addresses need not exist on this host (IP_TRANSPARENT)"},
	{"v4v6", "", ON_BIND, 0, parse_bind_v4v6,
		"an IPv6 address takes IPv4 clients, too"},
	{"v6only", "", ON_BIND, 0, parse_bind_v6only,
		"an IPv6 address takes IPv6 clients only"},
	{"source", "ADDRESS[:PORT] [usesrc WHOSE]", ON_SERVER, 0, parse_server_source,
		"as in the section, for this server"},
};
/* clang-format on */

#define KEYWORD_COUNT (sizeof(keywords) / sizeof(keywords[0]))
static_assert(KEYWORD_COUNT <= KEYWORDS_MAX, "every keyword has its place in parser.seen");

const struct keyword *keyword_at(size_t index)
{
	return index < KEYWORD_COUNT ? &keywords[index] : NULL;
}
