/*
 * The checklist: what a transparent proxy needs of its host, item by item, and what was found.
 *
 * An item is a row of a table (check_items.c): its name, what it is, why it matters. Judging is done by
 * following packets in thought (check_flow.c) and by looking at links and sockets; each of those adds
 * findings to a report. A finding says what was read and where, and how it is mended.
 *
 *   ok       nothing wants doing
 *   missing  something is not there, and connections fail or will fail
 *   harmful  something is there that makes connections fail
 *   unknown  it could not be read, lies beyond this host, or follows from another item
 */
#ifndef TPROXY_CHECK_H
#define TPROXY_CHECK_H

#include "tproxy/situation.h"
#include "tproxy/trace.h"

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
	CHECK_LIBEVENT,
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
	CHECK_UNKNOWN,
	CHECK_MISSING,
	CHECK_HARMFUL
};

struct check_row {
	const char *id;
	const char *what; /* for people */
	const char *why;  /* it matters, in one sentence */
	unsigned by;      /* what it is judged by, of enum check_basis */
};

/* Without it an item cannot be judged. */
enum check_basis {
	BY_NETWORK = 1 << 0, /* links, addresses, routes */
	BY_RULES = 1 << 1,   /* the firewall's, and the network with them */
	BY_SOCKETS = 1 << 2,
	BY_SERVERS =
		1 << 3 /* that somebody named, where they are called from the client's address */
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
	char *subject; /* what it is about: an address, a link, a family */
	char *read;    /* what was read, and where */
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
void check_run(struct check_report *report, const struct situation *situation);
void check_free(struct check_report *report);

/* The worst state of an item's findings; CHECK_OK where it has none. */
enum check_state check_worst(const struct check_report *report, enum check_item item);

/* Whether something is missing or harmful. */
bool check_is_well(const struct check_report *report);

/* For people: what is wrong first, each with its command; VERBOSE: what is well, too. */
void check_print(const struct check_report *report, bool verbose, FILE *out);

/* One JSON object, as fixtures/schema/check.schema.json describes it. False when it can't be written. */
bool check_print_json(const struct check_report *report, FILE *out);

#endif
