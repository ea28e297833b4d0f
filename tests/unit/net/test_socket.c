/*
 * Sockets: their options, what binds and what does not, and the rights that it needs.
 *
 * Everything is on the loopback address. What needs rights is left out for an ordinary user. socket() and
 * setsockopt() are this file's own, so that they can fail.
 */
#include "sockets.h"

#include <errno.h>
#include <net/if.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	NOBODY = 65534
};

static int socket_error;          /* 0: it is asked of the kernel */
static int failing_option;        /* setsockopt() fails for it */
static unsigned interfaces_asked; /* calls of setsockopt() for SO_BINDTODEVICE */

int socket(int family, int type, int protocol)
{
	if (socket_error == 0)
		return (int)syscall(SYS_socket, family, type, protocol);
	errno = socket_error;
	return -1;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
	interfaces_asked += level == SOL_SOCKET && name == SO_BINDTODEVICE;
	if (failing_option == 0 || name != failing_option)
		return (int)syscall(SYS_setsockopt, fd, level, name, value, length);
	errno = ENOPROTOOPT;
	return -1;
}

/* --- opening and binding --- */

static void a_socket_for_a_server_has_its_options(void **state)
{
	static const int families[] = {AF_INET, AF_INET6};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		int fd = socket_open(families[i]);

		if (fd == -1 && families[i] == AF_INET6)
			continue;
		assert_int_equal(option(fd, SOL_SOCKET, SO_DOMAIN), families[i]);
		assert_int_equal(option(fd, SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP);
		assert_never_blocks(fd);
		assert_passes_bytes_as_they_come(fd);
		assert_int_equal(option(fd, IPPROTO_IP, IP_TRANSPARENT), 0);
		close(fd);
	}
}

static void a_socket_for_datagrams_has_its_options(void **state)
{
	static const int families[] = {AF_INET, AF_INET6};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		int fd = socket_open_datagrams(families[i]);

		if (fd == -1 && families[i] == AF_INET6)
			continue;
		assert_int_equal(option(fd, SOL_SOCKET, SO_DOMAIN), families[i]);
		assert_int_equal(option(fd, SOL_SOCKET, SO_PROTOCOL), IPPROTO_UDP);
		assert_int_equal(option(fd, SOL_SOCKET, SO_REUSEADDR), 0);
		assert_never_blocks(fd);
		close(fd);
	}
}

static void a_listener_of_datagrams_shares_its_address_only_with_its_own(void **state)
{
	struct socket_listener listener = {.address = parsed("127.0.0.1", 0), .datagrams = true};
	int first = socket_bind_listener(&listener, true), later, fd;

	(void)state;
	listener.address = local(first);
	assert_int_equal(option(first, SOL_SOCKET, SO_PROTOCOL), IPPROTO_UDP);
	assert_int_equal(option(first, SOL_SOCKET, SO_REUSEADDR), 0);
	assert_int_equal(socket_bind_listener(&listener, true), -1);
	assert_int_equal(errno, EADDRINUSE);
	later = socket_bind_listener(&listener, false);
	assert_int_not_equal(later, -1);
	fd = socket_open_datagrams(AF_INET);
	assert_int_equal(socket_bind_datagram_source(fd, &listener.address), -1);
	assert_int_equal(errno, EADDRINUSE);
	close(later);
	close(first);
	assert_int_equal(socket_bind_datagram_source(fd, &listener.address), 0);
	close(fd);
}

static void a_family_without_tcp_has_no_socket(void **state)
{
	struct socket_listener listener = {.address = addr_any(AF_UNIX)};

	(void)state;
	assert_int_equal(socket_open(AF_UNIX), -1);
	assert_int_equal(socket_bind_listener(&listener, true), -1);
	assert_int_equal(errno, EPROTONOSUPPORT);
	assert_int_equal(socket_address_kind(&listener.address), ADDRESS_UNKNOWN);
}

static void a_listener_has_its_options_and_its_address(void **state)
{
	struct socket_listener listener = {.address = parsed("127.0.0.1", 0)};
	struct addr bound;

	(void)state;
	for (int first = 0; first < 2; first++) {
		int fd = socket_bind_listener(&listener, first);

		assert_int_not_equal(fd, -1);
		assert_never_blocks(fd);
		assert_passes_bytes_as_they_come(fd);
		assert_int_equal(option(fd, SOL_SOCKET, SO_REUSEADDR), 1);
		assert_int_equal(option(fd, SOL_SOCKET, SO_REUSEPORT), 1);
		assert_int_equal(option(fd, IPPROTO_IP, IP_TRANSPARENT), 0);
		bound = local(fd);
		assert_int_not_equal(addr_port(&bound), 0);
		addr_set_port(&bound, 0);
		assert_true(addr_equal(&bound, &listener.address));
		close(fd);
	}
}

