/*
 * Many datagrams by one system call: what comes, where it was sent, and where it leaves from.
 */
#include "tproxy/datagram_batch.h"

#include "tproxy/datagram.h"
#include "tproxy/socket.h"
#include "unit.h"

#include <errno.h>
#include <malloc.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct datagram_batch *batch;

static int set_up(void **state)
{
	(void)state;
	batch = datagram_batch_new();
	return batch == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	datagram_batch_free(batch);
	datagram_batch_free(NULL);
	return 0;
}

static struct addr parsed(const char *text, uint16_t port)
{
	struct addr addr;

	assert_true(addr_parse(&addr, text));
	addr_set_port(&addr, port);
	return addr;
}

/* A socket for which the kernel reports destinations; -1 where the host has no such family. */
static int bound(const char *ip, struct addr *address)
{
	struct addr wanted = parsed(ip, 0);
	int fd = socket_open_datagrams(addr_family(&wanted)), no = 0;

	if (fd == -1)
		return -1;
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no));
	if (bind(fd, &wanted.sa, addr_length(&wanted)) == -1) {
		close(fd);
		return -1;
	}
	assert_int_equal(datagram_report_destination(fd, addr_family(&wanted)), 0);
	assert_true(socket_local_address(fd, address));
	return fd;
}

static void send_text(int fd, const char *text, const struct addr *to)
{
	assert_int_equal(sendto(fd, text, strlen(text), 0, &to->sa, addr_length(to)), strlen(text));
}

/* Receives WANTED datagrams into the places from FIRST on. */
static void receive(int fd, unsigned first, unsigned wanted)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};

	assert_int_equal(poll(&ready, 1, 10 * 1000), 1);
	assert_int_equal(datagram_batch_receive(batch, first, wanted, fd), wanted);
}

static void assert_holds(unsigned place, const char *text)
{
	assert_int_equal(datagram_batch_length(batch, place), strlen(text));
	assert_memory_equal(datagram_batch_data(batch, place), text, strlen(text));
}

static void each_datagram_has_its_place_and_its_addresses(void **state)
{
	struct addr any, here, a, b, from, destination, asked;
	int fd = bound("0.0.0.0", &any), one = bound("127.0.0.1", &a), two = bound("127.0.0.2", &b);

	(void)state;
	here = parsed("127.0.0.1", addr_port(&any));
	asked = parsed("127.0.0.9", addr_port(&any));
	send_text(one, "first", &here);
	send_text(two, "", &asked);
	send_text(one, "a third", &here);
	receive(fd, 5, 3);
	assert_holds(5, "first");
	assert_holds(6, "");
	assert_holds(7, "a third");
	assert_true(datagram_batch_addresses(batch, 5, &from, &destination));
	assert_true(addr_equal(&from, &a));
	assert_true(addr_equal(&destination, &here));
	assert_true(datagram_batch_addresses(batch, 6, &from, &destination));
	assert_true(addr_equal(&from, &b));
	assert_true(addr_equal(&destination, &asked));
	assert_int_equal(datagram_batch_receive(batch, 0, 4, fd), -1);
	assert_int_equal(errno, EAGAIN);
	/* The same places again, after a shorter address was in them. */
	send_text(two, "again", &here);
	receive(fd, 5, 1);
	assert_true(datagram_batch_addresses(batch, 5, &from, &destination));
	assert_true(addr_equal(&from, &b));
	close(fd);
	close(one);
	close(two);
}

static void the_largest_datagram_is_whole(void **state)
{
	enum {
		LARGEST = 65507
	};
	struct addr here, from, destination;
	int fd = bound("127.0.0.1", &here);
	char *large = malloc(LARGEST);

	(void)state;
	memset(large, 'x', LARGEST);
	large[LARGEST - 1] = 'y';
	assert_int_equal(sendto(fd, large, LARGEST, 0, &here.sa, addr_length(&here)), LARGEST);
	receive(fd, DATAGRAM_BATCH_SIZE - 1, 1);
	assert_int_equal(datagram_batch_length(batch, DATAGRAM_BATCH_SIZE - 1), LARGEST);
	assert_memory_equal(datagram_batch_data(batch, DATAGRAM_BATCH_SIZE - 1), large, LARGEST);
	assert_true(datagram_batch_addresses(batch, DATAGRAM_BATCH_SIZE - 1, &from, &destination));
	free(large);
	close(fd);
}

