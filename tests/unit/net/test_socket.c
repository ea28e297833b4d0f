/*
 * Sockets: their options, what binds and what does not, and what they say of a connection.
 *
 * Everything is on the loopback address. What needs rights is left out for an ordinary user. socket(),
 * setsockopt() and connect() are this file's own, so that they can fail.
 */
#include "tproxy/socket.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	NOBODY = 65534,
	SECONDS = 10 * 1000 /* ms in which the kernel has done what it does on loopback */
};

static int socket_error;           /* 0: it is asked of the kernel */
static int failing_option;         /* setsockopt() fails for it */
static unsigned interfaces_asked;  /* calls of setsockopt() for SO_BINDTODEVICE */
static const struct addr *instead; /* not NULL: connect() connects to this address */

int socket(int family, int type, int protocol)
{
	if (socket_error == 0)
		return (int)syscall(SYS_socket, family, type, protocol);
	errno = socket_error;
	return -1;
}

static int connect_error; /* 0: it is asked of the kernel */

int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
	interfaces_asked += level == SOL_SOCKET && name == SO_BINDTODEVICE;
	if (failing_option == 0 || name != failing_option)
		return (int)syscall(SYS_setsockopt, fd, level, name, value, length);
	errno = ENOPROTOOPT;
	return -1;
}

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

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t length = sizeof(value);

	assert_int_equal(getsockopt(fd, level, name, &value, &length), 0);
	return value;
}

static struct addr parsed(const char *text, uint16_t port)
{
	struct addr addr;

	assert_true(addr_parse(&addr, text));
	addr_set_port(&addr, port);
	return addr;
}

static struct addr local(int fd)
{
	struct addr addr;

	assert_true(socket_local_address(fd, &addr));
	return addr;
}

/* The next descriptor: the same before and after what opens none, or closes what it opened. */
static int next_descriptor(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	close(fd);
	return fd;
}

static bool have_ipv6(void)
{
	struct addr address = parsed("::1", 0);
	int fd = socket_open(AF_INET6);
	bool have = fd != -1 && bind(fd, &address.sa, addr_length(&address)) == 0;

	close(fd);
	return have;
}

static void assert_never_blocks(int fd)
{
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static void assert_passes_bytes_as_they_come(int fd)
{
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_int_equal(option(fd, SOL_SOCKET, SO_OOBINLINE), 1);
}

static int listening(const char *text, enum socket_v6only v6only)
{
	struct socket_listener listener = {.address = parsed(text, 0), .v6only = v6only};
	int fd = socket_bind_listener(&listener, true);

	assert_int_not_equal(fd, -1);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
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
		cmocka_unit_test(a_host_that_can_be_reached_is_not_this_one),
		cmocka_unit_test(a_client_that_has_no_ip_address_is_not_accepted),
		cmocka_unit_test(asking_for_rights_leaves_no_descriptor),
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

	return cmocka_run_group_tests_name("socket", tests, NULL, NULL);
}
