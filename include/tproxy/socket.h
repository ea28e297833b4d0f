/*
 * Sockets: the one place that sets IP_TRANSPARENT, and every other option that the proxy depends
 * on.
 *
 * Every function that returns a descriptor returns -1 with errno set where it fails; all
 * descriptors are non-blocking and close-on-exec. Rules: ip(7), tcp(7), and the kernel's
 * Documentation/networking/tproxy.rst.
 */
#ifndef TPROXY_SOCKET_H
#define TPROXY_SOCKET_H

#include "tproxy/addr.h"

#include <stdbool.h>

enum socket_v6only {
	SOCKET_V6ONLY_SYSTEM, /* what net.ipv6.bindv6only says */
	SOCKET_V6ONLY_ON,
	SOCKET_V6ONLY_OFF,
};

struct socket_listener {
	struct addr address;
	bool transparent;
	enum socket_v6only v6only;
	const char *interface; /* NULL: any */
};

/*
 * Opens a bound socket that does not listen yet. FIRST: the first socket of an address, which fails
 * with EADDRINUSE where another process serves it; the later ones, of this process's other workers,
 * share it (SO_REUSEPORT). Fails with EPERM where `transparent` is set without CAP_NET_RAW or
 * CAP_NET_ADMIN (ip(7)), and with ENODEV where there is no such interface.
 */
int socket_bind_listener(const struct socket_listener *listener, bool first);

/*
 * Accepts one connection and returns its socket. PEER is set to where it came from, an IPv4-mapped
 * address to the IPv4 one. Fails as accept(2) does: EAGAIN where no client waits. The kernel copies
 * the connection's options from the listener: TCP_NODELAY, and SO_OOBINLINE, so that an urgent byte
 * is a byte like the others (RFC 6093, section 3.3).
 */
int socket_accept(int listener, struct addr *peer);

/* How many connections wait in a listener's queue; 0 where the kernel does not say. */
unsigned socket_accept_queue(int listener);

/*
 * Sets LOCAL to the address that a socket is bound to; for an accepted one, where its client connected
 * to. False, with LOCAL kept, where the socket is not of IPv4 or IPv6.
 */
bool socket_local_address(int fd, struct addr *local);

/*
 * Whether ADDRESS is one of this host's own: then the kernel connects to it from that address itself.
 * Of IPv6, addresses that only a `local` route makes the host's own are not found.
 */
bool socket_address_is_own(const struct addr *address);

/* Opens a TCP socket for a connection to a server, with the same two options as an accepted one. */
int socket_open(int family);

/*
 * Lets the socket bind addresses that this host does not have (IP_TRANSPARENT). FAMILY is the socket's.
 * Returns 0, or -1 with EPERM without CAP_NET_RAW or CAP_NET_ADMIN.
 */
int socket_set_transparent(int fd, int family);

/*
 * Binds the source of a connection, before socket_connect(). With port 0, connect() chooses the port
 * for the whole 4-tuple (IP_BIND_ADDRESS_NO_PORT, ip(7)), so that one source address can have as many
 * connections to each server as the port range holds. With a port, other connections may have the
 * same source, as long as their servers differ. Returns 0, or -1 with the errno of bind(2).
 */
int socket_bind_source(int fd, const struct addr *source);

/*
 * Starts to connect. Returns 0 where it is connected, or -1 with the errno of connect(2): EINPROGRESS
 * while the connection is under way.
 */
int socket_connect(int fd, const struct addr *server);

/* Returns the socket's pending error (SO_ERROR), an errno or 0, and clears it. */
int socket_take_error(int fd);

/*
 * Whether the connection broke: it was reset, or the kernel gave it up. The error stays for
 * socket_take_error(). POLLERR alone says so. POLLHUP does not: it also means that both directions
 * have ended in order, while data may still wait to be read (tcp_poll() in the kernel).
 */
bool socket_has_failed(int fd);

/* Bytes that were written and that the peer has not acknowledged; a FIN counts as one (SIOCOUTQ). */
size_t socket_undelivered(int fd);

/* Turns on keep-alive probes, at the host's intervals (tcp(7)). */
void socket_keep_alive(int fd);

/* Makes the next close() send a reset instead of a FIN, and drop what is not delivered (SO_LINGER). */
void socket_reset_on_close(int fd);

/* Whether this process may use IP_TRANSPARENT: it tries it on a socket that it closes again. */
bool socket_may_be_transparent(void);

#endif