static void without_a_destination_there_are_no_addresses(void **state)
{
	struct addr here = parsed("127.0.0.1", 0), from, destination;
	int fd = socket_open_datagrams(AF_INET);

	(void)state;
	assert_int_equal(bind(fd, &here.sa, addr_length(&here)), 0);
	assert_true(socket_local_address(fd, &here));
	send_text(fd, "text", &here);
	receive(fd, 0, 1);
	assert_false(datagram_batch_addresses(batch, 0, &from, &destination));
	close(fd);
}

/* Sends what came to FD on from there, and checks which address it left from. */
static void assert_leaves_from(int fd, const char *ip, const char *from, const char *expected)
{
	struct addr to, wanted = parsed(expected, 0), seen, destination, source, here;
	int receiver = bound(ip, &to);

	assert_true(socket_local_address(fd, &here));
	if (addr_is_any(&here))
		here = parsed(ip, addr_port(&here));
	send_text(receiver, "hello", &here);
	receive(fd, 2, 1);
	assert_true(datagram_batch_addresses(batch, 2, &to, &destination));
	if (from != NULL)
		source = parsed(from, 0);
	datagram_batch_address(batch, 2, &to, from == NULL ? NULL : &source);
	assert_int_equal(datagram_batch_send(batch, 2, 3, fd), 1);
	receive(receiver, 0, 1);
	assert_holds(0, "hello");
	assert_true(datagram_batch_addresses(batch, 0, &seen, &destination));
	assert_int_equal(addr_compare_ip(&seen, &wanted), 0);
	assert_int_equal(addr_port(&seen), addr_port(&here));
	close(receiver);
}

static void a_datagram_leaves_from_the_address_that_is_asked_for(void **state)
{
	struct addr here;
	int ipv4 = bound("0.0.0.0", &here), both = bound("::", &here),
	    one = bound("127.0.0.8", &here);

	(void)state;
	assert_leaves_from(ipv4, "127.0.0.1", "127.0.0.7", "127.0.0.7");
	assert_leaves_from(ipv4, "127.0.0.1", NULL, "127.0.0.1");
	assert_leaves_from(one, "127.0.0.8", NULL, "127.0.0.8");
	if (both != -1) {
		assert_leaves_from(both, "127.0.0.1", "127.0.0.7", "127.0.0.7");
		assert_leaves_from(both, "::1", "::1", "::1");
	}
	close(ipv4);
	close(both);
	close(one);
}

static void each_place_goes_to_its_own_address(void **state)
{
	struct addr any, here, there[2], from = parsed("127.0.0.7", 0), seen, destination;
	int fd = bound("0.0.0.0", &any);
	int fds[2] = {bound("127.0.0.1", &there[0]), bound("127.0.0.2", &there[1])};

	(void)state;
	here = parsed("127.0.0.1", addr_port(&any));
	send_text(fds[0], "one", &here);
	send_text(fds[1], "two", &here);
	receive(fd, 3, 2);
	for (unsigned i = 0; i < 2; i++)
		datagram_batch_address(batch, 3 + i, &there[1 - i], i == 0 ? &from : NULL);
	assert_int_equal(datagram_batch_send(batch, 3, 5, fd), 2);
	for (unsigned i = 0; i < 2; i++) {
		receive(fds[1 - i], 0, 1);
		assert_holds(0, i == 0 ? "one" : "two");
		assert_true(datagram_batch_addresses(batch, 0, &seen, &destination));
		assert_int_equal(addr_compare_ip(&seen, &from) == 0, i == 0);
	}
	close(fd);
	close(fds[0]);
	close(fds[1]);
}

