/*
 * Scratch namespaces: a place on the running kernel where anything may be tried.
 *
 * Whatever is made there (namespaces, links, rules, routes) lives as long as the process that works
 * in them, so whatever kills it, nothing is left. Nothing is written to a file system.
 */
#ifndef TPROXY_SCRATCH_H
#define TPROXY_SCRATCH_H

#include <stdbool.h>

/* What a person can do who is told that there is no scratch namespace; lines for stderr. */
extern const char scratch_advice[];

/*
 * Calls WORK in a process of its own, in scratch namespaces. It dies with the caller and takes its own
 * children along; the caller stays in the namespaces that it is in. OWN_USERS tells WORK whether it runs
 * in a user namespace: then it is root by name only, and the kernel loads no module for its tools.
 *
 * Returns what WORK returned, 128 + the signal that ended it, or -1 with errno where there may be no
 * such namespaces. The calling process must have one thread.
 */
int scratch_run(int (*work)(bool own_users, void *context), void *context);

/*
 * A new host, which is a network namespace: the process moves into it. Returns a descriptor that
 * stands for it and is inherited by programs, so that they can name it as /proc/self/fd/NUMBER, or -1.
 */
int scratch_host(void);

/* Moves the process into a host; sockets and programs belong to it from now on. 0 or -1. */
int scratch_enter(int host);

/* Brings a link of this host up. 0 or -1. */
int scratch_link_up(const char *link);

/*
 * Waits until a link is up at both its ends: before, the kernel drops what is sent. False when that
 * took longer than MILLISECONDS.
 */
bool scratch_await_link(const char *link, int milliseconds);

/* Writes a sysctl, named as its path below /proc/sys, unless it has the value. False where it can't. */
bool scratch_sysctl(const char *path, const char *value);

#endif
