/*
 * The connection to a server: from which address, and for which reason there is none.
 *
 * socket() and connect() are this file's own, so that they can answer as they seldom do.
 */
#include "servers/upstream.h"
#include "tproxy/socket.h"
#include "unit.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	NOBODY = 65534
};

static int socket_error;            /* 0: it is asked of the kernel */
static bool connected_without_wait; /* connect() succeeds at once, and does nothing */

int socket(int family, int type, int protocol)
{
	if (socket_error == 0)
		return (int)syscall(SYS_socket, family, type, protocol);
	errno = socket_error;
	return -1;
}

int connect(int fd, const struct sockaddr *address, socklen_t length)
{
	return connected_without_wait ? 0 : (int)syscall(SYS_connect, fd, address, length);
}

static struct addr parsed(const char *text, uint16_t port)
{
	struct addr addr;

	assert_true(addr_parse(&addr, text));
	addr_set_port(&addr, port);
	return addr;
}

static int listening(struct addr *address)
{
	struct socket_listener listener = {.address = parsed("127.0.0.1", 0)};
	int fd = socket_bind_listener(&listener, true);

	assert_int_equal(listen(fd, 8), 0);
	assert_true(socket_local_address(fd, address));
	return fd;
}

static int next_descriptor(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	close(fd);
	return fd;
}

static void assert_source(enum source_mode mode, const char *ip, uint16_t port)
{
	struct source source = {.mode = mode, .address = parsed("203.0.113.1", 7000)};
	struct addr client = parsed("198.51.100.10", 4000), from, expected;

	assert_true(upstream_source(&source, &client, &from));
	expected = parsed(ip, port);
	assert_true(addr_equal(&from, &expected));
}

static void the_source_is_what_the_configuration_says(void **state)
{
	struct source routed = {.mode = SOURCE_ROUTED}, unknown = {.mode = (enum source_mode)99};
	struct addr client = parsed("198.51.100.10", 4000), from = client;

	(void)state;
	assert_source(SOURCE_CLIENTIP, "198.51.100.10", 0);
	assert_source(SOURCE_CLIENT, "198.51.100.10", 4000);
	assert_source(SOURCE_ADDRESS, "203.0.113.1", 7000);
	assert_source(SOURCE_FOREIGN, "203.0.113.1", 7000);
	assert_false(upstream_source(&routed, &client, &from));
	assert_false(upstream_source(&unknown, &client, &from));
	assert_true(addr_equal(&from, &client));
}

static void each_error_of_connecting_has_its_reason(void **state)
{
	static const struct {
		int error;
		enum reason reason;
	} rows[] = {
		{EADDRINUSE, REASON_SOURCE_IN_USE},
		{EADDRNOTAVAIL, REASON_SOURCE_EXHAUSTED},
		{ECONNREFUSED, REASON_CONNECT_REFUSED},
		{ETIMEDOUT, REASON_CONNECT_TIMEOUT},
		{ENETUNREACH, REASON_CONNECT_UNREACHABLE},
		{EHOSTUNREACH, REASON_CONNECT_UNREACHABLE},
		{ENETDOWN, REASON_CONNECT_UNREACHABLE},
		{EHOSTDOWN, REASON_CONNECT_UNREACHABLE},
		{EINVAL, REASON_CONNECT_FAILED},
		{EAGAIN, REASON_SOURCE_EXHAUSTED},
	};
	struct source source = {.mode = SOURCE_CLIENTIP};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(reason_name(upstream_connect_reason(&source, rows[i].error)),
			reason_name(rows[i].reason));
}

static void datagrams_come_from_the_source_and_share_it_with_no_other_program(void **state)
{
	struct source source = {.mode = SOURCE_CLIENT};
	struct addr client = parsed("127.0.0.2", 0), server = parsed("127.0.0.1", 9), local, peer;
	struct upstream_failure failure;
	socklen_t length = sizeof(peer);
	int fd, type = 0, reuse = -1, taken = socket_open_datagrams(AF_INET);

	(void)state;
	assert_int_equal(bind(taken, &client.sa, addr_length(&client)), 0);
	assert_true(socket_local_address(taken, &client));
	assert_int_equal(upstream_open_datagrams(&source, &client, &server, NULL, &failure), -1);
	assert_string_equal(reason_name(failure.reason), "source-in-use");
	close(taken);
	fd = upstream_open_datagrams(&source, &client, &server, NULL, &failure);
	assert_int_not_equal(fd, -1);
	assert_true(socket_local_address(fd, &local));
	assert_true(addr_equal(&local, &client));
	assert_int_equal(getpeername(fd, &peer.sa, &length), 0);
	assert_int_equal(addr_port(&peer), 9);
	length = sizeof(type);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length), 0);
	assert_int_equal(type, SOCK_DGRAM);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, &length), 0);
	assert_int_equal(reuse, 1); /* with sockets that are opened in the same way */
	close(fd);
	client = parsed("::1", 0);
	assert_int_equal(upstream_open_datagrams(&source, &client, &server, NULL, &failure), -1);
	assert_string_equal(reason_name(failure.reason), "source-family");
}

