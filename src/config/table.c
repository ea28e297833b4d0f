/*
 * The table of words: the keywords, and what becomes of HAProxy's other words.
 *
 * It is the one place that says what may stand where. The manual's table and the answer of `tproxyd -c` have the order
 * of its rows. Of HAProxy's other words, those that share a reason share a row, in which `|` parts them. A name stands for
 * all that begins with its words, and one that ends with a dot for all that begins with it; `+N` after a parameter says how
 * many words belong to it. What is accepted without effect could not change a connection of tproxyd's; all else is refused. The
 * lists are those of HAProxy 2.6 (`haproxy -dKall`), with what other versions have for layer 4.
 */
#include "parser.h"

#include <assert.h>
#include <limits.h>
#include <net/if.h>
#include <string.h>

/* clang-format off */

/* The offset of a member. One of another type does not compile. */
#define OF_UNSIGNED(of, member) _Generic(((of *)NULL)->member, unsigned: offsetof(of, member))
#define OF_BOOL(of, member)     _Generic(((of *)NULL)->member, bool: offsetof(of, member))
#define OF_TEXT(of, member)     _Generic(((of *)NULL)->member, const char *: offsetof(of, member))

#define OWN(function)            {VALUE_OWN, .parse = (function)}
#define FLAG(of, member)         {VALUE_FLAG, .offset = OF_BOOL(of, member)}
#define TIME(of, member)         {VALUE_TIME, .offset = OF_UNSIGNED(of, member)}
#define INTERVAL(of, member)     {VALUE_TIME, .offset = OF_UNSIGNED(of, member), .minimum = 1}
#define OPTIONS(bits_)           {VALUE_OPTIONS, .offset = OF_UNSIGNED(struct proxy, options), .bits = (bits_)}
#define NUMBER(of, member, a, b) {VALUE_NUMBER, .offset = OF_UNSIGNED(of, member), .minimum = (a), .maximum = (b)}
#define TEXT(of, member, b, w)   {VALUE_TEXT, .offset = OF_TEXT(of, member), .maximum = (b), .what = (w)}

