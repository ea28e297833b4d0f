/*
 * Listeners at a reload: the new ones take over the sockets of those before, with the clients in their queues.
 */
#include "floods.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Listeners that follow those of a flood, at the same address, under another `bind` line. */
struct successor {
	struct bind bind;
	struct proxy section;
	struct config config;
	struct counterparts *counterparts;
	struct listeners listeners;
};

static void prepare_successor(struct flood *flood, struct successor *next, unsigned backlog)
{
	struct rig *rig = flood->rig;
	struct listener_failure failure;

	*next = (struct successor){.bind = flood->bind, .section = rig->section};
	next->bind.backlog = backlog;
	next->section.binds = &next->bind;
	next->config = rig->config;
	next->config.proxies = &next->section;
	next->counterparts = counterparts_find(&next->config, &rig->config);
	assert_int_equal(next->counterparts->kept, 1);
	assert_int_equal(listeners_bind_new(&next->listeners, &next->config, next->counterparts,
				 true, &failure),
		0);
	assert_int_equal(next->listeners.list[0].fd, -1);
	assert_int_equal(listeners_listen(&next->listeners, &failure), 0);
}

static void take_over(struct flood *flood, struct successor *next)
{
	struct rig *rig = flood->rig;

	listeners_take_over(
		&next->listeners, &flood->listeners, rig->base, &rig->sessions, on_pause, flood);
}

/* Its sessions end with it: they know its section. */
static void release_successor(struct flood *flood, struct successor *next)
{
	session_close_all(&flood->rig->sessions);
	listeners_close(&next->listeners);
	listeners_free(&next->listeners);
	counterparts_free(next->counterparts);
}

static unsigned queue_room(int fd)
{
	struct tcp_info info = {0};
	socklen_t length = sizeof(info);

	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
	return info.tcpi_sacked;
}

static void a_socket_is_taken_over_with_the_clients_in_its_queue(void **state)
{
	struct flood flood;
	struct successor next;
	int fd;

	start(&flood, state);
	prepare_successor(&flood, &next, 7);
	connect_clients(&flood, 50);
	fd = flood.listeners.list[0].fd;
	take_over(&flood, &next);
	assert_int_equal(next.listeners.list[0].fd, fd);
	assert_int_equal(queue_room(fd), 7);
	assert_int_equal(flood.listeners.list[0].fd, -1);
	assert_false(listeners_are_open(&flood.listeners));
	assert_true(listeners_are_open(&next.listeners));
	listeners_drain(&flood.listeners);
	for (int turn = 0; turn < FLOOD && accepted(&flood) < 50; turn++)
		rig_turn(flood.rig);
	assert_int_equal(accepted(&flood), 50);
	release_successor(&flood, &next);
	finish(&flood);
}

/* The one before waits for a place; the new one finds out by itself. */
static void a_listener_that_is_paused_is_taken_over_and_tried_again(void **state)
{
	struct flood flood;
	struct successor next;

	start(&flood, state);
	prepare_successor(&flood, &next, 0);
	connect_clients(&flood, FLOOD);
	while (flood.pauses == 0)
		rig_turn(flood.rig);
	take_over(&flood, &next);
	assert_int_equal(flood.listeners.paused_count, 0);
	assert_int_equal(next.listeners.paused_count, 0);
	session_close_all(&flood.rig->sessions);
	for (int turn = 0; turn < 100 * FLOOD && accepted(&flood) < FLOOD; turn++) {
		rig_turn(flood.rig);
		session_close_all(&flood.rig->sessions);
		listeners_resume(&next.listeners);
	}
	assert_int_equal(accepted(&flood), FLOOD);
	release_successor(&flood, &next);
	finish(&flood);
}

/* What the line says holds, and what it has said before does not. */
static void a_listener_is_transparent_as_its_new_line_says(void **state)
{
	struct flood flood;
	struct successor next;

	if (!socket_may_be_transparent())
		skip();
	for (int change = 0; change < 4; change++) {
		bool was = change & 1, is = change & 2;

		start(&flood, state);
		if (was)
			assert_int_equal(
				socket_set_transparent(flood.listeners.list[0].fd, AF_INET), 0);
		flood.bind.transparent = was;
		prepare_successor(&flood, &next, 0);
		next.bind.transparent = is;
		take_over(&flood, &next);
		assert_int_equal(option(next.listeners.list[0].fd, IPPROTO_IP, IP_TRANSPARENT), is);
		release_successor(&flood, &next);
		finish(&flood);
	}
}

