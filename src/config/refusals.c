/*
 * Refusals: keywords of HAProxy that are known and not supported, with what to do instead.
 *
 * Only names that people really have in their files are here; any other name is reported as
 * unknown. A name stands for all that begins with its words, so "stats" is every `stats …`.
 */
#include "parser.h"

#include <string.h>

#define NO_HTTP  "it belongs to HTTP, and tproxyd relays TCP"
#define NO_TLS   "tproxyd does not speak TLS; let the servers do it"
#define NO_CHECK "there are no health checks"
#define NO_RULES "there are no rules; give every service a frontend of its own"
#define NO_STATS "there is no statistics page yet"
#define NO_PP    "the PROXY protocol is not supported yet"

static const struct refusal {
	const char *name;
	unsigned where;
	const char *hint;
} refusals[] = {
	{"cache", IN_FILE, NO_HTTP},
	{"fcgi-app", IN_FILE, NO_HTTP},
	{"http-errors", IN_FILE, NO_HTTP},
	{"log-forward", IN_FILE, "logs are not relayed"},
	{"mailers", IN_FILE, "no mail is sent"},
	{"peers", IN_FILE, "there are no stick tables to exchange"},
	{"program", IN_FILE, "let the service manager start other programs"},
	{"resolvers", IN_FILE, "names are not looked up; write addresses"},
	{"ring", IN_FILE, "log to stdout, stderr, a file or syslog instead"},
	{"userlist", IN_FILE, NO_HTTP},

	{"ca-base", IN_GLOBAL, NO_TLS},
	{"chroot", IN_GLOBAL, "let the service manager confine the process"},
	{"cpu-map", IN_GLOBAL, "the kernel places the threads"},
	{"crt-base", IN_GLOBAL, NO_TLS},
	{"gid", IN_GLOBAL, "write 'group' and the group's name"},
	{"hard-stop-after", IN_GLOBAL, "let the service manager end a stop that takes too long"},
	{"log-send-hostname", IN_GLOBAL, "the receiver of the log adds the host's name"},
	{"log-tag", IN_GLOBAL, "the tag is always tproxyd"},
	{"lua-load", IN_GLOBAL, "there is no Lua"},
	{"master-worker", IN_GLOBAL, "there is one process, in the foreground"},
	{"maxpipes", IN_GLOBAL, "pipes are counted within maxconn"},
	{"nbproc", IN_GLOBAL, "there is one process; write 'nbthread'"},
	{"noepoll", IN_GLOBAL, "libevent chooses how to wait"},
	{"ssl-default-bind-ciphers", IN_GLOBAL, NO_TLS},
	{"ssl-default-bind-options", IN_GLOBAL, NO_TLS},
	{"stats", IN_GLOBAL, NO_STATS},
	{"tune.", IN_GLOBAL, "there is nothing to tune"},
	{"uid", IN_GLOBAL, "write 'user' and the user's name"},
	{"ulimit-n", IN_GLOBAL, "let the service manager set the descriptor limit"},

	{"acl", IN_PROXIES, NO_RULES},
	{"capture", IN_PROXIES, NO_HTTP},
	{"clitimeout", IN_PROXIES, "write 'timeout client'"},
	{"compression", IN_PROXIES, NO_HTTP},
	{"contimeout", IN_PROXIES, "write 'timeout connect'"},
	{"cookie", IN_PROXIES, NO_HTTP},
	{"default", IN_PROXIES | IN_GLOBAL, "write the option, or 'no' and the option"},
	{"default-server", IN_PROXIES, "write the parameters on each 'server' line"},
	{"description", IN_PROXIES | IN_GLOBAL, "write a comment, which begins with #"},
	{"disabled", IN_PROXIES, "turn the section's lines into comments"},
	{"dispatch", IN_PROXIES, "write a 'server' line"},
	{"enabled", IN_PROXIES, "a section is always enabled"},
	{"errorfile", IN_PROXIES, NO_HTTP},
	{"filter", IN_PROXIES, "there are no filters"},
	{"fullconn", IN_PROXIES, "there is no limit for each server"},
	{"hash-type", IN_PROXIES, "the servers take turns"},
	{"http-check", IN_PROXIES, NO_CHECK},
	{"http-request", IN_PROXIES, NO_HTTP},
	{"http-response", IN_PROXIES, NO_HTTP},
	{"http-reuse", IN_PROXIES, NO_HTTP},
	{"id", IN_PROXIES, "sections go by their names"},
	{"log-format", IN_PROXIES, "write 'option tcplog'"},
	{"log-tag", IN_PROXIES, "the tag is always tproxyd"},
	{"monitor-uri", IN_PROXIES, NO_HTTP},
	{"option abortonclose", IN_PROXIES,
		"leave it out; a client that has ended its data may still wait for the answer"},
	{"option allbackups", IN_PROXIES, "there are no backup servers"},
	{"option dontlog-normal", IN_PROXIES, "let the receiver of the log filter it"},
	{"option dontlognull", IN_PROXIES, "let the receiver of the log filter it"},
	{"option forwardfor", IN_PROXIES,
		NO_HTTP "; write 'source 0.0.0.0 usesrc clientip' to pass the client's address on"},
	{"option http-keep-alive", IN_PROXIES, NO_HTTP},
	{"option http-server-close", IN_PROXIES, NO_HTTP},
	{"option httpchk", IN_PROXIES, NO_CHECK},
	{"option httpclose", IN_PROXIES, NO_HTTP},
	{"option httplog", IN_PROXIES, NO_HTTP "; write 'option tcplog'"},
	{"option log-health-checks", IN_PROXIES, NO_CHECK},
	{"option logasap", IN_PROXIES, "a connection is logged when it ends"},
	{"option nolinger", IN_PROXIES, "connections are closed in order"},
	{"option persist", IN_PROXIES, NO_CHECK},
	{"option redispatch", IN_PROXIES,
		"leave it out; 'retries' says how often a server is tried"},
	{"option tcp-check", IN_PROXIES, NO_CHECK},
	{"option tcp-smart-accept", IN_PROXIES, "the kernel decides about acknowledgements"},
	{"option tcp-smart-connect", IN_PROXIES, "the kernel decides about acknowledgements"},
	{"option transparent", IN_PROXIES,
		"connecting to the original destination is not supported yet; write 'server' "
		"lines"},
	{"persist", IN_PROXIES, NO_HTTP},
	{"rate-limit", IN_PROXIES, "write 'maxconn'"},
	{"redirect", IN_PROXIES, NO_HTTP},
	{"server-template", IN_PROXIES, "write 'server' lines"},
	{"srvtimeout", IN_PROXIES, "write 'timeout server'"},
	{"stats", IN_PROXIES, NO_STATS},
	{"stick", IN_PROXIES, "there are no stick tables"},
	{"stick-table", IN_PROXIES, "there are no stick tables"},
	{"tcp-check", IN_PROXIES, NO_CHECK},
	{"tcp-request", IN_PROXIES, NO_RULES},
	{"tcp-response", IN_PROXIES, NO_RULES},
	{"timeout check", IN_PROXIES, NO_CHECK},
	{"timeout http-keep-alive", IN_PROXIES, NO_HTTP},
	{"timeout http-request", IN_PROXIES, NO_HTTP},
	{"timeout queue", IN_PROXIES, "no connection waits for a server"},
	{"timeout tarpit", IN_PROXIES, NO_HTTP},
	{"timeout tunnel", IN_PROXIES, "write 'timeout client' and 'timeout server'"},
	{"transparent", IN_BACKENDS,
		"connecting to the original destination is not supported yet; a listener's "
		"'transparent' goes on its 'bind' line"},
	{"unique-id-format", IN_PROXIES, NO_HTTP},
	{"use-server", IN_PROXIES, NO_RULES},
	{"use_backend", IN_PROXIES, NO_RULES},

	{"accept-netscaler-cip", ON_BIND, NO_PP},
	{"accept-proxy", ON_BIND, NO_PP},
	{"alpn", ON_BIND | ON_SERVER, NO_TLS},
	{"crt", ON_BIND | ON_SERVER, NO_TLS},
	{"defer-accept", ON_BIND,
		"a connection is accepted at once, so that servers can speak first"},
	{"id", ON_BIND | ON_SERVER, "it goes by its name"},
	{"maxconn", ON_BIND, "write 'maxconn' in the section"},
	{"mss", ON_BIND, "set it on the route, as in 'ip route … advmss'"},
	{"namespace", ON_BIND | ON_SERVER, "start tproxyd inside of the namespace"},
	{"nice", ON_BIND, "all connections are equal"},
	{"process", ON_BIND, "every thread serves every listener"},
	{"proto", ON_BIND | ON_SERVER, NO_HTTP},
	{"shards", ON_BIND, "every thread has its own socket in any case"},
	{"ssl", ON_BIND | ON_SERVER, NO_TLS},
	{"tcp-ut", ON_BIND | ON_SERVER, "write 'timeout client' and 'timeout server'"},
	{"tfo", ON_BIND | ON_SERVER, "TCP Fast Open is not used"},
	{"thread", ON_BIND, "every thread serves every listener"},

	{"addr", ON_SERVER, NO_CHECK},
	{"backup", ON_SERVER, "there are no backup servers"},
	{"check", ON_SERVER, NO_CHECK},
	{"cookie", ON_SERVER, NO_HTTP},
	{"disabled", ON_SERVER, "turn the line into a comment"},
	{"fall", ON_SERVER, NO_CHECK},
	{"init-addr", ON_SERVER, "names are not looked up; write addresses"},
	{"inter", ON_SERVER, NO_CHECK},
	{"maxconn", ON_SERVER,
		"there is no limit for each server; write 'maxconn' in the frontend"},
	{"maxqueue", ON_SERVER, "no connection waits for a server"},
	{"on-marked-down", ON_SERVER, NO_CHECK},
	{"port", ON_SERVER, NO_CHECK},
	{"resolvers", ON_SERVER, "names are not looked up; write addresses"},
	{"rise", ON_SERVER, NO_CHECK},
	{"send-proxy", ON_SERVER, NO_PP},
	{"send-proxy-v2", ON_SERVER, NO_PP},
	{"slowstart", ON_SERVER, NO_CHECK},
	{"sni", ON_SERVER, NO_TLS},
	{"track", ON_SERVER, NO_CHECK},
	{"usesrc", ON_SERVER, "it goes after a 'source', as in 'source 0.0.0.0 usesrc clientip'"},
	{"verify", ON_BIND | ON_SERVER, NO_TLS},
	{"weight", ON_SERVER, "the servers take equal turns"},
};

/* Whether NAME is the refused name, or goes on after it with a further word. */
static bool stands_for(const char *refused, const char *name)
{
	size_t length = strlen(refused);

	if (strncmp(refused, name, length) != 0)
		return false;
	return name[length] == '\0' || name[length] == ' ' || refused[length - 1] == '.';
}

const char *refusal_text(const char *name, unsigned where)
{
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
		if ((refusals[i].where & where) && stands_for(refusals[i].name, name))
			return refusals[i].hint;
	return NULL;
}
