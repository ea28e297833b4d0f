/*
 * Datagram sockets, and where a datagram was sent before the host's rules gave it to another socket.
 *
 * As with every socket here: -1 with errno where a function fails; non-blocking and close-on-exec.
 * Rules: ip(7), IP_RECVORIGDSTADDR; the kernel's Documentation/networking/tproxy.rst.
 */
#ifndef TPROXY_DATAGRAM_H
#define TPROXY_DATAGRAM_H

#include "tproxy/addr.h"

#include <stddef.h>
#include <sys/types.h>

/* A socket for datagrams that may share its address with others; not bound yet. */
int datagram_open(int family);

/*
 * Makes the kernel report with each datagram where it was sent, for datagram_receive(). FAMILY is the
 * socket's. Returns 0, or -1 with errno.
 */
int datagram_report_destination(int fd, int family);

/*
 * Receives one datagram into DATA, of SIZE bytes; a longer one is cut. FROM is set to its source,
 * DESTINATION to where it was sent, or to the family AF_UNSPEC where the kernel did not report it.
 * Returns its length, or -1 with errno: EAGAIN while there is none.
 */
ssize_t datagram_receive(
	int fd, void *data, size_t size, struct addr *from, struct addr *destination);

#endif
