/*
 * Connections: accepting them, which addresses are this host's, the source of one, and what became of it.
 *
 * Everything is on the loopback address. connect() is this file's own, so that it can fail, and go elsewhere.
 */
#include "sockets.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	SECONDS = 10 * 1000 /* ms in which the kernel has done what it does on loopback */
};

static int connect_error;          /* 0: it is asked of the kernel */
static const struct addr *instead; /* not NULL: connect() connects to this address */

int connect(int fd, const struct sockaddr *address, socklen_t length)
{
	if (connect_error != 0) {
		errno = connect_error;
		return -1;
	}
	if (instead != NULL)
		return (int)syscall(SYS_connect, fd, &instead->sa, addr_length(instead));
	return (int)syscall(SYS_connect, fd, address, length);
}

static int connected_to(const struct addr *address)
{
	int fd = socket_open(addr_family(address));
	struct pollfd ready = {.fd = fd, .events = POLLOUT};

	assert_true(socket_connect(fd, address) == 0 || errno == EINPROGRESS);
	assert_int_equal(poll(&ready, 1, SECONDS), 1);
	return fd;
}

/* Both ends of a connection. */
static void pair(int *client, int *accepted)
{
	int listener = listening("127.0.0.1", SOCKET_V6ONLY_SYSTEM);
	struct addr address = local(listener), peer;

	*client = connected_to(&address);
	*accepted = socket_accept(listener, &peer);
	assert_int_not_equal(*accepted, -1);
	close(listener);
}

static void assert_becomes(int fd, short event)
{
	struct pollfd ready = {.fd = fd, .events = event};

	assert_int_equal(poll(&ready, 1, SECONDS), 1);
}

/* --- accepting --- */

static void an_accepted_connection_has_its_options_and_its_peer(void **state)
{
	int listener = listening("127.0.0.1", SOCKET_V6ONLY_SYSTEM);
	struct addr address = local(listener), peer, expected;
	int client = connected_to(&address), fd = socket_accept(listener, &peer);

	(void)state;
	assert_int_not_equal(fd, -1);
	assert_never_blocks(fd);
	assert_passes_bytes_as_they_come(fd);
	expected = local(client);
	assert_true(addr_equal(&peer, &expected));
	assert_int_equal(socket_accept(listener, &peer), -1);
	assert_int_equal(errno, EAGAIN);
	close(fd);
	close(client);
	close(listener);
}

static void an_ipv4_client_of_an_ipv6_listener_is_an_ipv4_host(void **state)
{
	struct addr address, peer, expected, vip;
	int listener, client, fd;

	(void)state;
	if (!have_ipv6())
		skip();
	listener = listening("::", SOCKET_V6ONLY_OFF);
	vip = local(listener);
	address = parsed("127.0.0.1", addr_port(&vip));
	client = connected_to(&address);
	fd = socket_accept(listener, &peer);
	expected = local(client);
	assert_true(addr_equal(&peer, &expected));
	vip = local(fd);
	assert_true(addr_equal(&vip, &address));
	close(fd);
	close(client);
	close(listener);
}

static void a_client_that_has_no_ip_address_is_not_accepted(void **state)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	socklen_t length = sizeof(name);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), next;
	struct addr kept = parsed("192.0.2.9", 9), peer = kept;

	(void)state;
	/* An address without a name is one that the kernel chooses. */
	assert_int_equal(bind(listener, (struct sockaddr *)&name, sizeof(name.sun_family)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&name, &length), 0);
	assert_int_equal(connect(client, (struct sockaddr *)&name, length), 0);
	next = next_descriptor();
	errno = 0;
	assert_int_equal(socket_accept(listener, &peer), -1);
	assert_int_equal(errno, EPROTO);
	assert_int_equal(next_descriptor(), next);
	assert_true(addr_equal(&peer, &kept));
	close(client);
	close(listener);
}

