/*
 * What the kernel answers about sockets, byte by byte: which answers are believed.
 */
#include "hoststate/sockets.h"
#include "unit.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <limits.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <string.h>

/* An answer of one message with this type and payload. */
static int taken(uint16_t type, const void *payload, size_t length)
{
	char room[256] = {0};
	struct nlmsghdr *message = mnl_nlmsg_put_header(room);
	struct host_sockets sockets = {0};
	int result;

	message->nlmsg_type = type;
	memcpy(mnl_nlmsg_put_extra_header(message, length), payload, length);
	message->nlmsg_len = MNL_NLMSG_HDRLEN + (uint32_t)length;
	errno = 0;
	result = sockets_parse(&sockets, IPPROTO_TCP, 0, room, message->nlmsg_len);
	if (result == -1)
		assert_int_equal(sockets.count, 0);
	sockets_free(&sockets);
	return result;
}

static void assert_error(uint16_t type, int number, int expected)
{
	assert_int_equal(taken(type, &number, sizeof(number)), -1);
	assert_int_equal(errno, expected);
}

static void kernel_errors_outside_their_range_are_refused(void **state)
{
	(void)state;
	assert_error(NLMSG_ERROR, -ENOENT, ENOENT);
	assert_error(NLMSG_DONE, -EINTR, EINTR);
	assert_error(NLMSG_ERROR, INT_MIN, EPROTO);
	assert_error(NLMSG_DONE, INT_MIN, EPROTO);
	assert_error(NLMSG_ERROR, 1, EPROTO);
	assert_error(NLMSG_ERROR, -4096, EPROTO);
}

static void only_a_valid_end_ends_the_list(void **state)
{
	int none = 0;

	(void)state;
	assert_int_equal(taken(NLMSG_DONE, &none, sizeof(none)), 0);
	assert_error(NLMSG_ERROR, 0, EPROTO);
	assert_int_equal(taken(NLMSG_DONE, &none, 0), -1);
	assert_int_equal(taken(NLMSG_ERROR, &none, 3), -1);
	assert_int_equal(taken(NLMSG_OVERRUN, &none, sizeof(none)), -1);
	assert_int_equal(errno, ENOBUFS);
}

static void a_socket_that_is_cut_off_is_refused(void **state)
{
	struct inet_diag_msg socket = {.idiag_family = AF_INET, .idiag_state = 10};

	(void)state;
	assert_int_equal(taken(SOCK_DIAG_BY_FAMILY, &socket, sizeof(socket)), 1);
	for (size_t length = 0; length < sizeof(socket); length++) {
		assert_int_equal(taken(SOCK_DIAG_BY_FAMILY, &socket, length), -1);
		assert_int_equal(errno, EPROTO);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kernel_errors_outside_their_range_are_refused),
		cmocka_unit_test(only_a_valid_end_ends_the_list),
		cmocka_unit_test(a_socket_that_is_cut_off_is_refused),
	};

	return cmocka_run_group_tests_name("sockets_answers", tests, NULL, NULL);
}
