/*
 * The process's own connections: known from before they can be accepted until they are closed.
 */
#include "servers/own_traffic.h"

#include "tproxy/socket.h"
#include "unit.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <unistd.h>

enum {
	ROUNDS = 300
};

static struct addr parsed(const char *text)
{
	struct addr addr;

	assert_true(addr_parse(&addr, text));
	return addr;
}

static struct addr local(int fd)
{
	struct addr addr;

	assert_true(socket_local_address(fd, &addr));
	return addr;
}

static int listening(struct addr *address)
{
	struct socket_listener listener = {.address = parsed("127.0.0.1")};
	int fd = socket_bind_listener(&listener, true);

	assert_int_equal(listen(fd, 1024), 0);
	*address = local(fd);
	return fd;
}

static int connected(const struct addr *server, struct own_connection **noted)
{
	int fd = socket_open(AF_INET);

	assert_true(
		own_traffic_connect(SOCK_STREAM, fd, server, noted) == 0 || errno == EINPROGRESS);
	assert_non_null(*noted);
	return fd;
}

static void a_connection_is_known_by_both_of_its_ends(void **state)
{
	struct own_connection *noted;
	struct addr server, from, other;
	int listener = listening(&server), fd = connected(&server, &noted);

	(void)state;
	from = local(fd);
	assert_true(own_traffic_has(SOCK_STREAM, &from, &server));
	assert_false(own_traffic_has(SOCK_STREAM, &server, &from));
	other = from;
	addr_set_port(&other, (uint16_t)(addr_port(&from) ^ 1));
	assert_false(own_traffic_has(SOCK_STREAM, &other, &server));
	other = server;
	addr_set_port(&other, (uint16_t)(addr_port(&server) ^ 1));
	assert_false(own_traffic_has(SOCK_STREAM, &from, &other));
	other = parsed("127.0.0.2");
	addr_set_port(&other, addr_port(&from));
	assert_false(own_traffic_has(SOCK_STREAM, &other, &server));
	own_traffic_forget(noted);
	assert_false(own_traffic_has(SOCK_STREAM, &from, &server));
	own_traffic_forget(NULL);
	close(fd);
	close(listener);
}

static void many_are_told_apart_and_forgotten_in_any_order(void **state)
{
	struct own_connection *noted[ROUNDS];
	struct addr server, from[ROUNDS];
	int listener = listening(&server), fds[ROUNDS];

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		fds[i] = connected(&server, &noted[i]);
		from[i] = local(fds[i]);
	}
	for (int i = 0; i < ROUNDS; i += 2)
		own_traffic_forget(noted[i]);
	for (int i = 0; i < ROUNDS; i++)
		assert_int_equal(own_traffic_has(SOCK_STREAM, &from[i], &server), i % 2);
	for (int i = ROUNDS - 1; i > 0; i -= 2)
		own_traffic_forget(noted[i]);
	for (int i = 0; i < ROUNDS; i++) {
		assert_false(own_traffic_has(SOCK_STREAM, &from[i], &server));
		close(fds[i]);
	}
	close(listener);
}

static void what_cannot_connect_is_not_noted(void **state)
{
	struct own_connection *noted = (void *)&noted;
	struct addr server = parsed("255.255.255.255");
	int fd = socket_open(AF_INET);

	(void)state;
	addr_set_port(&server, 80);
	assert_int_equal(own_traffic_connect(SOCK_STREAM, fd, &server, &noted), -1);
	assert_int_equal(errno, ENETUNREACH);
	assert_null(noted);
	close(fd);
}

/* Memory is counted: neither what could not connect nor what is forgotten leaves any. */
static void nothing_is_left(void **state)
{
	struct addr server, nowhere = parsed("255.255.255.255");
	int listener = listening(&server);
	size_t before = 0;

	(void)state;
	addr_set_port(&nowhere, 80);
	for (int i = 0; i < ROUNDS; i++) {
		struct own_connection *noted;
		int fd = connected(&server, &noted), other = socket_open(AF_INET);

		own_traffic_forget(noted);
		assert_int_equal(own_traffic_connect(SOCK_STREAM, other, &nowhere, &noted), -1);
		close(fd);
		close(other);
		if (i == 0)
			before = mallinfo2().uordblks;
	}
	assert_int_equal(mallinfo2().uordblks, before);
	close(listener);
}

