/*
 * Inherited sockets: those that a service manager has bound, and started the process with (sd_listen_fds(3)).
 *
 * Each takes the place of the socket that a `bind` line at its address would be given. The process keeps it until it
 * ends, so a later configuration can have it, too. There is one set of them, as there is one environment.
 */
#ifndef PROXY_INHERITED_H
#define PROXY_INHERITED_H

#include "tproxy/config.h"
#include "tproxy/socket.h"

#include <sys/types.h>

/* Room for the longest text of inherited_problem(). */
#define INHERITED_TEXT_MAX 512

/*
 * Takes over what $LISTEN_FDS counts, if $LISTEN_PID is PID, the process that the manager started. In any case the
 * variables are removed. Returns 0, or -1 if $LISTEN_FDS is no such count. Call it once, before threads start.
 */
int inherited_receive(pid_t pid);

/* Closes them. */
void inherited_close(void);

size_t inherited_count(void);

/*
 * Writes into TEXT why CONFIG, which was read from PATH, does not serve the clients of one of them, and what to write; INDEX is below
 * inherited_count(). False: it does.
 */
bool inherited_problem(
	size_t index, const struct config *config, const char *path, char text[INHERITED_TEXT_MAX]);

/* What a `bind` line says of its socket; for datagrams with MODE_UDP. */
struct socket_listener inherited_place(const struct bind *bind, enum mode mode);

/* Whether there is one at a place; with TRANSPARENT, one that is transparent already. */
bool inherited_has(const struct socket_listener *place, bool transparent);

/*
 * Threads come to get their sockets, for the start or a reload. Of each place the first one gets the inherited socket
 * itself, whose queue has to be read.
 */
void inherited_deal(void);

/*
 * A descriptor of a thread for a place that inherited_has(). Later threads get a socket of their own that shares the
 * address, where the inherited one lets them (SO_REUSEPORT), or else the same one. Of UDP they need their own, since
 * only the kernel can keep a client's datagrams together. Returns -1 with errno: EPERM as socket_adopt(), EADDRINUSE
 * if another user owns the address. The caller owns the descriptor.
 */
int inherited_take(const struct socket_listener *place);

#endif