static void only_later_sockets_of_the_first_share_its_address(void **state)
{
	int fd = listening("127.0.0.1", SOCKET_V6ONLY_SYSTEM), later, next;
	struct socket_listener same = {.address = local(fd)};

	(void)state;
	next = next_descriptor();
	assert_int_equal(socket_bind_listener(&same, true), -1);
	assert_int_equal(errno, EADDRINUSE);
	assert_int_equal(next_descriptor(), next);
	later = socket_bind_listener(&same, false);
	assert_int_not_equal(later, -1);
	assert_int_equal(listen(later, 8), 0);
	close(later);
	close(fd);
}

static void an_address_that_is_not_here_is_not_bound(void **state)
{
	struct socket_listener listener = {.address = parsed("192.0.2.80", 0)};
	int next = next_descriptor();

	(void)state;
	assert_int_equal(socket_bind_listener(&listener, true), -1);
	assert_int_equal(errno, EADDRNOTAVAIL);
	assert_int_equal(next_descriptor(), next);
}

static void v6only_is_what_was_configured(void **state)
{
	struct socket_listener listener = {.address = addr_any(AF_INET6)};
	int fd, plain;

	(void)state;
	if (!have_ipv6())
		skip();
	plain = socket_open(AF_INET6);
	for (int only = 0; only < 3; only++) {
		int expected = only == SOCKET_V6ONLY_SYSTEM
				       ? option(plain, IPPROTO_IPV6, IPV6_V6ONLY)
				       : only == SOCKET_V6ONLY_ON;

		listener.v6only = (enum socket_v6only)only;
		fd = socket_bind_listener(&listener, true);
		assert_int_equal(option(fd, IPPROTO_IPV6, IPV6_V6ONLY), expected);
		close(fd);
	}
	close(plain);
}

static void v6only_means_nothing_for_ipv4(void **state)
{
	(void)state;
	close(listening("127.0.0.1", SOCKET_V6ONLY_ON));
	close(listening("127.0.0.1", SOCKET_V6ONLY_OFF));
}

static void a_listener_is_bound_to_its_interface(void **state)
{
	struct socket_listener listener = {.address = parsed("127.0.0.1", 0), .interface = "lo"};
	char name[IFNAMSIZ] = "";
	socklen_t length = sizeof(name);
	int fd = socket_bind_listener(&listener, true);

	(void)state;
	if (fd == -1 && errno == EPERM)
		skip(); /* before Linux 5.7 */
	assert_int_not_equal(fd, -1);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &length), 0);
	assert_string_equal(name, "lo");
	close(fd);
}

/* The kernel cuts a longer name, and would find the interface of 15 bytes. */
static void an_interface_that_is_not_there_is_an_error(void **state)
{
	static const char *const names[] = {"tproxy-no-such", "a-name-too-long1"};
	int next = next_descriptor();

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct socket_listener listener = {
			.address = parsed("127.0.0.1", 0), .interface = names[i]};

		errno = 0;
		interfaces_asked = 0;
		assert_int_equal(socket_bind_listener(&listener, true), -1);
		assert_int_equal(errno, ENODEV);
		assert_int_equal(interfaces_asked, i == 0);
		assert_int_equal(next_descriptor(), next);
	}
}

/* --- rights --- */

static void a_transparent_listener_binds_an_address_that_is_not_here(void **state)
{
	static const char *const texts[] = {"192.0.2.80", "2001:db8::80"};

	(void)state;
	if (!socket_may_be_transparent())
		skip();
	for (int i = 0; i < (have_ipv6() ? 2 : 1); i++) {
		struct socket_listener listener = {
			.address = parsed(texts[i], 0), .transparent = true};
		int fd = socket_bind_listener(&listener, true);

		assert_int_not_equal(fd, -1);
		assert_int_equal(i == 0 ? option(fd, IPPROTO_IP, IP_TRANSPARENT)
					: option(fd, IPPROTO_IPV6, IPV6_TRANSPARENT),
			1);
		close(fd);
	}
}

