/*
 * Listeners: what one turn of the loop accepts in a flood, pauses, and how draining ends.
 *
 * accept4() and eventfd() are this file's own, so that they can fail: accept4() in every way that accept(2) knows.
 */
#include "floods.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool eventfd_fails; /* EMFILE: a spare descriptor cannot be had */

int eventfd(unsigned initial, int flags)
{
	if (!eventfd_fails)
		return (int)syscall(SYS_eventfd2, initial, flags);
	errno = EMFILE;
	return -1;
}

static int accept_error; /* 0: it is asked of the kernel */

int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
	if (accept_error == 0)
		return (int)syscall(SYS_accept4, fd, address, length, flags);
	errno = accept_error;
	return -1;
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

/* Several threads read the queue of a socket that a service manager has bound. */
static void draining_ends_where_another_thread_took_the_queue(void **state)
{
	struct flood flood;

	start(&flood, state);
	connect_clients(&flood, 3);
	listeners_drain(&flood.listeners);
	for (int i = 0; i < 3; i++)
		assert_int_equal(close(accept4(flood.listeners.list[0].fd, NULL, NULL, 0)), 0);
	for (int turn = 0; turn < 100 * FLOOD && listeners_are_open(&flood.listeners); turn++)
		rig_turn(flood.rig);
	assert_false(listeners_are_open(&flood.listeners));
	assert_int_equal(accepted(&flood), 0);
	finish(&flood);
}

/* The event loop refuses to watch a file, as it refuses a socket where memory is missing. */
static void a_listener_that_cannot_be_watched_now_is_watched_later(void **state)
{
	struct flood flood;
	int listener, kept, file;

	start(&flood, state);
	flood.rig->may_warn = true;
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

/* --- pauses --- */

static struct limits_counts counts_of(const struct flood *flood)
{
	return limits_counts(flood->rig->limits, &flood->rig->section, NULL, NULL);
}

static void a_turn_that_took_all_it_could_doubles_the_next(void **state)
{
	struct flood flood;
	unsigned before = 0;

	start(&flood, state);
	connect_clients(&flood, 34);
	for (unsigned expected = 1; expected <= 16; expected *= 2) {
		while (accepted(&flood) == before)
			rig_turn(flood.rig);
		assert_int_equal(accepted(&flood) - before, expected);
		before = accepted(&flood);
	}
	while (accepted(&flood) < 34)
		rig_turn(flood.rig);
	rig_turn(flood.rig);
	assert_int_equal(flood.listeners.list[0].accepts, 1);
	assert_int_equal(flood.pauses, 0);
	finish(&flood);
}

static bool is_here(const struct flood *flood, unsigned count)
{
	return accepted(flood) == count;
}

static void a_connection_that_fails_by_itself_is_no_pause(void **state)
{
	static const int errors[] = {EINTR, ECONNABORTED, EPERM, EPROTO, ENETDOWN, ENETUNREACH,
		EHOSTDOWN, EHOSTUNREACH, ENONET, ENOPROTOOPT, EOPNOTSUPP, EAGAIN};
	struct flood flood;

	start(&flood, state);
	connect_clients(&flood, 1);
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		accept_error = errors[i];
		rig_turn(flood.rig);
		accept_error = 0;
		assert_int_equal(flood.pauses, 0);
		assert_int_equal(counts_of(&flood).process, 0);
		assert_true(is_here(&flood, 0));
	}
	while (!is_here(&flood, 1))
		rig_turn(flood.rig);
	finish(&flood);
}

/* One turn may look at several connections, but not at one that is not there. */
static void an_error_of_one_connection_lets_the_turn_go_on(void **state)
{
	struct flood flood;

	start(&flood, state);
	connect_clients(&flood, 1);
	flood.listeners.list[0].accepts = 4;
	accept_error = ECONNABORTED;
	rig_turn(flood.rig);
	assert_int_equal(flood.listeners.list[0].accepts, 8);
	accept_error = EAGAIN;
	rig_turn(flood.rig);
	accept_error = 0;
	assert_int_equal(flood.listeners.list[0].accepts, 1);
	finish(&flood);
}

