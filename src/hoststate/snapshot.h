/*
 * Everything that the checklist looks at: the service that the proxy offers, and the state of the host.
 *
 * Reading changes nothing. A part that cannot be read is marked as unknown, with the reason as text; nothing is
 * guessed. A test fills in a snapshot by hand, with its own functions for what is asked later: sysctls, routes
 * and owners of sockets.
 */
#ifndef TPROXY_SNAPSHOT_H
#define TPROXY_SNAPSHOT_H

#include "boot.h"
#include "firewall/ruleset.h"
#include "kernel_config.h"
#include "network.h"
#include "probe.h"
#include "route.h"
#include "service.h"
#include "sockets.h"
#include "watch/capture.h"

#include <stdbool.h>

struct snapshot {
	const struct service *service;

	struct kernel_config *kernel; /* NULL: unknown */
	char kernel_problem[KERNEL_CONFIG_ERROR_MAX];
	bool kernel_alone; /* read from a file: there is no host to judge */
	bool root;         /* read as root */

	bool network_known;
	struct network network;
	char *network_problem;

	bool rules_known; /* every installed tool listed its rules */
	struct ruleset rules;
	char *rules_problem;
	char *rules_note;   /* what was read in another way than usual, or NULL */
	char *rules_unseen; /* why there may be rules that no installed tool lists, or NULL */

	bool sockets_known;
	struct host_sockets sockets;
	char *sockets_problem;

	bool captured_known; /* packets were captured */
	struct captured *captured;
	size_t captured_count;
	unsigned captured_lost;    /* packets that could not be read in time */
	unsigned captured_seconds; /* that a capture was to last at most; 0: none was asked for */
	char *counters_moved;      /* the kernel's counters that moved meanwhile, or NULL */
	char *drop_reasons;     /* for which it dropped packets meanwhile, or NULL; see drops.h */
	char *captured_problem; /* NULL: no error, or no capture was asked for */

	struct probe
		*probes; /* what servers did when they were asked; none unless the user wants it */
	size_t probe_count;

	struct boot boot; /* what files make at the next boot */

	char *(*sysctl)(const char *path); /* as sysctl_read() */
	/*
	 * The text of a rule of nft, which its JSON does not have, to be freed; NULL: it cannot be read. WHERE is
	 * "FAMILY TABLE CHAIN".
	 */
	char *(*rule_text)(const char *where, uint64_t handle);
	void (*route)(const struct route_question *question, struct route_answer *answer);
	bool (*silent)(
		const struct addr *neighbour, const char *link); /* as neighbour_is_silent() */
	size_t (*owners)(
		const struct host_socket *socket, struct socket_owner *owners, size_t room);
};

/*
 * Reads the host into *SNAPSHOT, to be freed by snapshot_free(). SERVICE has to outlive it. MILLISECONDS: how long
 * incoming packets are captured at most; 0: not at all.
 */
void snapshot_read(struct snapshot *snapshot, const struct service *service, unsigned milliseconds);

/* Reads only a kernel's configuration, from the file PATH. False with kernel_problem. */
bool snapshot_read_kernel(
	struct snapshot *snapshot, const struct service *service, const char *path);

void snapshot_free(struct snapshot *snapshot);

/* The value of a sysctl that is a number; -1: the host does not have it. */
int snapshot_sysctl(const struct snapshot *snapshot, const char *path);

/* The same for net/ipv4/conf/LINK/KEY (or ipv6); the value of `all` goes into *ALL. */
int snapshot_link_sysctl(
	const struct snapshot *snapshot, int family, const char *link, const char *key, int *all);

/*
 * The listening socket, part of SNAPSHOT, that accepts clients of ADDRESS (with its port): one bound to it, else a
 * wildcard listener, else NULL. Of several at the same address, a transparent one.
 */
const struct host_socket *snapshot_listener(
	const struct snapshot *snapshot, int protocol, const struct addr *address);

/* Whether the host delivers unmarked packets to ADDRESS: by an address of its own, or by a `local` route. */
bool snapshot_is_local(const struct snapshot *snapshot, const struct addr *address);

#endif
