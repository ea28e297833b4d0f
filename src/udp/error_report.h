/* Errors of the network about datagrams, passed on as ICMP messages. For src/udp/ alone. */
#ifndef UDP_ERROR_REPORT_H
#define UDP_ERROR_REPORT_H

#include "flow.h"

/*
 * Reports ERROR, an errno, to the SENDER of a datagram, from its DESTINATION. Without CAP_NET_RAW that fails, and the sender gets
 * nothing; so it does where ERROR is none of the network's, or the LOOP has sent too many reports.
 */
void error_report(struct flow_loop *loop, int error, const struct addr *sender,
	const struct addr *destination);

#endif
