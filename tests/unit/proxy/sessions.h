/*
 * What the tests of sessions share: how a session ended, and sides that do nothing.
 */
#ifndef TESTS_SESSIONS_H
#define TESTS_SESSIONS_H

#include "rig.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static inline void assert_states(
	struct rig *rig, const enum session_state *expected, unsigned count)
{
	assert_int_equal(rig->state_count, count);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(rig->states[i], expected[i]);
}

/* The state before the last one, which is CLOSING. */
static inline void assert_closed_in(struct rig *rig, enum session_state expected)
{
	assert_true(rig->state_count > 1);
	assert_int_equal(rig->states[rig->state_count - 2], expected);
}

static inline void assert_ended_with(struct rig *rig, enum reason reason)
{
	rig_until(rig, rig_has_ended);
	assert_string_equal(reason_name(rig->last.reason), reason_name(reason));
}

static inline void assert_reset(struct rig *rig, int fd)
{
	char byte;

	assert_int_equal(rig_read(rig, fd, &byte, 1), -1);
	assert_int_equal(errno, ECONNRESET);
	close(fd);
}

static inline void assert_ends(struct rig *rig, int fd)
{
	char byte;

	assert_int_equal(rig_read(rig, fd, &byte, 1), 0);
}

/* Makes a server's kernel drop further requests to connect: its backlog is full. */
static inline void silence_server(struct rig *rig, int *fillers, unsigned count)
{
	const struct addr *address = &rig->servers[0].address;

	assert_int_equal(listen(rig->server_listeners[0], 1), 0);
	for (unsigned i = 0; i < count; i++) {
		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(fillers[i], &address->sa, addr_length(address));
	}
}

static inline void close_all(const int *fds, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		close(fds[i]);
}

static inline bool is_watched(struct rig *rig)
{
	return event_pending(&rig_session(rig)->hangup, EV_READ, NULL);
}

/* A backend of its own, so that the rig's section is the frontend alone. */
static inline struct proxy *separate_backend(struct rig *rig)
{
	static struct proxy backend;

	backend = rig->section;
	rig->section.default_backend = &backend;
	rig->section.server_count = 0;
	rig->section.retries = 7;
	return &backend;
}

#define SESSION_TEST(test) cmocka_unit_test_setup_teardown(test, rig_set_up, rig_tear_down)

#endif
