/*
 * Sockets on loopback addresses, and what they say of themselves.
 */
#ifndef TESTS_SOCKETS_H
#define TESTS_SOCKETS_H

#include "tproxy/socket.h"
#include "unit.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <unistd.h>

static inline int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t length = sizeof(value);

	assert_int_equal(getsockopt(fd, level, name, &value, &length), 0);
	return value;
}

static inline struct addr parsed(const char *text, uint16_t port)
{
	struct addr addr;

	assert_true(addr_parse(&addr, text));
	addr_set_port(&addr, port);
	return addr;
}

static inline struct addr local(int fd)
{
	struct addr addr;

	assert_true(socket_local_address(fd, &addr));
	return addr;
}

/* The next descriptor: the same before and after what opens none, or closes what it opened. */
static inline int next_descriptor(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	close(fd);
	return fd;
}

static inline bool have_ipv6(void)
{
	struct addr address = parsed("::1", 0);
	int fd = socket_open(AF_INET6);
	bool have = fd != -1 && bind(fd, &address.sa, addr_length(&address)) == 0;

	close(fd);
	return have;
}

static inline void assert_never_blocks(int fd)
{
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static inline void assert_passes_bytes_as_they_come(int fd)
{
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_int_equal(option(fd, SOL_SOCKET, SO_OOBINLINE), 1);
}

static inline int listening(const char *text, enum socket_v6only v6only)
{
	struct socket_listener listener = {.address = parsed(text, 0), .v6only = v6only};
	int fd = socket_bind_listener(&listener, true);

	assert_int_not_equal(fd, -1);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

#endif
