/*
 * Capabilities of a kernel that transparent proxying is built on, and what became of trying them.
 *
 * The table is data: a name, what is tried, and the kernel options that it depends on. A capability
 * of both families has an id for each: "transparent-4", "transparent-6". Families are AF_INET and
 * AF_INET6; where a capability has no family, either means the same.
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
	CAPABILITY_RULES, /* one for each backend and feature; see capability_of_rules() */
	CAPABILITY_ORIGINAL_DESTINATION = CAPABILITY_RULES + FIREWALL_TOOLS * RULES_FEATURES,
	CAPABILITY_NFT_INET,
	CAPABILITY_NAT,
	CAPABILITIES
};

#define CAPABILITY_OPTIONS_MAX 8
#define CAPABILITY_ID_MAX      48

struct capability {
	const char *name;
	const char *what;                               /* that is tried, for people */
	bool families;                                  /* tried for each of them */
	bool optional;                                  /* no profile depends on it */
	const char *options[2][CAPABILITY_OPTIONS_MAX]; /* that it depends on: IPv4, IPv6 */
};

enum capability_state {
	CAPABILITY_UNTRIED, /* a program is missing, or what it builds on is: the detail says which */
	CAPABILITY_WORKS,
	CAPABILITY_MISSING, /* the kernel said no: the detail has its words */
};

struct finding {
	enum capability_state state;
	char detail[320];
};

/* Zero-initialised: nothing tried. */
struct findings {
	struct finding found[CAPABILITIES][2];
	const char *packages[4]; /* of programs that are missing, until NULL */
};

extern const struct capability capabilities[CAPABILITIES];

enum capability_name capability_of_rules(enum firewall_tool tool, enum rules_feature feature);

/* One capability of one family; of AF_INET where it has none. */
struct capability_key {
	enum capability_name name;
	int family;
};

/* Goes through all of them: start with zeros. False behind the last. */
bool capability_next(struct capability_key *at);

/* Writes "veth" or "transparent-4", and returns it. */
const char *capability_id(enum capability_name name, int family, char id[CAPABILITY_ID_MAX]);

/* "works", "missing" or "untried". */
const char *capability_state_name(enum capability_state state);

const struct finding *findings_get(
	const struct findings *findings, enum capability_name name, int family);
bool findings_can(const struct findings *findings, enum capability_name name, int family);

/* Notes what became of one. */
void findings_set(struct findings *findings, enum capability_name name, int family,
	enum capability_state state, const char *format, ...) __attribute__((format(printf, 5, 6)));

/* The same from a call that returned 0 or, with errno set, -1. */
void findings_set_result(
	struct findings *findings, enum capability_name name, int family, int result);

/* The same from the words of a program that failed: missing, or untried where it is to blame itself. */
void findings_set_message(
	struct findings *findings, enum capability_name name, int family, const char *words);

/* Untried, because another capability of the family does not work. */
void findings_set_required(struct findings *findings, enum capability_name name, int family,
	enum capability_name needed);

/* Notes that whatever was not tried for IPv6 needs IPv6. */
void findings_set_no_ipv6(struct findings *findings);

/* Untried, because the program is not there; remembers its package. */
void findings_set_no_program(struct findings *findings, enum capability_name name, int family,
	const char *program, const char *package);

/*
 * Fills in the options that would mend a capability, and returns how many. An option that something
 * which works depends on is on, so it is left out; unless none would be left.
 */
size_t capability_options(const struct findings *findings, enum capability_name name, int family,
	const char *options[CAPABILITY_OPTIONS_MAX]);

/* Adds to a list of COUNT what is not in it yet and while there is room; returns the new count. */
size_t capability_add_option(const char **list, size_t count, size_t room, const char *option);

/*
 * The words of a program's stderr that say what is wrong, in one line: without its advice, and without
 * the input that it repeats.
 */
void tool_message(const char *errors, char *out, size_t size);

/* Whether such words are about the program itself, which lacks an extension, and not the kernel's. */
bool tool_is_at_fault(const char *words);

#endif
