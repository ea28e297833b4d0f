/*
 * A set of sessions on a real event loop, between a client and servers on the loopback address.
 *
 * The rig is the observer of its sessions and keeps their states, so that tests can check in which
 * order the states came and why a session ended. Nothing waits for a fixed time: rig_until() turns
 * the loop until a condition holds, and fails the test when it never does.
 */
#ifndef TESTS_RIG_H
#define TESTS_RIG_H

#include "proxy/session.h"
#include "unit.h"

enum {
	RIG_SERVERS = 2,
	RIG_STATES = 1024
};

struct rig {
	struct event_base *base;
	struct config config;
	struct proxy section; /* frontend and backend at once */
	struct bind bind;     /* of clients that are accepted from now on */
	struct server servers[RIG_SERVERS];
	int server_listeners[RIG_SERVERS];
	int vip; /* where clients connect to */
	struct limits *limits;
	struct session_loop loop;
	struct session_set sessions;
	enum session_state states[RIG_STATES];
	unsigned state_count;
	unsigned ended;
	struct session last; /* a copy of the session that ended last */
	bool may_warn;       /* libevent may complain: the test makes it */
};

/*
 * cmocka fixtures; *STATE is the rig. It is torn down only where libevent had nothing to complain about, and
 * where no event of a session is left on the loop.
 */
int rig_set_up(void **state);
int rig_tear_down(void **state);

/* A client's connection, and the session begun for it. */
int rig_client(struct rig *rig);

/* The same with the smallest receive buffer that the kernel allows: it soon takes no more. */
int rig_slow_client(struct rig *rig);

/* The session that began last. */
struct session *rig_session(struct rig *rig);

/* The connection that a server was given; turns the loop until it comes. */
int rig_accept(struct rig *rig, unsigned server);

/* Turns the loop once, for a millisecond at most. */
void rig_turn(struct rig *rig);

/* Turns the loop until CONDITION(RIG) holds. */
void rig_until(struct rig *rig, bool (*condition)(struct rig *));
bool rig_has_ended(struct rig *rig);
bool rig_is_relaying(struct rig *rig);

/* Turns the loop until FD has something to read: data (returns its length), the end (0), or -1. */
ssize_t rig_read(struct rig *rig, int fd, char *out, size_t room);

/* Reads exactly TEXT. */
void rig_assert_reads(struct rig *rig, int fd, const char *text);

void rig_write(int fd, const char *text);

/* Closes with a reset. */
void rig_reset(int fd);

#endif
