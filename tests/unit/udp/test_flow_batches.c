/*
 * Many datagrams in one turn of the loop: they leave together and in order, and a flow is asked for as many
 * replies as it has had.
 */
#include "flows.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* More than a batch holds, in one turn of the loop; the client of one of them is gone. */
static void replies_of_many_flows_leave_together(void **state)
{
	enum {
		MANY = 50
	};
	int fds[MANY];
	struct addr seen[MANY];

	(void)state;
	limits_free(limits);
	limits = limits_new(&config, MANY);
	restart_flows();
	start("127.0.0.1");
	for (int i = 0; i < MANY; i++) {
		fds[i] = bound("127.0.0.1", 0, NULL);
		send_text(fds[i], "question", &bind_line.address);
		seen[i] = receive(server_fds[0], "question");
	}
	for (int i = 0; i < MANY; i++) {
		send_text(server_fds[0], "one", &seen[i]);
		send_text(server_fds[0], "and two", &seen[i]);
	}
	for (int i = 0; i < MANY; i++) {
		receive(fds[i], "one");
		receive(fds[i], "and two");
	}
	for (int i = 0; i < MANY; i++) {
		flow_set_end_all(&flows);
		assert_int_equal(last.to_client, strlen("oneand two"));
		close(fds[i]);
	}
}

/* Questions of flows in turns leave together; one of them follows another of its flow, and stays behind it. */
static void questions_of_many_flows_keep_their_order(void **state)
{
	static const char *const texts[] = {"one", "two", "three", "four", "five", "six"};
	static const int of[] = {0, 1, 0, 0, 1, 0};
	int fds[2] = {bound("127.0.0.1", 0, NULL), bound("127.0.0.1", 0, NULL)};
	struct addr seen[2];

	(void)state;
	start("127.0.0.1");
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 6; i++)
			send_text(fds[of[i]], texts[i], &bind_line.address);
		for (int i = 0; i < 6; i++)
			seen[of[i]] = receive(server_fds[0], texts[i]);
		assert_false(addr_equal(&seen[0], &seen[1]));
	}
	flow_set_end_all(&flows);
	assert_int_equal(ended, 2);
	assert_true(last.to_server == 2 * 7 || last.to_server == 2 * 15);
	close(fds[0]);
	close(fds[1]);
}

/* The descriptor of the loop's ring, the only one of this process; -1: there is none. */
static int ring_descriptor(void)
{
	for (int fd = 0; fd < 256; fd++) {
		char path[32], name[32];
		ssize_t length;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		length = readlink(path, name, sizeof(name));
		if (length == (ssize_t)strlen("anon_inode:[io_uring]") &&
			memcmp(name, "anon_inode:[io_uring]", (size_t)length) == 0)
			return fd;
	}
	return -1;
}

/* As without memory in the kernel. What the ring does not take leaves all the same, and is counted. */
static void a_ring_that_fails_loses_nothing(void **state)
{
	int fds[2] = {bound("127.0.0.1", 0, NULL), bound("127.0.0.1", 0, NULL)};
	int fd = ring_descriptor(), kept = -1, other = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	start("127.0.0.1");
	assert_int_equal(fd != -1, loop.ring != NULL);
	if (fd != -1) {
		kept = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		assert_int_equal(dup3(other, fd, O_CLOEXEC), fd);
	}
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 4; i++)
			send_text(fds[i % 2], "question", &bind_line.address);
		for (int i = 0; i < 4; i++)
			receive(server_fds[0], "question");
		if (fd != -1)
			assert_int_equal(dup3(kept, fd, O_CLOEXEC), fd);
	}
	flow_set_end_all(&flows);
	assert_int_equal(last.to_server, 4 * strlen("question"));
	close(kept);
	close(other);
	close(fds[0]);
	close(fds[1]);
}

/* A datagram of no bytes, and the longest that IPv4 has, between two of other flows. */
static void the_shortest_and_the_longest_leave_with_others(void **state)
{
	static char longest[65507], data[65536];
	int fds[2] = {bound("127.0.0.1", 0, NULL), bound("127.0.0.1", 0, NULL)};
	struct addr from, destination;
	ssize_t length = -1;

	(void)state;
	start("127.0.0.1");
	memset(longest, 'x', sizeof(longest));
	send_text(fds[0], "first", &bind_line.address);
	send_text(fds[1], "", &bind_line.address);
	assert_int_equal(sendto(fds[0], longest, sizeof(longest), 0, &bind_line.address.sa,
				 addr_length(&bind_line.address)),
		sizeof(longest));
	send_text(fds[1], "last", &bind_line.address);
	receive(server_fds[0], "first");
	receive(server_fds[0], "");
	for (int i = 0; i < TURNS_MAX && length == -1; i++) {
		turn();
		length = datagram_receive(server_fds[0], data, sizeof(data), &from, &destination);
	}
	assert_int_equal(length, sizeof(longest));
	assert_memory_equal(data, longest, sizeof(longest));
	receive(server_fds[0], "last");
	flow_set_end_all(&flows);
	assert_true(last.to_server == 4 || last.to_server == 5 + sizeof(longest));
	close(fds[0]);
	close(fds[1]);
}

/* Round trips of COUNT flows in turns, with one datagram under way. */
static void round_trips(const int *fds, int count, int trips)
{
	for (int i = 0; i < trips; i++) {
		struct addr seen;

		send_text(fds[i % count], "question", &bind_line.address);
		seen = receive(server_fds[0], "question");
		send_text(server_fds[0], "answer", &seen);
		receive(fds[i % count], "answer");
	}
}

/* Then no call looks for a second reply; the kernel need not join what comes alone. */
static void a_flow_with_one_reply_at_a_time_is_asked_for_one(void **state)
{
	int fds[2] = {bound("127.0.0.1", 0, NULL), bound("127.0.0.1", 0, NULL)};

	(void)state;
	start("127.0.0.1");
	round_trips(fds, 2, 6);
	flow_set_end_all(&flows);
	assert_int_equal(ended, 2);
	assert_int_equal(last.expected, 1);
	assert_false(last.is_joined);
	close(fds[0]);
	close(fds[1]);
}

static void a_flow_that_stays_readable_is_asked_for_more(void **state)
{
	struct addr seen;
	int fd = bound("127.0.0.1", 0, NULL);

	(void)state;
	start("127.0.0.1");
	send_text(fd, "question", &bind_line.address);
	seen = receive(server_fds[0], "question");
	for (int i = 0; i < 4; i++)
		send_text(server_fds[0], "answer", &seen);
	/* One in the first turn, one in the second, and the two that are left in the third. */
	for (int i = 0; i < 3; i++)
		turn();
	flow_set_end_all(&flows);
	assert_int_equal(last.to_client, 4 * strlen("answer"));
	assert_int_equal(last.expected, 4);
	assert_true(last.is_joined);
	close(fd);
}

/* clang-format off */
#define EACH(TEST) \
	TEST(replies_of_many_flows_leave_together) \
	TEST(questions_of_many_flows_keep_their_order) \
	TEST(a_ring_that_fails_loses_nothing) \
	TEST(the_shortest_and_the_longest_leave_with_others) \
	TEST(a_flow_with_one_reply_at_a_time_is_asked_for_one) \
	TEST(a_flow_that_stays_readable_is_asked_for_more)
/* clang-format on */

int main(void)
{
	const struct CMUnitTest tests[] = {EACH(PLAIN) EACH(BY_RING)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