/* Opens a connection from 127.0.0.2, as the client's or as a fixed address, and checks its source. */
static void assert_connects_from(enum source_mode mode, uint16_t port, const char *ip, bool foreign)
{
	struct source source = {.mode = mode, .address = parsed("127.0.0.2", 0)};
	struct addr client = parsed("127.0.0.2", port), server, local;
	struct upstream_failure failure;
	int listener = listening(&server), fd, transparent = -1;
	socklen_t length = sizeof(transparent);

	fd = upstream_open(&source, &client, &server, NULL, &failure);
	assert_int_not_equal(fd, -1);
	assert_true(socket_local_address(fd, &local));
	assert_int_equal(getsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &transparent, &length), 0);
	assert_int_equal(transparent, foreign);
	if (mode == SOURCE_CLIENT)
		assert_int_equal(addr_port(&local), port);
	else
		assert_int_not_equal(addr_port(&local), port);
	addr_set_port(&local, 0);
	client = parsed(ip, 0);
	assert_true(addr_equal(&local, &client));
	close(fd);
	close(listener);
}

static void a_source_of_this_host_needs_no_rights(void **state)
{
	(void)state;
	assert_connects_from(SOURCE_ROUTED, 4000, "127.0.0.1", false);
	assert_connects_from(SOURCE_ADDRESS, 4000, "127.0.0.2", false);
}

/* A port below those that the kernel chooses from, and above those that need rights. */
static void a_source_that_may_be_foreign_is_transparent(void **state)
{
	(void)state;
	if (!socket_may_be_transparent())
		skip();
	assert_connects_from(SOURCE_CLIENTIP, 14000, "127.0.0.2", true);
	assert_connects_from(SOURCE_CLIENT, 14000, "127.0.0.2", true);
	assert_connects_from(SOURCE_FOREIGN, 14000, "127.0.0.2", true);
}

/* Its own family must be the server's; the client's may be another one. */
static void a_fixed_source_serves_clients_of_either_family(void **state)
{
	struct source source = {.mode = SOURCE_FOREIGN, .address = parsed("127.0.0.2", 0)};
	struct addr client = parsed("2001:db8::10", 4000), server;
	struct upstream_failure failure;
	int listener = listening(&server), fd;

	(void)state;
	if (!socket_may_be_transparent()) {
		close(listener);
		skip();
	}
	fd = upstream_open(&source, &client, &server, NULL, &failure);
	assert_int_not_equal(fd, -1);
	close(fd);
	close(listener);
}

static void a_connection_that_needs_no_time_is_one(void **state)
{
	struct addr client = parsed("198.51.100.10", 4000), server = parsed("127.0.0.1", 9);
	struct source source = {.mode = SOURCE_ROUTED};
	struct upstream_failure failure;
	int fd;

	(void)state;
	errno = 0;
	connected_without_wait = true;
	fd = upstream_open(&source, &client, &server, NULL, &failure);
	connected_without_wait = false;
	assert_int_not_equal(fd, -1);
	close(fd);
}

static void each_error_of_opening_has_its_reason(void **state)
{
	static const struct {
		int error;
		const char *reason;
	} rows[] = {
		{EMFILE, "descriptors"},
		{ENFILE, "descriptors"},
		{ENOBUFS, "memory"},
		{ENOMEM, "memory"},
		{EACCES, "connect-failed"},
	};
	struct addr client = parsed("198.51.100.10", 4000), server = parsed("127.0.0.1", 9);
	struct source source = {.mode = SOURCE_ROUTED};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct upstream_failure failure;

		socket_error = rows[i].error;
		assert_int_equal(upstream_open(&source, &client, &server, NULL, &failure), -1);
		socket_error = 0;
		assert_int_equal(failure.error, rows[i].error);
		assert_string_equal(reason_name(failure.reason), rows[i].reason);
	}
}

/* No connection, no descriptor that stays, and the reason. */
static void assert_fails(const struct source *source, const struct addr *client,
	const struct addr *server, enum reason reason, int error)
{
	struct upstream_failure failure = {REASON_DONE, 0};
	int next = next_descriptor();

	assert_int_equal(upstream_open(source, client, server, NULL, &failure), -1);
	assert_int_equal(failure.error, error);
	assert_string_equal(reason_name(failure.reason), reason_name(reason));
	assert_int_equal(next_descriptor(), next);
}

