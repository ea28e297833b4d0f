/*
 * Scratch namespaces: a place on the running kernel where everything can be tried.
 *
 * What is made there (namespaces, links, rules, routes) lives as long as the process that works in them, so
 * nothing is left, however it ends. Nothing is written to a file system.
 */
#ifndef TPROXY_SCRATCH_H
#define TPROXY_SCRATCH_H

#include <stdbool.h>

/* What a person can do if scratch_run() fails; lines for stderr. */
extern const char scratch_advice[];

/*
 * Runs WORK with CONTEXT in a process of its own, in scratch namespaces. It dies with this process, together
 * with its children; this process stays in its namespaces and must have one thread. OWN_USERS: WORK runs in a
 * user namespace, where it is root by name only and the kernel loads no modules for its tools.
 *
 * Returns what WORK returned, 128 + the signal that ended it, or -1 with errno where such namespaces cannot be
 * made.
 */
int scratch_run(int (*work)(bool own_users, void *context), void *context);

/*
 * A new host, which is a network namespace: the process moves into it. Returns a descriptor that
 * stands for it, or -1 with errno. Programs inherit it and can name it as /proc/self/fd/NUMBER.
 */
int scratch_host(void);

/* Moves the process into a host: it opens sockets and starts programs there from now on. 0, or -1 with errno. */
int scratch_enter(int host);

/* Brings a link of this host up. 0, or -1 with errno. */
int scratch_link_up(const char *link);

/*
 * Waits until a link is up at both ends: before that, the kernel drops what is sent. False if that takes
 * longer than MILLISECONDS.
 */
bool scratch_await_link(const char *link, int milliseconds);

/* Writes a sysctl (PATH below /proc/sys) unless it has the value. False if it cannot be written. */
bool scratch_sysctl(const char *path, const char *value);

#endif
