/*
 * What a session waits for; for src/proxy/ alone.
 */
#ifndef PROXY_INTEREST_H
#define PROXY_INTEREST_H

#include "session.h"
#include "tproxy/clock.h"

/* Milliseconds of the monotonic clock, as all times of a session. */
static inline uint64_t session_now(void)
{
	return (uint64_t)clock_ms();
}

static inline enum side_name side_other(enum side_name side)
{
	return side == CLIENT ? SERVER : CLIENT;
}

/*
 * Adds and removes events, and sets the timer, to match what the session waits for. Call it after
 * every change of an open session. False, with errno, where an event could not be added: the session
 * must be closed then.
 */
bool interest_update(struct session *session);

/* Adds EVENT, or removes it, unless that is done already. False, with errno, where it fails. */
bool interest_watch(struct event *event, bool wanted);

/* Whether a side has timed out. SIDE is set to the one that times out first. */
bool interest_expired(const struct session *session, enum side_name *side);

#endif
