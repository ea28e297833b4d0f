/*
 * The checklist: what a transparent proxy needs of its host, item by item, and what was found.
 *
 * Items are rows of a table (items.c). Judges simulate packets, and look at links, sysctls and sockets
 * (report.h); each adds findings to a report. A finding says what was read and where, and has the commands
 * that fix it. The states of a finding, in order:
 *
 *   ok       it was judged, and nothing needs to be done
 *   advice   connections work, and would work better or in more cases
 *   unknown  it was not judged: it could not be read, other hosts decide it, or it depends on another item
 *   missing  something is not there, and connections fail or will fail
 *   harmful  something is there that makes connections fail
 *
 * The invariant: an item is ok only if something about it was judged. Without a finding it is unknown.
 */
#ifndef TPROXY_CHECK_H
#define TPROXY_CHECK_H

#include "firewall/trace.h"
#include "hoststate/snapshot.h"

#include <stdbool.h>
#include <stddef.h>

enum check_item {
	CHECK_KERNEL,
	CHECK_LISTENER,
	CHECK_CAPABILITY,
	CHECK_TRANSPARENT,
	CHECK_OTHER_LISTENER,
	CHECK_LIMITS,
	CHECK_DIVERT,
	CHECK_RULE_ORDER,
	CHECK_WILDCARD,
	CHECK_MARK,
	CHECK_IP_RULE,
	CHECK_IP_ROUTE,
	CHECK_MARK_SHARED,
	CHECK_FILTER,
	CHECK_BYPASS,
	CHECK_NAT_DESTINATION,
	CHECK_NAT_SOURCE,
	CHECK_ICMP,
	CHECK_FRAGMENTS,
	CHECK_BACKENDS,
	CHECK_IP_FORWARD,
	CHECK_NONLOCAL_BIND,
	CHECK_SRC_VALID_MARK,
	CHECK_RP_FILTER,
	CHECK_EARLY_DEMUX,
	CHECK_FWMARK_ACCEPT,
	CHECK_SYNCOOKIES,
	CHECK_BRIDGE,
	CHECK_ANNOUNCE,
	CHECK_LOCAL_CLIENT,
	CHECK_SERVER_ROUTE,
	CHECK_RETURN_PATH,
	CHECK_PATH_MTU,
	CHECK_SOURCE_PORTS,
	CHECK_PERSISTENCE,
	CHECK_ITEMS
};

enum check_state {
	CHECK_OK,
	CHECK_ADVICE,
	CHECK_UNKNOWN,
	CHECK_MISSING,
	CHECK_HARMFUL
};

/* What lets an unknown item be judged. */
enum check_remedy {
	REMEDY_FIRST,    /* the items that it depends on are fixed */
	REMEDY_RULES,    /* a person reads the rules that are not understood */
	REMEDY_CLIENT,   /* a link that is up, or the address of a client */
	REMEDY_SERVER,   /* the address of a server */
	REMEDY_ROOT,     /* root's rights */
	REMEDY_TOOL,     /* a tool of the host that works */
	REMEDY_PROXY,    /* the proxy runs */
	REMEDY_KERNEL,   /* the complete configuration of the kernel */
	REMEDY_DIAG,     /* a kernel that reports more about its sockets */
	REMEDY_AGAIN,    /* a capture that loses no packets */
	REMEDY_TRY,      /* a person tries a connection: check cannot simulate it */
	REMEDY_TRAFFIC,  /* a client connects: other hosts decide the item */
	REMEDY_UPSTREAM, /* the fault lies before this host, if there is one */
	REMEDY_COUNT
};

/* Which proxies an item is for. For other proxies it is ok. */
enum check_use {
	FOR_ALL,
	FOR_SPOOFING, /* that connect to servers from addresses that are not this host's */
	FOR_SERVERS,  /* whose servers are known, or that spoof */
	FOR_TCP,
	FOR_UDP,
	FOR_IPV4
};

struct check_row {
	const char *id;   /* permanent: programs read it */
	const char *what; /* the item is about, for people: a noun, good with every state */
	const char *why;  /* the item matters: one sentence */
	unsigned bases;   /* what it is judged by, of enum check_basis */
	enum check_use use;
};

