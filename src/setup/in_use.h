/*
 * What of the host a plan has to know: which marks and routing tables are already in use, which preference its
 * policy rule needs to come before all others, and the sysctls of links. Reading changes nothing.
 */
#ifndef TPROXY_IN_USE_H
#define TPROXY_IN_USE_H

#include "firewall/tool.h"
#include "hoststate/network.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OUR_NAME  "tproxyctl"
#define OUR_CHAIN "TPROXYCTL"
#define OUR_PROTOCOL                                                                               \
	"197" /* of our policy rules and routes (rtm_protocol): no routing daemon uses it */

enum {
	OUR_PROTOCOL_NUMBER = 197
};

struct in_use_mark {
	uint32_t value, mask; /* packets with (mark & mask) == value belong to another program */
	char *where;          /* what uses it, for people */
};

struct in_use_table {
	unsigned table;
	char *where;
};

struct in_use_link {
	char *name; /* "all" included; without "default" and "lo" */
	int src_valid_mark, accept_local, rp_filter;
};

struct in_use {
	struct in_use_mark *marks;
	size_t mark_count;
	struct in_use_table *tables;
	size_t table_count;
	struct in_use_link *links;
	size_t link_count;
	char **local_addresses; /* that the table local has, as addr_format_ip() writes them */
	size_t local_count;
	unsigned preference[2]; /* of a policy rule that comes before all others: IPv4, IPv6 */
	bool preferred[2];      /* whether there are any others */
	int nonlocal_bind_6, bindv6only;
	int fwmark_accept;   /* net.ipv4.tcp_fwmark_accept, of both families */
	bool tw_reuse_there; /* the kernel has net.ipv4.tcp_tw_reuse for this namespace */
	int tw_reuse;        /* its value, of both families */
	bool no_timestamps;  /* net.ipv4.tcp_timestamps is 0 */
	char *leftover;      /* something with our name or protocol on the host, or NULL */
	bool pass_ours; /* set before reading: a state file lists what is ours, so it is no leftover */
	enum firewall_tool tool; /* set before reading: the plan's, which is asked in any case */
	bool incomplete;         /* a tool refused to list its rules: only root may */
};

/*
 * Reads the host into IN_USE, which is zero but for pass_ours and tool; give it to in_use_free(). False with a message on
 * stderr where a tool does not end, or its output is cut off or cannot be parsed.
 */
bool in_use_read(struct in_use *in_use);
void in_use_free(struct in_use *in_use);

/*
 * The parts of in_use_read() that add what is in use: policy rules and routes; the output of iptables-save (PROGRAM
 * is its name, for people); the output of `nft -j list ruleset`. False where that is not what the tool writes.
 */
void in_use_add_network(struct in_use *in_use, const struct network *network);
bool in_use_add_iptables(struct in_use *in_use, const char *program, const char *save);
bool in_use_add_nft(struct in_use *in_use, const char *json);

/* What uses a mark or a table, for people, part of IN_USE; or NULL. */
const char *in_use_mark_user(const struct in_use *in_use, uint32_t mark);
const char *in_use_table_user(const struct in_use *in_use, unsigned table);

/* The lowest free mark; 0: none was found, within a bounded search. */
uint32_t in_use_free_mark(const struct in_use *in_use);

/* The first free routing table from 100 on, which is never one of the kernel's own; 0: there is none. */
unsigned in_use_free_table(const struct in_use *in_use);

#endif