static void what_fails_for_the_host_pauses_and_is_tried_again(void **state)
{
	static const int errors[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM, EINVAL};
	struct flood flood;

	start(&flood, state);
	connect_clients(&flood, 1);
	for (unsigned i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		accept_error = errors[i];
		while (flood.pauses == i)
			rig_turn(flood.rig);
		assert_int_equal(flood.error, errors[i]);
		assert_ptr_equal(flood.paused, &flood.listeners.list[0]);
		assert_int_equal(flood.listeners.paused_count, 1);
		assert_int_equal(counts_of(&flood).process, 0);
		assert_false(event_pending(&flood.listeners.list[0].event, EV_READ, NULL));
		rig_turn(flood.rig);
		assert_int_equal(flood.pauses, i + 1);
		assert_true(evtimer_pending(&flood.listeners.resume, NULL));
	}
	accept_error = 0;
	while (!is_here(&flood, 1)) /* by its timer */
		rig_turn(flood.rig);
	assert_int_equal(flood.listeners.paused_count, 0);
	finish(&flood);
}

static void a_limit_pauses_until_a_session_ends(void **state)
{
	struct flood flood;

	(*(struct rig **)state)->section.maxconn = 1;
	start(&flood, state);
	connect_clients(&flood, 2);
	while (flood.pauses == 0)
		rig_turn(flood.rig);
	assert_int_equal(flood.error, 0);
	assert_int_equal(accepted(&flood), 1);
	assert_int_equal(counts_of(&flood).process, 1);
	assert_int_equal(flood.listeners.list[0].accepts, 1);
	session_close_all(&flood.rig->sessions);
	listeners_resume(&flood.listeners);
	assert_int_equal(flood.listeners.paused_count, 0);
	while (!is_here(&flood, 2))
		rig_turn(flood.rig);
	finish(&flood);
}

/* Though the client itself could be accepted. */
static void without_a_descriptor_for_the_server_no_client_is_accepted(void **state)
{
	struct flood flood;

	start(&flood, state);
	connect_clients(&flood, 1);
	close(flood.rig->loop.spare);
	flood.rig->loop.spare = -1;
	flood.listeners.list[0].accepts = 4;
	eventfd_fails = true;
	rig_turn(flood.rig);
	eventfd_fails = false;
	assert_int_equal(flood.pauses, 1);
	assert_int_equal(flood.error, EMFILE);
	assert_int_equal(accepted(&flood), 0);
	assert_int_equal(counts_of(&flood).process, 0);
	assert_int_equal(flood.listeners.list[0].accepts, 1);
	while (!is_here(&flood, 1))
		rig_turn(flood.rig);
	finish(&flood);
}

static void closing_a_listener_that_is_paused_ends_its_pause(void **state)
{
	struct flood flood;

	start(&flood, state);
	connect_clients(&flood, 1);
	accept_error = EMFILE;
	while (flood.pauses == 0)
		rig_turn(flood.rig);
	accept_error = 0;
	assert_true(listeners_are_open(&flood.listeners));
	listeners_close(&flood.listeners);
	listeners_close(&flood.listeners);
	assert_false(listeners_are_open(&flood.listeners));
	assert_int_equal(flood.listeners.open_count, 0);
	assert_int_equal(flood.listeners.paused_count, 0);
	assert_false(evtimer_pending(&flood.listeners.resume, NULL));
	assert_int_equal(flood.listeners.list[0].fd, -1);
	finish(&flood);
}

/* Those that come after draining has begun are not accepted, though a turn could take more. */
static void draining_accepts_no_more_than_were_in_the_queue(void **state)
{
	struct flood flood;

	start(&flood, state);
	connect_clients(&flood, 3);
	flood.listeners.list[0].accepts = 8;
	listeners_drain(&flood.listeners);
	connect_clients(&flood, 3);
	for (int turn = 0; turn < FLOOD && listeners_are_open(&flood.listeners); turn++)
		rig_turn(flood.rig);
	assert_int_equal(accepted(&flood), 3);
	finish(&flood);
}

static void a_turn_never_accepts_more_than_64(void **state)
{
	struct flood flood;

	start(&flood, state);
	connect_clients(&flood, TURN_MAX);
	flood.listeners.list[0].accepts = TURN_MAX;
	while (!is_here(&flood, TURN_MAX))
		rig_turn(flood.rig);
	assert_int_equal(flood.listeners.list[0].accepts, TURN_MAX);
	finish(&flood);
}

/* --- several listeners --- */

