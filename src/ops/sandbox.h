/*
 * The sandbox: which system calls a running daemon may make (seccomp(2)).
 */
#ifndef TPROXY_OPS_SANDBOX_H
#define TPROXY_OPS_SANDBOX_H

#include <stdbool.h>

/* What only some configurations need. */
struct sandbox {
	bool opens_logs;             /* opens files, to append to them */
	bool removes_pidfile;        /* removes and truncates files */
	bool relays_datagrams;       /* `mode udp` */
	bool asks_for_own_addresses; /* opens sockets of UDP, socket_address_kind() */
};

/*
 * Restricts every thread of the process, for good, to the system calls of a running proxy; any other
 * call fails with ENOSYS, and the kernel logs it. Call it when all threads run, since no thread can
 * be started later, and with no_new_privs set. Returns 0 or an errno, with which nothing is
 * restricted: ENOTSUP where the kernel has no such filters (CONFIG_SECCOMP_FILTER).
 */
int sandbox_enter(const struct sandbox *sandbox);

#endif
