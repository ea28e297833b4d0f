/*
 * Datagram sockets, and the destination that the kernel reports beside a datagram.
 */
#include "tproxy/datagram.h"
#include "tproxy/socket.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t length = sizeof(value);

	assert_int_equal(getsockopt(fd, level, name, &value, &length), 0);
	return value;
}

static const struct {
	int family;
	const char *loopback;
} families[] = {{AF_INET, "127.0.0.1"}, {AF_INET6, "::1"}};

/* A socket on the wildcard address; -1 where this host has no such family. */
static int receiver(int family, struct addr *to, const char *loopback)
{
	struct addr any = addr_any(family), local;
	int fd = datagram_open(family);

	assert_true(addr_parse(to, loopback));
	if (fd == -1 || bind(fd, &to->sa, addr_length(to)) == -1)
		return -1;
	close(fd);
	fd = datagram_open(family);
	assert_int_equal(bind(fd, &any.sa, addr_length(&any)), 0);
	assert_true(socket_local_address(fd, &local));
	addr_set_port(to, addr_port(&local));
	return fd;
}

static int hops; /* of what is sent; 0: the kernel's default */

/* Sends TEXT to an address, and returns where it came from. */
static struct addr send_to(const struct addr *to, int receiver, const char *text)
{
	int fd = datagram_open(addr_family(to));
	struct pollfd ready = {.fd = receiver, .events = POLLIN};
	struct addr from;

	if (hops != 0 && addr_family(to) == AF_INET)
		assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_TTL, &hops, sizeof(hops)), 0);
	else if (hops != 0)
		assert_int_equal(
			setsockopt(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &hops, sizeof(hops)), 0);
	assert_int_equal(connect(fd, &to->sa, addr_length(to)), 0);
	assert_true(socket_local_address(fd, &from));
	assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
	assert_int_equal(poll(&ready, 1, 10 * 1000), 1);
	close(fd);
	return from;
}

static void a_datagram_socket_has_its_options(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		int fd = datagram_open(families[i].family);

		if (fd == -1 && families[i].family == AF_INET6)
			continue;
		assert_int_equal(option(fd, SOL_SOCKET, SO_DOMAIN), families[i].family);
		assert_int_equal(option(fd, SOL_SOCKET, SO_TYPE), SOCK_DGRAM);
		assert_int_equal(option(fd, SOL_SOCKET, SO_REUSEADDR), 1);
		assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
		assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		close(fd);
	}
	assert_int_equal(datagram_open(AF_UNIX), -1);
}

/* Other control messages may stand before it. */
static void a_datagram_comes_with_its_source_and_its_destination(void **state)
{
	int on = 1;

	(void)state;
	for (int i = 0; i < 4; i++) {
		int family = families[i % 2].family;
		struct addr to, from, destination, expected;
		int fd = receiver(family, &to, families[i % 2].loopback);
		char data[16];

		if (fd == -1)
			continue;
		assert_int_equal(datagram_report_destination(fd, family), 0);
		if (i >= 2 && family == AF_INET)
			setsockopt(fd, IPPROTO_IP, IP_RECVTTL, &on, sizeof(on));
		if (i >= 2 && family == AF_INET6)
			setsockopt(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &on, sizeof(on));
		expected = send_to(&to, fd, "hello");
		assert_int_equal(datagram_receive(fd, data, sizeof(data), &from, &destination), 5);
		assert_memory_equal(data, "hello", 5);
		assert_true(addr_equal(&from, &expected));
		assert_true(addr_equal(&destination, &to));
		close(fd);
	}
}

/*
 * Other control messages are none, also where their first bytes look like an address's family: a TTL of
 * 2 is AF_INET, a hop limit of 10 is AF_INET6.
 */
static void a_destination_that_is_not_reported_is_of_no_family(void **state)
{
	int on = 1;

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct addr to, from, destination;
		int fd = receiver(families[i].family, &to, families[i].loopback);
		char data[4];

		if (fd == -1)
			continue;
		assert_true(addr_parse(&destination, "192.0.2.9"));
		if (i == 0)
			setsockopt(fd, IPPROTO_IP, IP_RECVTTL, &on, sizeof(on));
		else
			setsockopt(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &on, sizeof(on));
		hops = families[i].family;
		send_to(&to, fd, "longer than the room");
		hops = 0;
		assert_int_equal(datagram_receive(fd, data, sizeof(data), &from, &destination), 4);
		assert_memory_equal(data, "long", 4);
		assert_int_equal(addr_family(&destination), AF_UNSPEC);
		close(fd);
	}
}

static void without_a_datagram_there_is_an_error(void **state)
{
	struct addr to, from, destination;
	int fd = receiver(AF_INET, &to, "127.0.0.1");
	char data[4];

	(void)state;
	assert_int_equal(datagram_receive(fd, data, sizeof(data), &from, &destination), -1);
	assert_int_equal(errno, EAGAIN);
	close(fd);
}

static void a_source_that_is_no_ip_address_is_an_error(void **state)
{
	struct addr from, destination;
	char data[4];
	int ends[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(send(ends[0], "x", 1, 0), 1);
	errno = 0;
	assert_int_equal(datagram_receive(ends[1], data, sizeof(data), &from, &destination), -1);
	assert_int_equal(errno, EPROTO);
	close(ends[0]);
	close(ends[1]);
}

static void what_is_no_socket_reports_nothing(void **state)
{
	int file = eventfd(0, EFD_CLOEXEC);

	(void)state;
	assert_int_equal(datagram_report_destination(file, AF_INET), -1);
	assert_int_equal(datagram_report_destination(file, AF_INET6), -1);
	close(file);
}

static void an_error_says_whose_datagram_it_was(void **state)
{
	struct addr nowhere, peer, local;
	int fd = socket_open_datagrams(AF_INET), other = socket_open_datagrams(AF_INET);
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	struct addr from;

	(void)state;
	assert_true(addr_parse(&from, "127.0.0.3"));
	assert_true(addr_parse(&nowhere, "127.0.0.4"));
	assert_int_equal(bind(fd, &from.sa, addr_length(&from)), 0);
	assert_int_equal(bind(other, &nowhere.sa, addr_length(&nowhere)), 0);
	assert_true(socket_local_address(other, &nowhere));
	close(other);
	assert_int_equal(datagram_report_destination(fd, AF_INET), 0);
	assert_int_equal(datagram_report_errors(fd, AF_INET), 0);
	assert_int_equal(datagram_take_error(fd, &peer, &local), 0);
	assert_int_equal(sendto(fd, "text", 4, 0, &nowhere.sa, addr_length(&nowhere)), 4);
	assert_int_equal(poll(&ready, 1, 10 * 1000), 1);
	assert_int_equal(datagram_take_error(fd, &peer, &local), ECONNREFUSED);
	assert_true(addr_equal(&peer, &nowhere));
	assert_int_equal(addr_compare_ip(&local, &from), 0);
	assert_int_equal(datagram_take_error(fd, &peer, &local), 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_datagram_socket_has_its_options),
		cmocka_unit_test(a_datagram_comes_with_its_source_and_its_destination),
		cmocka_unit_test(a_destination_that_is_not_reported_is_of_no_family),
		cmocka_unit_test(without_a_datagram_there_is_an_error),
		cmocka_unit_test(a_source_that_is_no_ip_address_is_an_error),
		cmocka_unit_test(what_is_no_socket_reports_nothing),
		cmocka_unit_test(an_error_says_whose_datagram_it_was),
	};

	return cmocka_run_group_tests_name("datagram", tests, NULL, NULL);
}
