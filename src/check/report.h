/*
 * Building the checklist's report: what the judging files share, and no other file needs.
 */
#ifndef CHECK_REPORT_H
#define CHECK_REPORT_H

#include "check.h"
#include "tproxy/shell.h"

/* A check under way, and what its judges leave to those behind them. */
struct check {
	const struct snapshot *at;
	struct check_report *report;
	bool unconcerned[CHECK_ITEMS]; /* items that this proxy has no use for: they are ok */
	bool in_doubt; /* whether servers' answers are taken in hangs on what is not known */
	bool errors_lost
		[2]; /* ICMP errors about clients' addresses are not caught: IPv4's, IPv6's */
};

/*
 * Adds a judgement, READ being what was read and where; returns it for its commands. The same one once more
 * (of another listener, say) is the first one. An item that gets none is unknown, so whoever has judged
 * something says so, well or not. SUBJECT and READ may have any text in them: they are made printable.
 * An unknown one hangs on a rule that is not understood, unless check_unknown() adds it.
 */
struct check_finding *check_add(struct check *check, enum check_item item, enum check_state state,
	const char *subject, const char *read, ...) __attribute__((format(printf, 5, 6)));

/* Adds that an item could not be judged, and what would let it be. */
void check_unknown(struct check *check, enum check_item item, enum check_remedy remedy,
	const char *subject, const char *why, ...) __attribute__((format(printf, 5, 6)));

/* Adds that to every item that hangs on any of the bases BY and concerns this proxy. */
void check_obstacle(struct check *check, unsigned by, enum check_remedy remedy, const char *subject,
	const char *why, ...) __attribute__((format(printf, 5, 6)));

/* What helps where the kernel or a tool did not let something be read. */
enum check_remedy check_remedy_of_reading(const struct check *check);

/* Whether an item has been found missing or harmful. */
bool check_failed(const struct check *check, enum check_item item);

static inline int check_version(int family)
{
	return family == AF_INET6 ? 6 : 4;
}

static inline const char *check_family_name(int family)
{
	return family == AF_INET6 ? "IPv6" : "IPv4";
}

/* --- check_commands.c: the commands of findings; each may be run twice without harm --- */

/*
 * Adds a command to a finding, unless that is there already. RUN and UNDO are made by shell_format() and
 * given away. A RUN that is NULL cannot be typed and is left out; UNDO is NULL where no line takes it back.
 */
void check_fix(struct check_finding *finding, enum check_place place, char *run, char *undo);

/* Sets a sysctl; PATH as in sysctls.h. */
void check_fix_sysctl(
	struct check *check, struct check_finding *finding, const char *path, const char *value);

/* A policy rule for a mark; PREFERENCE 0: the kernel chooses one. */
void check_fix_ip_rule(struct check_finding *finding, enum check_place place, int family,
	unsigned preference, uint32_t mark, unsigned table);

/* Where a rule goes in its chain. A rule that is there already moves to that place. */
enum check_end {
	CHECK_FRONT,
	CHECK_BACK
};

/* A rule of iptables or a tool like it. RULE is made by shell_format(), and given away. */
void check_fix_iptables(struct check_finding *finding, enum check_place place, const char *program,
	const char *table, const char *chain, enum check_end end, char *rule);

/* A rule of nft's in a chain that is there. NAME tells it from others; RULE is given away. */
void check_fix_nft(struct check_finding *finding, const struct table *table,
	const struct chain *chain, enum check_end end, const char *name, char *rule);

/* A chain of our own before routing, in a table of our own called NAME. RULE is given away. */
void check_fix_nft_table(struct check_finding *finding, int family, const char *name, char *rule);

/* --- check_clients.c: who connects, and where to --- */

enum {
	CLIENTS_MAX = 8
};

/*
 * The clients of a family that are thought of: those that the user named, else one for each link that
 * clients may be behind; at most CLIENTS_MAX.
 */
size_t check_clients(const struct check *check, int family, struct addr clients[CLIENTS_MAX]);

/*
 * The addresses that connections to a server, by its place in the list, come from and that need not be this
 * host's: those of the clients of its family, or the fixed one of `usesrc ADDR`. None where the proxy
 * connects from an address of its own.
 */
size_t check_sources(const struct check *check, size_t server, struct addr sources[CLIENTS_MAX]);

/* Whether clients of a family reach a listener: IPv4's reach one on [::], unless its socket is IPv6's alone. */
bool check_hears(const struct check *check, const struct service_listener *listener, int family);

/* The addresses that clients call to reach a listener, at most CLIENTS_MAX; rules may name others than its own. */
size_t check_called(const struct check *check, const struct service_listener *listener, int family,
	struct addr called[CLIENTS_MAX]);

/* --- check_rules.c: which rules a fix needs --- */

/* The mark that the host's rules use, the walk-through's 1 where none does, and its table (100). */
uint32_t check_mark_in_use(const struct check *check, int family);
unsigned check_table_in_use(const struct check *check, int family);

/* Whether a table has routes that lead out of this host. */
bool check_leads_away(const struct check *check, int family, unsigned table);

/* The tool in use for packet rules. */
enum firewall_tool check_tool(const struct check *check);

/* Have packets of sockets marked: PROTOCOL is TCP, UDP or ICMP. */
struct catching {
	int family, protocol;
	bool any_socket; /* of sockets that are not transparent, too */
	bool wildcard;   /* of listeners bound to no address, too */
};
void check_fix_divert(
	struct check *check, struct check_finding *finding, const struct catching *what);

/* Have the chain of HOOK that dropped a packet accept it. TRACE is of that packet. */
void check_fix_drop(struct check *check, struct check_finding *finding, enum hook hook,
	const struct packet *packet, const struct trace *trace);

/* Keep a NAT rule's hands off a packet. */
void check_fix_nat(struct check *check, struct check_finding *finding, const struct packet *packet,
	const struct trace *trace);

/* Whether any rule of a table asks for sockets or hands over to a listener. */
bool check_table_catches(const struct table *table);

/* A rule as its tool shows it, in memory of the caller's. For findings, not for commands. */
char *check_rule_text(const struct check *check, const struct rule *rule);

/* --- check_links.c --- */

/* Whether what comes by a link may bear a source that counts as this host's own. */
bool check_lets_local_sources_in(const struct check *check, const char *link);

/* --- the judges, each a file --- */

void check_kernel(struct check *check);  /* check_kernel.c; after all others, whose word it takes */
void check_flows(struct check *check);   /* check_flow.c */
void check_links(struct check *check);   /* check_links.c */
void check_proxy(struct check *check);   /* check_proxy.c: listeners, and whose they are */
void check_answers(struct check *check); /* check_answers.c: connections that do not get on */

#endif
