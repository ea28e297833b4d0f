/*
 * The configuration: HAProxy's language, a strict subset of it, as an immutable model.
 *
 * A file that is accepted here is accepted by HAProxy and means the same there, save for the
 * extensions that docs/CONFIGURATION.md lists. A word that is not supported is an error; nothing is
 * ignored in silence. The rules are those of HAProxy's configuration manual, sections 2 to 5.
 *
 * A struct config owns everything that it points to, strings included; all of it lives until
 * config_free() and nothing in it changes after it was loaded, so threads read it without a lock.
 * Durations are milliseconds, and 0 means that there is no limit.
 */
#ifndef TPROXY_CONFIG_H
#define TPROXY_CONFIG_H

#include "tproxy/addr.h"
#include "tproxy/condition.h"
#include "tproxy/diag.h"
#include "tproxy/health_script.h"
#include "tproxy/proxy_header.h"
#include "tproxy/value_format.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum timeout {
	TIMEOUT_CONNECT,    /* the server answers the connection request */
	TIMEOUT_CLIENT,     /* the client is silent */
	TIMEOUT_SERVER,     /* the server is silent */
	TIMEOUT_CLIENT_FIN, /* as TIMEOUT_CLIENT, once one direction has ended */
	TIMEOUT_SERVER_FIN, /* as TIMEOUT_SERVER, once one direction has ended */
	TIMEOUT_CHECK,      /* see servers/health.h */
	TIMEOUT_QUEUE,      /* the client waits for a server; 0: as long as TIMEOUT_CONNECT */
	TIMEOUT_TUNNEL,     /* as both of them, instead of them, once the server is reached */
	TIMEOUT_COUNT
};

/* Where a connection to a server comes from. */
enum source_mode {
	SOURCE_ROUTED,   /* no `source`: the address that the host's routing picks */
	SOURCE_ADDRESS,  /* `source ADDR[:PORT]`: an address of this host */
	SOURCE_CLIENTIP, /* `usesrc clientip`: the client's address, a port of the kernel's choice
			  */
	SOURCE_CLIENT,   /* `usesrc client`: the client's address and port */
	SOURCE_FOREIGN,  /* `usesrc ADDR[:PORT]`: an address that need not exist on this host */
};

struct source {
	enum source_mode mode;
	struct addr
		address; /* of SOURCE_ADDRESS and SOURCE_FOREIGN; port 0 lets the kernel choose */
};

/* What a listener on an IPv6 address does about IPv4 clients. */
enum v6_mode {
	V6_SYSTEM, /* what net.ipv6.bindv6only says */
	V6_ONLY,   /* `v6only` */
	V6_AND_V4, /* `v4v6`: IPv4 clients arrive as IPv4-mapped addresses */
};

/* One listening socket: a `bind` line with several addresses or a port range makes several. */
struct bind {
	struct addr address;
	bool transparent;
	bool accept_proxy; /* clients begin with a PROXY header */
	enum v6_mode v6_mode;
	const char *interface; /* NULL: any */
	unsigned backlog;      /* 0: from maxconn */
	const char *name;      /* NULL: none */
	unsigned line;
};

/* What a PROXY header of version 2 has behind its addresses. */
struct header_fields {
	bool checksum;
	bool authority; /* the one that the client's own header has */
	bool unique_id; /* by the frontend's `unique-id-format` */
	struct header_field {
		unsigned type; /* 0 to 255 */
		struct value_format value;
	} * list;
	size_t count;
};

enum {
	WEIGHT_MAX = 256
};

/* What too many errors in a row of clients' connections do to a server; with all of them it is checked soon. */
enum on_error {
	ON_ERROR_FAIL_CHECK,   /* as a check that has failed */
	ON_ERROR_FASTINTER,    /* no more */
	ON_ERROR_SUDDEN_DEATH, /* one more check that fails takes it down */
	ON_ERROR_MARK_DOWN,    /* it is down */
};

/* How a server is checked; 0 stands for HAProxy's default (servers/health.h). */
struct server_check {
	bool on;
	unsigned inter, fastinter,
		downinter;    /* between two checks; the last two by default as the first */
	unsigned rise, fall;  /* how many checks take a server up, and down */
	unsigned port;        /* 0: the address's, or the server's */
	struct addr addr;     /* of family AF_UNSPEC: the server's */
	bool observes;        /* errors of clients' connections count */
	unsigned error_limit; /* so many in a row, and then: */
	enum on_error on_error;
	/* Where checks come from, a network of clients; of family AF_UNSPEC: this host (servers/way_back.h) */
	struct addr usesrc;
	unsigned usesrc_bits;
	bool send_proxy; /* checks have a PROXY header, even if they go elsewhere, or connections have none */
};