/* The flood's listener is the second one of its section. */
static void start_two(struct flood *flood, struct bind binds[2], void **state)
{
	struct listener_failure failure;
	struct rig *rig = *state;

	*flood = (struct flood){.rig = rig};
	memset(binds, 0, 2 * sizeof(*binds));
	assert_true(addr_parse(&binds[0].address, "127.0.0.1"));
	assert_true(addr_parse(&binds[1].address, "127.0.0.2"));
	rig->section.binds = binds;
	rig->section.bind_count = 2;
	assert_int_equal(listeners_bind(&flood->listeners, &rig->config, true, &failure), 0);
	assert_int_equal(listeners_start(&flood->listeners, rig->base, &rig->sessions, on_pause,
				 flood, &failure),
		0);
	assert_true(socket_local_address(flood->listeners.list[1].fd, &flood->bind.address));
}

static bool is_on(const struct flood *flood, unsigned listener)
{
	return event_pending(&flood->listeners.list[listener].event, EV_READ, NULL);
}

static void only_a_listener_that_is_paused_is_resumed(void **state)
{
	struct bind binds[2];
	struct flood flood;

	start_two(&flood, binds, state);
	connect_clients(&flood, 1);
	accept_error = EMFILE;
	while (flood.pauses == 0)
		rig_turn(flood.rig);
	accept_error = 0;
	assert_ptr_equal(flood.paused, &flood.listeners.list[1]);
	assert_true(is_on(&flood, 0) && !is_on(&flood, 1));
	listeners_resume(&flood.listeners);
	assert_true(is_on(&flood, 0) && is_on(&flood, 1));
	assert_int_equal(flood.listeners.paused_count, 0);
	finish(&flood);
}

/* The first one has no client left and closes; that must not keep the second one from its queue. */
static void draining_resumes_what_is_paused_at_once(void **state)
{
	struct bind binds[2];
	struct flood flood;
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct addr first;

	start_two(&flood, binds, state);
	assert_true(socket_local_address(flood.listeners.list[0].fd, &first));
	assert_int_equal(connect(client, &first.sa, addr_length(&first)), 0);
	connect_clients(&flood, 1);
	accept_error = EMFILE;
	while (flood.pauses < 2)
		rig_turn(flood.rig);
	accept_error = 0;
	close((int)syscall(SYS_accept4, flood.listeners.list[0].fd, NULL, NULL, 0));
	listeners_drain(&flood.listeners);
	assert_int_equal(flood.listeners.list[0].fd, -1);
	assert_true(is_on(&flood, 1));
	assert_int_equal(flood.listeners.paused_count, 0);
	assert_int_equal(flood.listeners.open_count, 1);
	for (int turn = 0; turn < FLOOD && listeners_are_open(&flood.listeners); turn++)
		rig_turn(flood.rig);
	assert_int_equal(accepted(&flood), 1);
	assert_false(listeners_are_open(&flood.listeners));
	close(client);
	finish(&flood);
}

static void closing_closes_each_of_them(void **state)
{
	struct bind binds[2];
	struct flood flood;
	unsigned before = descriptors_open();

	start_two(&flood, binds, state);
	listeners_close(&flood.listeners);
	assert_int_equal(flood.listeners.open_count, 0);
	assert_int_equal(descriptors_open(), before);
	listeners_free(&flood.listeners);
	flood.rig->section.bind_count = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LISTENER_TEST(a_turn_accepts_a_bounded_number),
		LISTENER_TEST(draining_accepts_the_queue_and_ends_in_a_flood),
		LISTENER_TEST(draining_an_empty_queue_closes_at_once),
		LISTENER_TEST(draining_ends_where_the_limit_is_reached),
		LISTENER_TEST(draining_ends_where_another_thread_took_the_queue),
		LISTENER_TEST(a_listener_that_cannot_be_watched_now_is_watched_later),
		LISTENER_TEST(a_turn_that_took_all_it_could_doubles_the_next),
		LISTENER_TEST(a_connection_that_fails_by_itself_is_no_pause),
		LISTENER_TEST(an_error_of_one_connection_lets_the_turn_go_on),
		LISTENER_TEST(what_fails_for_the_host_pauses_and_is_tried_again),
		LISTENER_TEST(a_limit_pauses_until_a_session_ends),
		LISTENER_TEST(without_a_descriptor_for_the_server_no_client_is_accepted),
		LISTENER_TEST(closing_a_listener_that_is_paused_ends_its_pause),
		LISTENER_TEST(draining_accepts_no_more_than_were_in_the_queue),
		LISTENER_TEST(a_turn_never_accepts_more_than_64),
		LISTENER_TEST(only_a_listener_that_is_paused_is_resumed),
		LISTENER_TEST(draining_resumes_what_is_paused_at_once),
		LISTENER_TEST(closing_closes_each_of_them),
	};

	return cmocka_run_group_tests_name("listener", tests, NULL, NULL);
}
