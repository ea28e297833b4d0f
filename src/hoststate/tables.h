/*
 * Which tables of firewall rules the kernel has, of which tool's kind: a program that would list nothing need not be started.
 *
 * The kernel lists its tables of nf_tables by netlink (nfnetlink, NFT_MSG_GETTABLE), which takes CAP_NET_ADMIN, and those of
 * iptables-legacy in /proc/net/ip_tables_names and ip6_tables_names, which root may read.
 */
#ifndef TPROXY_TABLES_H
#define TPROXY_TABLES_H

#include "firewall/tool.h"

#include <stdbool.h>
#include <stddef.h>

/* Of nf_tables. Those of iptables have the names of its own, and are of IPv4 (0) or IPv6 (1); nft alone lists all others. */
struct tables {
	bool known, iptables[2], others;
};

/* Asks the kernel. Where it does not tell, `known` is false. */
void tables_read(struct tables *tables);

/* The pure part: reads LENGTH bytes of the kernel's answer, as netlink_parse() does, and returns the same. */
int tables_parse(struct tables *tables, const void *data, size_t length);

/* Whether a tool's program may list rules of a family (AF_UNSPEC: any); true where the kernel does not tell. */
bool tables_may_have(const struct tables *tables, enum firewall_tool tool, int family);

#endif
