/*
 * The host's firewall as one model, whichever tool wrote it: tables of chains of rules.
 *
 * The output of iptables-save (of both iptables) and of `nft -j list ruleset` is parsed strictly. A match or target
 * that is not known is kept as unknown, so that a trace can say so and never guesses. Text that is cut off anywhere
 * is refused with the place, and nothing of it is kept.
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
	HOOK_NONE, /* a chain that packets reach only by a jump */
	HOOK_PREROUTING,
	HOOK_INPUT,
	HOOK_FORWARD,
	HOOK_OUTPUT,
	HOOK_POSTROUTING,
	HOOK_INGRESS /* of a link, before PREROUTING: nft's alone */
};

enum match_kind {
	MATCH_FAMILY,   /* number: AF_INET or AF_INET6 */
	MATCH_PROTOCOL, /* number: IPPROTO_…; of a set: ranges of numbers */
	MATCH_SOURCE,   /* ranges of addresses */
	MATCH_DESTINATION,
	MATCH_SOURCE_PORT, /* ranges of numbers */
	MATCH_DESTINATION_PORT,
	MATCH_IN, /* text: names with blanks between them; a final + (iptables) or * (nft) matches anything */
	MATCH_OUT,
	MATCH_MARK,      /* (mark & mask) == number */
	MATCH_SOCKET,    /* the host has a socket for the packet; see `transparent` and below */
	MATCH_ICMP_TYPE, /* of ICMPv6: ranges of numbers */
	MATCH_ICMP_CODE, /* of ICMPv6: ranges of numbers */
	MATCH_HOP_LIMIT, /* of IPv6: ranges of numbers */
	MATCH_TCP_FLAGS, /* (flags & mask) == number, in TCP's own bits */
	MATCH_CT_STATE,  /* number: a set of enum ct_state */
	MATCH_CT_MARK,   /* (the connection's mark & mask) == number */
	MATCH_TYPE, /* what an address is by the routes (addrtype, `fib … type`); number: a set of
			    enum address_type; mask: of enum route_key */
	MATCH_ROUTE, /* there is a route to an address (rpfilter, `fib … oif exists`); mask: as above */
	MATCH_LIMIT, /* holds until a limit is reached; number: packets a minute. Negated: holds from then
			on, or by chance (number 0) */
	MATCH_UID, /* the packet's socket is of a user from `number` to `mask` */
	MATCH_SET, /* text: "NAME DIRECTIONS" of a set of ipset that was not read, so it is unknown */
	MATCH_ALWAYS, /* a comment, a counter: always holds */
	MATCH_UNKNOWN /* text: the match as the tool prints it */
};

enum ct_state {
	CT_NEW = 1 << 0,
	CT_ESTABLISHED = 1 << 1,
	CT_INVALID = 1 << 2,
	CT_UNTRACKED = 1 << 3,
	CT_RELATED = 1 << 4, /* such as an ICMP error */
	CT_CHANGED = 1 << 5  /* NAT changed an address: of no simulated packet */
};

enum address_type {
	ADDRESS_LOCAL = 1 << 0,
	ADDRESS_UNICAST = 1 << 1,
	ADDRESS_BROADCAST = 1 << 2,
	ADDRESS_MULTICAST = 1 << 3,
	ADDRESS_UNREACHABLE = 1 << 4, /* blackhole, prohibit and unreachable included */
	ADDRESS_ANYCAST = 1 << 5
};

/* How a match asks the routing tables. */
enum route_key {
	ROUTE_TO_SOURCE = 1 << 0, /* about the packet's source; else about its destination */
	ROUTE_BY_MARK = 1 << 1,   /* with the packet's mark; else with none */
	ROUTE_ON_LINK_IN =
		1 << 2, /* an answer counts only on the link that the packet comes in by */
	ROUTE_ON_LINK_OUT = 1 << 3, /* or goes out by */
	ROUTE_MAY_BE_LOCAL = 1 << 4 /* a local route counts, too */
};

struct range {
	struct addr first, last; /* addresses; numbers are the ports of addresses of AF_UNSPEC */
};

struct match {
	enum match_kind kind;
	bool negated;
	uint32_t number, mask;
	struct range *ranges; /* sorted, without overlaps */
	size_t range_count;
	char *text;               /* a name, or what is unknown */
	bool borrowed;            /* ranges and text belong to a named set of the rule set */
	bool transparent;         /* of MATCH_SOCKET: only transparent sockets */
	bool no_wildcard_sockets; /* of MATCH_SOCKET: wildcard listeners do not match */
};

enum target_kind {
	TARGET_NONE, /* no effect; the next rule follows */
	TARGET_ACCEPT,
	TARGET_DROP, /* REJECT included */
	TARGET_RETURN,
	TARGET_JUMP, /* text: the chain */
	TARGET_GOTO,
	TARGET_MARK,         /* mark = (mark & ~mask) ^ number; the next rule follows */
	TARGET_TPROXY,       /* to, and the mark; ends the table in iptables, not in nft */
	TARGET_NOTRACK,      /* connection tracking leaves the packet out; the next rule follows */
	TARGET_CT_MARK,      /* the connection's mark = (its mark & ~mask) ^ number */
	TARGET_CT_MARK_SAVE, /* the connection's mark = (its mark & ~mask) ^ (mark & number) */
	TARGET_CT_MARK_RESTORE, /* mark = (mark & ~number) ^ (the connection's mark & mask) */
	TARGET_NAT_SOURCE,      /* SNAT, MASQUERADE */
	TARGET_NAT_DESTINATION, /* DNAT, REDIRECT */
	TARGET_UNKNOWN          /* text: the target; the next rule follows, the mark is unknown */
};