/* `agent-check`: a program that says how the server is (servers/agent.h). */
struct server_agent {
	bool on;
	unsigned inter;   /* between two questions; 0: HAProxy's default */
	unsigned port;    /* not 0, where it is on */
	struct addr addr; /* of family AF_UNSPEC: the server's */
	const char *send; /* what it is asked; NULL: nothing */
};

/* How long the answer before counts, where the newest one is of this kind; HOLD_VALID: until it is asked again. */
enum hold {
	HOLD_VALID,
	HOLD_OBSOLETE, /* an address that is no longer in the answer */
	HOLD_NX,       /* there is no such name */
	HOLD_REFUSED,
	HOLD_TIMEOUT,
	HOLD_OTHER,
	HOLD_COUNT
};

/* A `resolvers` section: who is asked for the names of servers that move. */
struct resolvers {
	struct resolvers *next;
	const char *name;
	unsigned line;
	struct nameserver {
		const char *name;
		struct addr address;
	} * nameservers;
	size_t nameserver_count;
	unsigned retries; /* questions to a name server that does not answer */
	unsigned timeout_resolve, timeout_retry;
	unsigned hold[HOLD_COUNT];
};

struct server {
	const char *name;
	const char *host; /* the name that the address was looked up for; NULL: none */
	const struct resolvers
		*resolvers;  /* the address is that of HOST at any time; NULL: it stays */
	bool prefers_ipv4;   /* of RESOLVERS; else IPv6 */
	bool shares_address; /* of RESOLVERS: another server of the backend may have the same */
	bool unresolved;     /* of RESOLVERS: it has no address yet; `address` has its port alone */
	struct addr address; /* the wildcard, port 0: what the client connected to */
	struct source source;
	enum proxy_header_version send_proxy; /* the PROXY header that it gets first */
	struct header_fields send_proxy_fields;
	unsigned weight;   /* its share of the clients; 0: only `use-server` chooses it */
	unsigned maxconn;  /* sessions at the same time; 0: no limit of its own */
	unsigned maxqueue; /* clients that wait for it alone; 0: no limit of their own */
	unsigned
		slowstart; /* how long its weight and its maxconn grow once it has come up; 0: at once */
	const struct server *track; /* its state is that one's; NULL: its own */
	bool ends_sessions_down;    /* its sessions end where it goes down */
	bool ends_backups_up;       /* those of its backend's backups end where it comes up */
	bool backup;                /* serves where no other server can */
	bool follows_port; /* MODE_UDP: it may answer from any port, and gets there what comes next */
	bool disabled;     /* never used */
	struct server_check check;
	struct server_agent agent;
	unsigned index; /* of all servers of the configuration, from 0 */
	unsigned line;
	/*
	 * The listener of this configuration through which connections to the server come back to the
	 * proxy, for ever, if the server's address is this host's own; NULL: there is none. What the
	 * address is does not show in the file: a wildcard listener covers real servers, too. For a
	 * server at the wildcard with a port, it is any listener on that port.
	 */
	const struct bind *loop;
};

enum log_kind {
	LOG_TO_STDOUT,
	LOG_TO_STDERR,
	LOG_TO_FILE,   /* `log file@/path …`: an extension, HAProxy has no such target */
	LOG_TO_UNIX,   /* a datagram socket such as /dev/log */
	LOG_TO_SYSLOG, /* UDP, RFC 3164 */
};

enum log_format {
	LOG_RFC3164, /* "<134>Feb  6 12:12:09 tproxyd[123]: message"; HAProxy's default */
	LOG_RAW,     /* the message alone */
};

struct log_target {
	enum log_kind kind;
	const char *path;    /* LOG_TO_FILE, LOG_TO_UNIX */
	struct addr address; /* LOG_TO_SYSLOG */
	enum log_format format;
	int facility;  /* as <syslog.h>: LOG_LOCAL0 … */
	int max_level; /* least urgent level that is logged: LOG_EMERG … LOG_DEBUG */
};

struct log_targets {
	struct log_target *list;
	size_t count;
};

enum proxy_option {
	OPTION_TCPLOG = 1 << 0,
	OPTION_CLITCPKA = 1 << 1,        /* keep-alives to the client */
	OPTION_SRVTCPKA = 1 << 2,        /* keep-alives to the server; `option tcpka` sets both */
	OPTION_SPLICE_REQUEST = 1 << 3,  /* client to server: always splice */
	OPTION_SPLICE_RESPONSE = 1 << 4, /* server to client: always splice */
	/* Of the lines of OPTION_TCPLOG: */
	OPTION_DONTLOGNULL = 1 << 5,         /* none where the client sent nothing */
	OPTION_DONTLOG_NORMAL = 1 << 6,      /* none where all went well */
	OPTION_LOG_SEPARATE_ERRORS = 1 << 7, /* the others have the level err */
	OPTION_LOGASAP = 1 << 8,             /* when the server is reached, not at the end */

