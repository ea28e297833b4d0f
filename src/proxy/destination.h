/* The destination: which address a session connects to, as its server's line and its client say. */
#ifndef PROXY_DESTINATION_H
#define PROXY_DESTINATION_H

#include "session.h"
#include "tproxy/socket.h"

/*
 * Sets ASKED to the address that the client connected to: the one that its PROXY header names, or else the accepted
 * socket's own local address, which TPROXY leaves as the client sent it. False: the kernel does not say.
 */
bool destination_asked(const struct session *session, struct addr *asked);

/*
 * Whether the client of a session that begins, accepted at BIND, is this process itself. Its addresses are those of the socket: a
 * header names others. A listener at one address whose client connected to another one shows that a rule diverts connections to it.
 * What this process sends may be among them, so it is noted from then on, and goes round once.
 */
bool destination_is_own_traffic(struct session *session, const struct bind *bind);

/*
 * Sets SERVER to where the session, whose server is chosen, is to connect to. Returns REASON_DONE, or the reason for
 * which it must not: the connection would come back to the proxy, or no server can be there. *ERROR is the errno
 * behind the reason, or 0.
 */
enum reason destination_choose(const struct session *session, struct addr *server, int *error);

/*
 * Whether a client's destination TO, which is of that KIND to this host, can be where SERVER is, whose line has the
 * wildcard. Returns REASON_DONE, or why not. With ADDRESS_UNKNOWN, errno says why the kernel could not be asked.
 */
enum reason destination_judge(
	const struct server *server, const struct addr *to, enum address_kind kind);

/*
 * Whether the connection to the session's server may come from the address that it is to have. It may not where a header names one that no
 * client of this host can have. The kernel would take some of them: the host's own, above all. So an address about which the
 * kernel cannot be asked is not used either.
 */
bool destination_allows_source(const struct session *session);

#endif
