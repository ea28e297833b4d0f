/*
 * Schedule: when a server is asked again and again, as `inter` and `agent-inter` say.
 */
#ifndef TPROXY_SERVERS_SCHEDULE_H
#define TPROXY_SERVERS_SCHEDULE_H

#include <event2/event.h>
#include <event2/event_struct.h>

/* Turns that are due within one slot begin together; in milliseconds. */
enum {
	SCHEDULE_SLOT = 10
};

struct schedule {
	struct event timer;
	long long due; /* when the last turn was to begin, or the first one; as clock_ms() */
};

void schedule_init(
	struct schedule *schedule, struct event_base *base, event_callback_fn turn, void *arg);

/* The first turn comes after WAIT milliseconds, or less than a slot earlier. */
void schedule_begin(struct schedule *schedule, unsigned wait);

/* The next turn comes STEP milliseconds after the last one was due. */
void schedule_next(struct schedule *schedule, unsigned step);

/* The same, where BEFORE had the last turn; it is another configuration's. */
void schedule_continue(struct schedule *schedule, const struct schedule *before, unsigned step);

/* The next turn comes after WAIT milliseconds at the latest. */
void schedule_advance(struct schedule *schedule, unsigned wait);

void schedule_stop(struct schedule *schedule);

#endif
