/*
 * What of the host a plan has to know: which marks and routing tables are somebody's already, where a
 * policy rule comes before all others, and the sysctls of its links. Reading changes nothing.
 */
#ifndef TPROXY_IN_USE_H
#define TPROXY_IN_USE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OUR_NAME     "tproxyctl"
#define OUR_CHAIN    "TPROXYCTL"
#define OUR_PROTOCOL "197" /* of our policy rules and routes: who made them; no daemon has it */

struct in_use_mark {
	uint32_t value, mask; /* packets with (mark & mask) == value are somebody's */
	char *where;
};

struct in_use_table {
	unsigned table;
	char *where;
};

struct in_use_link {
	char *name; /* "all" included, "default" and "lo" not */
	int src_valid_mark, accept_local, rp_filter;
};

struct in_use {
	struct in_use_mark *marks;
	size_t mark_count;
	struct in_use_table *tables;
	size_t table_count;
	struct in_use_link *links;
	size_t link_count;
	char **local_addresses; /* that table local has already, as `ip route` writes them */
	size_t local_count;
	unsigned preference[2]; /* of a policy rule before all others: IPv4, IPv6 */
	bool preferred[2];      /* whether there is any to come before */
	int nonlocal_bind_6, bindv6only;
	int fwmark_accept;   /* net.ipv4.tcp_fwmark_accept, of both families */
	bool tw_reuse_there; /* whether the kernel has net.ipv4.tcp_tw_reuse for this namespace */
	int tw_reuse;        /* its value, of both families */
	bool no_timestamps;  /* net.ipv4.tcp_timestamps is 0 */
	char *leftover;      /* something of ours that is on the host, or NULL */
	bool pass_ours;      /* a state file knows what is ours: it is nobody else's */
	bool incomplete;     /* rules could not be read (root alone may) */
};

/* Reads the host; false with a message on stderr where a tool does not end or its answer is cut off. */
bool in_use_read(struct in_use *in_use);
void in_use_free(struct in_use *in_use);

/* What in_use_read() takes from a tool's answer; false where that is not what the tool writes. */
bool in_use_of_rules(struct in_use *in_use, int family, const char *json);
bool in_use_of_routes(struct in_use *in_use, const char *json);
bool in_use_of_iptables(struct in_use *in_use, const char *program, const char *save);
bool in_use_of_nft(struct in_use *in_use, const char *json);

/* Who uses a mark or a table, or NULL. */
const char *in_use_mark_user(const struct in_use *in_use, uint32_t mark);
const char *in_use_table_user(const struct in_use *in_use, unsigned table);

/* The least mark that is in no use; 0: none was found. */
uint32_t in_use_free_mark(const struct in_use *in_use);

/* The first routing table from 100 on that is in no use; 0: there is none. */
unsigned in_use_free_table(const struct in_use *in_use);

#endif
