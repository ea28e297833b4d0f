/*
 * How judges build the report of check.h: the state that they share, and the functions that add findings.
 *
 * Two kinds of functions add findings. judge_…() looks at something and decides; report_…() adds the finding
 * that its name says. Functions whose names ask a question (is_…, has_…) add nothing.
 */
#ifndef CHECK_REPORT_H
#define CHECK_REPORT_H

#include "check.h"

enum {
	CHECK_DELIVERY_MAX = 16
};

/* What delivers the proxy's packets, noted while they are followed. */
struct check_delivery {
	bool any; /* some packet was delivered */
	const struct rule *diverting[CHECK_DELIVERY_MAX];
	size_t count;
	const struct network_rule *chosen[2]; /* IPv4's, IPv6's; NULL: none is needed */
};

/* A check under way. */
struct check {
	const struct snapshot *snapshot;
	struct check_report *report;
	bool not_used[CHECK_ITEMS]; /* items about what this proxy does not do: they are ok */

	struct check_delivery delivery; /* for check_persistence(), found by check_flows() */

	/* For check_connections(), found by check_flows(): */
	bool answers_uncertain;  /* a rule that is not understood may drop servers' answers */
	bool icmp_undiverted[2]; /* ICMP errors about clients' addresses: IPv4's, IPv6's */
};

/*
 * Adds a finding. SUBJECT is what it is about ("": the host), READ and the rest, as for printf(), is what was
 * read, and where. Both may have any text of others in them: they are made printable. A finding with the
 * same item, state, subject and text is added once. An unknown one gets REMEDY_RULES; for another remedy use
 * check_unknown(). Returns the finding, for its commands: the report's, good until the next one is added.
 */
struct check_finding *check_add(struct check *check, enum check_item item, enum check_state state,
	const char *subject, const char *read, ...) __attribute__((format(printf, 5, 6)));

/* Adds that an item could not be judged, why, and the remedy. */
void check_unknown(struct check *check, enum check_item item, enum check_remedy remedy,
	const char *subject, const char *why, ...) __attribute__((format(printf, 5, 6)));

/* The same for every item that is judged by any of BASES (of enum check_basis) and used by this proxy. */
void check_unknown_basis(struct check *check, unsigned bases, enum check_remedy remedy,
	const char *subject, const char *why, ...) __attribute__((format(printf, 5, 6)));

/* The remedy where the kernel or a tool could not be read: root's rights, or as root a tool that works. */
enum check_remedy check_remedy_of_reading(const struct check *check);

/* Whether an item has been found missing or harmful so far. */
bool check_failed(const struct check *check, enum check_item item);

/*
 * The judges, each a file. check_run() calls them in this order. Each adds findings for the items that it
 * judges, and may leave early: an item that got no finding is unknown in the end.
 */
void check_listeners(struct check *check);   /* the proxy's sockets and their owners */
void check_flows(struct check *check);       /* the packets of connections, simulated */
void check_links(struct check *check);       /* links, sysctls, routes, firewall tools */
void check_connections(struct check *check); /* connections of the proxy that do not work */
void check_probes(struct check *check);      /* what probed servers did */
void check_unanswered(struct check *check);  /* captured packets without an answer */
void check_persistence(struct check *check); /* what a reboot would leave */
void check_kernel(struct check *check);      /* kernel options; uses the findings of the others */

/* Of check_connections(): whether a finding about this host explains that answers are lost. */
bool check_has_other_cause(const struct check *check);

/*
 * Adds the commands that lead SERVER's packets for CLIENT to this host: on the server, or on the router before it. WAY
 * is this host's route to the server.
 */
void check_fix_way_back(struct check *check, struct check_finding *finding,
	const struct addr *client, const struct addr *server, const struct route_answer *way);

/*
 * Reports that the kernel has no route to PEER, a server or a client (ROLE), and why: ERROR, and the ip rule that refuses
 * it, if one does. Where the table main has a route, the command puts a rule for it first. Without such a rule, only
 * CHECK_SERVER_ROUTE is reported. Returns whether a finding was added.
 */
bool check_no_route(struct check *check, enum check_item item, const char *role,
	const struct addr *peer, const char *error);

/*
 * The ip rule that keeps packets to PEER on this host, by a table other than `local`, although the host does not have
 * that address; NULL: none does, or they leave. The snapshot's.
 */
const struct network_rule *check_rule_that_keeps(
	const struct check *check, const struct addr *peer);

/*
 * Asks the kernel for the way to a client or a server. Where it refuses that, a rule for the port may still let it pass. PROTOCOL is
 * IPPROTO_TCP or _UDP.
 */
void check_way_to(
	const struct check *check, const struct addr *peer, int protocol, struct route_answer *way);

/*
 * Where packets to PEER would leave this host if no such rule kept them: the table main's answer, without a gateway.
 * False: it has no route to other hosts either.
 */
bool check_way_without(
	const struct check *check, const struct addr *peer, struct route_answer *way);

/* Of check_persistence(): notes the rule that diverts a packet (or NULL) and the ip rule that delivers it (or NULL). */
void check_note_delivery(
	struct check *check, const struct rule *diverts, const struct network_rule *chosen);

/* Of check_links(): whether clients find the addresses, and whether this host and its neighbours find each other. */
void check_announced(struct check *check);

/*
 * Whether packets of IPv4 whose source counts as this host's own may arrive on LINK: accept_local is on, and
 * rp_filter is not strict (Linux: fib_validate_source()).
 */
bool check_accepts_local_sources(const struct check *check, const char *link);

#endif
