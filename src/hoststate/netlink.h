/*
 * One request to the kernel over netlink(7), on a socket of its own, and the check of its answer.
 *
 * Sockets (sock_diag(7)) and routes (rtnetlink(7)) are read this way.
 */
#ifndef TPROXY_NETLINK_H
#define TPROXY_NETLINK_H

#include <libmnl/libmnl.h>
#include <stddef.h>

/*
 * Sends REQUEST on BUS (NETLINK_ROUTE, NETLINK_SOCK_DIAG) and reads the answer to its end, as netlink_parse()
 * does. Blocks until then. Returns 0, or -1 with errno.
 */
int netlink_request(int bus, const struct nlmsghdr *request, mnl_cb_t take, void *context);

/*
 * The pure part: reads LENGTH bytes of an answer, messages at DATA, aligned as struct nlmsghdr is, for the
 * netlink port PORT (0: any). Each message of data goes to TAKE with CONTEXT; TAKE returns MNL_CB_OK for
 * more, MNL_CB_STOP at the end, or netlink_refuse().
 *
 * Returns 1 when more has to come, 0 at the end, or -1 with errno: an error that the kernel reports, or
 * EPROTO for what it never writes. Nothing of the answer counts then.
 */
int netlink_parse(const void *data, size_t length, unsigned port, mnl_cb_t take, void *context);

/*
 * Gives each attribute behind the HEADER bytes of a message's own header to TAKE, and returns what that returned last;
 * MNL_CB_OK without one. The message must have its header. Use this and not mnl_attr_parse(), which rounds the
 * message's length up, and so may read behind its end.
 */
int netlink_attributes(
	const struct nlmsghdr *message, size_t header, mnl_attr_cb_t take, void *context);

/* Sets errno to ERROR and returns what ends the reading of an answer (MNL_CB_ERROR). */
int netlink_refuse(int error);

#endif