/* Receives into the last place with UDP_GRO, and returns how long each datagram of the message is; 0: it is one alone. */
static int receive_message(int fd, size_t *length)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr aligned;
	} control;
	static char data[65536];
	struct iovec part = {data, sizeof(data)};
	struct msghdr message = {.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	struct cmsghdr *header;
	int size = 0;

	assert_int_equal(poll(&ready, 1, 10 * 1000), 1);
	*length = (size_t)recvmsg(fd, &message, 0);
	header = CMSG_FIRSTHDR(&message);
	if (header != NULL)
		memcpy(&size, CMSG_DATA(header), sizeof(size));
	return size;
}

/* Sends datagrams of these lengths from one place on to THERE, maybe from a connected socket. */
static void send_lengths(
	int fd, const struct addr *there, bool connected, const size_t *lengths, unsigned count)
{
	struct addr here;
	int giver = bound("127.0.0.1", &here);
	static char data[65536];

	for (unsigned i = 0; i < count; i++) {
		memset(data, 'a' + (int)i, lengths[i]);
		assert_int_equal(sendto(giver, data, lengths[i], 0, &here.sa, addr_length(&here)),
			lengths[i]);
	}
	receive(giver, 3, count);
	for (unsigned i = 0; i < count; i++)
		datagram_batch_address(batch, 3 + i, connected ? NULL : there, NULL);
	for (unsigned first = 3, sent; first < 3 + count; first += sent) {
		sent = datagram_batch_send(batch, first, 3 + count, fd);
		assert_true(sent > 0);
	}
	close(giver);
}

static void assert_lengths_arrive(int fd, const size_t *lengths, unsigned count)
{
	receive(fd, 0, count);
	for (unsigned i = 0; i < count; i++) {
		const char *data = datagram_batch_data(batch, i);

		assert_int_equal(datagram_batch_length(batch, i), lengths[i]);
		for (size_t k = 0; k < lengths[i]; k++)
			assert_int_equal(data[k], (char)('a' + (int)i));
	}
	assert_int_equal(datagram_batch_receive(batch, 0, 1, fd), -1);
}

static void datagrams_that_leave_together_stay_datagrams(void **state)
{
	static const size_t rows[][7] = {
		{5, 5, 5, 5, 5, 5, 5},
		{9, 9, 4, 4, 4, 3, 9},
		{1, 0, 0, 1, 1, 0, 2},
		{1472, 1472, 1472, 1, 1472, 1472, 1473},
		{2000, 2000, 2000, 2000, 2000, 2000, 2000},
	};
	struct addr there;
	int fd = bound("127.0.0.1", &there), connected = bound("127.0.0.1", &(struct addr){0});

	(void)state;
	assert_int_equal(connect(connected, &there.sa, addr_length(&there)), 0);
	for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++)
		for (int i = 0; i < 2; i++) {
			send_lengths(i == 0 ? fd : connected, &there, i == 1, rows[row], 7);
			assert_lengths_arrive(fd, rows[row], 7);
		}
	close(fd);
	close(connected);
}

/* What leaves together comes together, where the other end can take it so. */
static void datagrams_of_one_size_to_one_address_leave_together(void **state)
{
	static const size_t lengths[] = {5, 5, 5, 2, 5, 0, 5};
	struct addr there;
	int fd = bound("127.0.0.1", &there), on = 1;
	size_t length;

	(void)state;
	setsockopt(fd, IPPROTO_IP, IP_RECVORIGDSTADDR, &(int){0}, sizeof(int));
	if (setsockopt(fd, SOL_UDP, 104 /* UDP_GRO */, &on, sizeof(on)) == -1)
		skip();
	send_lengths(fd, &there, false, lengths, 7);
	assert_int_equal(receive_message(fd, &length), 5);
	assert_int_equal(length, 17);
	for (unsigned i = 4; i < 7; i++) {
		assert_int_equal(receive_message(fd, &length), 0);
		assert_int_equal(length, lengths[i]);
	}
	close(fd);
}

