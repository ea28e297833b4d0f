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

/* Reports to the client of FLOW what the network said about a datagram to the server, or what this host knows of the way. */
void error_report_to_client(const struct flow *flow, int error);

/* Whether a call that failed with ERROR met the fate of an earlier datagram (udp(7)): it may be made again. */
bool error_is_of_an_earlier_one(int error);

#endif