struct target {
	enum target_kind kind;
	uint32_t number, mask; /* of TPROXY: mask 0: the mark stays */
	struct addr to;        /* of TPROXY; port 0 and the wildcard: those of the packet */
	char *text;
};

/* A rule: if all matches hold, its targets apply in their order (iptables has one). */
struct rule {
	struct match *matches;
	size_t match_count;
	struct target *targets;
	size_t target_count;
	char *text;      /* iptables: the line of iptables-save; nft: "ip TABLE CHAIN handle 7" */
	uint64_t handle; /* of a rule of nft */
	unsigned number; /* in its chain, from 1 */
};

struct chain {
	char *name;
	enum hook hook;
	int priority;      /* as the chain has it in nft; iptables: that of the table */
	bool nat;          /* only the first packet of a connection passes it */
	bool drops;        /* the policy is drop */
	bool routes_again; /* at OUTPUT: after a change of the mark the packet gets another route */
	char *links;       /* at INGRESS: names with blanks between them, else NULL */
	struct rule *rules;
	size_t rule_count;
};

struct table {
	enum firewall_tool tool;
	int family;   /* AF_INET, AF_INET6, AF_UNSPEC (inet) */
	size_t order; /* in which nft lists it, that is, in which it was made; 0: unknown */
	bool netdev;  /* of nft's family netdev, whose packets are of any family */
	char *name;
	struct chain *chains;
	size_t chain_count;
	struct names names; /* of its chains: their places in `chains` */
};

/* A chain that the hook gives packets to. */
struct base_chain {
	const struct table *table;
	const struct chain *chain;
	size_t place; /* among all base chains, in the order of the listing */
};

struct ruleset {
	struct table *tables;
	size_t table_count;
	struct base_chain *bases; /* by hook, priority, then the latest of the listing first */
	size_t base_count;
	char *arp,
		*bridge; /* tables of nft's other families that drop something, with blanks; or NULL */
	struct match *sets; /* contents of named sets, for the matches that borrow them */
	size_t set_count;
};

/*
 * Parse TEXT, the output of iptables-save (ip6tables-save for AF_INET6), and add its tables to RULESET (zeroed
 * before the first). Return 0, or -1 with *PROBLEM (to be freed) where the text is something else or is cut off;
 * RULESET is then unchanged. ruleset_free() frees it.
 *
 * iptables (not iptables-legacy) keeps its rules in tables of nftables. `nft list ruleset` lists these, too, with
 * matches that nft cannot print. A table has one name in the kernel, so what both tools list is taken from
 * iptables-save, in whichever order the two are parsed; what iptables-save leaves out ("is incompatible, use 'nft'
 * tool") is taken from nft. Parse both of one host, else such tables have unknown matches.
 */
int ruleset_parse_iptables(struct ruleset *ruleset, enum firewall_tool tool, int family,
	const char *text, char **problem);

/*
 * The same for `nft -j list ruleset`: tables of ip, ip6, inet and netdev. A verdict map becomes a rule for each of its
 * elements, all with the number and the handle of the rule that has the map.
 */
int ruleset_parse_nft(struct ruleset *ruleset, const char *text, char **problem);

/*
 * Reads the links of chains at INGRESS from TEXT, what `nft list chains` prints; nft's JSON leaves them out before
 * version 1.0.9. What is not understood stays unknown.
 */
void ruleset_parse_nft_links(struct ruleset *ruleset, const char *text);

/* Whether rules of iptables ask sets that were not read yet. */
bool ruleset_asks_sets(const struct ruleset *ruleset);

/*
 * Reads sets from TEXT, what `ipset save` prints, after all rules were added, and puts their contents into the rules that ask
 * them. What cannot be read of them stays unknown. Return 0, or -1 with *PROBLEM (to be freed) where the text is something
 * else; RULESET is then unchanged.
 */
int ruleset_parse_ipset(struct ruleset *ruleset, const char *text, char **problem);

/* Whether a chain at INGRESS has no links yet. */
bool ruleset_lacks_links(const struct ruleset *ruleset);

void ruleset_free(struct ruleset *ruleset);

/* The chain of that name, part of TABLE, or NULL. */
struct chain *ruleset_chain(const struct table *table, const char *name);

/* Whether VALUE is in the ranges of a match: an address, or a number as the port of an address of AF_UNSPEC. */
bool ruleset_match_has(const struct match *match, const struct addr *value);

/* Whether a rule has any effect when it applies, but for counting and the like. */
bool ruleset_has_effect(const struct rule *rule);

/* Sets *TABLE and *CHAIN to where RULE stands; false: it is not a rule of RULESET. */
bool ruleset_place(const struct ruleset *ruleset, const struct rule *rule,
	const struct table **table, const struct chain **chain);

#endif
