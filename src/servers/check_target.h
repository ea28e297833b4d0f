/*
 * Targets of checks (attempt.h), as the configuration has them.
 */
#ifndef TPROXY_SERVERS_CHECK_TARGET_H
#define TPROXY_SERVERS_CHECK_TARGET_H

#include "attempt.h"
#include "limits.h"
#include "tproxy/config.h"

/* From the beginning of a check to that of the next one, in milliseconds: `inter`, or HAProxy's default. */
unsigned check_interval(const struct server *server);

/* The same of questions to its agent: `agent-inter`. */
unsigned agent_interval(const struct server *server);

/* Where SERVER is checked now. */
struct addr check_target_address(const struct limits *limits, const struct server *server);

/* Where its agent is now. */
struct addr agent_target_address(const struct limits *limits, const struct server *server);

/* The address of `source`, where it is one of this host: `usesrc` is for clients alone, as in HAProxy. */
struct source check_target_source(const struct server *server);

/* All of it. `inter` is all that a check may take; with `timeout check`, connecting may take `timeout connect` if that is shorter. */
struct attempt_target check_target(
	const struct limits *limits, const struct proxy *backend, const struct server *server);

/* The same of its agent, without a script: a PROXY header never comes first. */
struct attempt_target agent_target(
	const struct limits *limits, const struct proxy *backend, const struct server *server);

#endif