static const struct keyword keywords[] = {
	{"global", "", IN_FILE, MANY_TIMES, OWN(parse_global),
		.help = "begins the section for the whole process"},
	{"defaults", "", IN_FILE, MANY_TIMES, OWN(parse_defaults),
		.help = "begins a section that the proxies after it start from; it replaces an earlier one"},
	{"frontend", "NAME", IN_FILE, MANY_TIMES, OWN(parse_frontend),
		.help = "begins a section for what listens"},
	{"backend", "NAME", IN_FILE, MANY_TIMES, OWN(parse_backend),
		.help = "begins a section for servers"},
	{"listen", "NAME", IN_FILE, MANY_TIMES, OWN(parse_listen),
		.help = "begins a section that is a frontend and its backend in one"},

	{"acl", "NAME TEST [-f FILE] [VALUE]…", IN_FRONTEND | IN_BACKEND, MANY_TIMES, OWN(parse_acl),
		.help = "names a test of connections for the rules of this section; one of several with the same name must hold"},
	{"backlog", "N", IN_FRONTENDS, 0, NUMBER(struct proxy, backlog, 1, INT_MAX),
		.help = "connections that the kernel holds until they are accepted; default: from maxconn"},
	{"balance", "ALGORITHM", IN_BACKENDS, 0, OWN(parse_balance),
		.help = "how servers share clients: in turn (`roundrobin`, the default, or `static-rr`), to the one with the fewest sessions (`leastconn`), to the `first` that has room, by the client's address (`source`), or at `random`"},
	{"bind", "ADDRESS:PORT[-PORT],… [PARAMETER]…", IN_FRONTEND, MANY_TIMES, OWN(parse_bind),
		.help = "addresses to listen on"},
	{"default_backend", "NAME", IN_FRONTENDS, 0, OWN(parse_default_backend),
		.help = "the backend or listen section that the connections go to"},
	{"chroot", "PATH", IN_GLOBAL, 0, TEXT(struct global, chroot, 0, "the folder's path"),
		.help = "folder that becomes the root of the file system before privileges are dropped",
		.label = "changes its root to"},
	{"daemon", "", IN_GLOBAL, MANY_TIMES, FLAG(struct global, daemon),
		.help = "goes to the background once it has started; the option `-db` keeps it in the foreground",
		.label = "goes to the background"},
	{"default-server", "[PARAMETER]…", IN_BACKENDS, MANY_TIMES, OWN(parse_default_server),
		.help = "parameters of the `server` lines that follow; a line may say another value"},
	{"group", "NAME", IN_GLOBAL, 0, TEXT(struct global, group, 0, "the group's name"),
		.help = "group to run as; default: the user's",
		.label = "runs as group"},
	{"hash-type", "METHOD", IN_BACKENDS, 0, OWN(parse_hash_type),
		.help = "of `balance source`: `map-based`, the default, or `consistent`, by which only clients of a server that is removed move"},
	{"http-check comment", "TEXT", IN_BACKENDS, MANY_TIMES, OWN(parse_http_check_comment),
		.help = "a text for the log, where the line after it fails"},
	{"http-check connect", "[PARAMETER]…", IN_BACKENDS, MANY_TIMES, OWN(parse_http_check_connect),
		.help = "of `option httpchk`: how to connect, as in `tcp-check connect`"},
	{"http-check expect", "[PARAMETER]… [!] WHAT PATTERN", IN_BACKENDS, MANY_TIMES, OWN(parse_http_check_expect),
		.help = "of `option httpchk`: what the answer must be, by its `status` or `rstatus`, or by a `string` or `rstring` in its body; default: `status 200-399`"},
	{"http-check send", "[PARAMETER]…", IN_BACKENDS, MANY_TIMES, OWN(parse_http_check_send),
		.help = "of `option httpchk`: the request, by `meth`, `uri`, `ver`, `hdr NAME VALUE` and `body`"},
	{"log", "global", IN_PROXIES, MANY_TIMES | NEGATABLE, OWN(parse_log),
		.help = "logs to the targets of `global`; `no log` forgets what `defaults` said"},
	{"log", "TARGET [format raw] FACILITY [LEVEL]", IN_GLOBAL | IN_PROXIES,
		MANY_TIMES | NEGATABLE, OWN(parse_log),
		.help = "logs to stdout, stderr, a UNIX socket's path, ADDRESS[:PORT] or file@/PATH"},
	{"maxconn", "N", IN_GLOBAL, 0, NUMBER(struct global, maxconn, 0, INT_MAX),
		.help = "connections at the same time in all; default: from the descriptor limit",
		.label = "connections at the same time", .unset = "from the descriptor limit"},
	{"maxconn", "N", IN_FRONTENDS, 0, NUMBER(struct proxy, maxconn, 0, INT_MAX),
		.help = "connections at the same time of one frontend; default: no limit of its own",
		.label = "connections at the same time"},
	{"mode", "MODE", IN_PROXIES, 0, OWN(parse_mode),
		.help = "`tcp` relays connections, and is the default; `udp` relays datagrams. A frontend and its backend have the same mode"},
	{"nbproc", "1", IN_GLOBAL, MANY_TIMES, OWN(parse_nbproc),
		.help = "allowed; it changes nothing, since there is one process"},
	{"nbthread", "N", IN_GLOBAL, 0, NUMBER(struct global, nbthread, 1, 64),
		.help = "worker threads, 1 to 64; default: one for each processor",
		.label = "threads", .unset = "one for each processor"},
	{"nosplice", "", IN_GLOBAL, 0, FLAG(struct global, nosplice),
		.help = "always copies, never splices",
		.label = "never splices"},
	{"option allbackups", "", IN_BACKENDS, MANY_TIMES | NEGATABLE, OPTIONS(OPTION_ALLBACKUPS),
		.help = "all backup servers share the clients, where only backups are usable; default: the first one has all",
		.label = "uses all backup servers"},
	{"option clitcpka", "", IN_FRONTENDS, MANY_TIMES | NEGATABLE, OPTIONS(OPTION_CLITCPKA),
		.help = "keep-alives to the client",
		.label = "sends keep-alives to clients"},
	{"option dontlog-normal", "", IN_FRONTENDS, MANY_TIMES | NEGATABLE, OPTIONS(OPTION_DONTLOG_NORMAL),
		.help = "with tcplog, no line for a connection that ended in order and without a retry",
		.label = "logs no connection that ended in order"},
	{"option dontlognull", "", IN_FRONTENDS, MANY_TIMES | NEGATABLE, OPTIONS(OPTION_DONTLOGNULL),
		.help = "with tcplog, no line for a connection on which the client sent nothing",
		.label = "logs no connection on which the client sent nothing"},
	{"option httplog", "", IN_DEFAULTS, MANY_TIMES, OWN(parse_httplog),
		.help = "the same as tcplog, as in HAProxy for a section with `mode tcp`"},
	{"option httpchk", "[METHOD] [PATH] [VERSION]", IN_BACKENDS, MANY_TIMES, OWN(parse_httpchk),
		.help = "checks send a request of HTTP, by default `OPTIONS / HTTP/1.0`, and expect the status 200 to 399"},
	{"option log-health-checks", "", IN_BACKENDS, MANY_TIMES | NEGATABLE, OPTIONS(OPTION_LOG_HEALTH_CHECKS),
		.help = "a line for each check that has another result than the one before, or counts for `rise` and `fall`",
		.label = "logs checks"},
	{"option log-separate-errors", "", IN_FRONTENDS, MANY_TIMES | NEGATABLE, OPTIONS(OPTION_LOG_SEPARATE_ERRORS),
		.help = "with tcplog, the level err for connections that did not end in order, or with a retry",
		.label = "logs failed connections at level err"},
	{"option logasap", "", IN_FRONTENDS, MANY_TIMES | NEGATABLE, OPTIONS(OPTION_LOGASAP),
		.help = "with tcplog, the line comes when the server is reached, not at the end",
		.label = "logs each connection when its server is reached"},
	{"option mysql-check", "[user NAME [post-41|pre-41]]", IN_BACKENDS, MANY_TIMES, OWN(parse_mysql_check),
		.help = "checks expect the greeting of MySQL, and with `user` that this user can log in without a password"},
	{"option pgsql-check", "user NAME", IN_BACKENDS, MANY_TIMES, OWN(parse_pgsql_check),
		.help = "checks begin to log in to PostgreSQL as this user"},
	{"option redis-check", "", IN_BACKENDS, MANY_TIMES, OWN(parse_redis_check),
		.help = "checks send PING to Redis, and expect PONG"},
	{"option redispatch", "[N]", IN_BACKENDS, MANY_TIMES | NEGATABLE, OWN(parse_redispatch),
		.help = "another server at every Nth attempt to connect, -1 the last one, which is the default; where servers take turns, at each"},
	{"option smtpchk", "[HELO|EHLO NAME]", IN_BACKENDS, MANY_TIMES, OWN(parse_smtpchk),
		.help = "checks greet a server of SMTP, and expect codes from 200 to 299; default: `HELO localhost`"},
	{"option splice-auto", "", IN_PROXIES, MANY_TIMES | NEGATABLE, OPTIONS(0),
		.help = "allowed; it changes nothing, since tproxyd always chooses by itself"},
	{"option splice-request", "", IN_PROXIES, MANY_TIMES | NEGATABLE, OPTIONS(OPTION_SPLICE_REQUEST),
		.help = "always splices from client to server",
		.label = "always splices to servers"},
	{"option splice-response", "", IN_PROXIES, MANY_TIMES | NEGATABLE, OPTIONS(OPTION_SPLICE_RESPONSE),
		.help = "always splices from server to client",
		.label = "always splices to clients"},
	{"option srvtcpka", "", IN_BACKENDS, MANY_TIMES | NEGATABLE, OPTIONS(OPTION_SRVTCPKA),
		.help = "keep-alives to the server",
		.label = "sends keep-alives to servers"},
	{"option ssl-hello-chk", "", IN_BACKENDS, MANY_TIMES, OWN(parse_ssl_hello_chk),
		.help = "checks send a hello of SSL 3, and expect a handshake or an alert"},
	{"option tcpka", "", IN_PROXIES, MANY_TIMES, OPTIONS(OPTION_CLITCPKA | OPTION_SRVTCPKA),
		.help = "keep-alives to client and server"},
	{"option tcp-check", "", IN_BACKENDS, MANY_TIMES, OWN(parse_tcp_check),
		.help = "checks follow the lines of `tcp-check`"},
	{"option tcplog", "", IN_FRONTENDS, MANY_TIMES, OPTIONS(OPTION_TCPLOG),
		.help = "logs each connection's end with its timers, counts and reason",
		.label = "logs each connection"},
	{"option transparent", "", IN_BACKENDS, MANY_TIMES | NEGATABLE, OPTIONS(OPTION_TRANSPARENT),
		.help = "connects to the address and port that the client connected to, and to no `server`"},
	{"pidfile", "PATH", IN_GLOBAL, 0, TEXT(struct global, pidfile, 0, "the file's path"),
		.help = "file for the process's number"},
	{"retries", "N", IN_BACKENDS, 0, NUMBER(struct proxy, retries, 0, INT_MAX),
		.help = "further attempts after a failed connection to a server; default 3",
		.unset = "0"},
	{"server", "NAME ADDRESS[:PORT] [PARAMETER]…", IN_BACKEND, MANY_TIMES, OWN(parse_server),
		.help = "a server; without a port, the port that the client connected to; at `0.0.0.0`, `*` or `[::]`, the address that it connected to"},
	{"server-template", "PREFIX N[-M] ADDRESS[:PORT] [PARAMETER]…", IN_BACKEND, MANY_TIMES, OWN(parse_server_template),
		.help = "the servers PREFIX1 to PREFIXN, or PREFIXN to PREFIXM, which differ by their names alone"},
	{"source", "ADDRESS[:PORT] [usesrc WHOSE]", IN_BACKENDS, 0, OWN(parse_source),
		.help = "where connections to the servers come from: this host's ADDRESS, or with usesrc the `clientip`, the `client` (address and port), or another ADDRESS[:PORT]"},
	{"tcp-check comment", "TEXT", IN_BACKENDS, MANY_TIMES, OWN(parse_tcp_check_comment),
		.help = "a text for the log, where the line after it fails"},
	{"tcp-check connect", "[PARAMETER]…", IN_BACKENDS, MANY_TIMES, OWN(parse_tcp_check_connect),
		.help = "of `option tcp-check`: connects, by `port`, `addr`, `send-proxy`, `linger` (ends in order), `default` (as the server's line says)"},
	{"tcp-check expect", "[PARAMETER]… [!] WHAT PATTERN", IN_BACKENDS, MANY_TIMES, OWN(parse_tcp_check_expect),
		.help = "of `option tcp-check`: what must come, a `string`, a `binary` one in hexadecimal, or what an expression matches, `rstring` or `rbinary`"},
	{"tcp-check send", "TEXT", IN_BACKENDS, MANY_TIMES, OWN(parse_tcp_check_send),
		.help = "of `option tcp-check`: sends this"},
	{"tcp-check send-binary", "DIGITS", IN_BACKENDS, MANY_TIMES, OWN(parse_tcp_check_send_binary),
		.help = "of `option tcp-check`: sends this, which is in hexadecimal"},
	{"tcp-request connection", "ACTION [if CONDITION]", IN_FRONTEND, MANY_TIMES, OWN(parse_tcp_request_connection),
		.help = "`accept` or `reject` a client, or `expect-proxy layer4`: a PROXY header from it"},
	{"tcp-request content", "ACTION [if CONDITION]", IN_FRONTEND | IN_BACKEND, MANY_TIMES, OWN(parse_tcp_request_content),
		.help = "`accept` or `reject` a client, by the address that its PROXY header names; in a backend, the clients that come to it"},
	{"tcp-request inspect-delay", "TIME", IN_FRONTEND | IN_BACKEND, MANY_TIMES, OWN(parse_tcp_request_inspect_delay),
		.help = "allowed; it changes nothing, since no rule waits for what the client sends"},
	{"tcp-request session", "ACTION [if CONDITION]", IN_FRONTEND, MANY_TIMES, OWN(parse_tcp_request_session),
		.help = "the same before the rules for contents; its clients have no line of tcplog"},
	{"timeout check", "TIME", IN_BACKENDS, 0, TIME(struct proxy, timeouts[TIMEOUT_CHECK]),
		.help = "with it a check may take as long as timeout connect, if that is shorter than inter; default: inter"},
	{"timeout client", "TIME", IN_FRONTENDS, 0, TIME(struct proxy, timeouts[TIMEOUT_CLIENT]),
		.help = "longest silence of the client"},
	{"timeout client-fin", "TIME", IN_FRONTENDS, 0, TIME(struct proxy, timeouts[TIMEOUT_CLIENT_FIN]),
		.help = "the same once one direction has ended; default: timeout client"},
	{"timeout connect", "TIME", IN_BACKENDS, 0, TIME(struct proxy, timeouts[TIMEOUT_CONNECT]),
		.help = "longest wait for a server to accept"},
	{"timeout queue", "TIME", IN_BACKENDS, 0, TIME(struct proxy, timeouts[TIMEOUT_QUEUE]),
		.help = "allowed where no server of the section has a maxconn, since no client waits for a server then"},
	{"timeout server", "TIME", IN_BACKENDS, 0, TIME(struct proxy, timeouts[TIMEOUT_SERVER]),
		.help = "longest silence of the server"},
	{"timeout server-fin", "TIME", IN_BACKENDS, 0, TIME(struct proxy, timeouts[TIMEOUT_SERVER_FIN]),
		.help = "the same once one direction has ended; default: timeout server"},
	{"timeout tunnel", "TIME", IN_BACKENDS, 0, TIME(struct proxy, timeouts[TIMEOUT_TUNNEL]),
		.help = "longest silence of both sides of a connection whose server was reached, instead of timeout client and timeout server"},
	{"transparent", "", IN_BACKENDS, MANY_TIMES, OPTIONS(OPTION_TRANSPARENT),
		.help = "the older word for `option transparent`"},
	{"ulimit-n", "N", IN_GLOBAL, 0, NUMBER(struct global, ulimit_n, 0, INT_MAX),
		.help = "descriptor limit of the process; default: as high as it may be",
		.label = "descriptor limit"},
	{"unique-id-format", "FORMAT", IN_FRONTENDS, 0, OWN(parse_unique_id_format),
		.help = "what `proxy-v2-options unique-id` sends, 127 bytes at most; for instance `%ci:%cp_%fi:%fp_%Ts`"},
	{"use-server", "NAME if CONDITION", IN_BACKEND, MANY_TIMES, OWN(parse_use_server),
		.help = "the server of the clients for which the condition holds; the first such line counts"},
	{"use_backend", "NAME [if CONDITION]", IN_FRONTEND, MANY_TIMES, OWN(parse_use_backend),
		.help = "the backend or listen section of the clients for which the condition holds; the first such line counts, and then default_backend"},
	{"user", "NAME", IN_GLOBAL, 0, TEXT(struct global, user, 0, "the user's name"),
		.help = "user to run as; default: the one who started it",
		.label = "runs as user"},

	{"accept-proxy", "", ON_BIND, 0, FLAG(struct bind, accept_proxy),
		.help = "each client begins with a PROXY header of version 1 or 2, which names the client; others are refused",
		.label = "clients begin with a PROXY header"},
	{"backlog", "N", ON_BIND, 0, NUMBER(struct bind, backlog, 1, INT_MAX),
		.help = "as in the section, for these addresses"},
	{"interface", "NAME", ON_BIND, 0, TEXT(struct bind, interface, IF_NAMESIZE - 1, "the interface's name"),
		.help = "only what arrives by this interface"},
	{"name", "NAME", ON_BIND, 0, TEXT(struct bind, name, 0, "a name"),
		.help = "name of the listener in logs"},
	{"transparent", "", ON_BIND, 0, FLAG(struct bind, transparent),
		.help = "the addresses need not exist on this host (IP_TRANSPARENT)"},
	{"v4v6", "", ON_BIND, 0, OWN(parse_bind_v4v6),
		.help = "an IPv6 address takes IPv4 clients, too"},
	{"v6only", "", ON_BIND, 0, OWN(parse_bind_v6only),
		.help = "an IPv6 address takes IPv6 clients only"},
	{"addr", "ADDRESS[:PORT]", ON_SERVER, 0, OWN(parse_server_check_addr),
		.help = "address that is checked in place of the server's"},
	{"backup", "", ON_SERVER, 0, FLAG(struct server, backup),
		.help = "serves where no other server can",
		.label = "backup"},
	{"check", "", ON_SERVER, 0, FLAG(struct server, check.on),
		.help = "the server is checked: it gets clients as long as it accepts connections",
		.label = "checked"},
	{"check-send-proxy", "", ON_SERVER, 0, FLAG(struct server, check.send_proxy),
		.help = "checks begin with a PROXY header; by default they do so with `send-proxy`, unless `port` or `addr` says otherwise"},
	{"check-usesrc", "ADDRESS|net NETWORK", ON_SERVER, 0, OWN(parse_server_check_usesrc),
		.help = "checks come from this address, as if it were a client's, so that they show whether answers come back through this host; an extension"},
	{"disabled", "", ON_SERVER, 0, FLAG(struct server, disabled),
		.help = "is never used",
		.label = "disabled"},
	{"downinter", "TIME", ON_SERVER, 0, INTERVAL(struct server, check.downinter),
		.help = "between two checks of a server that is down; default: inter"},
	{"enabled", "", ON_SERVER, 0, OWN(parse_server_enabled),
		.help = "is used, whatever `default-server` says"},
	{"fall", "N", ON_SERVER, 0, NUMBER(struct server, check.fall, 1, INT_MAX),
		.help = "failed checks that take a server down; default 3"},
	{"fastinter", "TIME", ON_SERVER, 0, INTERVAL(struct server, check.fastinter),
		.help = "between two checks of a server that goes up or down; default: inter"},
	{"inter", "TIME", ON_SERVER, 0, INTERVAL(struct server, check.inter),
		.help = "between two checks; default 2 s"},
	{"init-addr", "WAY,…", ON_SERVER, 0, OWN(parse_server_init_addr),
		.help = "of a server that is given by name: how it gets its address, `libc` (look it up), an address for where that fails, or `none` (not used until a reload); `last` changes nothing; default: `last,libc`"},
	{"maxconn", "N", ON_SERVER, 0, NUMBER(struct server, maxconn, 0, INT_MAX),
		.help = "sessions at the same time; clients beyond it come to another server, and where none has room, they are refused (servers-full)"},
	{"no-backup", "", ON_SERVER, 0, OWN(parse_server_no_backup),
		.help = "is no backup, whatever `default-server` says"},
	{"no-check", "", ON_SERVER, 0, OWN(parse_server_no_check),
		.help = "is not checked, whatever `default-server` says"},
	{"port", "N", ON_SERVER, 0, NUMBER(struct server, check.port, 1, 65535),
		.help = "port that is checked; default: that of addr, or the server's"},
	{"proxy-v2-options", "OPTION,…", ON_SERVER, 0, OWN(parse_server_proxy_v2_options),
		.help = "fields of the header of version 2: a checksum (`crc32c`), the client's `authority`, the `unique-id`"},
	{"rise", "N", ON_SERVER, 0, NUMBER(struct server, check.rise, 1, INT_MAX),
		.help = "passed checks that take a server up; default 2"},
	{"send-proxy", "", ON_SERVER, 0, OWN(parse_server_send_proxy),
		.help = "connections begin with a PROXY header of version 1, which names client and destination"},
	{"send-proxy-v2", "", ON_SERVER, 0, OWN(parse_server_send_proxy_v2),
		.help = "the same in version 2, the binary one"},
	{"set-proxy-v2-tlv-fmt(TYPE)", "FORMAT", ON_SERVER, MANY_TIMES, OWN(parse_server_proxy_v2_tlv),
		.help = "a field of this type in the header of version 2; a word of HAProxy's since version 2.9"},
	{"source", "ADDRESS[:PORT] [usesrc WHOSE]", ON_SERVER, 0, OWN(parse_server_source),
		.help = "as in the section, for this server"},
	{"weight", "N", ON_SERVER, 0, OWN(parse_server_weight),
		.help = "its share of the clients, 0 to 256, default 1; with 0 only `use-server` chooses it"},
};
/* clang-format on */