static void without_rights_nothing_is_transparent(void **state)
{
	struct socket_listener listener = {.address = parsed("127.0.0.1", 0), .transparent = true};
	int next = next_descriptor(), fd, error;
	bool may;

	(void)state;
	if (geteuid() != 0 || seteuid(NOBODY) != 0)
		skip();
	may = socket_may_be_transparent();
	fd = socket_bind_listener(&listener, true);
	error = errno;
	assert_int_equal(seteuid(0), 0);
	assert_false(may);
	assert_int_equal(fd, -1);
	assert_int_equal(error, EPERM);
	assert_int_equal(next_descriptor(), next);
}

static void what_listens_becomes_transparent_and_plain_again(void **state)
{
	struct socket_listener listener = {.address = parsed("127.0.0.1", 0)};
	int fd = socket_bind_listener(&listener, true), value;
	socklen_t length = sizeof(value);

	(void)state;
	if (!socket_may_be_transparent())
		skip();
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(socket_set_transparent(fd, AF_INET), 0);
	assert_int_equal(socket_clear_transparent(fd, AF_INET), 0);
	assert_int_equal(getsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &value, &length), 0);
	assert_int_equal(value, 0);
	close(fd);
	listener.address = parsed("::1", 0);
	fd = socket_bind_listener(&listener, true);
	if (fd == -1)
		return; /* no IPv6 here */
	assert_int_equal(socket_set_transparent(fd, AF_INET6), 0);
	assert_int_equal(socket_clear_transparent(fd, AF_INET6), 0);
	assert_int_equal(getsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &value, &length), 0);
	assert_int_equal(value, 0);
	close(fd);
}

static void what_may_be_transparent_can_be_made_so(void **state)
{
	int fd = socket_open(AF_INET), on = 1;
	bool can = setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof(on)) == 0;

	(void)state;
	assert_int_equal(socket_may_be_transparent(), can);
	socket_error = EMFILE;
	can = socket_may_be_transparent();
	socket_error = 0;
	assert_false(can);
	close(fd);
}

/* Nothing is bound without an option that was to be set. */
static void an_option_that_cannot_be_set_is_an_error(void **state)
{
	static const int listeners[] = {SO_REUSEADDR, SO_REUSEPORT};
	struct socket_listener listener = {.address = parsed("127.0.0.1", 0)};
	struct addr source = parsed("127.0.0.2", 0), bound;
	int next = next_descriptor(), fd;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		failing_option = listeners[i / 2];
		fd = socket_bind_listener(&listener, i % 2 == 0);
		failing_option = 0;
		assert_int_equal(fd, -1);
		assert_int_equal(next_descriptor(), next);
	}
	fd = socket_open(AF_INET);
	failing_option = IP_BIND_ADDRESS_NO_PORT;
	assert_int_equal(socket_bind_source(fd, &source), -1);
	failing_option = 0;
	bound = local(fd);
	assert_true(addr_is_any(&bound));
	close(fd);
}

static void asking_for_rights_leaves_no_descriptor(void **state)
{
	int next = next_descriptor();

	(void)state;
	socket_may_be_transparent();
	assert_int_equal(next_descriptor(), next);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_socket_for_a_server_has_its_options),
		cmocka_unit_test(a_family_without_tcp_has_no_socket),
		cmocka_unit_test(a_socket_for_datagrams_has_its_options),
		cmocka_unit_test(a_listener_of_datagrams_shares_its_address_only_with_its_own),
		cmocka_unit_test(a_listener_has_its_options_and_its_address),
		cmocka_unit_test(only_later_sockets_of_the_first_share_its_address),
		cmocka_unit_test(an_address_that_is_not_here_is_not_bound),
		cmocka_unit_test(v6only_is_what_was_configured),
		cmocka_unit_test(v6only_means_nothing_for_ipv4),
		cmocka_unit_test(a_listener_is_bound_to_its_interface),
		cmocka_unit_test(an_interface_that_is_not_there_is_an_error),
		cmocka_unit_test(a_transparent_listener_binds_an_address_that_is_not_here),
		cmocka_unit_test(without_rights_nothing_is_transparent),
		cmocka_unit_test(what_may_be_transparent_can_be_made_so),
		cmocka_unit_test(what_listens_becomes_transparent_and_plain_again),
		cmocka_unit_test(an_option_that_cannot_be_set_is_an_error),
		cmocka_unit_test(asking_for_rights_leaves_no_descriptor),
	};

	return cmocka_run_group_tests_name("socket", tests, NULL, NULL);
}
