/*
 * The packet rules of a scratch proxy's host, for each program that can load them.
 *
 * All recipes are in one rule set, with different addresses and ports, so that one run of one program is enough
 * for a family. Lines that need a missing feature are left out.
 */
#ifndef TPROXY_SCRATCH_RULES_H
#define TPROXY_SCRATCH_RULES_H

#include "hoststate/capability.h"

#include <stdbool.h>
#include <stddef.h>

/* The ports that clients connect to, and what is added for the port that the proxy listens on. */
enum {
	SCRATCH_RULES_PORT_DIVERT = 80,    /* TCP, the VIP: there is a socket at the very address */
	SCRATCH_RULES_PORT_TPROXY = 81,    /* TCP, the VIP: the target TPROXY names the listener */
	SCRATCH_RULES_PORT_INTERCEPT = 82, /* TCP, any address */
	SCRATCH_RULES_PORT_UDP = 83,       /* UDP, the VIP, as divert */
	SCRATCH_RULES_PORT_UDP_ANY = 84,   /* UDP, any address */
	SCRATCH_RULES_PORT_BEHIND = 8000   /* added to a port, what the proxy listens on there */
};

#define SCRATCH_RULES_TEXT_MAX 4096

/*
 * Writes into TEXT the rule set with the features of a set of bits (1 << RULES_SOCKET, ...), as the restore
 * program of the tool reads it. It replaces what was loaded before.
 */
void scratch_rules_text(
	enum firewall_tool tool, int family, unsigned features, char text[SCRATCH_RULES_TEXT_MAX]);

/*
 * Loads the rule set on the host that the process is on, with all features at once. If that fails, tries each
 * feature by itself and then loads those that work. Notes the result of each in FINDINGS.
 */
void scratch_rules_load(struct findings *findings, enum firewall_tool tool, int family);

/* Removes the tool's rules again, if they were loaded. */
void scratch_rules_flush(const struct findings *findings, enum firewall_tool tool, int family);

/* Tries what no profile depends on: a table of nftables for both families, and a redirection. */
void scratch_rules_try_optional(struct findings *findings);

/* Gives iptables-legacy a lock file in no file system, for all programs that this process starts. */
void scratch_rules_own_lock(void);

#endif
