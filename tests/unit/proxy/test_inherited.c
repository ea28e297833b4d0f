/*
 * Sockets that a service manager has bound: the test puts them where $LISTEN_FDS says.
 */
#include "proxy/inherited.h"

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	FIRST = 3,
	PID = 4711
};

/* FD becomes the descriptor with the next number from FIRST on. */
static unsigned passed;

static void pass(int fd)
{
	int number = FIRST + (int)passed++;

	assert_int_not_equal(fd, -1);
	if (fd == number)
		return;
	assert_int_equal(dup2(fd, number), number);
	close(fd);
}

static int receive(const char *count, const char *pid, const char *names)
{
	setenv("LISTEN_FDS", count, 1);
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_PIDFDID", "1", 1);
	if (names != NULL)
		setenv("LISTEN_FDNAMES", names, 1);
	return inherited_receive(PID);
}

static int give_back(void **state)
{
	(void)state;
	inherited_close();
	for (unsigned i = 0; i < passed; i++)
		close(FIRST + (int)i);
	passed = 0;
	return 0;
}

static struct socket_listener on(const char *address, bool datagrams)
{
	struct socket_listener place = {.datagrams = datagrams};

	assert_true(addr_parse(&place.address, address));
	return place;
}

/* A socket as a manager makes it, at a free port, which is set in PLACE. */
static int bind_there(struct socket_listener *place, bool shared)
{
	struct sockaddr_storage bound;
	socklen_t length = sizeof(bound);
	int fd = socket(
		addr_family(&place->address), place->datagrams ? SOCK_DGRAM : SOCK_STREAM, 0);

	assert_int_not_equal(fd, -1);
	if (shared)
		assert_int_equal(socket_share(fd), 0);
	assert_int_equal(bind(fd, &place->address.sa, addr_length(&place->address)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&bound, &length), 0);
	assert_true(addr_from_sockaddr(&place->address, (struct sockaddr *)&bound));
	return fd;
}

static void pass_listener(struct socket_listener *place, bool shared)
{
	int fd = bind_there(place, shared);

	if (!place->datagrams)
		assert_int_equal(listen(fd, 5), 0);
	pass(fd);
}

static void assert_removed(void)
{
	assert_null(getenv("LISTEN_FDS"));
	assert_null(getenv("LISTEN_PID"));
	assert_null(getenv("LISTEN_PIDFDID"));
	assert_null(getenv("LISTEN_FDNAMES"));
}

static void only_the_process_that_was_started_has_them(void **state)
{
	static const char *const others[] = {"4712", "", "x", "-4711", "4711 "};
	struct socket_listener place = on("127.0.0.1", false);

	(void)state;
	pass_listener(&place, false);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		assert_int_equal(receive("1", others[i], NULL), 0);
		assert_int_equal(inherited_count(), 0);
		assert_removed();
	}
	assert_int_equal(inherited_receive(PID), 0);
	assert_int_equal(inherited_count(), 0);
	assert_int_equal(receive("1", "4711", "web"), 0);
	assert_int_equal(inherited_count(), 1);
	assert_removed();
	assert_int_equal(fcntl(FIRST, F_GETFD), FD_CLOEXEC);
	assert_true(inherited_has(&place, false));
	assert_false(inherited_has(&place, true));
}

static void a_bad_count_is_an_error(void **state)
{
	static const char *const bad[] = {
		"", "0", "-1", "1x", " 1", "99999999999999999999", "65537"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(receive(bad[i], "4711", NULL), -1);
		assert_int_equal(inherited_count(), 0);
		assert_removed();
	}
}

static const struct config nothing;

static void assert_problem(size_t index, const struct config *config, const char *wanted)
{
	char text[INHERITED_TEXT_MAX];

	assert_true(inherited_problem(index, config, "a.cfg", text));
	assert_string_equal(text, wanted);
}

static int connected_datagrams(void)
{
	struct socket_listener place = on("127.0.0.1", true);
	int fd = bind_there(&place, false);

	assert_int_equal(connect(fd, &place.address.sa, addr_length(&place.address)), 0);
	return fd;
}

