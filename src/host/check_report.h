/*
 * Building the checklist's report: what the judging files share, and nobody else needs.
 */
#ifndef CHECK_REPORT_H
#define CHECK_REPORT_H

#include "tproxy/check.h"

/* A check under way, and what its judges leave to those behind them. */
struct check {
	const struct situation *at;
	struct check_report *report;
	bool in_doubt; /* whether servers' answers are taken in hangs on what is not known */
	bool errors_lost
		[2]; /* ICMP errors about clients' addresses are not caught: IPv4's, IPv6's */
};

/*
 * Adds a finding, READ being what was read and where; returns it for its commands. The same finding
 * once more (of another listener, say) is the first one.
 */
struct check_finding *check_add(struct check *check, enum check_item item, enum check_state state,
	const char *subject, const char *read, ...) __attribute__((format(printf, 5, 6)));

/* Adds a command to it, unless that is there already. UNDO may be NULL. Both are given away. */
void check_mend(struct check_finding *finding, enum check_place place, char *run, char *undo);

/* What sets a sysctl, with what sets it back; PATH as in sysctls.h. */
void check_sysctl(
	struct check *check, struct check_finding *finding, const char *path, const char *value);

/* Whether an item has been found missing or harmful. */
bool check_failed(const struct check *check, enum check_item item);

static inline int check_version(int family)
{
	return family == AF_INET6 ? 6 : 4;
}

/* --- check_clients.c: who calls, and whom the proxy calls --- */

enum {
	CLIENTS_MAX = 8
};

/*
 * The clients of a family that are thought of: those that the user named, else one for each link that
 * clients may be behind; at most CLIENTS_MAX.
 */
size_t check_clients(const struct check *check, int family, struct addr clients[CLIENTS_MAX]);

/* Whether clients of a family reach a listener: IPv4's reach one on [::], unless its socket is IPv6's alone. */
bool check_hears(const struct check *check, const struct need_listener *listener, int family);

/* The addresses that clients call to reach a listener, at most CLIENTS_MAX; rules may name others than its own. */
size_t check_called(const struct check *check, const struct need_listener *listener, int family,
	struct addr called[CLIENTS_MAX]);

/* --- check_rules.c: commands that mend rules --- */

/* The mark that the host's rules use, the walk-through's 1 where none does, and its table (100). */
uint32_t check_mark_in_use(const struct check *check, int family);
unsigned check_table_in_use(const struct check *check, int family);

/* The tool in use for packet rules. */
enum backend check_backend(const struct check *check);

/* Have packets of sockets marked: PROTOCOL is TCP, UDP or ICMP. */
struct catching {
	int family, protocol;
	bool any_socket; /* of sockets that are not transparent, too */
	bool wildcard;   /* of listeners bound to no address, too */
};
void check_mend_divert(
	struct check *check, struct check_finding *finding, const struct catching *what);

/* Have the chain of HOOK that dropped a packet accept it. TRACE is of that packet. */
void check_mend_drop(struct check *check, struct check_finding *finding, enum hook hook,
	const struct packet *packet, const struct trace *trace);

/* Keep a NAT rule's hands off a packet. */
void check_mend_nat(struct check *check, struct check_finding *finding, const struct packet *packet,
	const struct trace *trace);

/* Whether any rule of a table asks for sockets or hands over to a listener. */
bool check_table_catches(const struct table *table);

/* A rule as its tool shows it, in memory of the caller's. */
char *check_rule_text(const struct check *check, const struct rule *rule);

/* --- check_links.c --- */

/* Whether what comes by a link may bear a source that counts as this host's own. */
bool check_lets_local_sources_in(const struct check *check, const char *link);

/* --- the judges, each a file --- */

void check_kernel(struct check *check);  /* check_kernel.c */
void check_flows(struct check *check);   /* check_flow.c */
void check_links(struct check *check);   /* check_links.c */
void check_proxy(struct check *check);   /* check_proxy.c: listeners, and whose they are */
void check_answers(struct check *check); /* check_answers.c: connections that do not get on */

#endif
