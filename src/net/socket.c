/*
 * Sockets: options in the order that the kernel needs.
 *
 * IP_TRANSPARENT comes before bind(), which else fails for an address that is not local. IP_FREEBIND is no
 * replacement: bind() works with it, too, but the kernel then does not find the socket for replies, and every
 * connection times out.
 *
 * The trap in sharing an address: with SO_REUSEPORT on the first socket, another process of the same user could bind
 * the address, too, and get part of the connections. So the first socket binds without it, which fails if the address
 * is taken, and sets it then for the others.
 */
#include "tproxy/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int set_option(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value));
}

static int enable_option(int fd, int level, int option)
{
	return set_option(fd, level, option, 1);
}

/* Closes the descriptor of a function that failed, keeps errno, and returns -1. */
static int close_failed(int fd)
{
	int error = errno;

	close(fd);
	errno = error;
	return -1;
}

static int open_tcp(int family)
{
	return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
}

void socket_set_options(int fd)
{
	enable_option(fd, IPPROTO_TCP, TCP_NODELAY);
	enable_option(fd, SOL_SOCKET, SO_OOBINLINE);
}

static int set_v6only(int fd, const struct socket_listener *listener)
{
	int only = listener->v6only == SOCKET_V6ONLY_ON;

	if (addr_family(&listener->address) != AF_INET6 || listener->v6only == SOCKET_V6ONLY_SYSTEM)
		return 0;
	return setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
}

static int set_interface(int fd, const char *interface)
{
	if (interface == NULL)
		return 0;
	if (strlen(interface) >= IFNAMSIZ) {
		errno = ENODEV;
		return -1;
	}
	return setsockopt(
		fd, SOL_SOCKET, SO_BINDTODEVICE, interface, (socklen_t)strlen(interface) + 1);
}

int socket_bind_listener(const struct socket_listener *listener, bool first)
{
	const struct addr *address = &listener->address;
	int fd = listener->datagrams ? socket_open_datagrams(addr_family(address))
				     : open_tcp(addr_family(address));

	if (fd == -1)
		return -1;
	/* For UDP, SO_REUSEADDR would let another process take the datagrams (socket(7)). */
	if (!listener->datagrams && enable_option(fd, SOL_SOCKET, SO_REUSEADDR) == -1)
		return close_failed(fd);
	if (set_v6only(fd, listener) == -1 || set_interface(fd, listener->interface) == -1)
		return close_failed(fd);
	if (listener->transparent && socket_set_transparent(fd, addr_family(address)) == -1)
		return close_failed(fd);
	if (!first && enable_option(fd, SOL_SOCKET, SO_REUSEPORT) == -1)
		return close_failed(fd);
	if (!listener->datagrams)
		socket_set_options(fd);
	if (bind(fd, &address->sa, addr_length(address)) == -1)
		return close_failed(fd);
	if (first && enable_option(fd, SOL_SOCKET, SO_REUSEPORT) == -1)
		return close_failed(fd);
	return fd;
}

/* --- a socket that another program has bound --- */

/* 0 if the socket does not have the option. */
static int get_option(int fd, int level, int option)
{
	int value = 0;
	socklen_t length = sizeof(value);

	return getsockopt(fd, level, option, &value, &length) == -1 ? 0 : value;
}

static bool is_transparent(int fd, int family)
{
	return family == AF_INET6 ? get_option(fd, IPPROTO_IPV6, IPV6_TRANSPARENT)
				  : get_option(fd, IPPROTO_IP, IP_TRANSPARENT);
}

/* Whether clients can come, and not just one peer. */
static bool is_open_to_clients(int fd, bool datagrams)
{
	struct sockaddr_storage peer;
	socklen_t length = sizeof(peer);

	if (!datagrams)
		return get_option(fd, SOL_SOCKET, SO_ACCEPTCONN);
	return getpeername(fd, (struct sockaddr *)&peer, &length) == -1;
}

int socket_describe(int fd, struct socket_listener *listener, char interface[IF_NAMESIZE])
{
	struct sockaddr_storage bound = {0};
	socklen_t length = sizeof(bound), room = IF_NAMESIZE;
	int protocol, family;

	*listener = (struct socket_listener){0};
	if (getsockname(fd, (struct sockaddr *)&bound, &length) == -1)
		return -1;
	protocol = get_option(fd, SOL_SOCKET, SO_PROTOCOL);
	if ((protocol != IPPROTO_TCP && protocol != IPPROTO_UDP) ||
		!addr_from_sockaddr(&listener->address, (struct sockaddr *)&bound)) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	family = addr_family(&listener->address);
	listener->datagrams = protocol == IPPROTO_UDP;
	listener->transparent = is_transparent(fd, family);
	listener->v6only = family == AF_INET6 && get_option(fd, IPPROTO_IPV6, IPV6_V6ONLY)
				   ? SOCKET_V6ONLY_ON
				   : SOCKET_V6ONLY_OFF;
	if (getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface, &room) == 0 && room > 0)
		listener->interface = interface;
	if (is_open_to_clients(fd, listener->datagrams))
		return 0;
	errno = EINVAL;
	return -1;
}

