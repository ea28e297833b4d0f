/*
 * Where a session goes to: what the rules of the configuration decide about its client.
 *
 * They are asked about the addresses that the session has at that time. As long as no PROXY header was read, these are
 * the connection's own, and afterwards those that the header names (HAProxy's configuration manual, `src`).
 */
#ifndef PROXY_ROUTING_H
#define PROXY_ROUTING_H

#include "session.h"

/*
 * Whether `tcp-request connection` lets the client in. *HEADER becomes true where a rule says that it has to begin with
 * a PROXY header, and stays as it is otherwise.
 */
bool routing_admits(const struct session *session, bool *header);

/*
 * What the rules for a client that is known choose: *BACKEND by `use_backend` or else default_backend (NULL: there is none),
 * and *SERVER by `use-server` (NULL: its servers take turns). Returns REASON_DONE, or why `tcp-request session` or `content`
 * rejects the client.
 */
enum reason routing_choose(
	const struct session *session, const struct proxy **backend, const struct server **server);

#endif