static void the_length_of_the_queue_is_how_many_wait(void **state)
{
	int listener = listening("127.0.0.1", SOCKET_V6ONLY_SYSTEM), clients[3];
	int file = eventfd(0, EFD_CLOEXEC);
	struct addr address = local(listener);

	(void)state;
	assert_int_equal(socket_accept_queue(listener), 0);
	for (int i = 0; i < 3; i++)
		clients[i] = connected_to(&address);
	assert_int_equal(socket_accept_queue(listener), 3);
	assert_int_equal(socket_accept_queue(file), 0);
	for (int i = 0; i < 3; i++)
		close(clients[i]);
	close(file);
	close(listener);
}

/* --- addresses --- */

static void what_is_no_ip_socket_has_no_local_address(void **state)
{
	struct addr kept = parsed("192.0.2.9", 9), addr = kept;
	int local_only = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int file = eventfd(0, EFD_CLOEXEC);

	(void)state;
	assert_false(socket_local_address(local_only, &addr));
	assert_false(socket_local_address(file, &addr));
	assert_true(addr_equal(&addr, &kept));
	close(local_only);
	close(file);
}

static void only_addresses_of_this_host_are_its_own(void **state)
{
	struct addr own = parsed("127.0.0.1", 0), port = parsed("127.0.0.1", 80);
	struct addr other = parsed("192.0.2.80", 80), six = parsed("::1", 80);
	int next = next_descriptor();

	(void)state;
	assert_int_equal(socket_address_kind(&own), ADDRESS_OWN);
	assert_int_equal(socket_address_kind(&port), ADDRESS_OWN);
	assert_int_equal(socket_address_kind(&other), ADDRESS_OTHER);
	assert_int_equal(socket_address_kind(&six), have_ipv6() ? ADDRESS_OWN : ADDRESS_OTHER);
	assert_int_equal(next_descriptor(), next);
	assert_int_equal(addr_port(&port), 80);
}

static void a_broadcast_address_is_not_a_hosts(void **state)
{
	struct addr broadcast = parsed("127.255.255.255", 80);
	int next = next_descriptor();

	(void)state;
	assert_int_equal(socket_address_kind(&broadcast), ADDRESS_BROADCAST);
	assert_int_equal(next_descriptor(), next);
	connect_error = EACCES; /* of a route of the type prohibit, for any socket */
	assert_int_equal(socket_address_kind(&broadcast), ADDRESS_OTHER);
	connect_error = 0;
}

/* Another host can be connected to, but not from its own address. */
static void a_host_that_can_be_reached_is_not_this_one(void **state)
{
	struct addr other = parsed("192.0.2.80", 80), here = parsed("127.0.0.1", 9);
	enum address_kind kind;

	(void)state;
	instead = &here;
	kind = socket_address_kind(&other);
	instead = NULL;
	assert_int_equal(kind, ADDRESS_OTHER);
}

/* --- the source of a connection --- */

static void a_source_without_a_port_gets_it_when_it_connects(void **state)
{
	int listener = listening("127.0.0.1", SOCKET_V6ONLY_SYSTEM), fd = socket_open(AF_INET);
	struct addr source = parsed("127.0.0.2", 0), server = local(listener), bound;

	(void)state;
	assert_int_equal(socket_bind_source(fd, &source), 0);
	bound = local(fd);
	assert_true(addr_equal(&bound, &source));
	assert_true(socket_connect(fd, &server) == 0 || errno == EINPROGRESS);
	bound = local(fd);
	assert_int_not_equal(addr_port(&bound), 0);
	close(fd);
	close(listener);
}

static void a_source_with_a_port_can_be_used_more_than_once(void **state)
{
	int first = socket_open(AF_INET), second = socket_open(AF_INET), any = socket_open(AF_INET);
	struct addr source = parsed("127.0.0.2", 0), bound;

	(void)state;
	assert_int_equal(bind(any, &source.sa, addr_length(&source)), 0);
	source = local(any);
	close(any);
	assert_int_equal(socket_bind_source(first, &source), 0);
	assert_int_equal(socket_bind_source(second, &source), 0);
	bound = local(first);
	assert_true(addr_equal(&bound, &source));
	assert_int_equal(option(first, SOL_SOCKET, SO_REUSEADDR), 1);
	close(first);
	close(second);
}

