/*
 * Own traffic: which connections this process has made to servers, so that one that is diverted to the process itself
 * is known again when it is accepted.
 *
 * The connections are those of all workers, and outlive a configuration. Any thread may call any function.
 */
#ifndef TPROXY_SERVERS_OWN_TRAFFIC_H
#define TPROXY_SERVERS_OWN_TRAFFIC_H

#include "tproxy/addr.h"

#include <stdbool.h>

struct own_connection;

/*
 * As socket_connect() for a socket of TYPE (SOCK_STREAM, SOCK_DGRAM), and notes the connection in *NOTED, which the caller owns and gives to own_traffic_forget().
 * A bound SOCK_DGRAM gets EADDRINUSE where one that is noted has its address and the same SERVER: the kernel would let both be.
 * Nothing is noted, and *NOTED is NULL, where connecting fails at once; ENOMEM without memory.
 */
int own_traffic_connect(int type, int fd, const struct addr *server, struct own_connection **noted);

/* Forgets a connection that is closed. NULL is allowed. */
void own_traffic_forget(struct own_connection *noted);

/* Whether what came from PEER, who connected or sent to DESTINATION, is from one of those of TYPE that are noted. */
bool own_traffic_has(int type, const struct addr *peer, const struct addr *destination);

#endif
