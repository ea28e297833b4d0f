/*
 * Where a session connects to, and which addresses are refused.
 *
 * The addresses that a host has are this file's own: connect() of a datagram socket succeeds, and getsockname() then
 * has the address of the `own` host.
 */
#include "proxy/destination.h"

#include "proxy/session_set.h"
#include "unit.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct addr own; /* this host's address */
static int socket_error;

int socket(int family, int type, int protocol)
{
	if (socket_error == 0)
		return (int)syscall(SYS_socket, family, type, protocol);
	errno = socket_error;
	return -1;
}

/* Nothing leaves this test, and 198.51.100.255 is the broadcast address of the host's network. */
int connect(int fd, const struct sockaddr *address, socklen_t length)
{
	int allowed = 0;
	socklen_t size = sizeof(allowed);
	struct addr to, broadcast;

	(void)length;
	assert_true(addr_from_sockaddr(&to, address));
	assert_true(addr_parse(&broadcast, "198.51.100.255"));
	if (addr_compare_ip(&to, &broadcast) != 0)
		return 0;
	getsockopt(fd, SOL_SOCKET, SO_BROADCAST, &allowed, &size);
	errno = EACCES;
	return allowed ? 0 : -1;
}

int getsockname(int fd, struct sockaddr *address, socklen_t *length)
{
	(void)fd;
	*length = addr_length(&own);
	memcpy(address, &own.sa, *length);
	return 0;
}

static struct addr parsed(const char *text, uint16_t port)
{
	struct addr addr;

	assert_true(addr_parse(&addr, text));
	addr_set_port(&addr, port);
	return addr;
}

static struct addr chosen;
static int error;

/* The reason for a client that connected to IP and PORT, where the server's line says AT. */
static enum reason choose(struct server *server, const char *at, const char *ip, uint16_t port)
{
	struct session_loop loop = {.spare = -1};
	struct session_set set = {.loop = &loop};
	struct session session = {.set = &set, .server = server, .destination = parsed(ip, port)};

	server->address = parsed(at, addr_port(&server->address));
	own = parsed("192.0.2.1", 0);
	if (strchr(ip, ':') != NULL)
		own = parsed("2001:db8::1", 0);
	return destination_choose(&session, &chosen, &error);
}

static void assert_reason(enum reason reason, enum reason expected)
{
	assert_string_equal(reason_name(reason), reason_name(expected));
}

static void assert_chosen(const char *ip, uint16_t port)
{
	struct addr expected = parsed(ip, port);

	assert_true(addr_equal(&chosen, &expected));
}

static void the_destination_is_what_the_client_asked_for(void **state)
{
	struct server server = {.name = "a"};

	(void)state;
	assert_reason(choose(&server, "0.0.0.0", "198.51.100.9", 443), REASON_DONE);
	assert_chosen("198.51.100.9", 443);
	assert_reason(choose(&server, "0.0.0.0", "2001:db8::9", 443), REASON_DONE);
	assert_chosen("2001:db8::9", 443);
	assert_reason(choose(&server, "198.51.100.10", "198.51.100.9", 443), REASON_DONE);
	assert_chosen("198.51.100.10", 443);
	addr_set_port(&server.address, 80);
	assert_reason(choose(&server, "::", "198.51.100.9", 443), REASON_DONE);
	assert_chosen("198.51.100.9", 80);
	assert_int_equal(error, 0);
}

static void an_address_that_no_server_can_have_is_refused(void **state)
{
	static const char *const senseless[] = {"0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.0.1",
		"224.0.0.1", "239.255.255.255", "255.255.255.255", "198.51.100.255", "::", "::1",
		"ff02::1", "ff0e::1"};
	struct server server = {.name = "a"};

	(void)state;
	for (size_t i = 0; i < sizeof(senseless) / sizeof(senseless[0]); i++)
		assert_reason(
			choose(&server, "0.0.0.0", senseless[i], 80), REASON_DESTINATION_ADDRESS);
	assert_reason(choose(&server, "0.0.0.0", "198.51.100.9", 0), REASON_DESTINATION_ADDRESS);
}

static void the_hosts_own_address_is_refused(void **state)
{
	struct server server = {.name = "a"};

	(void)state;
	assert_reason(choose(&server, "0.0.0.0", "192.0.2.1", 22), REASON_DESTINATION_OWN);
	assert_reason(choose(&server, "0.0.0.0", "2001:db8::1", 22), REASON_DESTINATION_OWN);
	assert_reason(choose(&server, "192.0.2.1", "192.0.2.1", 22), REASON_DONE);
}

/* `bind :8080` and `server a 0.0.0.0:80`, for the addresses of this host. */
static void another_port_of_this_host_can_be_reached_from_this_host_alone(void **state)
{
	static const struct bind listener;
	struct server server = {.name = "a"};

	(void)state;
	addr_set_port(&server.address, 80);
	assert_reason(choose(&server, "0.0.0.0", "192.0.2.1", 8080), REASON_DONE);
	assert_chosen("192.0.2.1", 80);
	server.source.mode = SOURCE_ADDRESS;
	assert_reason(choose(&server, "0.0.0.0", "192.0.2.1", 8080), REASON_DONE);
	for (int mode = SOURCE_CLIENTIP; mode <= SOURCE_FOREIGN; mode++) {
		server.source.mode = (enum source_mode)mode;
		assert_reason(
			choose(&server, "0.0.0.0", "192.0.2.1", 8080), REASON_DESTINATION_OWN);
	}
	server.source.mode = SOURCE_ROUTED;
	server.loop = &listener;
	assert_reason(choose(&server, "0.0.0.0", "192.0.2.1", 8080), REASON_DESTINATION_OWN);
	assert_reason(choose(&server, "0.0.0.0", "198.51.100.9", 8080), REASON_DONE);
}

static void an_address_that_cannot_be_asked_about_is_refused(void **state)
{
	struct server server = {.name = "a"};

	(void)state;
	socket_error = EMFILE;
	assert_reason(choose(&server, "0.0.0.0", "198.51.100.9", 80), REASON_DESCRIPTORS);
	assert_int_equal(error, EMFILE);
	socket_error = EAFNOSUPPORT;
	assert_reason(choose(&server, "0.0.0.0", "2001:db8::9", 80), REASON_CONNECT_FAILED);
	assert_int_equal(error, EAFNOSUPPORT);
	socket_error = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_destination_is_what_the_client_asked_for),
		cmocka_unit_test(an_address_that_no_server_can_have_is_refused),
		cmocka_unit_test(the_hosts_own_address_is_refused),
		cmocka_unit_test(another_port_of_this_host_can_be_reached_from_this_host_alone),
		cmocka_unit_test(an_address_that_cannot_be_asked_about_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