/* What an item is judged by. Where it is not there or cannot be read, the item is unknown. */
enum check_basis {
	BY_NETWORK = 1 << 0,  /* links, addresses, routes */
	BY_RULES = 1 << 1,    /* the firewall's rules, and the network */
	BY_SOCKETS = 1 << 2,  /* the host's sockets */
	BY_LISTENER = 1 << 3, /* the proxy's listening socket */
	BY_CLIENTS = 1 << 4,  /* simulated packets of a client */
	BY_SERVERS = 1 << 5,  /* a server that the proxy connects to from the client's address */
	BY_ANSWERS = 1 << 6   /* simulated packets between that server and the proxy */
};

/* Where a command is to be run. */
enum check_place {
	ON_HOST,
	ON_PROXY, /* its configuration or its service; restart the proxy afterwards */
	ON_SERVER,
	ON_ROUTER
};

struct check_command {
	enum check_place place;
	char *run;  /* one line for sh(1); running it twice changes nothing more */
	char *undo; /* the line that takes it back, or NULL */
};

enum {
	CHECK_COMMANDS_MAX = 6
};

struct check_finding {
	enum check_item item;
	enum check_state state;
	enum check_remedy remedy; /* of an unknown one */
	char *subject;            /* what it is about: packets, an address, a link; "": the host */
	char *read;               /* what was read, and where */
	struct check_command commands[CHECK_COMMANDS_MAX];
	size_t command_count;
};

struct check_report {
	struct check_finding *findings;
	size_t count;
	int items;    /* that were judged, from the first on: all, or the kernel's alone */
	bool watched; /* packets were captured */
	char *scope;  /* the listeners, servers and clients that were looked at, a line each */
	const struct kernel_config *kernel; /* the snapshot's, or NULL */
};

/* The checklist, by enum check_item, and the words for states, places and remedies. */
extern const struct check_row check_rows[CHECK_ITEMS];
extern const char *const check_state_names[];
extern const char *const check_place_names[];
extern const char *const check_remedies[REMEDY_COUNT]; /* what to do: an imperative */

/*
 * Judges a snapshot, which has to live as long as the report. Fills in all of *REPORT; to be freed by
 * check_free().
 */
void check_run(struct check_report *report, const struct snapshot *snapshot);
void check_free(struct check_report *report);

/*
 * The servers that may be probed, each with a client's address to probe it from; servers without a port are left out. With a
 * PAYLOAD they are probed by UDP, else by TCP. Returns how many; *LIST is to be freed, and points to PAYLOAD.
 */
size_t check_probe_list(
	const struct snapshot *snapshot, const char *payload, size_t length, struct probe **list);

/* The worst state of an item's findings; CHECK_UNKNOWN if it has none. */
enum check_state check_worst(const struct check_report *report, enum check_item item);

bool check_has_findings(const struct check_report *report, enum check_item item);

/*
 * Whether an item is unknown although this host decides it. Where only a client's connection would show it
 * (REMEDY_TRAFFIC, REMEDY_UPSTREAM), the answer is no: such an item is unknown on a host without faults, too, until a client
 * connects.
 */
bool check_is_unjudged(const struct check_report *report, enum check_item item);

/* Whether an item that is unjudged in that sense has this remedy. */
bool check_has_remedy(const struct check_report *report, enum check_remedy remedy);

/*
 * The commands that fix what is missing or harmful, each once, in the order in which they are printed and
 * have to be run. Returns how many. *LIST is to be freed by the caller; the commands are the report's.
 */
size_t check_commands(const struct check_report *report, const struct check_command ***list);

/*
 * Adds a command to a LIST of *COUNT with room for one more, unless the same line for the same place is in
 * it. Returns whether it was added.
 */
bool check_command_add(
	const struct check_command **list, size_t *count, const struct check_command *command);

enum check_verdict {
	CHECK_WELL,     /* nothing is missing or harmful, and nothing is unjudged */
	CHECK_WRONG,    /* something is missing or harmful */
	CHECK_UNJUDGED, /* nothing is missing or harmful, and at least one item is unjudged */
};

enum check_verdict check_verdict(const struct check_report *report);

/* Whether ITEM is missing or harmful, and no other item is. */
bool check_wrong_alone(const struct check_report *report, enum check_item item);

#endif
