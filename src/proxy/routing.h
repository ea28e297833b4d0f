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
 * What the rules for a client that is known choose, and `balance`: the session's backend and server, whose place it then
 * has until waiting_give_back(). Returns REASON_DONE, or why there is no server: a rule rejects the client, or none is usable; with
 * REASON_SERVERS_FULL it can wait for *WANTED, or for any of its backend's servers (NULL).
 */
enum reason routing_choose(struct session *session, const struct server **wanted);

/*
 * The same, without rules, for a session that has waited with TICKET: for SERVER alone, or for any (NULL). REASON_NO_SERVER: none is
 * usable now.
 */
enum reason routing_choose_again(struct session *session, const struct server *server,
	uint64_t ticket, const struct server **wanted);

/*
 * After a failed attempt to connect: gives the session another server where `option redispatch` says so (configuration manual,
 * section 4.2): with a count N at every Nth attempt, counted from the end where it is negative, and -1 is the last one; where the
 * servers take turns, at each. Returns the server that it has left, whose place the caller gives back; NULL: it stays at its server.
 */
const struct server *routing_redispatch(struct session *session);

#endif