static void what_cannot_leave_together_leaves_one_by_one(void **state)
{
	static const size_t lengths[] = {900, 900, 900, 900};
	struct addr there;
	int fd = bound("127.0.0.1", &there), sender = bound("127.0.0.1", &(struct addr){0});
	int on = 1;

	(void)state;
	/* Without checksums there is no message (udp(7)). */
	assert_int_equal(setsockopt(sender, SOL_SOCKET, SO_NO_CHECK, &on, sizeof(on)), 0);
	send_lengths(sender, &there, false, lengths, 4);
	assert_lengths_arrive(fd, lengths, 4);
	close(fd);
	close(sender);
}

/* Receives what came together into one place, and sends it on, with checksums or without. */
static void assert_passes_on(int fd, const struct addr *here, bool can_be_cut)
{
	static const size_t lengths[] = {700, 700, 700, 3};
	struct addr there;
	int from = bound("127.0.0.2", &(struct addr){0}), to = bound("127.0.0.1", &there), on = 1;
	struct pollfd ready = {.fd = fd, .events = POLLIN};

	send_lengths(from, here, false, lengths, 4);
	assert_int_equal(poll(&ready, 1, 10 * 1000), 1);
	assert_int_equal(datagram_batch_receive_connected(batch, 50, 1, fd), 1);
	assert_int_equal(datagram_batch_length(batch, 50), 2103);
	datagram_batch_address(batch, 50, &there, NULL);
	if (!can_be_cut)
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, &on, sizeof(on)), 0);
	assert_int_equal(datagram_batch_send(batch, 50, 51, fd), 1);
	assert_lengths_arrive(to, lengths, 4);
	close(from);
	close(to);
}

static void datagrams_that_came_together_leave_as_they_were(void **state)
{
	struct addr here;
	int fd = bound("127.0.0.1", &here);

	(void)state;
	setsockopt(fd, IPPROTO_IP, IP_RECVORIGDSTADDR, &(int){0}, sizeof(int));
	if (datagram_batch_join(fd) == -1)
		skip();
	assert_passes_on(fd, &here, true);
	assert_passes_on(fd, &here, false);
	close(fd);
}

static void a_full_batch_of_the_largest_packets_arrives(void **state)
{
	size_t lengths[DATAGRAM_BATCH_SIZE - 3];
	struct addr there;
	int fd = bound("127.0.0.1", &there), large = 1 << 20;

	(void)state;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof(large));
	for (unsigned i = 0; i < DATAGRAM_BATCH_SIZE - 3; i++)
		lengths[i] = 1472;
	send_lengths(fd, &there, false, lengths, 45);
	assert_lengths_arrive(fd, lengths, 45);
	close(fd);
}

static void the_interface_is_reported_where_it_is_asked_for(void **state)
{
	struct addr here;
	int fd = bound("127.0.0.1", &here);

	(void)state;
	send_text(fd, "text", &here);
	receive(fd, 1, 1);
	assert_int_equal(datagram_batch_interface(batch, 1), 0);
	assert_int_equal(datagram_report_interface(fd, AF_INET), 0);
	send_text(fd, "text", &here);
	receive(fd, 1, 1);
	assert_int_equal(datagram_batch_interface(batch, 1), if_nametoindex("lo"));
	close(fd);
	fd = bound("::1", &here);
	if (fd == -1)
		skip();
	assert_int_equal(datagram_report_interface(fd, AF_INET6), 0);
	send_text(fd, "text", &here);
	receive(fd, 1, 1);
	assert_int_equal(datagram_batch_interface(batch, 1), if_nametoindex("lo"));
	close(fd);
}

