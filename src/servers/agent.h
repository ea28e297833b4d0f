/*
 * Agents: programs that say how a server is. Each is asked again and again, by a connection; what it answers is a line of words.
 *
 * The words are HAProxy's: `agent-check`, `agent-inter`, `agent-port`, `agent-addr`, `agent-send` (configuration manual, section 5.2), and
 * so is what an answer means (health/agent_answer.h). One thread asks for all workers; they see the result in the limits.
 */
#ifndef TPROXY_SERVERS_AGENT_H
#define TPROXY_SERVERS_AGENT_H

#include "availability.h"
#include "counterparts.h"
#include "health.h"

#include <event2/event.h>

struct agents;

/* Gets what an agent says. */
struct agents_host {
	health_observer changed; /* up, down, or an answer alone */
	/* The agent says "ready", "drain" or "maint", and it is another state than the server's own. */
	void (*set_state)(void *arg, const struct proxy *backend, const struct server *server,
		enum server_state state);
	void *arg;
};

/*
 * Asks the agents of CONFIG's servers from now on. BEFORE are those of the configuration before, which are stopped and freed by it,
 * and COUNTERPARTS says what the two have in common: a server whose agent is still at the same address stays as that one said. Both
 * are NULL at the start, where every agent is taken to say "up". BASE, CONFIG and LIMITS must outlive it. Call it after
 * health_start(). Where memory is missing, or no server has an agent, it returns NULL.
 */
struct agents *agents_start(struct event_base *base, const struct config *config,
	struct limits *limits, struct agents *before, const struct counterparts *counterparts,
	const struct agents_host *host);

/* What is known of SERVER's agent; `rise` and `fall` are 1. False where it has none. NULL is allowed. */
bool agents_report(
	struct agents *agents, const struct server *server, struct health_report *report);

/* An operator says in its agent's place that SERVER is up or down, until the agent says so. False where it has none. NULL is allowed. */
bool agents_overrule(struct agents *agents, const struct server *server, bool up);

/* Stops all questions; the servers stay as they are. NULL is allowed. */
void agents_free(struct agents *agents);

/* How many servers of CONFIG have one: each question has a descriptor for a while. */
size_t agents_count(const struct config *config);

#endif
