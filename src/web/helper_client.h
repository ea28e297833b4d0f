/*
 * Calls of the helper, from the process that talks to browsers: nothing waits, an answer comes by a callback.
 */
#ifndef TPROXY_WEB_HELPER_CLIENT_H
#define TPROXY_WEB_HELPER_CLIENT_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>

struct helper_client {
	struct event_base *base;
	int control;      /* the socket to the helper */
	unsigned calling; /* calls under way */
};

/* ANSWER is an object with "status"; it is freed after the callback has returned. */
typedef void helper_answer(void *arg, const json_t *answer);

/*
 * Calls REQUEST's verb. DONE gets ARG exactly once, after this function has returned, whatever happens: also for an
 * answer that does not come in time (502). REQUEST is freed. False: too many calls are under way or there is no
 * memory; DONE is not called.
 */
bool helper_call(struct helper_client *client, json_t *request, helper_answer *done, void *arg);

#endif