#define KEYWORD_COUNT (sizeof(keywords) / sizeof(keywords[0]))
static_assert(KEYWORD_COUNT <= KEYWORDS_MAX, "every keyword has its place in parser.seen");

#define HTTP     "it belongs to HTTP, and tproxyd relays TCP"
#define NO_HTTP  HTTP "; leave it out"
#define NO_TLS   "tproxyd does not speak TLS; let the servers do it"
#define CHECKS   "there is no such check, and nothing follows from it; leave it out"
#define NO_TABLE "there are no stick tables; leave it out"
#define NO_NAMES "names are looked up by the C library, at the start and at a reload; leave it out"
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
	{IN_FILE, FOREIGN_REFUSED, "program",
		"let the service manager start other programs; leave it out"},
	{IN_FILE, FOREIGN_REFUSED, "resolvers", NO_NAMES},
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
	{IN_GLOBAL, FOREIGN_NO_EFFECT, "description|node", "there are no statistics to show it"},
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
	{IN_GLOBAL, FOREIGN_REFUSED, "server-state-base|server-state-file",
		"servers have no state to keep; leave it out"},
	{IN_GLOBAL, FOREIGN_REFUSED, "set-var|set-var-fmt", "there are no variables; leave it out"},
	{IN_GLOBAL, FOREIGN_NO_EFFECT, "stats", "there is no socket for commands and statistics"},
	{IN_GLOBAL, FOREIGN_REFUSED, "stats-file|shm-stats-file",
		"there are no statistics yet; leave it out"},
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
		"there are no statistics to show it"},
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
	{IN_PROXIES, FOREIGN_REFUSED, "error-log-format|log-format|log-format-sd|log-steps",
		"write 'option tcplog'"},
	{IN_PROXIES, FOREIGN_REFUSED, "filter", "there are no filters; leave it out"},
	{IN_PROXIES, FOREIGN_REFUSED, "fullconn", "a server's limit is fixed; write 'maxconn'"},
	{IN_PROXIES, FOREIGN_REFUSED, "hash-balance-factor|hash-preserve-affinity", TURNS},
	{IN_PROXIES, FOREIGN_REFUSED, "load-server-state-from-file|server-state-file-name",
		"servers have no state to keep; leave it out"},
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
		"there are no statistics to show it"},
	{ON_SERVER, FOREIGN_NO_EFFECT,
		"no-agent-check|no-check-send-proxy|no-check-ssl|no-ssl|no-tfo",
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
		"agent-addr+1|agent-check|agent-inter+1|agent-port+1|agent-send+1"
		"|check-pool-conn-name+1|check-reuse-pool|check-sni-auto"
		"|check-via-socks4|error-limit+1|init-state+1|no-check-reuse-pool|no-check-sni-auto"
		"|observe+1|on-error+1|on-marked-down+1|on-marked-up+1|slowstart+1|track+1",
		CHECKS},
	{ON_SERVER, FOREIGN_REFUSED,
		"cookie+1|max-reuse+1|pool-conn-name+1|pool-low-conn+1|pool-max-conn+1"
		"|pool-purge-delay+1|redir+1",
		NO_HTTP},
	{ON_SERVER, FOREIGN_REFUSED, "resolve-net+1|resolve-opts+1|resolve-prefer+1|resolvers+1",
		NO_NAMES},
	{ON_SERVER, FOREIGN_REFUSED, "log-bufsize+1|log-proto+1",
		"logs are not relayed; leave it out"},
	{ON_SERVER, FOREIGN_REFUSED, "minconn+1|strict-maxconn",
		"a server's limit is fixed; write 'maxconn'"},
	{ON_SERVER, FOREIGN_REFUSED, "maxqueue+1",
		"no connection waits for a server; leave it out"},
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

const struct keyword *keyword_at(size_t index)
{
	return index < KEYWORD_COUNT ? &keywords[index] : NULL;
}

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
