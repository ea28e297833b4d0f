/*
 * Where a session goes to: what the rules of the configuration decide about its client.
 *
 * They are asked about the addresses that the session has at that time. As long as no PROXY header was read, these are
 * the connection's own, and afterwards those that the header names (HAProxy's configuration manual, `src`).
 */
#ifndef PROXY_ROUTING_H
#define PROXY_ROUTING_H

#include "session.h"

/* The address that the client connected to, as its header names it or else as the kernel does. False: it is not known. */
bool routing_destination(const struct session *session, struct addr *destination);

/*
 * Whether the rules of PROXY let the client in, at a stage of `tcp-request`. *HEADER, of STAGE_CONNECTION, becomes true where a
 * rule says that it has to begin with a PROXY header, and stays as it is otherwise; of other stages it may be NULL.
 */
bool routing_admits(const struct session *session, const struct proxy *proxy, enum rule_stage stage,
	bool *header);

/* The backend that `use_backend` chooses, or else default_backend; NULL: there is none. */
const struct proxy *routing_backend(const struct session *session);

/* The server of the session's backend that `use-server` chooses; NULL: its servers take turns. */
const struct server *routing_server(const struct session *session);

#endif