static void what_no_client_can_reach_is_named(void **state)
{
	struct socket_listener place = on("127.0.0.1", false);

	(void)state;
	pass(open("/dev/null", O_RDONLY));
	pass(socket(AF_UNIX, SOCK_STREAM, 0));
	pass(bind_there(&place, false));
	pass(connected_datagrams());
	close(FIRST + 4);
	assert_int_equal(receive("9", "4711", "a:b::d"), 0);
	assert_int_equal(inherited_count(), 5);
	assert_problem(0, &nothing,
		"descriptor 3 (a) of the service manager cannot be served: it is not a socket; remove OpenFile= and FileDescriptorStoreMax= from the unit");
	assert_problem(1, &nothing,
		"descriptor 4 (b) of the service manager cannot be served: it is not a socket of TCP or UDP over IPv4 or IPv6; write ListenStream=ADDRESS:PORT or ListenDatagram=ADDRESS:PORT in the .socket unit");
	assert_problem(2, &nothing,
		"descriptor 5 (no name) of the service manager cannot be served: it is a socket that does not listen; write Accept=no in the .socket unit");
	assert_problem(3, &nothing,
		"descriptor 6 (d) of the service manager cannot be served: it is a socket that does not listen; write Accept=no in the .socket unit");
	assert_problem(4, &nothing,
		"descriptor 7 (no name) of the service manager cannot be served: it is not open, but $LISTEN_FDS counts it");
	assert_false(inherited_has(&place, false));
}

/* A configuration of one bind line. */
static struct bind line;
static struct proxy section = {.binds = &line, .bind_count = 1};
static const struct config one_line = {.proxies = &section, .proxy_count = 1};

static void set_line(const struct addr *address, enum mode mode, enum v6_mode v6_mode)
{
	line = (struct bind){.address = *address, .v6_mode = v6_mode, .line = 7};
	section.mode = mode;
}

static void assert_served(void)
{
	char text[INHERITED_TEXT_MAX];

	assert_false(inherited_problem(0, &one_line, "a.cfg", text));
}

static void each_needs_its_bind_line(void **state)
{
	struct socket_listener place = on("127.0.0.1", false);
	char address[ADDR_TEXT_MAX], wanted[INHERITED_TEXT_MAX];
	struct addr other;

	(void)state;
	pass_listener(&place, false);
	assert_int_equal(receive("1", "4711", "web.socket"), 0);
	set_line(&place.address, MODE_TCP, V6_SYSTEM);
	assert_served();
	line.transparent = true;
	assert_served();
	snprintf(wanted, sizeof(wanted),
		"a.cfg: no bind line for the socket %s (TCP, web.socket) of the service manager; write `bind %s` in a section of `mode tcp`, or remove the address from the .socket unit",
		addr_format(&place.address, address), address);
	assert_problem(0, &nothing, wanted);
	section.mode = MODE_UDP;
	assert_problem(0, &one_line, wanted);
	assert_true(addr_parse(&other, "127.0.0.2"));
	addr_set_port(&other, addr_port(&place.address));
	set_line(&other, MODE_TCP, V6_SYSTEM);
	assert_problem(0, &one_line, wanted);
	other = place.address;
	addr_set_port(&other, addr_port(&other) + 1);
	set_line(&other, MODE_TCP, V6_SYSTEM);
	assert_problem(0, &one_line, wanted);
	set_line(&place.address, MODE_TCP, V6_SYSTEM);
	line.interface = "lo";
	snprintf(wanted, sizeof(wanted),
		"a.cfg: no bind line for the socket %s (TCP, web.socket) of the service manager, and line 7 differs from it; write `bind %s` in a section of `mode tcp`, or remove the address from the .socket unit",
		address, address);
	assert_problem(0, &one_line, wanted);
}

static void a_second_one_at_a_place_is_an_error(void **state)
{
	struct socket_listener place = on("127.0.0.1", false);
	char wanted[INHERITED_TEXT_MAX], address[ADDR_TEXT_MAX];

	(void)state;
	pass_listener(&place, true);
	pass_listener(&place, true);
	assert_int_equal(receive("2", "4711", NULL), 0);
	set_line(&place.address, MODE_TCP, V6_SYSTEM);
	assert_served();
	snprintf(wanted, sizeof(wanted),
		"the service manager has two sockets for %s, and clients of the second one would wait; remove one from the .socket unit",
		addr_format(&place.address, address));
	assert_problem(1, &one_line, wanted);
}

