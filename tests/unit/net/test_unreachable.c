/*
 * Reports to clients: their kernel finds the socket, and says what the report says. They need CAP_NET_RAW.
 */
#include "tproxy/unreachable.h"

#include "tproxy/datagram.h"
#include "tproxy/socket.h"
#include "unit.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static struct addr parsed(const char *text, uint16_t port)
{
	struct addr addr;

	assert_true(addr_parse(&addr, text));
	addr_set_port(&addr, port);
	return addr;
}

/* A client's socket whose datagrams go to an address of this host at which no socket is. -1: no such family here. */
static int connected(const char *from, const struct addr *to, struct addr *client)
{
	struct addr any = parsed(from, 0);
	int fd = socket_open_datagrams(addr_family(to));

	if (fd == -1 || bind(fd, &any.sa, addr_length(&any)) == -1 ||
		connect(fd, &to->sa, addr_length(to)) == -1 || !socket_local_address(fd, client)) {
		close(fd);
		return -1;
	}
	assert_int_equal(datagram_report_errors(fd, addr_family(to)), 0);
	return fd;
}

static void assert_reported(const char *from, const char *destination)
{
	static const int errors[] = {[UNREACHABLE_NETWORK] = ENETUNREACH,
		[UNREACHABLE_HOST] = EHOSTUNREACH,
		[UNREACHABLE_PORT] = ECONNREFUSED};
	struct addr to = parsed(destination, 7099), client;
	int fd = connected(from, &to, &client);
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	char data[16];

	if (fd == -1)
		skip();
	for (int what = 0; what < 3; what++) {
		if (unreachable_report((enum unreachable)what, &client, &to) == -1) {
			assert_int_equal(errno, EPERM);
			skip();
		}
		assert_int_equal(poll(&ready, 1, 10 * 1000), 1);
		assert_int_equal(recv(fd, data, sizeof(data), 0), -1);
		assert_int_equal(errno, errors[what]);
		datagram_discard_errors(fd);
		assert_int_equal(poll(&ready, 1, 0), 0);
	}
	close(fd);
}

static void an_ipv4_client_gets_the_report(void **state)
{
	(void)state;
	assert_reported("127.0.0.1", "127.0.0.9");
}

static void an_ipv6_client_gets_the_report(void **state)
{
	(void)state;
	assert_reported("::1", "::1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_ipv4_client_gets_the_report),
		cmocka_unit_test(an_ipv6_client_gets_the_report),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
