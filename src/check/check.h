/*
 * The checklist: what a transparent proxy needs of its host, item by item, and what was found.
 *
 * An item is a row of a table (check_items.c): its name, what it is, why it matters. Judging is done by
 * following packets in thought (check_flow.c) and by looking at links and sockets; each of those adds
 * findings to a report. A finding says what was read and where, and how it is fixed.
 *
 *   ok       it was judged, and nothing needs to be done
 *   advice   connections work, and would work better or in more cases; with a command, or without
 *   unknown  it was not judged: it could not be read, lies beyond this host, or hangs on another item
 *   missing  something is not there, and connections fail or will fail
 *   harmful  something is there that makes connections fail
 *
 * An item without a finding was not judged. Nothing is ok because nothing was found.
 */
#ifndef TPROXY_CHECK_H
#define TPROXY_CHECK_H

#include "firewall/trace.h"
#include "hoststate/snapshot.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

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
	CHECK_ITEMS
};

enum check_state {
	CHECK_OK,
	CHECK_ADVICE,
	CHECK_UNKNOWN,
	CHECK_MISSING,
	CHECK_HARMFUL
};

/* What would have an unknown item judged. */
enum check_remedy {
	REMEDY_RULES,   /* rules that are not understood: a person reads them */
	REMEDY_CLIENT,  /* a link that is up, or the address of a client */
	REMEDY_SERVER,  /* the address of a server */
	REMEDY_ROOT,    /* more rights */
	REMEDY_TOOL,    /* a tool of the host that works */
	REMEDY_PROXY,   /* the proxy runs */
	REMEDY_FIRST,   /* what it hangs on is fixed first */
	REMEDY_KERNEL,  /* the kernel's whole configuration */
	REMEDY_DIAG,    /* a kernel that tells more of its sockets */
	REMEDY_TRY,     /* check does not follow such connections: somebody tries one */
	REMEDY_TRAFFIC, /* other hosts decide it, and a connection of a client shows it */
	REMEDY_COUNT
};

struct check_row {
	const char *id;
	const char *what; /* for people */
	const char *why;  /* it matters, in one sentence */
	unsigned by;      /* what it is judged by, of enum check_basis */
};

/* Without it an item cannot be judged. */
enum check_basis {
	BY_NETWORK = 1 << 0,  /* links, addresses, routes */
	BY_RULES = 1 << 1,    /* the firewall's, and the network with them */
	BY_SOCKETS = 1 << 2,  /* of the host */
	BY_LISTENER = 1 << 3, /* the proxy's socket */
	BY_CLIENTS = 1 << 4,  /* a client, whose packets are followed */
	BY_SERVERS = 1 << 5,  /* a server that is connected to from the client's address */
	BY_ANSWERS = 1 << 6   /* the packets between it and the proxy, which are followed */
};

/* Where a command is to be run. */
enum check_place {
	ON_HOST,
	ON_PROXY, /* its configuration or its service; the proxy starts anew afterwards */
	ON_SERVER,
	ON_ROUTER
};

struct check_command {
	enum check_place place;
	char *run;
	char *undo; /* what takes it back, or NULL */
};

enum {
	CHECK_COMMANDS_MAX = 6
};

struct check_finding {
	enum check_item item;
	enum check_state state;
	enum check_remedy remedy; /* of an unknown one */
	char *subject;            /* what it is about: an address, a link, a family */
	char *read;               /* what was read, and where */
	struct check_command commands[CHECK_COMMANDS_MAX];
	size_t command_count;
};

struct check_report {
	struct check_finding *findings;
	size_t count;
	int items;   /* that were judged, from the first on: all, or the kernel's alone */
	char *about; /* which listeners, servers and clients were thought of, a line each */
	const struct kernel_config *kernel; /* the situation's, or NULL */
};

extern const struct check_row check_rows[CHECK_ITEMS];
extern const char *const check_state_names[];
extern const char *const check_place_names[];

/* Judges the situation, which has to live as long as the report. */
void check_run(struct check_report *report, const struct snapshot *snapshot);
void check_free(struct check_report *report);

extern const char *const check_remedies[REMEDY_COUNT]; /* what to do, in the words of a message */

/* The worst state of an item's findings; CHECK_UNKNOWN where it has none. */
enum check_state check_worst(const struct check_report *report, enum check_item item);

bool check_has_findings(const struct check_report *report, enum check_item item);

/*
 * Whether an item is unknown that could be judged on this host. One that other hosts decide (REMEDY_TRAFFIC)
 * is not one of those: it stays unknown on a host that is well, as long as no client comes.
 */
bool check_is_unjudged(const struct check_report *report, enum check_item item);

/* Whether an item that was not judged has this remedy. */
bool check_has_remedy(const struct check_report *report, enum check_remedy remedy);

/*
 * The commands that fix what is missing or harmful, each once, in the order in which they are printed. *LIST
 * is to be freed; what it points to is the report's. Returns how many there are.
 */
size_t check_commands(const struct check_report *report, const struct check_command ***list);

/* Adds a command to LIST unless it is there: the same line, to be run in the same place. False if it is. */
bool check_command_add(
	const struct check_command **list, size_t *count, const struct check_command *command);

enum check_verdict {
	CHECK_WELL,     /* nothing is missing or harmful, and all that can be judged here was */
	CHECK_WRONG,    /* something is missing or harmful */
	CHECK_UNJUDGED, /* nothing is, as far as was judged; at least one item was not */
};

enum check_verdict check_verdict(const struct check_report *report);

/*
 * For people: what is wrong first, each command once; VERBOSE: what is well, too. The last line says what the
 * report amounts to, and what would let items be judged that were not.
 */
void check_print(const struct check_report *report, bool verbose, FILE *out);

/* One JSON object, as fixtures/schema/check.schema.json describes it. False when it can't be written. */
bool check_print_json(const struct check_report *report, FILE *out);

#endif
