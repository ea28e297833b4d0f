/*
 * Sockets: the one place that sets IP_TRANSPARENT, and every other option that the proxy depends on.
 *
 * Functions that return a descriptor return -1 with errno if they fail. All descriptors are non-blocking and
 * close-on-exec. Rules: ip(7), tcp(7), and the kernel's Documentation/networking/tproxy.rst.
 */
#ifndef TPROXY_SOCKET_H
#define TPROXY_SOCKET_H

#include "tproxy/addr.h"

#include <net/if.h>
#include <stdbool.h>

enum socket_v6only {
	SOCKET_V6ONLY_SYSTEM, /* what net.ipv6.bindv6only says */
	SOCKET_V6ONLY_ON,
	SOCKET_V6ONLY_OFF,
};

struct socket_listener {
	struct addr address;
	bool datagrams; /* of UDP, else of TCP */
	bool transparent;
	enum socket_v6only v6only;
	const char *interface; /* NULL: any */
};

/*
 * Opens a bound socket that does not listen yet. FIRST: the first socket of an address; it fails with EADDRINUSE if
 * another process uses the address. The later ones, of this process's other workers, share it (SO_REUSEPORT). Fails
 * with EPERM if `transparent` is set without CAP_NET_RAW or CAP_NET_ADMIN (ip(7)), and with ENODEV for an unknown
 * interface.
 */
int socket_bind_listener(const struct socket_listener *listener, bool first);

/*
 * Fills LISTENER with what socket_bind_listener() would make such a socket from, for one that another program has bound;
 * INTERFACE has the room for its name. Returns 0, or -1: ENOTSOCK, EAFNOSUPPORT if it is neither of TCP nor of UDP over
 * IPv4 or IPv6, EINVAL if it does not listen, or, of UDP, has a peer.
 */
int socket_describe(int fd, struct socket_listener *listener, char interface[IF_NAMESIZE]);

/*
 * A descriptor of the same socket, whose options become those of LISTENER as far as they can change. Both have one queue.
 * Fails as socket_set_transparent() does if the socket is not transparent, and has to be.
 */
int socket_adopt(int fd, const struct socket_listener *listener);

/* Whether other sockets of the same user may share the address (SO_REUSEPORT). */
bool socket_is_shared(int fd);
/* Lets them, also if it is bound already. Returns 0, or -1. */
int socket_share(int fd);

/*
 * Accepts one connection and returns its socket. PEER is set to the client's address, never IPv4-mapped. Fails as
 * accept(2) does: EAGAIN without a client. The kernel copies options from the listener: TCP_NODELAY, and
 * SO_OOBINLINE, so that an urgent byte is a byte like the others (RFC 6093, section 3.3).
 */
int socket_accept(int listener, struct addr *peer);

/* The same two options, for a connection that came before its listener had them. */
void socket_set_options(int fd);

/* How many connections wait in a listener's accept queue; 0 if the kernel does not report it. */
unsigned socket_accept_queue(int listener);

/*
 * Sets LOCAL to the address that a socket is bound to; for an accepted one, the address that the client connected
 * to. False: the socket is not of IPv4 or IPv6; LOCAL stays.
 */
bool socket_local_address(int fd, struct addr *local);

enum address_kind {
	ADDRESS_UNKNOWN,   /* the kernel cannot be asked: errno says why */
	ADDRESS_OWN,       /* of this host: the kernel connects to it from the address itself */
	ADDRESS_BROADCAST, /* of a network that this host is part of */
	ADDRESS_OTHER, /* also: an IPv6 address that only a `local` route makes the host's own */
};

/* What ADDRESS is to this host. Sends nothing. */
enum address_kind socket_address_kind(const struct addr *address);

/* Opens a UDP socket of FAMILY, which shares no address with another one. */
int socket_open_datagrams(int family);

/* Opens a TCP socket of FAMILY for a connection to a server, with the two options of an accepted one. */
int socket_open(int family);

/*
 * The same for a check. QUIET: the acknowledgement that would complete the connection waits for a moment, so that a reset on
 * close comes in its place, and the server's program has nothing to accept (TCP_QUICKACK, tcp(7)).
 */
int socket_open_check(int family, bool quiet);

/*
 * Lets the socket bind addresses that are not this host's (IP_TRANSPARENT). FAMILY is that of the socket. Returns 0,
 * or -1: EPERM without CAP_NET_RAW or CAP_NET_ADMIN.
 */
int socket_set_transparent(int fd, int family);

/* Takes that back, also from a socket that listens; connections that it accepted keep it. Returns 0, or -1. */
int socket_clear_transparent(int fd, int family);

/*
 * Binds the source of a connection, before socket_connect(). With port 0, connect() chooses the port for the whole
 * 4-tuple (IP_BIND_ADDRESS_NO_PORT, ip(7)); so one source address can have as many connections to each server as
 * there are ports. With a port, other connections may have the same source if their servers differ. Returns 0, or -1
 * with the errno of bind(2).
 */
int socket_bind_source(int fd, const struct addr *source);

/*
 * The same for a UDP socket. With port 0 the kernel chooses the port at once, and no other socket of this host has the same
 * address and port. With a port others may have both, if they are bound by this function; their servers must differ, which
 * is for the caller to see to: only so it is certain whose the replies are.
 */
int socket_bind_datagram_source(int fd, const struct addr *source);

/*
 * Starts to connect. Returns 0 if it is connected at once, or -1 with the errno of connect(2): EINPROGRESS while the
 * server has not replied.
 */
int socket_connect(int fd, const struct addr *server);

/* Returns the socket's pending error (SO_ERROR), an errno or 0, and clears it. */
int socket_take_error(int fd);

/*
 * Whether the connection has failed: it was reset, or the kernel gave it up. The error stays for
 * socket_take_error(). Only POLLERR says so: POLLHUP also means that both directions have ended normally, while data
 * may still wait to be read (tcp_poll() in the kernel).
 */
bool socket_has_failed(int fd);

/* Whether the peer has ended its data, and none of it waits to be read. Takes the error of a connection that has failed. */
bool socket_has_nothing_more(int fd);

/* Bytes that the peer has not acknowledged; a FIN counts as one (SIOCOUTQ, tcp(7)). */
size_t socket_undelivered(int fd);

/* Turns on keep-alive probes at the intervals of the host (tcp(7)). */
void socket_keep_alive(int fd);

/* Makes the next close() send a reset instead of a FIN and drop undelivered data (SO_LINGER, socket(7)). */
void socket_reset_on_close(int fd);

/* Whether this process may use IP_TRANSPARENT: it tries it on a socket that it closes again. */
bool socket_may_be_transparent(void);

#endif
