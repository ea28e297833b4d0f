/*
 * What makes rules, routes and sysctls at the next boot: the files of systemd, ifupdown, NetworkManager, nftables,
 * netfilter-persistent and sysctl.d.
 *
 * Files are read as texts. Whether a text makes a certain rule is a question of words, not of a parser for each format: a
 * file that names the mark, or has the very rule, is believed.
 */
#ifndef TPROXY_BOOT_H
#define TPROXY_BOOT_H

#include "network.h"

#include <stdbool.h>

struct boot {
	bool known;         /* the files could be read */
	bool service;       /* tproxyctl.service is enabled: it applies a plan */
	bool networkd;      /* systemd-networkd runs */
	bool deletes_rules; /* and deletes policy rules that are not in its files when it starts again */
	bool deletes_routes; /* the same of routes */
	bool docker; /* it is enabled: when it starts, it makes its own chains again, and no others */
	bool firewalld; /* it is enabled: when it starts or reloads, it deletes all rules of iptables but its own */
	char *network;      /* what makes policy rules and routes, or NULL */
	char *packet_rules; /* what is loaded as packet rules, or NULL */
	char *sysctls; /* "net.ipv4.ip_forward=0 FILE\n" in the order in which they are set, or NULL */
	char unreadable[128]; /* the first file that could not be read; "": none */
};

/* Reads the files below ROOT ("" is this host) into *BOOT (zeroed before), to be freed by boot_free(). */
void boot_read(struct boot *boot, const char *root);
void boot_free(struct boot *boot);

/* Whether a file makes a policy rule for the mark. */
bool boot_makes_rule(const struct boot *boot, uint32_t mark);

/* Whether a file makes a local route in the table; TABLE_LOCAL: one for ADDRESS ("192.0.2.80"). */
bool boot_makes_route(const struct boot *boot, unsigned table, const char *address);

/* Whether a file that makes policy rules and routes has ADDRESS in it. */
bool boot_names_address(const struct boot *boot, const char *address);

/* Whether a packet rule with TEXT is loaded, as iptables-save or nft writes it. */
bool boot_makes_packet_rule(const struct boot *boot, const char *text);

/*
 * The value that the files set a sysctl to ("net.ipv4.ip_forward"), and the file; to be freed. NULL: none sets it. *FILE
 * points into the same text. A pattern sets what no line names (sysctl.d(5)).
 */
char *boot_sysctl(const struct boot *boot, const char *name, const char **file);

#endif
