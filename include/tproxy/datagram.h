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

/* Has the kernel report with each datagram where it was sent. */
int datagram_tell_destination(int fd, int family);

/*
 * Receives a datagram; the number of its bytes, or -1. FROM is its source. DESTINATION is where it was
 * sent, of family AF_UNSPEC where the kernel did not report it.
 */
ssize_t datagram_receive(
	int fd, void *data, size_t size, struct addr *from, struct addr *destination);

#endif
