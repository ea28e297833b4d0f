/*
 * All that the checklist looks at: what the proxy needs, and what the host is like.
 *
 * Reading changes nothing. What cannot be read is not guessed: its part is marked as not known, with the
 * reason in words, and whoever judges says "unknown". A test makes a situation by hand, with its own
 * answers for the two questions that are asked of the kernel later, sysctls and routes.
 */
#ifndef TPROXY_SITUATION_H
#define TPROXY_SITUATION_H

#include "capture.h"
#include "firewall/ruleset.h"
#include "kernel_config.h"
#include "network.h"
#include "service.h"
#include "sockets.h"

#include <stdbool.h>

struct situation {
	const struct needs *needs;

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

	bool watched_known; /* somebody asked to watch, and packets could be seen */
	struct watched *watched;
	size_t watched_count;
	char *watched_problem; /* NULL where nobody asked */

	char *(*sysctl)(const char *path); /* as sysctl_read() */
	void (*route)(const struct route_question *question, struct route_answer *answer);
	size_t (*owners)(
		const struct host_socket *socket, struct socket_owner *owners, size_t room);
};

/* Reads the host; WATCH: for at most so many milliseconds what comes in is looked at, too; 0: it is not. */
void situation_read(struct situation *situation, const struct needs *needs, unsigned watch);

/* A kernel's configuration from a file, and nothing of this host. False with kernel_problem. */
bool situation_of_kernel(struct situation *situation, const struct needs *needs, const char *path);

void situation_free(struct situation *situation);

/* The value of a sysctl that is a number; -1 where the host has no such. */
int situation_number(const struct situation *situation, const char *path);

/* The same of net/ipv4/conf/LINK/KEY (or ipv6): that of the link, and that of `all` into *ALL. */
int situation_link_number(
	const struct situation *situation, int family, const char *link, const char *key, int *all);

/* The proxy's socket that hears ADDRESS: one bound to it, else a wildcard listener; NULL where none is there. */
const struct host_socket *situation_listener(
	const struct situation *situation, int protocol, const struct addr *address);

/* Whether the host delivers to ADDRESS without any mark, be it by an address of its own or by a route. */
bool situation_is_local(const struct situation *situation, const struct addr *address);

#endif
