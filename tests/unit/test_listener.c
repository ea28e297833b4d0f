/*
 * Listeners in a flood: what one turn of the loop accepts, and how draining ends.
 */
#include "proxy/listener.h"
#include "rig.h"
#include "tproxy/socket.h"

#include <fcntl.h>
#include <unistd.h>

enum {
	FLOOD = 200,
	TURN_MAX = 64 /* accepted in one turn of the loop */
};

struct flood {
	struct rig *rig;
	struct bind bind;
	struct listeners listeners;
	unsigned pauses;
	int clients[2 * FLOOD];
	unsigned count;
};

static void on_pause(void *arg, const struct listener *listener, int error)
{
	struct flood *flood = arg;

	(void)listener;
	(void)error;
	flood->pauses++;
}

static void start(struct flood *flood, void **state)
{
	struct listener_failure failure;
	struct rig *rig = *state;

	*flood = (struct flood){.rig = rig};
	assert_true(addr_parse(&flood->bind.address, "127.0.0.1"));
	rig->section.binds = &flood->bind;
	rig->section.bind_count = 1;
	assert_int_equal(listeners_bind(&flood->listeners, &rig->config, true, &failure), 0);
	assert_int_equal(listeners_start(&flood->listeners, rig->base, &rig->sessions, on_pause,
				 flood, &failure),
		0);
	assert_true(socket_local_address(flood->listeners.list[0].fd, &flood->bind.address));
}

/* Connects clients without a turn of the loop, so that they wait in the queue. */
static void connect_clients(struct flood *flood, unsigned count)
{
	const struct addr *vip = &flood->bind.address;

	for (unsigned i = 0; i < count; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		assert_int_equal(connect(fd, &vip->sa, addr_length(vip)), 0);
		flood->clients[flood->count++] = fd;
	}
}

static void finish(struct flood *flood)
{
	for (unsigned i = 0; i < flood->count; i++)
		close(flood->clients[i]);
	listeners_close(&flood->listeners);
	listeners_free(&flood->listeners);
	flood->rig->section.bind_count = 0;
}

static unsigned accepted(const struct flood *flood)
{
	return flood->rig->sessions.count + flood->rig->ended;
}

static void a_turn_accepts_a_bounded_number(void **state)
{
	struct flood flood;
	unsigned before = 0;

	start(&flood, state);
	connect_clients(&flood, FLOOD);
	rig_turn(flood.rig);
	assert_int_equal(accepted(&flood), 1);
	while (accepted(&flood) < 100) {
		rig_turn(flood.rig);
		assert_in_range(accepted(&flood) - before, 0, TURN_MAX);
		before = accepted(&flood);
	}
	finish(&flood);
}

/* Clients keep coming, one a turn; those that were in the queue are served, and the socket closes. */
static void draining_accepts_the_queue_and_ends_in_a_flood(void **state)
{
	struct flood flood;

	start(&flood, state);
	connect_clients(&flood, 50);
	listeners_drain(&flood.listeners);
	assert_true(listeners_are_open(&flood.listeners));
	for (int turn = 0; turn < FLOOD && listeners_are_open(&flood.listeners); turn++) {
		connect_clients(&flood, 1);
		rig_turn(flood.rig);
	}
	assert_false(listeners_are_open(&flood.listeners));
	assert_int_equal(accepted(&flood), 50);
	finish(&flood);
}

static void draining_an_empty_queue_closes_at_once(void **state)
{
	struct flood flood;

	start(&flood, state);
	listeners_drain(&flood.listeners);
	assert_false(listeners_are_open(&flood.listeners));
	finish(&flood);
}

/* maxconn is 100: a place that may never come free must not keep the socket open. */
static void draining_ends_where_the_limit_is_reached(void **state)
{
	struct flood flood;

	start(&flood, state);
	connect_clients(&flood, FLOOD);
	while (flood.pauses == 0)
		rig_turn(flood.rig);
	assert_int_equal(flood.rig->sessions.count, 100);
	listeners_drain(&flood.listeners);
	for (int turn = 0; turn < FLOOD && listeners_are_open(&flood.listeners); turn++)
		rig_turn(flood.rig);
	assert_false(listeners_are_open(&flood.listeners));
	assert_int_equal(flood.listeners.paused_count, 0);
	finish(&flood);
}

/* The event loop refuses to watch a file, as it refuses a socket where memory is missing. */
static void a_listener_that_cannot_be_watched_now_is_watched_later(void **state)
{
	struct flood flood;
	int listener, kept, file;

	start(&flood, state);
	connect_clients(&flood, FLOOD);
	while (flood.pauses == 0)
		rig_turn(flood.rig);
	listener = flood.listeners.list[0].fd;
	kept = dup(listener);
	file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	assert_int_equal(dup2(file, listener), listener);
	session_close_all(&flood.rig->sessions);
	listeners_resume(&flood.listeners);
	assert_int_equal(dup2(kept, listener), listener);
	for (int turn = 0; turn < 100 * FLOOD && accepted(&flood) == 100; turn++)
		rig_turn(flood.rig);
	assert_in_range(accepted(&flood), 101, 2 * FLOOD);
	close(kept);
	close(file);
	finish(&flood);
}

#define LISTENER_TEST(test) cmocka_unit_test_setup_teardown(test, rig_set_up, rig_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LISTENER_TEST(a_turn_accepts_a_bounded_number),
		LISTENER_TEST(draining_accepts_the_queue_and_ends_in_a_flood),
		LISTENER_TEST(draining_an_empty_queue_closes_at_once),
		LISTENER_TEST(draining_ends_where_the_limit_is_reached),
		LISTENER_TEST(a_listener_that_cannot_be_watched_now_is_watched_later),
	};

	return cmocka_run_group_tests_name("listener", tests, NULL, NULL);
}
