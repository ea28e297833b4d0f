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
 * A bound socket that does not listen yet. FIRST is for the first socket of an address: it refuses
 * an address that another process serves; the further ones, of this process's other workers, join it.
 * Ends with EPERM where `transparent` is asked for without CAP_NET_RAW or CAP_NET_ADMIN.
 */
int socket_bind_listener(const struct socket_listener *listener, bool first);

/*
 * Accepts one connection. PEER is where it came from, with IPv4-mapped addresses unmapped. Options
 * for the connection are set on the listener, from which the kernel copies them: TCP_NODELAY, and
 * SO_OOBINLINE, so that an urgent byte is a byte like the others (RFC 6093, section 3.3).
 */
int socket_accept(int listener, struct addr *peer);

/* Connections that wait in a listener's queue to be accepted. */
unsigned socket_accept_queue(int listener);

/* The address that a socket is bound to; for an accepted one, where its client connected to. */
bool socket_local_address(int fd, struct addr *local);

/* A TCP socket for a connection to a server, with the same two options. */
int socket_open(int family);

/* Lets the socket use addresses that this host does not own. -1 and EPERM without the capability.
 */
int socket_set_transparent(int fd, int family);

/*
 * Binds the near end of a connection yet to be made. With port 0 the port is chosen by connect(),
 * for the whole 4-tuple (IP_BIND_ADDRESS_NO_PORT), so that one source address can have as many
 * connections to each server as the port range holds. With a port, the address may be shared with
 * other connections as long as they lead elsewhere.
 */
int socket_bind_source(int fd, const struct addr *source);

/* 0, or -1 with EINPROGRESS while the connection is under way. */
int socket_connect(int fd, const struct addr *server);

/* What became of a connection under way: 0, or an errno. */
int socket_take_error(int fd);

/*
 * Whether the connection broke: it was reset, or the kernel gave it up. The error stays for
 * socket_take_error(). POLLERR alone says so. POLLHUP does not: it also means that both directions
 * have ended in order, while data may still wait to be read (tcp_poll() in the kernel).
 */
bool socket_has_failed(int fd);

/* Bytes that were written and that the peer has not acknowledged; a FIN counts as one (SIOCOUTQ). */
size_t socket_undelivered(int fd);

void socket_keep_alive(int fd);

/* Makes the next close() send a reset instead of a FIN. */
void socket_reset_on_close(int fd);

/* Whether this process may use IP_TRANSPARENT, found out by doing it. */
bool socket_may_be_transparent(void);

#endif
