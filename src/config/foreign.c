/*
 * The table of HAProxy's words that are no keywords here, and what becomes of each.
 *
 * Words that share a reason share a row, in which `|` parts them. A name stands for all that begins with its words, and one
 * that ends with a dot for all that begins with it; `+N` after a parameter says how many words belong to it. What is accepted
 * without effect could not change a connection of tproxyd's; all else is refused. The lists are those of HAProxy 2.6
 * (`haproxy -dKall`), with what other versions have for layer 4.
 */
#include "keyword.h"

#include <string.h>

#define HTTP     "it belongs to HTTP, and tproxyd relays TCP"
#define NO_HTTP  HTTP "; leave it out"
#define NO_TLS   "tproxyd does not speak TLS; let the servers do it"
#define CHECKS   "there is no such check, and nothing follows from it; leave it out"
#define NO_TABLE "there are no stick tables; leave it out"
#define TURNS    "leave it out; 'hash-type consistent' says what 'balance source' does"
#define THREADS  "every thread serves every listener; leave it out"
#define UNIX     "it belongs to UNIX sockets; leave it out"
#define SERVICE  "let the service manager do this; leave it out"
#define KEEPIDLE "set the sysctls net.ipv4.tcp_keepalive_* for the whole host"

static const struct foreign_row {
	unsigned where;
	enum foreign_class class;
	const char *names, *text;
} foreign_rows[] = {
	{IN_FILE, FOREIGN_REFUSED, "cache|fcgi-app|http-errors|userlist", NO_HTTP},
	{IN_FILE, FOREIGN_REFUSED, "acme|crt-store", NO_TLS},
	{IN_FILE, FOREIGN_REFUSED, "healthcheck", "write its lines in the sections that use it"},
	{IN_FILE, FOREIGN_REFUSED, "log-forward", "logs are not relayed; leave it out"},
	{IN_FILE, FOREIGN_REFUSED, "log-profile", "write 'option tcplog'"},
	{IN_FILE, FOREIGN_REFUSED, "mailers", "no mail is sent; leave it out"},
	{IN_FILE, FOREIGN_REFUSED, "peers", "there are no stick tables to exchange; leave it out"},
	{IN_FILE, FOREIGN_REFUSED, "program", SERVICE},
	{IN_FILE, FOREIGN_REFUSED, "ring|traces",
		"log to stdout, stderr, a file or syslog instead"},

	{IN_GLOBAL, FOREIGN_NO_EFFECT,
		"ca-base|crt-base|key-base|issuers-chain-path|maxsslconn|maxsslrate|ocsp-update."
		"|ssl-default-bind-ciphers|ssl-default-bind-ciphersuites"
		"|ssl-default-bind-client-sigalgs|ssl-default-bind-curves"
		"|ssl-default-bind-options|ssl-default-bind-sigalgs|ssl-default-server-ciphers"
		"|ssl-default-server-ciphersuites|ssl-default-server-client-sigalgs"
		"|ssl-default-server-curves|ssl-default-server-options|ssl-default-server-sigalgs"
		"|ssl-dh-param-file|ssl-engine|ssl-load-extra-del-ext|ssl-load-extra-files"
		"|ssl-mode-async|ssl-propquery|ssl-provider|ssl-provider-path|ssl-security-level"
		"|ssl-server-verify|ssl-skip-self-issued-ca|tune.ssl.",
		"tproxyd does not speak TLS"},
	{IN_GLOBAL, FOREIGN_NO_EFFECT,
		"h1-accept-payload-with-any-method|h1-case-adjust|h1-case-adjust-file"
		"|h2-workaround-bogus-websocket-clients|httpclient.|maxcompcpuusage|maxcomprate"
		"|maxzlibmem|tune.comp.|tune.h1.|tune.h2.|tune.http.|tune.zlib.",
		HTTP},
	{IN_GLOBAL, FOREIGN_NO_EFFECT, "limited-quic|no-quic|tune.quic.",
		"it belongs to QUIC, and tproxyd relays TCP"},
	{IN_GLOBAL, FOREIGN_NO_EFFECT,
		"external-check|insecure-fork-wanted|max-spread-checks|spread-checks",
		"checks are always spread, and none is a program"},
	{IN_GLOBAL, FOREIGN_NO_EFFECT, "description|node", "no command and no number shows it"},
	{IN_GLOBAL, FOREIGN_NO_EFFECT, "nogetaddrinfo", "names are always looked up by it"},
	{IN_GLOBAL, FOREIGN_NO_EFFECT, "nokqueue|noevports", "Linux does not have it"},
	{IN_GLOBAL, FOREIGN_NO_EFFECT, "quiet", "messages are always printed"},
	{IN_GLOBAL, FOREIGN_NO_EFFECT, "mworker-max-reloads", "there is one process"},
	{IN_GLOBAL, FOREIGN_NO_EFFECT, "tune.lua.", "there is no Lua"},
	{IN_GLOBAL, FOREIGN_NO_EFFECT, "tune.peers.|tune.stick-counters",
		"there are no stick tables"},
	{IN_GLOBAL, FOREIGN_NO_EFFECT, "tune.vars.", "there are no variables of connections"},
	{IN_GLOBAL | IN_PROXIES, FOREIGN_REFUSED, "close-spread-time|grace|hard-stop-after",
		"let the service manager end a stop that takes too long; leave it out"},
	{IN_GLOBAL, FOREIGN_REFUSED, "cluster-secret|localpeer",
		"there are no other instances to talk to; leave it out"},
	{IN_GLOBAL, FOREIGN_REFUSED, "cpu-map|cpu-policy|cpu-set|numa-cpu-mapping",
		"the kernel places the threads; leave it out"},
	{IN_GLOBAL, FOREIGN_REFUSED, "debug|profiling.|stress-level|anonkey",
		"leave it out; 'log stderr format raw local0 debug' shows each change of state"},
	{IN_GLOBAL | IN_PROXIES, FOREIGN_REFUSED, "default",
		"write the option, or 'no' and the option"},
	{IN_GLOBAL, FOREIGN_REFUSED, "default-path", "write paths from the root on"},
	{IN_GLOBAL, FOREIGN_REFUSED,
		"51degrees-cache-size|51degrees-data-file|51degrees-property-name-list"
		"|51degrees-property-separator|deviceatlas-json-file|deviceatlas-log-level"
		"|deviceatlas-properties-cookie|deviceatlas-separator|wurfl-cache-size"
		"|wurfl-data-file|wurfl-information-list|wurfl-information-list-separator",
		NO_HTTP},
	{IN_GLOBAL, FOREIGN_REFUSED, "expose-deprecated-directives|expose-experimental-directives",
		"what it would allow is not supported; leave it out"},
	{IN_GLOBAL, FOREIGN_REFUSED, "fd-hard-limit|strict-limits",
		"let the service manager set the descriptor limit; leave it out"},
	{IN_GLOBAL, FOREIGN_REFUSED, "gid", "write 'group' and the group's name"},
	{IN_GLOBAL, FOREIGN_REFUSED, "insecure-setuid-wanted|setcap|set-dumpable", SERVICE},
	{IN_GLOBAL, FOREIGN_REFUSED, "log-send-hostname",
		"the receiver of the log adds the host's name; leave it out"},
	{IN_GLOBAL | IN_PROXIES, FOREIGN_REFUSED, "log-tag",
		"the tag is always tproxyd; leave it out"},
	{IN_GLOBAL, FOREIGN_REFUSED, "lua-load|lua-load-per-thread|lua-prepend-path",
		"there is no Lua; leave it out"},
	{IN_GLOBAL, FOREIGN_REFUSED, "master-worker|maxpipes|no-memory-trimming|prealloc-fd",
		"there is one process, in the foreground, which counts pipes within maxconn; leave "
		"it out"},
	{IN_GLOBAL, FOREIGN_REFUSED, "maxconnrate|maxsessrate", "write 'maxconn'"},
	{IN_GLOBAL, FOREIGN_REFUSED, "busy-polling|noepoll|nopoll|nosepoll",
		"libevent chooses how to wait; leave it out"},
	{IN_GLOBAL, FOREIGN_REFUSED, "noreuseport",
		"each thread has a socket of its own; write 'nbthread 1' for a single one"},
	{IN_GLOBAL, FOREIGN_REFUSED, "pp2-never-send-local", "leave it out; checks say LOCAL"},
	{IN_GLOBAL, FOREIGN_REFUSED, "presetenv|resetenv|setenv|unsetenv",
		"let the service manager set the environment; leave it out"},
	{IN_GLOBAL | IN_PROXIES, FOREIGN_REFUSED,
		"load-server-state-from-file|server-state-base|server-state-file|server-state-file-name",
		"servers have no state to keep; leave it out"},
	{IN_GLOBAL, FOREIGN_REFUSED, "set-var|set-var-fmt", "there are no variables; leave it out"},
	{IN_GLOBAL, FOREIGN_NO_EFFECT, "stats bind-process",
		"it changes nothing for the sockets of 'stats socket'"},
	{IN_GLOBAL, FOREIGN_REFUSED, "stats-file|shm-stats-file",
		"numbers do not outlive the process; leave it out"},
	{IN_GLOBAL, FOREIGN_REFUSED, "thread-group|thread-groups|thread-hard-limit",
		"write 'nbthread'"},
	{IN_GLOBAL, FOREIGN_REFUSED,
		"tune.rcvbuf.|tune.sndbuf.|tune.client.rcvbuf|tune.client.sndbuf|tune.frontend."
		"|tune.server.rcvbuf|tune.server.sndbuf|tune.backend.",
		"set the sysctls net.ipv4.tcp_rmem and net.ipv4.tcp_wmem for the whole host"},
	{IN_GLOBAL, FOREIGN_REFUSED, "tune.fail-alloc|tune.disable-",
		"what it would change is not there; leave it out"},
	{IN_GLOBAL, FOREIGN_NO_EFFECT, "tune.", "it tunes HAProxy's own buffers, pools and queues"},
	{IN_GLOBAL, FOREIGN_REFUSED, "uid", "write 'user' and the user's name"},
	{IN_GLOBAL, FOREIGN_REFUSED, "unix-bind", UNIX},
	{IN_GLOBAL, FOREIGN_REFUSED, "zero-warning",
		"a warning does not keep tproxyd from starting; leave it out, and run 'tproxyd -c' "
		"first"},

	{IN_PROXIES, FOREIGN_NO_EFFECT, "description|id|guid|option contstats|option socket-stats",
		"no command and no number shows it"},
	{IN_PROXIES, FOREIGN_NO_EFFECT, "enabled", "a section is always enabled"},
	{IN_PROXIES, FOREIGN_NO_EFFECT, "option tcp-smart-accept|option tcp-smart-connect",
		"the kernel decides about acknowledgements"},
	{IN_PROXIES, FOREIGN_REFUSED,
		"appsession|block|capture|declare|force-be-switch|force-persist|http-after-response"
		"|http-request|http-response|ignore-persist|monitor|redirect|reqadd|reqdel|reqrep|rspadd"
		"|rspdel|rsprep|use-fcgi-app",
		NO_HTTP},
	{IN_PROXIES, FOREIGN_HTTP,
		"compression|cookie|dynamic-cookie-key|errorfile|errorfiles|errorloc|errorloc302"
		"|errorloc303|http-error|http-reuse|http-send-name-header|max-keep-alive-queue"
		"|max-session-srv-conns|monitor-uri|option accept-invalid-http-request"
		"|option accept-invalid-http-response|option "
		"accept-unsafe-violations-in-http-request"
		"|option accept-unsafe-violations-in-http-response|option checkcache"
		"|option disable-h2-upgrade|option h1-case-adjust-bogus-client"
		"|option h1-case-adjust-bogus-server|option http-buffer-request"
		"|option http-drop-request-trailers|option http-drop-response-trailers"
		"|option http-ignore-probes|option http-keep-alive|option http-no-delay"
		"|option http-pretend-keepalive|option http-restrict-req-hdr-names"
		"|option http-server-close|option http-tunnel|option http-use-htx"
		"|option http-use-proxy-header|option httpclose|option idle-close-on-response"
		"|option persist|option prefer-last-server|persist|timeout http-keep-alive"
		"|timeout http-request|timeout tarpit|unique-id-header",
		NO_HTTP},
	{IN_PROXIES, FOREIGN_HTTP, "option forwardfor|option forwarded|option originalto",
		HTTP "; write 'source 0.0.0.0 usesrc clientip' to pass the client's address on"},
	{IN_FRONTEND | IN_BACKEND, FOREIGN_REFUSED, "option httplog",
		HTTP "; write 'option tcplog'"},
	{IN_PROXIES, FOREIGN_HTTP, "option httpslog", HTTP "; write 'option tcplog'"},
	{IN_PROXIES, FOREIGN_REFUSED,
		"external-check|option external-check|option ldap-check|option spop-check",
		"write 'option tcp-check', and 'tcp-check' lines"},
	{IN_PROXIES, FOREIGN_REFUSED,
		"http-check disable-on-404|http-check send-state|http-check set-var|http-check set-var-fmt|http-check unset-var|tcp-check send-lf"
		"|tcp-check send-binary-lf|tcp-check set-var|tcp-check set-var-fmt"
		"|tcp-check unset-var",
		"checks have no variables, formats or states of servers; write the text itself"},
	{IN_PROXIES, FOREIGN_REFUSED, "tcp-response",
		"tproxyd reads nothing of what passes; leave it out"},
	{IN_PROXIES, FOREIGN_REFUSED, "quic-initial", "it belongs to QUIC, and tproxyd relays TCP"},
	{IN_PROXIES, FOREIGN_REFUSED, "bind-process", THREADS},
	{IN_PROXIES, FOREIGN_REFUSED,
		"clitcpka-cnt|clitcpka-idle|clitcpka-intvl|srvtcpka-cnt|srvtcpka-idle|srvtcpka-intvl",
		KEEPIDLE},
	{IN_PROXIES, FOREIGN_REFUSED, "clitimeout", "write 'timeout client'"},
	{IN_PROXIES, FOREIGN_REFUSED, "contimeout", "write 'timeout connect'"},
	{IN_PROXIES, FOREIGN_REFUSED, "disabled", "turn the section's lines into comments"},
	{IN_PROXIES, FOREIGN_REFUSED, "dispatch", "write a 'server' line"},
	{IN_PROXIES, FOREIGN_REFUSED, "email-alert", "no mail is sent; leave it out"},
	{IN_PROXIES, FOREIGN_REFUSED, "error-log-format|log-format-sd|log-steps",
		"write 'option tcplog'"},
	{IN_PROXIES, FOREIGN_REFUSED, "filter", "there are no filters; leave it out"},
	{IN_PROXIES, FOREIGN_REFUSED, "fullconn",
		"it scales the limits of servers between 'minconn' and 'maxconn', and they are fixed "
		"here; leave it out, and write 'maxconn' on the servers' lines"},
	{IN_PROXIES, FOREIGN_REFUSED, "grace",
		"let the service manager end a stop that takes too long; leave it out"},
	{IN_PROXIES, FOREIGN_REFUSED, "hash-balance-factor|hash-preserve-affinity", TURNS},
	{IN_PROXIES, FOREIGN_REFUSED, "monitor-net",
		"HAProxy no longer has it; give monitors an address of their own"},
	{IN_PROXIES, FOREIGN_REFUSED, "option abortonclose",
		"leave it out; a client that has ended its data may still wait for the answer"},
	{IN_PROXIES, FOREIGN_REFUSED, "option independent-streams",
		"data in either direction counts for both timeouts; leave it out"},
	{IN_PROXIES, FOREIGN_REFUSED, "option nolinger",
		"connections are closed in order; leave it out"},
	{IN_PROXIES, FOREIGN_REFUSED, "redispatch", "write 'option redispatch'"},
	{IN_PROXIES, FOREIGN_REFUSED, "rate-limit", "write 'maxconn'"},
	{IN_PROXIES, FOREIGN_REFUSED, "retry-on",
		"a server is tried again when it refuses or does not answer, as 'conn-failure' "
		"says; leave it out"},
	{IN_PROXIES, FOREIGN_REFUSED, "srvtimeout", "write 'timeout server'"},
	{IN_PROXIES, FOREIGN_HTTP, "stats", "its page of statistics belongs to HTTP; leave it out"},
	{IN_PROXIES, FOREIGN_REFUSED, "stick|stick-table", NO_TABLE},
	{IN_PROXIES, FOREIGN_REFUSED, "timeout client-hs",
		"write 'timeout client' and 'timeout server'"},

	{ON_BIND | ON_SERVER, FOREIGN_NO_EFFECT, "id+1|guid+1|guid-prefix+1",
		"no command and no number shows it"},
	{ON_SERVER, FOREIGN_NO_EFFECT, "no-check-send-proxy|no-check-ssl|no-ssl|no-tfo",
		"it is so in any case"},
	{ON_BIND | ON_SERVER, FOREIGN_REFUSED,
		"allow-0rtt|alpn+1|ca-file+1|ca-ignore-err+1|ca-sign-file+1|ca-sign-pass+1"
		"|ca-verify-file+1|check-alpn+1|check-sni+1|check-ssl|ciphers+1|ciphersuites+1"
		"|client-sigalgs+1|crl-file+1|crt+1|crt-ignore-err+1|crt-list+1|curves+1"
		"|default-crt+1|ecdhe+1|force-sslv3|force-tlsv10|force-tlsv11|force-tlsv12"
		"|force-tlsv13|generate-certificates|ktls+1|no-alpn|no-ca-names|no-renegotiate"
		"|no-ssl-reuse|no-sslv3|no-strict-sni|no-tls-tickets|no-tlsv10|no-tlsv11|no-tlsv12"
		"|no-tlsv13|no-verifyhost|npn+1|ocsp-update+1|prefer-client-ciphers|renegotiate"
		"|sigalgs+1|sni+1|sni-auto|no-sni-auto|ssl|ssl-max-ver+1|ssl-min-ver+1|ssl-reuse"
		"|strict-sni|tls-ticket-keys+1|tls-tickets|verify+1|verifyhost+1",
		NO_TLS},
	{ON_BIND | ON_SERVER, FOREIGN_REFUSED, "namespace+1",
		"start tproxyd inside of the namespace; leave it out"},
	{ON_BIND | ON_SERVER, FOREIGN_REFUSED, "cc+1",
		"set it for the route, as in 'ip route … congctl', or by the sysctl "
		"net.ipv4.tcp_congestion_control"},
	{ON_BIND | ON_SERVER, FOREIGN_REFUSED, "idle-ping+1|proto+1|check-proto+1|ws+1", NO_HTTP},
	{ON_BIND | ON_SERVER, FOREIGN_REFUSED, "tcp-md5sig+1",
		"connections are not signed; leave it out"},
	{ON_BIND | ON_SERVER, FOREIGN_REFUSED, "tcp-ut+1",
		"write 'timeout client' and 'timeout server'"},
	{ON_BIND | ON_SERVER, FOREIGN_REFUSED, "tfo", "TCP Fast Open is not used; leave it out"},

	{ON_BIND, FOREIGN_REFUSED, "accept-netscaler-cip+1",
		"NetScaler's header is not read; let what is in front send a PROXY header, and write "
		"'accept-proxy'"},
	{ON_BIND, FOREIGN_REFUSED, "defer-accept",
		"a connection is accepted at once, so that servers can speak first; leave it out"},
	{ON_BIND, FOREIGN_REFUSED,
		"expose-fd+1|gid+1|group+1|level+1|mode+1|severity-output+1|uid+1|user+1", UNIX},
	{ON_BIND, FOREIGN_REFUSED, "label+1|nbconn+1|quic-cc-algo+1|quic-force-retry|quic-socket+1",
		"what connects to HAProxy in reverse, or by QUIC, is not served; leave it out"},
	{ON_BIND, FOREIGN_REFUSED, "maxconn+1", "write 'maxconn' in the section"},
	{ON_BIND, FOREIGN_REFUSED, "mss+1|tcp-ss+1",
		"set it on the route, as in 'ip route … advmss'"},
	{ON_BIND, FOREIGN_REFUSED, "nice+1", "all connections are equal; leave it out"},
	{ON_BIND, FOREIGN_REFUSED, "process+1|thread+1", THREADS},
	{ON_BIND, FOREIGN_REFUSED, "shards+1",
		"every thread has its own socket in any case; leave it out"},

	{ON_SERVER, FOREIGN_REFUSED,
		"check-pool-conn-name+1|check-reuse-pool|check-sni-auto"
		"|check-via-socks4|init-state+1|no-check-reuse-pool|no-check-sni-auto",
		CHECKS},
	{ON_SERVER, FOREIGN_REFUSED,
		"cookie+1|max-reuse+1|pool-conn-name+1|pool-low-conn+1|pool-max-conn+1"
		"|pool-purge-delay+1|redir+1",
		NO_HTTP},
	{ON_SERVER, FOREIGN_REFUSED, "resolve-net+1",
		"the first address of the answer is used; leave it out"},
	{IN_RESOLVERS, FOREIGN_NO_EFFECT, "accepted_payload_size",
		"name servers are asked by UDP, for answers of 512 bytes at most"},
	{ON_SERVER, FOREIGN_REFUSED, "log-bufsize+1|log-proto+1",
		"logs are not relayed; leave it out"},
	{ON_SERVER, FOREIGN_REFUSED, "minconn+1|strict-maxconn",
		"a server's limit is fixed, and does not grow with the load of the section; write "
		"'maxconn' alone"},
	{ON_SERVER, FOREIGN_REFUSED, "non-stick|stick|shard+1", NO_TABLE},
	{ON_SERVER, FOREIGN_REFUSED,
		"no-send-proxy|no-send-proxy-v2|no-send-proxy-v2-ssl|no-send-proxy-v2-ssl-cn",
		"leave it out, and 'send-proxy' or 'send-proxy-v2' with it"},
	{ON_SERVER, FOREIGN_REFUSED, "send-proxy-v2-ssl|send-proxy-v2-ssl-cn",
		"tproxyd does not speak TLS; write 'send-proxy-v2'"},
	{ON_SERVER, FOREIGN_REFUSED, "socks4+1", "servers are connected to directly; leave it out"},
	{ON_SERVER, FOREIGN_REFUSED, "hash-key+1", TURNS},
	{ON_SERVER, FOREIGN_REFUSED, "usesrc+1",
		"it goes after a 'source', as in 'source 0.0.0.0 usesrc clientip'"},
};