/* A datagram and a connection may have the same ends. */
static void each_protocol_has_its_own(void **state)
{
	struct own_connection *noted;
	struct addr server, from;
	int listener = listening(&server), fd = socket_open_datagrams(AF_INET);

	(void)state;
	assert_int_equal(own_traffic_connect(SOCK_DGRAM, fd, &server, &noted), 0);
	from = local(fd);
	assert_true(own_traffic_has(SOCK_DGRAM, &from, &server));
	assert_false(own_traffic_has(SOCK_STREAM, &from, &server));
	own_traffic_forget(noted);
	close(fd);
	close(listener);
}

/* Accepts as another worker does, as soon as the kernel has the connection. */
static void *accept_own(void *arg)
{
	int listener = *(int *)arg;
	long strangers = 0;
	struct addr peer, here;

	for (int i = 0; i < ROUNDS; i++) {
		int fd;

		while ((fd = socket_accept(listener, &peer)) == -1 && errno == EAGAIN)
			;
		here = local(fd);
		strangers += !own_traffic_has(SOCK_STREAM, &peer, &here);
		close(fd);
	}
	return (void *)strangers;
}

static void a_connection_is_known_before_another_thread_can_accept_it(void **state)
{
	struct own_connection *noted[ROUNDS];
	struct addr server;
	int listener = listening(&server), fds[ROUNDS];
	pthread_t thread;
	void *strangers;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, accept_own, &listener), 0);
	for (int i = 0; i < ROUNDS; i++)
		fds[i] = connected(&server, &noted[i]);
	assert_int_equal(pthread_join(thread, &strangers), 0);
	assert_null(strangers);
	for (int i = 0; i < ROUNDS; i++) {
		own_traffic_forget(noted[i]);
		close(fds[i]);
	}
	close(listener);
}

static void datagrams_from_one_source_go_to_servers_that_differ(void **state)
{
	struct own_connection *noted[2], *none;
	struct addr servers[2], from;
	int fds[3];

	(void)state;
	assert_true(addr_parse(&from, "127.0.0.1"));
	assert_true(addr_parse(&servers[0], "127.0.0.2"));
	fds[0] = socket_open_datagrams(AF_INET);
	assert_int_equal(socket_bind_datagram_source(fds[0], &from), 0);
	assert_true(socket_local_address(fds[0], &from));
	close(fds[0]); /* its port is free */
	for (int i = 0; i < 3; i++) {
		fds[i] = socket_open_datagrams(AF_INET);
		assert_int_equal(socket_bind_datagram_source(fds[i], &from), 0);
	}
	servers[1] = servers[0];
	for (int i = 0; i < 2; i++) {
		addr_set_port(&servers[i], (uint16_t)(7 + i));
		assert_int_equal(
			own_traffic_connect(SOCK_DGRAM, fds[i], &servers[i], &noted[i]), 0);
	}
	assert_int_equal(own_traffic_connect(SOCK_DGRAM, fds[2], &servers[0], &none), -1);
	assert_int_equal(errno, EADDRINUSE);
	assert_null(none);
	own_traffic_forget(noted[0]);
	assert_int_equal(own_traffic_connect(SOCK_DGRAM, fds[2], &servers[0], &noted[0]), 0);
	for (int i = 0; i < 2; i++)
		own_traffic_forget(noted[i]);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_connection_is_known_by_both_of_its_ends),
		cmocka_unit_test(many_are_told_apart_and_forgotten_in_any_order),
		cmocka_unit_test(what_cannot_connect_is_not_noted),
		cmocka_unit_test(nothing_is_left),
		cmocka_unit_test(each_protocol_has_its_own),
		cmocka_unit_test(a_connection_is_known_before_another_thread_can_accept_it),
		cmocka_unit_test(datagrams_from_one_source_go_to_servers_that_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