static void at_a_connected_socket_only_the_data_counts(void **state)
{
	struct addr here, there;
	int fd = bound("127.0.0.1", &here), other = bound("127.0.0.2", &there);

	(void)state;
	assert_int_equal(connect(fd, &there.sa, addr_length(&there)), 0);
	for (unsigned wanted = 1; wanted <= 3; wanted += 2) {
		for (unsigned i = 0; i < wanted; i++)
			send_text(other, i == 1 ? "" : "text", &here);
		assert_int_equal(datagram_batch_receive_connected(batch, 4, wanted, fd), wanted);
		for (unsigned i = 0; i < wanted; i++)
			assert_holds(4 + i, i == 1 ? "" : "text");
		assert_int_equal(datagram_batch_receive_connected(batch, 4, wanted, fd), -1);
		assert_int_equal(errno, EAGAIN);
	}
	close(fd);
	close(other);
}

static void one_datagram_leaves_those_behind_it(void **state)
{
	static const char *const texts[] = {"first", "", "a third"};
	struct addr here, there, from;
	int fd = bound("127.0.0.1", &here), other = bound("127.0.0.2", &there);

	(void)state;
	assert_int_equal(connect(fd, &there.sa, addr_length(&there)), 0);
	for (unsigned i = 0; i < 3; i++)
		send_text(other, texts[i], &here);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(datagram_batch_receive_one(batch, 4, fd), 1);
		assert_holds(4, texts[i]);
		datagram_batch_address(batch, 4, &here, NULL);
		assert_int_equal(datagram_batch_send(batch, 4, 5, other), 1);
	}
	receive(fd, 8, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_holds(8 + i, texts[i]);
	assert_true(datagram_batch_source(batch, 8, &from));
	assert_true(addr_equal(&from, &there));
	assert_int_equal(datagram_batch_receive_one(batch, 4, fd), -1);
	assert_int_equal(errno, EAGAIN);
	close(fd);
	close(other);
}

static void a_batch_leaves_no_memory(void **state)
{
	size_t before = mallinfo2().uordblks, mapped = mallinfo2().hblkhd;

	(void)state;
	for (int i = 0; i < 10; i++)
		datagram_batch_free(datagram_batch_new());
	assert_int_equal(mallinfo2().uordblks, before);
	assert_int_equal(mallinfo2().hblkhd, mapped);
}

static void what_cannot_be_sent_ends_the_row(void **state)
{
	struct addr here, elsewhere = parsed("203.0.113.77", 0);
	int fd = bound("127.0.0.1", &here);

	(void)state;
	for (int i = 0; i < 3; i++)
		send_text(fd, "text", &here);
	receive(fd, 0, 3);
	for (unsigned i = 0; i < 3; i++)
		datagram_batch_address(batch, i, &here, i == 1 ? &elsewhere : NULL);
	assert_int_equal(datagram_batch_send(batch, 0, 3, fd), 1);
	assert_int_equal(datagram_batch_send(batch, 1, 3, fd), 0);
	assert_int_equal(datagram_batch_send(batch, 2, 3, fd), 1);
	receive(fd, 4, 2);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_datagram_has_its_place_and_its_addresses),
		TEST(the_largest_datagram_is_whole),
		TEST(without_a_destination_there_are_no_addresses),
		TEST(a_datagram_leaves_from_the_address_that_is_asked_for),
		TEST(each_place_goes_to_its_own_address),
		TEST(what_cannot_be_sent_ends_the_row),
		TEST(datagrams_that_leave_together_stay_datagrams),
		TEST(datagrams_of_one_size_to_one_address_leave_together),
		TEST(what_cannot_leave_together_leaves_one_by_one),
		TEST(datagrams_that_came_together_leave_as_they_were),
		TEST(a_full_batch_of_the_largest_packets_arrives),
		TEST(the_interface_is_reported_where_it_is_asked_for),
		TEST(at_a_connected_socket_only_the_data_counts),
		TEST(one_datagram_leaves_those_behind_it),
		TEST(a_batch_leaves_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
