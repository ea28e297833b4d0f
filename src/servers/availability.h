/*
 * Availability: which servers are up, by what their checks and their agents say together, and all that follows from a change.
 *
 * A server is up where its check and its agent say so; what it does not have counts as passed. A server that tracks another one
 * is up with that one.
 */
#ifndef TPROXY_SERVERS_AVAILABILITY_H
#define TPROXY_SERVERS_AVAILABILITY_H

#include "limits.h"
#include "tproxy/config.h"
#include "tproxy/health_script.h"

/* A server that went up or down, and what its backend has left; or, with `option log-health-checks`, a check alone. */
struct health_change {
	const struct proxy *backend;
	const struct server *server;
	bool up;
	bool by_agent;    /* an agent found it; else a check, or clients' connections */
	bool by_operator; /* in the agent's place */
	bool of_check; /* the state is as it was, and what follows the duration is not set, but for the points */
	unsigned points,
		of; /* of a check: passed or failed ones that count, and how many change the state */
	bool drains; /* of a check: the server is up, and its weight is 0 */
	struct health_verdict verdict;
	unsigned duration;        /* of the check, in milliseconds */
	unsigned active, backups; /* servers that clients can come to now */
	unsigned sessions;        /* that the server has */
	unsigned
		requeued; /* clients that had waited, and go to other servers, or come to this one */
	unsigned waiting; /* clients that wait for this server alone */
	/* Where no check has changed it: the server that it tracks, or how many errors in a row of clients' connections. */
	const struct server *via;
	const struct proxy *via_backend;
	unsigned errors;
};

typedef void (*health_observer)(void *arg, const struct health_change *change);

struct availability {
	const struct config *config;
	struct limits *limits;
	health_observer observer;
	void *arg;
};

/* What is said of SERVER at the beginning, or anew, BY a check or an agent. Nothing follows from it but for those that track it. */
void availability_begin(const struct availability *availability, const struct server *server,
	enum down_by by, bool up);

/*
 * CHANGE, of which all is filled in up to the duration, has the newest that is said of a server. Where the server goes up or down by
 * it, the rest is filled in and reported, and sessions end where they have to. A server in maintenance changes in silence.
 */
void availability_change(const struct availability *availability, struct health_change *change);

/* A check or an agent was asked, and the state stays: it is reported with `option log-health-checks`. */
void availability_note(const struct availability *availability, struct health_change *change);

#endif
