/* The control messages beside a datagram; for src/net/ alone. */
#ifndef NET_DATAGRAM_MESSAGE_H
#define NET_DATAGRAM_MESSAGE_H

#include "tproxy/addr.h"

#include <sys/socket.h>

/* Room for what datagram_read_destination() looks for, and for what datagram_write_source() writes. */
union datagram_control {
	char room[CMSG_SPACE(sizeof(struct sockaddr_in6)) * 2];
	struct cmsghdr aligned;
};

/* Sets DESTINATION if a control message of a received MESSAGE reports it. */
void datagram_read_destination(struct msghdr *message, struct addr *destination);

/* The index of the interface by which a received MESSAGE came; 0: not reported. */
unsigned datagram_read_interface(struct msghdr *message);

/*
 * Writes the control message that says which address a datagram is to leave from, to a peer of FAMILY; the port is the
 * socket's. MESSAGE has room for it, whose length becomes that of the control message.
 */
void datagram_write_source(struct msghdr *message, int family, const struct addr *from);

#endif
