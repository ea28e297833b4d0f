/*
 * Asks servers whether they answer, by doing: one connection from a client's address and, where that is not answered,
 * one from this host's own.
 *
 * A probe of UDP sends one datagram with the user's payload from each address. Whatever comes back is an answer.
 *
 * A probe of TCP sends at most three packets to a server: a SYN that is not sent again, and, after an answer, a reset in
 * place of the acknowledgement. It needs CAP_NET_RAW, and takes two seconds at most, however many servers there are.
 */
#ifndef TPROXY_PROBE_H
#define TPROXY_PROBE_H

#include "tproxy/addr.h"

#include <stddef.h>

enum probe_outcome {
	PROBE_NOT_SENT, /* `error` says why */
	PROBE_SILENT,
	PROBE_REFUSED, /* a reset came, or an ICMP error */
	PROBE_ANSWERED
};

struct probe {
	struct addr server;  /* with its port */
	struct addr client;  /* of the same family */
	const char *payload; /* of a datagram, not empty; NULL: a connection of TCP */
	size_t payload_length;
	enum probe_outcome from_client;
	enum probe_outcome from_host; /* only where from_client is PROBE_SILENT */
	int error;                    /* errno of what was not sent */
};

/* Probes all servers of LIST at the same time, and fills in the outcomes. */
void probe_servers(struct probe *list, size_t count);

#endif