static void a_source_that_is_not_here_is_refused(void **state)
{
	struct addr source = parsed("192.0.2.80", 0);
	int fd = socket_open(AF_INET), file = eventfd(0, EFD_CLOEXEC);

	(void)state;
	assert_int_equal(socket_bind_source(fd, &source), -1);
	assert_int_equal(errno, EADDRNOTAVAIL);
	assert_int_equal(socket_bind_source(file, &source), -1);
	assert_int_equal(errno, ENOTSOCK);
	close(fd);
	close(file);
}

/* --- what became of a connection --- */

static void a_refused_connection_has_its_error_once(void **state)
{
	int listener = listening("127.0.0.1", SOCKET_V6ONLY_SYSTEM), fd = socket_open(AF_INET);
	struct addr server = local(listener);

	(void)state;
	close(listener);
	if (socket_connect(fd, &server) == -1 && errno == ECONNREFUSED)
		skip(); /* refused at once: no error is pending */
	assert_becomes(fd, POLLOUT);
	assert_true(socket_has_failed(fd));
	assert_int_equal(socket_take_error(fd), ECONNREFUSED);
	assert_int_equal(socket_take_error(fd), 0);
	close(fd);
}

static void what_is_no_socket_has_the_error_of_asking(void **state)
{
	int file = eventfd(0, EFD_CLOEXEC);

	(void)state;
	assert_int_equal(socket_take_error(file), ENOTSOCK);
	assert_int_equal(socket_undelivered(file), 0);
	close(file);
}

static void a_reset_is_a_failure_and_an_end_is_none(void **state)
{
	int client, accepted;

	(void)state;
	pair(&client, &accepted);
	assert_false(socket_has_failed(client));
	shutdown(accepted, SHUT_WR);
	shutdown(client, SHUT_WR);
	assert_becomes(client, POLLIN | POLLRDHUP);
	assert_false(socket_has_failed(client));
	close(accepted);
	close(client);
	pair(&client, &accepted);
	socket_reset_on_close(accepted);
	close(accepted);
	assert_becomes(client, POLLIN);
	assert_true(socket_has_failed(client));
	assert_int_equal(socket_take_error(client), ECONNRESET);
	close(client);
}

static void what_the_peer_does_not_take_is_undelivered(void **state)
{
	static const char bulk[64 * 1024];
	int client, accepted;

	(void)state;
	pair(&client, &accepted);
	assert_int_equal(socket_undelivered(client), 0);
	while (send(client, bulk, sizeof(bulk), MSG_NOSIGNAL) > 0)
		;
	assert_true(socket_undelivered(client) > 0);
	close(client);
	close(accepted);
}

static void keep_alive_is_turned_on(void **state)
{
	int fd = socket_open(AF_INET);

	(void)state;
	assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
	socket_keep_alive(fd);
	assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_host_that_can_be_reached_is_not_this_one),
		cmocka_unit_test(a_client_that_has_no_ip_address_is_not_accepted),
		cmocka_unit_test(an_accepted_connection_has_its_options_and_its_peer),
		cmocka_unit_test(an_ipv4_client_of_an_ipv6_listener_is_an_ipv4_host),
		cmocka_unit_test(the_length_of_the_queue_is_how_many_wait),
		cmocka_unit_test(what_is_no_ip_socket_has_no_local_address),
		cmocka_unit_test(only_addresses_of_this_host_are_its_own),
		cmocka_unit_test(a_broadcast_address_is_not_a_hosts),
		cmocka_unit_test(a_source_without_a_port_gets_it_when_it_connects),
		cmocka_unit_test(a_source_with_a_port_can_be_used_more_than_once),
		cmocka_unit_test(a_source_that_is_not_here_is_refused),
		cmocka_unit_test(a_refused_connection_has_its_error_once),
		cmocka_unit_test(what_is_no_socket_has_the_error_of_asking),
		cmocka_unit_test(a_reset_is_a_failure_and_an_end_is_none),
		cmocka_unit_test(what_the_peer_does_not_take_is_undelivered),
		cmocka_unit_test(keep_alive_is_turned_on),
	};

	return cmocka_run_group_tests_name("socket_connections", tests, NULL, NULL);
}
