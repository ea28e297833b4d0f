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

static unsigned descriptors_open(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) != -1;
	return count;
}

enum {
	SECTIONS = 5000
};

static const struct session_observer no_observer;

/* An empty set that is not the rig's. */
static int make_set(
	struct session_set *set, struct rig *rig, const struct config *config, unsigned seed)
{
	return session_set_init(set, &rig->loop, config, rig->limits, no_observer, seed);
}

static void a_set_leaves_no_descriptor_and_no_memory(void **state)
{
	static const struct config config = {.proxy_count = SECTIONS};
	struct session_set set;
	unsigned before = descriptors_open();
	size_t memory = mallinfo2().uordblks;

	assert_int_equal(make_set(&set, *state, &config, 0), 0);
	assert_int_equal(descriptors_open(), before);
	assert_int_equal(set.count, 0);
	session_set_free(&set);
	assert_int_equal(descriptors_open(), before);
	assert_in_range(mallinfo2().uordblks, 0, memory + 4096);
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

/* The workers' seeds differ, so that not all of them begin with the first server. */
static void each_backend_has_a_round_robin_that_begins_at_the_seed(void **state)
{
	static const struct config config = {.proxy_count = 2};
	struct server servers[3];
	struct proxy three = {.index = 0, .servers = servers, .server_count = 3};
	struct proxy two = {.index = 1, .servers = servers, .server_count = 2};
	struct proxy none = {.index = 1};
	struct session_set set;

	assert_int_equal(make_set(&set, *state, &config, 5), 0);
	for (unsigned i = 5; i < 11; i++) {
		assert_ptr_equal(session_set_next_server(&set, &three), &servers[i % 3]);
		assert_ptr_equal(session_set_next_server(&set, &two), &servers[i % 2]);
		assert_null(session_set_next_server(&set, &none));
	}
	session_set_free(&set);
}

/* Each backend goes on where its counterpart was; one that is new begins at the seed. */
static void round_robins_go_on_after_a_reload(void **state)
{
	static struct server servers[] = {{.name = "s1"}, {.name = "s2"}, {.name = "s3"}};
	struct proxy older[2], newer[3];
	static const char *const older_names[] = {"a", "b"}, *const newer_names[] = {
								     "b", "new", "a"};
	const struct config before = {.proxies = older, .proxy_count = 2, .server_count = 3};
	const struct config now = {.proxies = newer, .proxy_count = 3, .server_count = 3};
	struct counterparts *counterparts;
	struct session_set first, second;

	for (unsigned i = 0; i < 5; i++) {
		struct proxy *proxy = i < 2 ? &older[i] : &newer[i - 2];

		*proxy = (struct proxy){.name = i < 2 ? older_names[i] : newer_names[i - 2],
			.role = ROLE_BACKEND,
			.index = i < 2 ? i : i - 2,
			.servers = servers,
			.server_count = 3};
	}
	counterparts = counterparts_find(&now, &before);
	assert_int_equal(make_set(&first, *state, &before, 0), 0);
	assert_int_equal(make_set(&second, *state, &now, 0), 0);
	assert_ptr_equal(session_set_next_server(&first, &older[0]), &servers[0]);
	assert_ptr_equal(session_set_next_server(&first, &older[0]), &servers[1]);
	assert_ptr_equal(session_set_next_server(&first, &older[1]), &servers[0]);
	session_set_continue(&second, &first, counterparts);
	assert_ptr_equal(session_set_next_server(&second, &newer[0]), &servers[1]);
	assert_ptr_equal(session_set_next_server(&second, &newer[1]), &servers[0]);
	assert_ptr_equal(session_set_next_server(&second, &newer[2]), &servers[2]);
	session_set_free(&first);
	session_set_free(&second);
	counterparts_free(counterparts);
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
		SET_TEST(a_set_leaves_no_descriptor_and_no_memory),
		SET_TEST(a_loop_keeps_one_descriptor_and_leaves_nothing),
		SET_TEST(without_a_spare_descriptor_there_is_no_loop),
		SET_TEST(round_robins_go_on_after_a_reload),
		SET_TEST(the_spare_is_opened_once),
		SET_TEST(each_backend_has_a_round_robin_that_begins_at_the_seed),
		SET_TEST(the_spare_is_used_only_where_descriptors_are_missing),
		SET_TEST(the_spares_own_descriptor_is_given_to_the_server),
		SET_TEST(sessions_are_counted_and_freed_after_the_turn),
		SET_TEST(what_a_session_holds_is_dropped_with_it),
	};

	return cmocka_run_group_tests_name("session_set", tests, NULL, NULL);
}
