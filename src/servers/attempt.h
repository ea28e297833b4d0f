/*
 * An attempt: one attempt to find out whether a server is fit, by the steps of a script.
 *
 * It says what it found and no more; what follows from that is health's. It has one socket at a time, and memory for an
 * answer only while it waits for one.
 */
#ifndef TPROXY_SERVERS_ATTEMPT_H
#define TPROXY_SERVERS_ATTEMPT_H

#include "tproxy/config.h"
#include "tproxy/health_script.h"

#include <event2/event.h>
#include <event2/event_struct.h>

/* What all attempts of a server have in common. */
struct attempt_target {
	const struct health_script *script; /* NULL: a connection alone */
	struct addr address;                /* where a step names no other */
	struct source source;               /* as upstream_open() takes it, without a client */
	enum proxy_header_version header;   /* of connections that are made as the server's */
	unsigned connect; /* ms to connect, or, with answer 0, for all that follows, too */
	unsigned answer;  /* ms for all steps behind a connection, or 0 */
};

/*
 * VERDICT is NULL where this host's own resources were missing: that says nothing of the server. What came last is in the attempt's input,
 * until this returns or the next attempt begins.
 */
typedef void (*attempt_observer)(void *arg, const struct health_verdict *verdict);

struct attempt {
	const struct attempt_target *target;
	attempt_observer observer;
	void *arg;
	int fd;                   /* -1: none */
	size_t step;              /* of the script */
	struct health_bytes left; /* to be sent */
	char header[PROXY_HEADER_WRITTEN_MAX];
	bool fresh; /* nothing was read since the last bytes were sent */
	struct health_input input;
	char *bytes; /* of the input; HEALTH_INPUT_MAX of them, or NULL */
	int error;   /* errno that ended the input, or 0 */
	bool was_reset; /* before the attempt saw that it was connected; what came before that is to be read */
	struct health_verdict verdict;
	struct event ready, deadline;
};

/* Makes an attempt that is at rest. */
void attempt_init(
	struct attempt *attempt, struct event_base *base, attempt_observer observer, void *arg);

/* Begins one. TARGET must stay until the observer was called, which may be before this returns. */
void attempt_start(struct attempt *attempt, const struct attempt_target *target);

/* Ends it without a verdict. Nothing happens at rest. */
void attempt_stop(struct attempt *attempt);

#endif
