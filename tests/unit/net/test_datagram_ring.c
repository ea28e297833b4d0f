/*
 * A ring that sends datagrams, between sockets on loopback addresses. Where the kernel has no rings, nothing can be tried.
 */
#include "tproxy/datagram_ring.h"

#include "tproxy/addr.h"
#include "tproxy/socket.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static struct datagram_ring *ring;

static int set_up(void **state)
{
	(void)state;
	ring = datagram_ring_new();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	datagram_ring_free(ring);
	return 0;
}

static int bound(struct addr *address)
{
	int fd = socket_open_datagrams(AF_INET);

	assert_true(addr_parse(address, "127.0.0.1"));
	assert_int_equal(bind(fd, &address->sa, addr_length(address)), 0);
	assert_true(socket_local_address(fd, address));
	return fd;
}

static int connected(const struct addr *there)
{
	struct addr here;
	int fd = bound(&here);

	assert_int_equal(connect(fd, &there->sa, addr_length(there)), 0);
	return fd;
}

static void what_is_added_arrives_in_order_and_from_its_socket(void **state)
{
	int to[2], from[2], errors[DATAGRAM_RING_SIZE];
	struct addr there;
	char texts[DATAGRAM_RING_SIZE][8], data[16];

	(void)state;
	if (ring == NULL)
		skip();
	for (int i = 0; i < 2; i++) {
		to[i] = bound(&there);
		from[i] = connected(&there);
	}
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < DATAGRAM_RING_SIZE; i++) {
			int length = i == 5 ? 0 : snprintf(texts[i], sizeof(texts[i]), "%d", i);

			datagram_ring_add(ring, from[i % 2], texts[i], (size_t)length);
		}
		memset(errors, 1, sizeof(errors));
		assert_int_equal(datagram_ring_send(ring, errors), DATAGRAM_RING_SIZE);
		for (int i = 0; i < DATAGRAM_RING_SIZE; i++) {
			ssize_t length = recv(to[i % 2], data, sizeof(data), MSG_DONTWAIT);

			assert_int_equal(errors[i], 0);
			assert_int_equal(length, i == 5 ? 0 : strlen(texts[i]));
			assert_memory_equal(data, texts[i], (size_t)length);
		}
	}
	assert_int_equal(datagram_ring_send(ring, errors), 0);
	for (int i = 0; i < 2; i++) {
		close(to[i]);
		close(from[i]);
	}
}

/* The others are sent. An error is that of the datagram before, for which a report came: nothing listened. */
static void what_cannot_be_sent_has_its_error(void **state)
{
	struct addr there, gone;
	int to = bound(&there), closed = bound(&gone), from = connected(&there);
	int lost = connected(&gone), errors[DATAGRAM_RING_SIZE];
	char data[16];

	(void)state;
	close(closed);
	if (ring == NULL)
		skip();
	datagram_ring_add(ring, from, "one", 3);
	datagram_ring_add(ring, lost, "two", 3);
	datagram_ring_add(ring, lost, "three", 5);
	datagram_ring_add(ring, -1, "four", 4);
	datagram_ring_add(ring, from, "five", 4);
	assert_int_equal(datagram_ring_send(ring, errors), 5);
	assert_int_equal(errors[0], 0);
	assert_int_equal(errors[1], 0);
	assert_int_equal(errors[2], ECONNREFUSED);
	assert_int_equal(errors[3], EBADF);
	assert_int_equal(errors[4], 0);
	assert_int_equal(recv(to, data, sizeof(data), MSG_DONTWAIT), 3);
	assert_int_equal(recv(to, data, sizeof(data), MSG_DONTWAIT), 4);
	close(to);
	close(from);
	close(lost);
}

/* So one who can write into its memory, and call io_uring_enter(2), can do no more. */
static void a_ring_does_nothing_but_send(void **state)
{
	static const uint8_t others[] = {IORING_OP_NOP, IORING_OP_OPENAT, IORING_OP_CONNECT,
		IORING_OP_SENDMSG, IORING_OP_WRITE};
	int before = open("/dev/null", O_RDONLY | O_CLOEXEC), errors[DATAGRAM_RING_SIZE];
	struct datagram_ring *made;
	struct io_uring_sqe *entries;

	(void)state;
	close(before);
	made = datagram_ring_new(); /* its descriptor is BEFORE */
	if (made == NULL)
		skip();
	entries = mmap(NULL, sizeof(*entries) * DATAGRAM_RING_SIZE, PROT_READ | PROT_WRITE,
		MAP_SHARED, before, IORING_OFF_SQES);
	assert_ptr_not_equal(entries, MAP_FAILED);
	for (unsigned i = 0; i < sizeof(others); i++) {
		datagram_ring_add(made, STDIN_FILENO, "/dev/null", 9);
		entries[i].opcode = others[i];
		assert_int_equal(datagram_ring_send(made, errors), 1);
		assert_int_equal(errors[0], EACCES);
	}
	munmap(entries, sizeof(*entries) * DATAGRAM_RING_SIZE);
	datagram_ring_free(made);
}

/* As without memory: the kernel takes nothing for a while. What it did not take is never sent by the ring. */
static void what_was_not_taken_does_not_stay(void **state)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), errors[DATAGRAM_RING_SIZE], kept;
	struct datagram_ring *made;
	struct addr there;
	int to = bound(&there), from = connected(&there), other;
	char data[16];

	(void)state;
	close(fd);
	made = datagram_ring_new(); /* its descriptor is FD */
	if (made == NULL)
		skip();
	kept = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	other = open("/dev/null", O_RDONLY | O_CLOEXEC);
	for (unsigned count = 1; count <= DATAGRAM_RING_SIZE; count++) {
		assert_int_equal(dup3(other, fd, O_CLOEXEC), fd);
		for (unsigned i = 0; i < count; i++)
			datagram_ring_add(made, from, "lost", 4);
		assert_int_equal(datagram_ring_send(made, errors), 0);
		assert_int_equal(dup3(kept, fd, O_CLOEXEC), fd);
		for (unsigned i = 0; i < count; i++)
			datagram_ring_add(made, from, "whole", 5);
		assert_int_equal(datagram_ring_send(made, errors), count);
		for (unsigned i = 0; i < count; i++) {
			assert_int_equal(errors[i], 0);
			assert_int_equal(recv(to, data, sizeof(data), MSG_DONTWAIT), 5);
		}
		assert_int_equal(recv(to, data, sizeof(data), MSG_DONTWAIT), -1);
	}
	datagram_ring_free(made);
	close(kept);
	close(other);
	close(to);
	close(from);
}

static void a_ring_leaves_no_descriptor(void **state)
{
	int first = open("/dev/null", O_RDONLY | O_CLOEXEC), second;

	(void)state;
	close(first);
	datagram_ring_free(ring);
	ring = NULL;
	datagram_ring_free(datagram_ring_new());
	second = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(second <= first);
	close(second);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_added_arrives_in_order_and_from_its_socket),
		TEST(what_cannot_be_sent_has_its_error),
		TEST(a_ring_does_nothing_but_send),
		TEST(what_was_not_taken_does_not_stay),
		TEST(a_ring_leaves_no_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