static void the_wildcard_of_ipv6_is_for_the_families_of_its_line(void **state)
{
	struct socket_listener place = on("::", false);
	int only = 1, fd = socket(AF_INET6, SOCK_STREAM, 0);
	socklen_t length = addr_length(&place.address);
	char address[ADDR_TEXT_MAX], wanted[INHERITED_TEXT_MAX];

	(void)state;
	if (fd == -1)
		skip();
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
	assert_int_equal(bind(fd, &place.address.sa, length), 0);
	assert_int_equal(getsockname(fd, &place.address.sa, &length), 0);
	assert_int_equal(listen(fd, 5), 0);
	pass(fd);
	assert_int_equal(receive("1", "4711", NULL), 0);
	set_line(&place.address, MODE_TCP, V6_SYSTEM);
	assert_served();
	set_line(&place.address, MODE_TCP, V6_ONLY);
	assert_served();
	set_line(&place.address, MODE_TCP, V6_AND_V4);
	snprintf(wanted, sizeof(wanted),
		"a.cfg: no bind line for the socket %s (TCP, no name) of the service manager, and line 7 differs from it; write `bind %s v6only` in a section of `mode tcp`, or remove the address from the .socket unit",
		addr_format(&place.address, address), address);
	assert_problem(0, &one_line, wanted);
}

static ino_t inode(int fd)
{
	struct stat file;

	assert_int_equal(fstat(fd, &file), 0);
	return file.st_ino;
}

/* What three threads get: whether it is the manager's socket. */
static void assert_dealt(const struct socket_listener *place, bool second, bool third)
{
	const bool own[] = {true, second, third};
	int fds[3];

	inherited_deal();
	for (int i = 0; i < 3; i++) {
		fds[i] = inherited_take(place);
		assert_int_not_equal(fds[i], -1);
		assert_int_equal(inode(fds[i]) == inode(FIRST), own[i]);
		assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
		assert_true(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
	}
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

static void threads_read_one_queue(void **state)
{
	struct socket_listener place = on("127.0.0.1", false);

	(void)state;
	pass_listener(&place, false);
	assert_int_equal(receive("1", "4711", NULL), 0);
	assert_dealt(&place, true, true);
	assert_false(socket_is_shared(FIRST));
	assert_dealt(&place, true, true); /* for a reload */
}

static void where_the_manager_shares_the_address_each_has_its_own(void **state)
{
	struct socket_listener place = on("127.0.0.1", false);

	(void)state;
	pass_listener(&place, true);
	assert_int_equal(receive("1", "4711", NULL), 0);
	assert_dealt(&place, false, false);
	assert_dealt(&place, false, false);
}

static void of_datagrams_each_has_its_own(void **state)
{
	struct socket_listener place = on("127.0.0.1", true), stream = place;

	(void)state;
	pass_listener(&place, false);
	assert_int_equal(receive("1", "4711", NULL), 0);
	assert_dealt(&place, false, false);
	stream.address = place.address;
	stream.datagrams = false;
	assert_false(inherited_has(&stream, false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(only_the_process_that_was_started_has_them, give_back),
		cmocka_unit_test_teardown(a_bad_count_is_an_error, give_back),
		cmocka_unit_test_teardown(what_no_client_can_reach_is_named, give_back),
		cmocka_unit_test_teardown(each_needs_its_bind_line, give_back),
		cmocka_unit_test_teardown(a_second_one_at_a_place_is_an_error, give_back),
		cmocka_unit_test_teardown(
			the_wildcard_of_ipv6_is_for_the_families_of_its_line, give_back),
		cmocka_unit_test_teardown(threads_read_one_queue, give_back),
		cmocka_unit_test_teardown(
			where_the_manager_shares_the_address_each_has_its_own, give_back),
		cmocka_unit_test_teardown(of_datagrams_each_has_its_own, give_back),
	};

	return cmocka_run_group_tests_name("inherited", tests, NULL, NULL);
}
