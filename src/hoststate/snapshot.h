/*
 * All that the checklist looks at: what the proxy needs, and what the host is like.
 *
 * Reading changes nothing. What cannot be read is not guessed: its part is marked as not known, with the
 * reason in words, and whoever judges says "unknown". A test makes a situation by hand, with its own
 * answers for the two questions that are asked of the kernel later, sysctls and routes.
 */
#ifndef TPROXY_SNAPSHOT_H
#define TPROXY_SNAPSHOT_H

#include "capture.h"
#include "firewall/ruleset.h"
#include "kernel_config.h"
#include "network.h"
#include "route.h"
#include "service.h"
#include "sockets.h"

#include <stdbool.h>

struct snapshot {
	const struct service *service;

	struct kernel_config *kernel; /* NULL: not known */
	char kernel_problem[KERNEL_CONFIG_ERROR_MAX];
	bool kernel_alone; /* of a file: nothing else is judged */
	bool root;         /* it was read with root's rights */

	bool network_known;
	struct network network;
	char *network_problem;

	bool rules_known; /* every tool that is there told its rules */
	struct ruleset rules;
	char *rules_problem;
	char *rules_unseen; /* that there may be some which no tool here shows, or NULL */

	bool sockets_known;
	struct host_sockets sockets;
	char *sockets_problem;

	bool captured_known; /* somebody asked to watch, and packets could be seen */
	struct captured *captured;
	size_t captured_count;
	char *captured_problem; /* NULL where nobody asked */

	char *(*sysctl)(const char *path); /* as sysctl_read() */
	void (*route)(const struct route_question *question, struct route_answer *answer);
	size_t (*owners)(
		const struct host_socket *socket, struct socket_owner *owners, size_t room);
};

/* Reads the host; WATCH: for at most so many milliseconds what comes in is looked at, too; 0: it is not. */
void snapshot_read(struct snapshot *snapshot, const struct service *service, unsigned watch);

/* A kernel's configuration from a file, and nothing of this host. False with kernel_problem. */
bool snapshot_read_kernel(
	struct snapshot *snapshot, const struct service *service, const char *path);

void snapshot_free(struct snapshot *snapshot);

/* The value of a sysctl that is a number; -1 where the host has no such. */
int snapshot_sysctl(const struct snapshot *snapshot, const char *path);

/* The same of net/ipv4/conf/LINK/KEY (or ipv6): that of the link, and that of `all` into *ALL. */
int snapshot_link_sysctl(
	const struct snapshot *snapshot, int family, const char *link, const char *key, int *all);

/* The proxy's socket that hears ADDRESS: one bound to it, else a wildcard listener; NULL where none is there. */
const struct host_socket *snapshot_listener(
	const struct snapshot *snapshot, int protocol, const struct addr *address);

/* Whether the host delivers to ADDRESS without any mark, be it by an address of its own or by a route. */
bool snapshot_is_local(const struct snapshot *snapshot, const struct addr *address);

#endif
