/*
 * What a session waits for; for src/proxy/ alone.
 */
#ifndef PROXY_INTEREST_H
#define PROXY_INTEREST_H

#include "tproxy/clock.h"
#include "tproxy/session.h"

/* Milliseconds of the monotonic clock, as all times of a session are. */
static inline uint64_t now(void)
{
	return (uint64_t)clock_ms();
}

static inline enum side_name side_other(enum side_name side)
{
	return side == CLIENT ? SERVER : CLIENT;
}

/*
 * Brings events and the timer in line with what the session waits for. Call it after every change.
 * False, with errno, where an event could not be added: the session cannot go on then.
 */
bool interest_update(struct session *session);

/* Adds the event or takes it away, where it is not so already. False, with errno, where it fails. */
bool interest_watch(struct event *event, bool wanted);

/* Whether a side was waited for longer than its timeout allows, and which one: the first to expire. */
bool interest_expired(const struct session *session, enum side_name *side);

#endif
