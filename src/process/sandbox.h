/*
 * The sandbox: which system calls a running daemon may make (seccomp(2)).
 */
#ifndef TPROXY_PROCESS_SANDBOX_H
#define TPROXY_PROCESS_SANDBOX_H

#include <stdbool.h>

/* What only the main thread needs; all false is a thread that carries traffic. */
struct sandbox {
	bool reloads;         /* opens files to read them, and logs */
	bool removes_pidfile; /* removes and truncates files */
	bool takes_commands;  /* it has command sockets, which a reload may change */
	bool leaves_terminal; /* background_ready() */
};

struct sandbox_filter;

/*
 * Makes the list of system calls, for sandbox_enter(); the caller frees it. Returns NULL with errno: ENOTSUP
 * where the kernel has no such filters (CONFIG_SECCOMP_FILTER). One thread at a time may call it.
 */
struct sandbox_filter *sandbox_compile(const struct sandbox *sandbox);

/* NULL is allowed. */
void sandbox_filter_free(struct sandbox_filter *filter);

/*
 * Restricts the calling thread, for good, to the system calls of a running proxy; any other call fails with
 * ENOSYS, and the kernel logs it. It can start no thread any more. no_new_privs has to be set. Returns 0, or
 * an errno, with which nothing is restricted.
 */
int sandbox_enter(const struct sandbox_filter *filter);

#endif
