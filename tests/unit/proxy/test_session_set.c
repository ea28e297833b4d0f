/*
 * What the sessions of one loop share: round robin, the spare descriptor, counts and memory.
 *
 * socket() and eventfd() are this file's own, so that descriptors can be missing.
 */
#include "proxy/session_set.h"
#include "rig.h"
#include "tproxy/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool eventfd_fails;
static int sockets_that_fail; /* so many calls of socket() fail with SOCKET_ERROR */
static int socket_error = EMFILE;
static unsigned sockets_asked;

int eventfd(unsigned initial, int flags)
{
	if (!eventfd_fails)
		return (int)syscall(SYS_eventfd2, initial, flags);
	errno = EMFILE;
	return -1;
}

int socket(int family, int type, int protocol)
{
	sockets_asked++;
	if (sockets_that_fail == 0)
		return (int)syscall(SYS_socket, family, type, protocol);
	sockets_that_fail--;
	errno = socket_error;
	return -1;
}

static int make_loop(struct session_loop *loop, struct rig *rig)
{
	return session_loop_init(loop, rig->base, limits_process(rig->limits));
}

static void a_loop_keeps_one_descriptor_and_leaves_nothing(void **state)
{
	struct session_loop loop;
	unsigned before = descriptors_open();
	struct session *dead = calloc(1, sizeof(*dead));
	size_t memory = mallinfo2().uordblks;

	assert_int_equal(make_loop(&loop, *state), 0);
	assert_int_equal(descriptors_open(), before + 1);
	assert_true(fcntl(loop.spare, F_GETFD) & FD_CLOEXEC);
	TAILQ_INSERT_TAIL(&loop.dead, dead, link);
	session_loop_free(&loop);
	assert_int_equal(descriptors_open(), before);
	assert_in_range(mallinfo2().uordblks, 0, memory - sizeof(*dead));
}

static void without_a_spare_descriptor_there_is_no_loop(void **state)
{
	struct session_loop loop;
	unsigned before = descriptors_open();

	eventfd_fails = true;
	assert_int_equal(make_loop(&loop, *state), -1);
	assert_false(session_loop_keep_spare(&loop));
	eventfd_fails = false;
	session_loop_free(&loop);
	assert_int_equal(descriptors_open(), before);
}

static void the_spare_is_opened_once(void **state)
{
	struct session_loop *loop = &((struct rig *)*state)->loop;
	unsigned before = descriptors_open();
	int spare = loop->spare;

	assert_true(session_loop_keep_spare(loop));
	assert_int_equal(loop->spare, spare);
	assert_int_equal(descriptors_open(), before);
	close(loop->spare);
	loop->spare = -1;
	assert_true(session_loop_keep_spare(loop));
	assert_int_equal(descriptors_open(), before);
}

static int open_upstream(struct rig *rig, struct upstream_failure *failure)
{
	struct session session = {.set = &rig->sessions,
		.server = &rig->servers[0],
		.server_address = rig->servers[0].address};

	assert_true(addr_parse(&session.client, "198.51.100.10"));
	sockets_asked = 0;
	return session_set_open_upstream(&session, failure);
}

static void the_spare_is_used_only_where_descriptors_are_missing(void **state)
{
	struct rig *rig = *state;
	struct upstream_failure failure;
	int fd = open_upstream(rig, &failure);

	assert_int_not_equal(fd, -1);
	assert_int_equal(sockets_asked, 1);
	assert_int_not_equal(rig->loop.spare, -1);
	close(fd);

	socket_error = ENOMEM;
	sockets_that_fail = 1;
	assert_int_equal(open_upstream(rig, &failure), -1);
	assert_int_equal(sockets_asked, 1);
	assert_int_not_equal(rig->loop.spare, -1);

	socket_error = EMFILE;
	sockets_that_fail = 1;
	fd = open_upstream(rig, &failure);
	assert_int_not_equal(fd, -1);
	assert_int_equal(sockets_asked, 2);
	assert_int_equal(rig->loop.spare, -1);
	close(fd);

	sockets_that_fail = 2;
	assert_int_equal(open_upstream(rig, &failure), -1);
	assert_int_equal(sockets_asked, 1);
	assert_string_equal(reason_name(failure.reason), "descriptors");
	sockets_that_fail = 0;
}

static void the_spares_own_descriptor_is_given_to_the_server(void **state)
{
	struct rig *rig = *state;
	struct upstream_failure failure;
	unsigned before = descriptors_open();
	int fd;

	sockets_that_fail = 1;
	fd = open_upstream(rig, &failure);
	assert_int_not_equal(fd, -1);
	assert_int_equal(descriptors_open(), before);
	close(fd);
}

enum {
	MANY = 30
};

static void sessions_are_counted_and_freed_after_the_turn(void **state)
{
	struct rig *rig = *state;
	int clients[MANY];
	size_t memory;

	for (int round = 0; round < 2; round++) {
		memory = mallinfo2().uordblks;
		for (unsigned i = 0; i < MANY; i++) {
			clients[i] = rig_client(rig);
			assert_int_equal(rig->sessions.count, i + 1);
		}
		close(rig->loop.spare);
		rig->loop.spare = -1;
		session_close_all(&rig->sessions);
		assert_int_equal(rig->sessions.count, 0);
		assert_int_not_equal(rig->loop.spare, -1);
		assert_false(TAILQ_EMPTY(&rig->loop.dead));
		session_loop_reap(&rig->loop);
		assert_true(TAILQ_EMPTY(&rig->loop.dead));
		for (unsigned i = 0; i < MANY; i++)
			close(clients[i]);
	}
	/* The second time libevent has what it keeps for each descriptor. */
	assert_in_range(mallinfo2().uordblks, 0, memory + 4096);
}

/* Buffers and pipes of a session go with it. */
static void what_a_session_holds_is_dropped_with_it(void **state)
{
	struct rig *rig = *state;
	int client = rig_client(rig), server = rig_accept(rig, 0);
	static const char part[64 * 1024];

	rig_until(rig, rig_is_relaying);
	for (int side = 0; side < 2; side++) {
		rig_session(rig)->directions[side].path = RELAY_SPLICE;
		while (rig_session(rig)->directions[side].held == 0) {
			(void)!send(side == CLIENT ? client : server, part, sizeof(part),
				MSG_NOSIGNAL | MSG_DONTWAIT);
			rig_turn(rig);
		}
	}
	assert_int_equal(rig->loop.pool.leased_count, 2);
	session_close_all(&rig->sessions);
	assert_int_equal(rig->loop.pool.leased_count, 0);
	close(client);
	close(server);
}

#define SET_TEST(test) cmocka_unit_test_setup_teardown(test, rig_set_up, rig_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SET_TEST(a_loop_keeps_one_descriptor_and_leaves_nothing),
		SET_TEST(without_a_spare_descriptor_there_is_no_loop),
		SET_TEST(the_spare_is_opened_once),
		SET_TEST(the_spare_is_used_only_where_descriptors_are_missing),
		SET_TEST(the_spares_own_descriptor_is_given_to_the_server),
		SET_TEST(sessions_are_counted_and_freed_after_the_turn),
		SET_TEST(what_a_session_holds_is_dropped_with_it),
	};

	return cmocka_run_group_tests_name("session_set", tests, NULL, NULL);
}
