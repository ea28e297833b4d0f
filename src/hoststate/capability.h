/*
 * Capabilities of a kernel that transparent proxies depend on, and the result of trying them.
 *
 * The table is data: a name, what is tried, and the kernel options that it depends on. A capability of both
 * families has an id for each: "transparent-4", "transparent-6". FAMILY is AF_INET or AF_INET6; for a capability
 * without families either means the same.
 */
#ifndef TPROXY_CAPABILITY_H
#define TPROXY_CAPABILITY_H

#include "firewall/tool.h"

#include <stdbool.h>
#include <stddef.h>

/* What a proxy needs of the rules that a firewall tool loads. */
enum rules_feature {
	RULES_TABLE,
	RULES_SOCKET,
	RULES_MARK,
	RULES_TPROXY,
	RULES_FEATURES
};

enum capability_name {
	CAPABILITY_NET_NAMESPACES,
	CAPABILITY_USER_NAMESPACES,
	CAPABILITY_VETH,
	CAPABILITY_IPV6,
	CAPABILITY_TRANSPARENT,
	CAPABILITY_SO_MARK,
	CAPABILITY_BIND_NO_PORT,
	CAPABILITY_SPLICE,
	CAPABILITY_POLICY_RULE,
	CAPABILITY_LOCAL_ROUTE,
	CAPABILITY_RULES, /* one for each tool and feature; see capability_of_rules() */
	CAPABILITY_ORIGINAL_DESTINATION = CAPABILITY_RULES + FIREWALL_TOOLS * RULES_FEATURES,
	CAPABILITY_NFT_INET,
	CAPABILITY_NAT,
	CAPABILITIES
};

#define CAPABILITY_OPTIONS_MAX 8
#define CAPABILITY_ID_MAX      48

struct capability {
	const char *name;
	const char *what; /* what is tried, to show */
	bool families;    /* it is tried for each family */
	bool optional;    /* no profile depends on it */
	const char *options
		[2]
		[CAPABILITY_OPTIONS_MAX]; /* that it depends on, for IPv4 and IPv6; unused ones are NULL */
};

enum capability_state {
	CAPABILITY_UNTRIED, /* it depends on something that is missing: the detail says on what */
	CAPABILITY_WORKS,
	CAPABILITY_MISSING, /* the kernel refused: the detail has the error */
};

struct finding {
	enum capability_state state;
	char detail[320];
};

/* The results of all capabilities. Zeroed: nothing was tried. */
struct findings {
	struct finding found[CAPABILITIES][2];
	const char *packages[4]; /* to install for missing programs, up to NULL */
};

extern const struct capability capabilities[CAPABILITIES];

/* The capability of a feature that TOOL loads. */
enum capability_name capability_of_rules(enum firewall_tool tool, enum rules_feature feature);

/* One capability of one family; of AF_INET where it has none. */
struct capability_key {
	enum capability_name name;
	int family;
};

/* Moves *AT to the next capability of a family; begin with zeros. False behind the last. */
bool capability_next(struct capability_key *at);

/* Writes "veth" or "transparent-4" into ID, and returns it. */
const char *capability_id(enum capability_name name, int family, char id[CAPABILITY_ID_MAX]);

/* "works", "missing" or "untried". */
const char *capability_state_name(enum capability_state state);

/* The result of one, part of FINDINGS. */
const struct finding *findings_get(
	const struct findings *findings, enum capability_name name, int family);
/* Whether it was tried and works. */
bool findings_can(const struct findings *findings, enum capability_name name, int family);

/* Sets the result of one; FORMAT is the detail, as for printf(3). */
void findings_set(struct findings *findings, enum capability_name name, int family,
	enum capability_state state, const char *format, ...) __attribute__((format(printf, 5, 6)));

/* The same for a system call's RESULT: 0 works; -1 is missing, with the text of errno as the detail. */
void findings_set_result(
	struct findings *findings, enum capability_name name, int family, int result);

/* The same for a program that failed with MESSAGE: missing, or untried if tool_is_at_fault(). */
void findings_set_message(
	struct findings *findings, enum capability_name name, int family, const char *message);

/* Untried, because another capability of the family does not work. */
void findings_set_required(struct findings *findings, enum capability_name name, int family,
	enum capability_name needed);

/* Says of everything that was not tried for IPv6 that it needs IPv6. */
void findings_set_no_ipv6(struct findings *findings);

/* Untried, because PROGRAM is not installed; adds PACKAGE to the packages. */
void findings_set_no_program(struct findings *findings, enum capability_name name, int family,
	const char *program, const char *package);

/*
 * Fills in OPTIONS with the kernel options that may be off, and returns how many. An option of a capability that
 * works is on, so it is left out; but if none would be left, all of them are filled in.
 */
size_t capability_options(const struct findings *findings, enum capability_name name, int family,
	const char *options[CAPABILITY_OPTIONS_MAX]);

/* Adds OPTION to the COUNT strings of LIST, unless it is in there or COUNT is ROOM; returns the new count. */
size_t capability_add_option(const char **list, size_t count, size_t room, const char *option);

/*
 * Writes the message of a program's stderr into OUT as one line of plain ASCII, cut to SIZE: without its advice,
 * and without the input that it repeats.
 */
void tool_message(const char *errors, char *out, size_t size);

/* Whether MESSAGE is about the program itself, such as a missing extension, and not about the kernel. */
bool tool_is_at_fault(const char *message);

#endif
