/*
 * The host's firewall, whichever tool wrote it, as one model: tables of chains of rules.
 *
 * iptables-save (both backends) and `nft -j list ruleset` are parsed strictly into it. A match or
 * target that is not known is kept as such, so that whoever follows a packet through the rules can say
 * that it does not know, and never guesses. Text given to the parsers may be cut anywhere: they then
 * report an error with the place, and return nothing.
 */
#ifndef TPROXY_RULESET_H
#define TPROXY_RULESET_H

#include "tool.h"
#include "tproxy/addr.h"
#include "tproxy/names.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum hook {
	HOOK_NONE, /* a chain that is only jumped to */
	HOOK_PREROUTING,
	HOOK_INPUT,
	HOOK_FORWARD,
	HOOK_OUTPUT,
	HOOK_POSTROUTING
};

enum match_kind {
	MATCH_FAMILY,   /* number: AF_INET or AF_INET6 */
	MATCH_PROTOCOL, /* number: IPPROTO_…; of a set: ranges of numbers */
	MATCH_SOURCE,   /* ranges of addresses */
	MATCH_DESTINATION,
	MATCH_SOURCE_PORT, /* ranges of numbers */
	MATCH_DESTINATION_PORT,
	MATCH_IN, /* text: names divided by blanks; a final + (iptables) or * (nft) is anything */
	MATCH_OUT,
	MATCH_MARK,      /* (mark & mask) == number */
	MATCH_SOCKET,    /* a socket is there; transparent, wildcard say which */
	MATCH_TCP_FLAGS, /* (flags & mask) == number, in TCP's own bits */
	MATCH_CT_STATE,  /* number: a set of enum ct_state */
	MATCH_LOCAL,     /* the destination is an address of the host (addrtype LOCAL, fib) */
	MATCH_ALWAYS,    /* a comment, a counter, a limit: passes */
	MATCH_UNKNOWN    /* text says what */
};

enum ct_state {
	CT_NEW = 1 << 0,
	CT_ESTABLISHED = 1 << 1,
	CT_INVALID = 1 << 2,
	CT_OTHER = 1 << 3,  /* untracked */
	CT_RELATED = 1 << 4 /* such as an ICMP error */
};

struct range {
	struct addr first, last; /* addresses, or ports in the addr's port with family 0 */
};

struct match {
	enum match_kind kind;
	bool negated;
	uint32_t number, mask;
	struct range *ranges; /* in their order, none of them over another */
	size_t range_count;
	char *text;               /* a name, or the words of what is unknown */
	bool borrowed;            /* ranges and text are those of a set, which the rule set owns */
	bool transparent;         /* of MATCH_SOCKET: only transparent sockets */
	bool no_wildcard_sockets; /* of MATCH_SOCKET: passes over listeners bound to no address */
};

enum target_kind {
	TARGET_NONE, /* goes on with the next rule */
	TARGET_ACCEPT,
	TARGET_DROP, /* REJECT included */
	TARGET_RETURN,
	TARGET_JUMP, /* text: the chain */
	TARGET_GOTO,
	TARGET_MARK,            /* mark = (mark & ~mask) ^ number; goes on */
	TARGET_TPROXY,          /* to, and the mark; ends the table in iptables, goes on in nft */
	TARGET_NAT_SOURCE,      /* SNAT, MASQUERADE */
	TARGET_NAT_DESTINATION, /* DNAT, REDIRECT */
	TARGET_UNKNOWN          /* text says what; goes on, nobody knows with which mark */
};

struct target {
	enum target_kind kind;
	uint32_t number, mask; /* of MARK and TPROXY (mask 0: the mark stays) */
	struct addr to; /* of TPROXY: its port may be 0 (as called), its address the wildcard */
	char *text;
};

/* A rule: all matches have to hold, then the targets are done in their order (iptables: one). */
struct rule {
	struct match *matches;
	size_t match_count;
	struct target *targets;
	size_t target_count;
	char *text;      /* iptables: as iptables-save prints it; nft: "ip TABLE CHAIN handle 7" */
	uint64_t handle; /* of nft's rules */
	unsigned number; /* in its chain, from 1 */
};

struct chain {
	char *name;
	enum hook hook;
	int priority; /* of nft's own chains; iptables: that of the table */
	bool nat;     /* asked for the first packet of a connection only */
	bool drops;   /* the policy is drop */
	struct rule *rules;
	size_t rule_count;
};

struct table {
	enum firewall_tool tool;
	int family; /* AF_INET, AF_INET6, AF_UNSPEC (inet) */
	char *name;
	struct chain *chains;
	size_t chain_count;
	struct names names; /* of its chains: their places in `chains` */
};

/* A chain that packets come to by themselves. */
struct base_chain {
	const struct table *table;
	const struct chain *chain;
	size_t place; /* among all base chains, as they were listed */
};

struct ruleset {
	struct table *tables;
	size_t table_count;
	struct base_chain *bases; /* by hook, by priority, then as they were listed */
	size_t base_count;
	struct match *sets; /* what named sets hold, for the matches that borrow it */
	size_t set_count;
};

/*
 * Parse TEXT and add its tables to RULESET (zeroed before the first). -1 with *PROBLEM (to be freed)
 * where the text is not what its tool writes, cut off included; RULESET is then as it was.
 *
 * iptables' nft backend keeps its rules in tables that `nft list ruleset` shows, too, with matches
 * that nft has no words for. A table has one name in the kernel, so what both tools show is taken from
 * iptables-save, in whichever order they are parsed; what iptables-save leaves out ("is incompatible,
 * use 'nft' tool") is taken from nft. Parse both of one host, or such tables have unknown matches.
 */
int ruleset_parse_iptables(struct ruleset *ruleset, enum firewall_tool tool, int family,
	const char *text, char **problem);

/*
 * `nft -j list ruleset`. Tables of ip, ip6 and inet; a verdict map becomes a rule for each of its
 * elements, all with the number and the handle of the one that they stand for.
 */
int ruleset_parse_nft(struct ruleset *ruleset, const char *text, char **problem);

void ruleset_free(struct ruleset *ruleset);

/* The chain of that name, or NULL. */
struct chain *ruleset_chain(const struct table *table, const char *name);

/* Whether an address, or a number as the port of an address without a family, is in a match's ranges. */
bool ruleset_match_has(const struct match *match, const struct addr *value);

/* Where RULE of RULESET stands; false where it is not of this rule set. */
bool ruleset_place(const struct ruleset *ruleset, const struct rule *rule,
	const struct table **table, const struct chain **chain);

#endif