/* Three that follow each other in another order, one of which is new, and one that has closed already. */
static void each_socket_is_taken_over_by_its_own_counterpart(void **state)
{
	struct rig *rig = *state;
	struct listener_failure failure;
	struct sections before, now;
	struct listeners older, newer;
	struct counterparts *counterparts;
	int first, second;

	configure(&before);
	assert_int_equal(listeners_bind(&older, &before.config, true, &failure), 0);
	for (int i = 0; i < 3; i++)
		assert_true(socket_local_address(older.list[i].fd, &before.binds[i].address));
	assert_int_equal(
		listeners_start(&older, rig->base, &rig->sessions, on_pause, NULL, &failure), 0);
	configure(&now);
	now.binds[0].address = before.binds[2].address;
	now.binds[2].address = before.binds[0].address;
	counterparts = counterparts_find(&now.config, &before.config);
	assert_int_equal(listeners_bind_new(&newer, &now.config, counterparts, true, &failure), 0);
	assert_int_equal(newer.list[0].fd, -1);
	assert_int_not_equal(newer.list[1].fd, -1);
	assert_int_equal(newer.list[2].fd, -1);
	assert_int_equal(listeners_listen(&newer, &failure), 0);
	first = older.list[0].fd;
	second = newer.list[1].fd;
	event_del(&older.list[2].event);
	close(older.list[2].fd);
	older.list[2].fd = -1;
	older.open_count--;
	listeners_take_over(&newer, &older, rig->base, &rig->sessions, on_pause, NULL);
	assert_int_equal(newer.list[0].fd, -1);
	assert_int_equal(newer.list[1].fd, second);
	assert_int_equal(newer.list[2].fd, first);
	assert_int_equal(newer.open_count, 2);
	assert_int_equal(older.open_count, 1);
	assert_int_equal(event_base_get_num_events(rig->base, EVENT_BASE_COUNT_ADDED), 3);
	listeners_close(&older);
	listeners_close(&newer);
	listeners_free(&older);
	listeners_free(&newer);
	counterparts_free(counterparts);
}

static void a_new_socket_that_cannot_listen_is_named(void **state)
{
	struct listener_failure failure = {0};
	struct sections sections;
	struct listeners set;
	int file = eventfd(0, EFD_CLOEXEC);

	(void)state;
	configure(&sections);
	assert_int_equal(listeners_bind(&set, &sections.config, true, &failure), 0);
	assert_int_equal(dup2(file, set.list[0].fd), set.list[0].fd);
	assert_int_equal(listeners_listen(&set, &failure), -1);
	assert_ptr_equal(failure.frontend, &sections.proxies[0]);
	assert_ptr_equal(failure.bind, &sections.binds[0]);
	assert_int_equal(failure.error, ENOTSOCK);
	listeners_free(&set);
	close(file);
}

/* As where memory is missing: it must not be lost for ever. */
static void a_socket_that_cannot_be_watched_now_is_watched_later(void **state)
{
	struct flood flood;
	struct successor next;
	int fd, kept, file;

	start(&flood, state);
	prepare_successor(&flood, &next, 0);
	flood.rig->may_warn = true;
	fd = flood.listeners.list[0].fd;
	kept = dup(fd);
	file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	assert_int_equal(event_del(&flood.listeners.list[0].event), 0);
	assert_int_equal(dup2(file, fd), fd);
	take_over(&flood, &next);
	assert_int_equal(next.listeners.paused_count, 1);
	assert_int_equal(dup2(kept, fd), fd);
	connect_clients(&flood, 1);
	for (int turn = 0; turn < 100 * FLOOD && accepted(&flood) < 1; turn++)
		rig_turn(flood.rig);
	assert_int_equal(accepted(&flood), 1);
	close(kept);
	close(file);
	release_successor(&flood, &next);
	finish(&flood);
}

/* Its own user's sockets may; the address of another process may not be shared. */
static void a_wildcard_is_bound_beside_an_address_of_the_configuration_before(void **state)
{
	struct listener_failure failure;
	struct flood flood;
	struct bind wildcard = {.address = addr_any(AF_INET)};
	struct proxy section = {.name = "web", .role = ROLE_LISTEN, .binds = &wildcard};
	struct config config = {.proxies = &section, .proxy_count = 1};
	struct counterparts *counterparts;
	struct listeners set;

	start(&flood, state);
	section.bind_count = 1;
	addr_set_port(&wildcard.address, addr_port(&flood.bind.address));
	counterparts = counterparts_find(&config, &flood.rig->config);
	assert_int_equal(listeners_bind_new(&set, &config, counterparts, true, &failure), 0);
	assert_int_equal(listeners_listen(&set, &failure), 0);
	listeners_free(&set);
	counterparts->overlaps[0] = false;
	assert_int_equal(listeners_bind_new(&set, &config, counterparts, true, &failure), -1);
	assert_int_equal(failure.error, EADDRINUSE);
	listeners_free(&set);
	counterparts_free(counterparts);
	finish(&flood);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LISTENER_TEST(a_socket_is_taken_over_with_the_clients_in_its_queue),
		LISTENER_TEST(a_listener_that_is_paused_is_taken_over_and_tried_again),
		LISTENER_TEST(a_listener_is_transparent_as_its_new_line_says),
		LISTENER_TEST(each_socket_is_taken_over_by_its_own_counterpart),
		LISTENER_TEST(a_new_socket_that_cannot_listen_is_named),
		LISTENER_TEST(a_socket_that_cannot_be_watched_now_is_watched_later),
		LISTENER_TEST(a_wildcard_is_bound_beside_an_address_of_the_configuration_before),
	};

	return cmocka_run_group_tests_name("listener_takeover", tests, NULL, NULL);
}