	OPTION_TRANSPARENT = 1 << 9, /* connects to where the client connected to */
	OPTION_ALLBACKUPS =
		1 << 10, /* backup servers share the clients; else the first one has all */
	OPTION_LOG_HEALTH_CHECKS = 1 << 11, /* a line for each check that changes anything */
	OPTION_JSONLOG = 1 << 12,           /* as OPTION_TCPLOG, but as an object of JSON */
};

/* How a backend's servers share its clients (configuration manual, section 4.2, `balance`). */
enum balance {
	BALANCE_ROUNDROBIN, /* in turn, by weight; `static-rr` is the same here */
	BALANCE_LEASTCONN,  /* the one with the fewest sessions, by weight */
	BALANCE_FIRST,      /* the first one that has room */
	BALANCE_SOURCE,     /* by the client's address */
	BALANCE_RANDOM,     /* the less busy one of some drawn at random, by weight */
};

/* One cycle of turns, in which each server has as many as its weight says, spread over the cycle. */
struct turns {
	const struct server **list;
	size_t count;
};

/* When a rule is asked, in this order. */
enum rule_stage {
	STAGE_CONNECTION, /* tcp-request connection: of the connection's own addresses, before any PROXY header */
	STAGE_SESSION, /* tcp-request session: once the client is known */
	STAGE_CONTENT, /* tcp-request content: of the frontend, and then of a backend that is another section */
	STAGE_BACKEND, /* use_backend: the first one that applies chooses; none: default_backend */
	STAGE_SERVER, /* use-server: the first one that applies chooses; none: the servers take turns */
	STAGE_COUNT
};

enum client_rule_action {
	/* The first of these two that applies ends its stage; without one the client is accepted. */
	RULE_ACCEPT,
	RULE_REJECT,
	RULE_EXPECT_PROXY, /* of STAGE_CONNECTION: as `accept-proxy`, for this client; the rules after it are asked, too */
	RULE_CHOOSE, /* of the last two stages */
};

struct client_rule {
	enum client_rule_action action;
	struct condition condition;
	const struct proxy *backend; /* of STAGE_BACKEND */
	const struct server *server; /* of STAGE_SERVER */
	const char *text;            /* as written, its words parted by spaces */
	unsigned line;
};

/* In their order in the file. */
struct client_rules {
	struct client_rule *list;
	size_t count;
};

enum role {
	ROLE_FRONTEND = 1 << 0,
	ROLE_BACKEND = 1 << 1,
	ROLE_LISTEN = ROLE_FRONTEND | ROLE_BACKEND,
};

enum mode {
	MODE_TCP,
	MODE_UDP, /* `mode udp`: an extension, HAProxy relays no datagrams */
};

/* A `frontend`, `backend` or `listen` section, with what it took from `defaults`. */
struct proxy {
	const char *name;
	enum role role;
	enum mode mode; /* a frontend and its backend have the same */
	unsigned index; /* of all sections of the configuration, from 0 */
	unsigned line;
	unsigned maxconn; /* of a frontend: sessions at the same time; 0: global's limit alone */
	unsigned options; /* of enum proxy_option */
	unsigned timeouts[TIMEOUT_COUNT];
	struct log_targets logs; /* `log global` is resolved to global's targets */
	struct client_rules rules[STAGE_COUNT];

	/* Of a frontend. */
	struct bind *binds;
	size_t bind_count;
	const struct proxy *default_backend; /* a `listen` section's own is itself; NULL: none */
	const struct proxy **targets;        /* every backend that its clients may come to, once */
	size_t target_count;
	struct value_format unique_id;  /* `unique-id-format` */
	struct value_format log_format; /* `log-format`, without an option that says otherwise */
	unsigned backlog;               /* of its listeners that name none; 0: from maxconn */
	/* MODE_UDP: how long a flow may be silent, the shorter one of `timeout client` and the backend's `timeout server`. */
	unsigned flow_timeout;
	unsigned client_flows; /* MODE_UDP: flows of one client at the same time; 0: no limit */
	unsigned client_rate;  /* MODE_UDP: datagrams of one client in a second; 0: no limit */

	/* Of a backend. */
	/* With OPTION_TRANSPARENT one at the wildcard, named as in HAProxy's log. */
	struct server *servers;
	size_t server_count;
	const struct health_script *check_script; /* NULL: a check connects, and does no more */
	struct turns turns
		[2]; /* of the active servers, and of the backups; without those that are never used */
	enum balance balance;
	unsigned draws; /* of BALANCE_RANDOM */
	/* `option redispatch N`: the attempts for which another server is chosen; 0: none. See routing.h. */
	int redispatch;
	unsigned retries; /* further attempts after a failed connection to a server; default 3 */
	bool consistent; /* `hash-type consistent`: no client moves but those of a server that is removed */
	bool static_weights; /* `static-rr`: `slowstart` does not change them */
	bool ramps;          /* a server has a `slowstart` */
	bool queues;   /* clients wait where its servers are full: one of them may have a limit */
	bool weighted; /* TURNS hold; else all servers have the same weight, and none is a backup */
};