/* Whether the LENGTH bytes at ROW_NAME stand for NAME. */
static bool stands_for(const char *row_name, size_t length, const char *name)
{
	if (strncmp(row_name, name, length) != 0)
		return false;
	return strchr(" (", name[length]) != NULL || row_name[length - 1] == '.';
}

/* Looks for NAME in a row's names. */
static bool find_in(const char *names, const char *name, size_t *argument_count)
{
	for (const char *at = names, *end; *at != '\0'; at = *end == '|' ? end + 1 : end) {
		size_t length;

		end = strchrnul(at, '|');
		if (*at != *name)
			continue;
		length = strcspn(at, "+|");
		if (!stands_for(at, length, name))
			continue;
		*argument_count = at[length] == '+' ? (size_t)(at[length + 1] - '0') : 0;
		return true;
	}
	return false;
}

bool foreign_find(const char *name, unsigned where, struct foreign *found)
{
	for (size_t i = 0; i < sizeof(foreign_rows) / sizeof(foreign_rows[0]); i++) {
		if (!(foreign_rows[i].where & where) ||
			!find_in(foreign_rows[i].names, name, &found->argument_count))
			continue;
		found->class = foreign_rows[i].class;
		found->text = foreign_rows[i].text;
		return true;
	}
	return false;
}
