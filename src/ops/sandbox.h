/*
 * The sandbox: which system calls a running daemon may make (seccomp(2)).
 */
#ifndef TPROXY_OPS_SANDBOX_H
#define TPROXY_OPS_SANDBOX_H

#include <stdbool.h>

/* What only the main thread needs; all false is a thread that carries traffic. */
struct sandbox {
	bool reloads;         /* opens files to read them, and logs */
	bool removes_pidfile; /* removes and truncates files */
};

/*
 * Restricts the calling thread, for good, to the system calls of a running proxy; any other call fails with
 * ENOSYS, and the kernel logs it. Threads cannot be started any more, and no_new_privs has to be set. Returns
 * 0 or an errno, with which nothing is restricted: ENOTSUP where the kernel has no such filters
 * (CONFIG_SECCOMP_FILTER). One thread at a time may call it.
 */
int sandbox_enter(const struct sandbox *sandbox);

#endif
