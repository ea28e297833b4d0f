/*
 * Datagram sockets, and where a datagram was sent before the host's rules diverted it to another socket.
 *
 * Functions that fail return -1 with errno. Sockets are non-blocking and close-on-exec. Rules: ip(7),
 * IP_RECVORIGDSTADDR; the kernel's Documentation/networking/tproxy.rst.
 */
#ifndef TPROXY_DATAGRAM_H
#define TPROXY_DATAGRAM_H

#include "tproxy/addr.h"

#include <stddef.h>
#include <sys/types.h>

/* Opens a UDP socket of FAMILY, not bound, that may share its address. Returns the descriptor, or -1. */
int datagram_open(int family);

/*
 * Makes the kernel report the destination of each datagram to datagram_receive(). FAMILY is that of the socket.
 * Returns 0, or -1.
 */
int datagram_report_destination(int fd, int family);

/* Makes the kernel report the interface by which each datagram comes, to datagram_batch_interface(). Returns 0, or -1. */
int datagram_report_interface(int fd, int family);

/*
 * Makes all ICMP errors about datagrams of a connected socket errors of its next call, those of routers, too; without it
 * only the peer's own are (ip(7), IP_RECVERR). Each must be discarded then, or the socket stays ready for ever. FAMILY is
 * that of the socket. At one that is not connected, errors are of any of its peers. Returns 0, or -1.
 */
int datagram_report_errors(int fd, int family);

/*
 * Takes one ICMP error that waits at a socket for which errors are reported: a datagram of it to PEER did not arrive. LOCAL
 * is the address that it was sent from, where destinations are reported, else of the family AF_UNSPEC; its port is unknown.
 * Returns the error's number, or 0 without an error.
 */
int datagram_take_error(int fd, struct addr *peer, struct addr *local);

/*
 * Lets a connected socket receive from anyone again, at the address and port that it has; each datagram is then sent with an
 * address. Returns 0, or -1: another socket has taken its port meanwhile.
 */
int datagram_disconnect(int fd);

/* Discards datagrams that wait at the socket: those that came before it was connected may be of any peer. A few at most. */
void datagram_discard(int fd);

/* Discards errors that wait at the socket; a few at most in one call. */
void datagram_discard_errors(int fd);

/*
 * Receives one datagram into the SIZE bytes at DATA; a longer one is cut. FROM is set to its source, DESTINATION to
 * where it was sent, with the family AF_UNSPEC if the kernel did not report it. Returns the length, or -1: EAGAIN
 * without a datagram.
 */
ssize_t datagram_receive(
	int fd, void *data, size_t size, struct addr *from, struct addr *destination);

#endif