int socket_adopt(int fd, const struct socket_listener *listener)
{
	int family = addr_family(&listener->address);
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 0), status;

	if (own == -1)
		return -1;
	status = fcntl(own, F_SETFL, fcntl(own, F_GETFL) | O_NONBLOCK);
	if (status == 0 && listener->transparent && !is_transparent(own, family))
		status = socket_set_transparent(own, family);
	if (status == 0 && !listener->transparent)
		status = socket_clear_transparent(own, family);
	if (status == -1)
		return close_failed(own);
	if (!listener->datagrams)
		socket_set_options(own);
	return own;
}

bool socket_is_shared(int fd)
{
	return get_option(fd, SOL_SOCKET, SO_REUSEPORT);
}

int socket_share(int fd)
{
	return enable_option(fd, SOL_SOCKET, SO_REUSEPORT);
}

/* --- connections --- */

int socket_accept(int listener, struct addr *peer)
{
	struct sockaddr_storage from = {0};
	socklen_t length = sizeof(from);
	int fd = accept4(listener, (struct sockaddr *)&from, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd == -1)
		return -1;
	if (!addr_from_sockaddr(peer, (struct sockaddr *)&from)) {
		errno = EPROTO;
		return close_failed(fd);
	}
	addr_unmap(peer);
	return fd;
}

unsigned socket_accept_queue(int listener)
{
	struct tcp_info info = {0};
	socklen_t length = sizeof(info);

	/* For a listener, tcpi_unacked is the length of its queue (tcp_get_info() in the kernel). */
	if (getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &length) == -1)
		return 0;
	return info.tcpi_unacked;
}

bool socket_local_address(int fd, struct addr *local)
{
	struct sockaddr_storage sa = {0};
	socklen_t length = sizeof(sa);

	if (getsockname(fd, (struct sockaddr *)&sa, &length) == -1 ||
		!addr_from_sockaddr(local, (struct sockaddr *)&sa))
		return false;
	addr_unmap(local);
	return true;
}

/* A route of the type `prohibit` gives EACCES, too, but lets no broadcast through either. */
static bool is_broadcast(int fd, const struct addr *peer)
{
	return errno == EACCES && enable_option(fd, SOL_SOCKET, SO_BROADCAST) == 0 &&
	       connect(fd, &peer->sa, addr_length(peer)) == 0;
}

enum address_kind socket_address_kind(const struct addr *address)
{
	int fd = socket(addr_family(address), SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);
	enum address_kind kind = ADDRESS_OTHER;
	struct addr peer = *address, local;

	if (fd == -1)
		return ADDRESS_UNKNOWN;
	addr_set_port(&peer, 9); /* nothing is sent; port 0 cannot be connected to */
	if (connect(fd, &peer.sa, addr_length(&peer)) == -1) {
		if (is_broadcast(fd, &peer))
			kind = ADDRESS_BROADCAST;
	} else if (socket_local_address(fd, &local)) {
		addr_set_port(&local, 9);
		if (addr_equal(&local, &peer))
			kind = ADDRESS_OWN;
	}
	close(fd);
	return kind;
}

int socket_open(int family)
{
	int fd = open_tcp(family);

	if (fd != -1)
		socket_set_options(fd);
	return fd;
}

int socket_open_check(int family, bool quiet)
{
	int fd = open_tcp(family);

	if (fd != -1 && quiet)
		set_option(fd, IPPROTO_TCP, TCP_QUICKACK, 0);
	return fd;
}

int socket_open_datagrams(int family)
{
	return socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);
}

int socket_set_transparent(int fd, int family)
{
	if (family == AF_INET6)
		return enable_option(fd, IPPROTO_IPV6, IPV6_TRANSPARENT);
	return enable_option(fd, IPPROTO_IP, IP_TRANSPARENT);
}

int socket_clear_transparent(int fd, int family)
{
	if (family == AF_INET6)
		return set_option(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, 0);
	return set_option(fd, IPPROTO_IP, IP_TRANSPARENT, 0);
}

int socket_bind_source(int fd, const struct addr *source)
{
	int ready;

	if (addr_port(source) == 0)
		ready = enable_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT);
	else
		ready = enable_option(fd, SOL_SOCKET, SO_REUSEADDR);
	if (ready == -1)
		return -1;
	return bind(fd, &source->sa, addr_length(source));
}

int socket_bind_datagram_source(int fd, const struct addr *source)
{
	if (addr_port(source) != 0 && enable_option(fd, SOL_SOCKET, SO_REUSEADDR) == -1)
		return -1;
	return bind(fd, &source->sa, addr_length(source));
}

int socket_connect(int fd, const struct addr *server)
{
	return connect(fd, &server->sa, addr_length(server));
}

int socket_take_error(int fd)
{
	int error = 0;
	socklen_t length = sizeof(error);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == -1)
		return errno;
	return error;
}

bool socket_has_failed(int fd)
{
	struct pollfd connection = {.fd = fd};

	return poll(&connection, 1, 0) == 1 && (connection.revents & POLLERR);
}

bool socket_has_nothing_more(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

size_t socket_undelivered(int fd)
{
	int bytes = 0;

	return ioctl(fd, SIOCOUTQ, &bytes) == -1 || bytes < 0 ? 0 : (size_t)bytes;
}

void socket_keep_alive(int fd)
{
	enable_option(fd, SOL_SOCKET, SO_KEEPALIVE);
}

void socket_reset_on_close(int fd)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

bool socket_may_be_transparent(void)
{
	int fd = open_tcp(AF_INET);
	bool may;

	if (fd == -1)
		return false;
	may = socket_set_transparent(fd, AF_INET) == 0;
	close(fd);
	return may;
}
