/*
 * The way back: a check that is made from a client's address shows whether a server's answers to clients come through
 * this host. An ordinary one comes from this host's own address, which they reach by any way.
 *
 * The word is `check-usesrc`, an extension: HAProxy has no such check.
 */
#ifndef TPROXY_SERVERS_WAY_BACK_H
#define TPROXY_SERVERS_WAY_BACK_H

#include "tproxy/config.h"

/* Whether the server is checked from a client's address. */
bool way_back_is_checked(const struct server *server);

/*
 * A source for one check of SERVER: an address of `check-usesrc`, with a port that clients hardly use. COUNT is how many were
 * made before; another one gives another port, and another address of a network.
 */
struct source way_back_source(const struct server *server, unsigned count);

/*
 * What to say of a server that did not answer such a check from SOURCE, but answers this host: VERDICT is of the former, and gets
 * the reason.
 */
void way_back_explain(struct health_verdict *verdict, const struct source *source);

#endif
