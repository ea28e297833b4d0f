/*
 * Moving servers: their names are asked again and again, and each server is where its name's answer says.
 *
 * The words and the lines of the log are HAProxy's (configuration manual, section 5.3, server IP address resolution using DNS). One thread
 * asks for all workers; they see the addresses in the limits.
 */
#ifndef TPROXY_SERVERS_MOVING_H
#define TPROXY_SERVERS_MOVING_H

#include "counterparts.h"
#include "limits.h"
#include "tproxy/config.h"

#include <event2/event.h>

struct moving;

/* A line of HAProxy's log about a server of BACKEND; LOST: it has no address any more. */
typedef void (*moving_observer)(
	void *arg, const struct proxy *backend, bool lost, const char *line);

/*
 * Asks for the names of CONFIG's servers with `resolvers` from now on. BEFORE is what asked for the configuration before, and is stopped and
 * freed, and COUNTERPARTS says what the two have in common: a server with the same name keeps the address that it has. Both are NULL at the
 * start. BASE, CONFIG and LIMITS must outlive it. Returns NULL where there is no such server, or no memory: servers stay where
 * they are then.
 */
struct moving *moving_start(struct event_base *base, const struct config *config,
	struct limits *limits, struct moving *before, const struct counterparts *counterparts,
	moving_observer observer, void *arg);

/* How many descriptors it may have at the same time: one for each name server, and at a reload for those before, too. */
size_t moving_descriptors(const struct config *config);

/* Asks no more; the servers stay where they are. Its event loop must not run any more. NULL is allowed. */
void moving_free(struct moving *moving);

#endif
