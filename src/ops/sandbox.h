/*
 * The sandbox: what a running daemon may still ask of the kernel (seccomp(2)).
 */
#ifndef TPROXY_OPS_SANDBOX_H
#define TPROXY_OPS_SANDBOX_H

#include <stdbool.h>

/* What only some configurations need. */
struct sandbox {
	bool opens_logs;      /* files, for writing at their ends */
	bool removes_pidfile; /* files */
	bool finds_loops;     /* asks by a socket of UDP whether an address is the host's own */
};

/*
 * Restricts every thread of the process, for good, to the system calls of a running proxy; any other
 * fails with ENOSYS, and the kernel logs it. Call it when the threads run: it leaves no way to start
 * one. Needs no_new_privs. Returns 0 or an errno; ENOTSUP where the kernel has no such filters, and
 * nothing is restricted.
 */
int sandbox_enter(const struct sandbox *sandbox);

#endif