/* What the commands of a `stats socket` may do (management guide, section 9.3). */
enum stats_level {
	STATS_USER,     /* read what is not sensitive */
	STATS_OPERATOR, /* read all, and clear counters */
	STATS_ADMIN,    /* all */
};

/* One `stats socket`. */
struct stats_socket {
	const char *path;
	const char *user, *group; /* NULL: the process's */
	unsigned uid, gid;
	bool has_uid, has_gid;
	unsigned mode; /* of chmod(2) */
	bool has_mode; /* else by the umask */
	enum stats_level level;
	unsigned line;
};

struct global {
	unsigned maxconn;   /* sessions at the same time; 0: from the descriptor limit */
	unsigned nbthread;  /* 0: one for each processor */
	unsigned ulimit_n;  /* descriptor limit; 0: as high as it may be */
	bool daemon;        /* goes to the background once it has started */
	const char *chroot; /* folder that is the root once it has started; NULL: stay */
	const char *user;   /* NULL: stay */
	const char *group;  /* NULL: the user's */
	const char *pidfile;
	bool nosplice; /* always copy */
	struct log_targets logs;
	struct stats_socket *stats_sockets;
	size_t stats_socket_count;
	unsigned stats_timeout; /* how long their clients may be silent; 0: 10 s */
	unsigned stats_maxconn; /* their clients at the same time; 0: 10 */
	struct addr metrics;    /* where Prometheus asks; AF_UNSPEC: nowhere */
	unsigned metrics_line;
};

struct config {
	struct global global;
	struct proxy *proxies;
	size_t proxy_count;
	unsigned server_count; /* of all proxies together */
	bool has_datagrams;    /* a section is of MODE_UDP */
	/*
	 * Connections to any address may be diverted here: a transparent listener is on the wildcard, or a server is
	 * where the client connected to.
	 */
	bool intercepts;
	bool has_names;              /* a server is given by name */
	struct resolvers *resolvers; /* a list */
	struct config_memory *memory;
};

/*
 * Reads a configuration from LENGTH bytes of TEXT; NAME is the file's name in messages. TEXT and NAME are not
 * kept. Returns NULL where there was an error; DIAG then holds at least one. Warnings are added to DIAG in
 * any case. The caller frees the result with config_free().
 */
struct config *config_parse(const char *name, const char *text, size_t length, struct diag *diag);

/*
 * The same of the text alone, for those who edit it: no file that it names is read, and no name is looked up. A server
 * that is given by name has no address then (`unresolved`). What the files and names would add is missing, so the result is
 * not for running a proxy.
 */
struct config *config_parse_text(
	const char *name, const char *text, size_t length, struct diag *diag);

/* The same from a file; what keeps the file from being read is an error like any other. */
struct config *config_load(const char *path, struct diag *diag);

/* Frees the configuration and all that it points to; NULL is allowed. */
void config_free(struct config *config);

/* Prints what listens where, and where it connects to: the answer of `tproxyd -c`. */
void config_print(const struct config *config, FILE *out);

/*
 * The address to connect to for a client that connected to ASKED: the server's address and port, save that the
 * wildcard stands for ASKED's address, and port 0 for its port.
 */
struct addr server_address(const struct server *server, const struct addr *asked);

/* Whether a server is where the client connected to: its address is the wildcard of either family. */
bool server_is_original(const struct server *server);

/* Whether a limit of SERVER's sessions may be there: its own, or one that its agent sets. */
static inline bool server_is_limited(const struct server *server)
{
	return server->maxconn != 0 || server->agent.on;
}

/* Whether each connection of FRONTEND has a line at its end: by `option tcplog`, `option jsonlog` or `log-format`. */
bool config_logs_sessions(const struct proxy *frontend);

/* The same, and the line has addresses that only sockets know. */
bool config_logs_sockets(const struct proxy *frontend);

/* Whether a client of BIND, a listener of FRONTEND, can have to begin with a PROXY header. */
bool config_reads_header(const struct proxy *frontend, const struct bind *bind);

/* Whether servers are connected to from addresses that are not this host's. */
bool config_has_foreign_sources(const struct config *config);

/* Whether anything in the configuration needs IP_TRANSPARENT, hence CAP_NET_RAW. */
bool config_needs_transparent(const struct config *config);

#endif
