/*
 * The packet rules of a scratch proxy's host, for each program that can load them.
 *
 * All recipes are in one rule set and told apart by addresses and ports, so that a family takes one
 * call of one program. Lines that need what is missing are left out.
 */
#ifndef TPROXY_SCRATCH_RULES_H
#define TPROXY_SCRATCH_RULES_H

#include "hoststate/capability.h"

#include <stdbool.h>
#include <stddef.h>

/* The ports that clients call, and, where it is another, that the proxy listens on. */
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
 * Writes the rule set, with the features of a set of bits (1 << RULES_SOCKET, ...), in the program's
 * language. It replaces what was loaded before.
 */
void scratch_rules_text(
	enum firewall_tool tool, int family, unsigned features, char text[SCRATCH_RULES_TEXT_MAX]);

/*
 * Loads the rule set in the host that the process is in, all features at once; where that fails, each
 * by itself and then those that work. Notes what became of each.
 */
void scratch_rules_load(struct findings *findings, enum firewall_tool tool, int family);

/* Takes the tool's rules away again, as far as they were loaded. */
void scratch_rules_flush(const struct findings *findings, enum firewall_tool tool, int family);

/* Tries what is optional: a table of nftables for both families, and a redirection. */
void scratch_rules_try_optional(struct findings *findings);

/* Gives iptables-legacy a lock file of its own, in no file system; for all programs from now on. */
void scratch_rules_own_lock(void);

#endif