static void a_source_that_cannot_be_used_ends_the_attempt(void **state)
{
	struct addr client = parsed("198.51.100.10", 4000), server;
	int listener = listening(&server);
	struct source source = {.mode = SOURCE_ADDRESS, .address = parsed("192.0.2.1", 0)};

	(void)state;
	assert_fails(&source, &client, &server, REASON_SOURCE_FAILED, EADDRNOTAVAIL);
	source.address = parsed("2001:db8::1", 0);
	assert_fails(&source, &client, &server, REASON_SOURCE_FAMILY, EAFNOSUPPORT);
	client = parsed("2001:db8::10", 4000);
	assert_fails(&source, &client, &server, REASON_SOURCE_FAMILY, EAFNOSUPPORT);
	/* The listener has its port, and REUSEADDR does not share with one that listens. */
	source.address = server;
	assert_fails(&source, &client, &server, REASON_SOURCE_IN_USE, EADDRINUSE);
	close(listener);
}

static void a_broadcast_address_is_no_server(void **state)
{
	struct addr client = parsed("198.51.100.10", 4000);
	struct addr server = parsed("255.255.255.255", 80);
	struct source source = {.mode = SOURCE_ROUTED};
	struct upstream_failure failure = {REASON_DONE, 0};
	int next = next_descriptor();

	(void)state;
	assert_int_equal(upstream_open(&source, &client, &server, NULL, &failure), -1);
	assert_string_equal(reason_name(failure.reason), "connect-unreachable");
	assert_int_equal(failure.error, ENETUNREACH);
	assert_int_equal(next_descriptor(), next);
}

static void a_family_without_tcp_is_a_failure_of_connecting(void **state)
{
	struct addr client = parsed("198.51.100.10", 4000), server = addr_any(AF_UNIX);
	struct source source = {.mode = SOURCE_ROUTED};

	(void)state;
	assert_fails(&source, &client, &server, REASON_CONNECT_FAILED, EPROTONOSUPPORT);
}

static void without_rights_a_foreign_source_is_denied(void **state)
{
	struct source foreign = {.mode = SOURCE_CLIENTIP}, low = {.mode = SOURCE_ADDRESS};
	struct addr client = parsed("127.0.0.2", 4000), server;
	struct upstream_failure failures[2];
	int listener = listening(&server), fds[2];

	(void)state;
	low.address = parsed("127.0.0.2", 1);
	if (geteuid() != 0 || seteuid(NOBODY) != 0) {
		close(listener);
		skip();
	}
	fds[0] = upstream_open(&foreign, &client, &server, NULL, &failures[0]);
	fds[1] = upstream_open(&low, &client, &server, NULL, &failures[1]);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(fds[0], -1);
	assert_int_equal(failures[0].error, EPERM);
	assert_string_equal(reason_name(failures[0].reason), "source-denied");
	assert_int_equal(fds[1], -1);
	assert_int_equal(failures[1].error, EACCES);
	assert_string_equal(reason_name(failures[1].reason), "source-denied");
	close(listener);
}

static void without_a_descriptor_that_is_the_reason(void **state)
{
	struct addr client = parsed("198.51.100.10", 4000), server = parsed("127.0.0.1", 9);
	struct source source = {.mode = SOURCE_ROUTED};
	struct upstream_failure failure = {REASON_DONE, 0};
	struct rlimit before, tight;
	int fd;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	tight = before;
	tight.rlim_cur = (rlim_t)next_descriptor();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	fd = upstream_open(&source, &client, &server, NULL, &failure);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(fd, -1);
	assert_int_equal(failure.error, EMFILE);
	assert_string_equal(reason_name(failure.reason), "descriptors");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_source_is_what_the_configuration_says),
		cmocka_unit_test(datagrams_come_from_the_source_and_share_it_with_no_other_program),
		cmocka_unit_test(each_error_of_connecting_has_its_reason),
		cmocka_unit_test(a_source_of_this_host_needs_no_rights),
		cmocka_unit_test(a_source_that_may_be_foreign_is_transparent),
		cmocka_unit_test(a_fixed_source_serves_clients_of_either_family),
		cmocka_unit_test(a_connection_that_needs_no_time_is_one),
		cmocka_unit_test(each_error_of_opening_has_its_reason),
		cmocka_unit_test(a_source_that_cannot_be_used_ends_the_attempt),
		cmocka_unit_test(a_broadcast_address_is_no_server),
		cmocka_unit_test(a_family_without_tcp_is_a_failure_of_connecting),
		cmocka_unit_test(without_rights_a_foreign_source_is_denied),
		cmocka_unit_test(without_a_descriptor_that_is_the_reason),
	};

	return cmocka_run_group_tests_name("upstream", tests, NULL, NULL);
}
