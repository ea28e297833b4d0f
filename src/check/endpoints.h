/*
 * Sources and destinations of simulated packets.
 */
#ifndef CHECK_ENDPOINTS_H
#define CHECK_ENDPOINTS_H

#include "report.h"

enum {
	CLIENTS_MAX = 8 /* of each list below */
};

/*
 * Clients of a family: those that the user named, else one for each link that clients may be behind. Returns
 * how many.
 */
size_t check_clients(const struct check *check, int family, struct addr clients[CLIENTS_MAX]);

/*
 * Sources of the proxy's connections to a server, by the server's place in the service's list, that need not
 * be addresses of this host: clients of the server's family, or the fixed address of `usesrc ADDR`. Returns
 * how many; none where the proxy connects from an address of this host.
 */
size_t check_sources(const struct check *check, size_t server, struct addr sources[CLIENTS_MAX]);

/*
 * Whether clients of a family reach a listener. IPv4 clients reach one on [::], unless its socket has
 * IPV6_V6ONLY (RFC 3493, 5.3).
 */
bool check_hears(const struct check *check, const struct service_listener *listener, int family);

/*
 * Addresses, with ports, that clients connect to and the listener serves: its own, and those of TPROXY rules
 * that name it. Returns how many.
 */
size_t check_destinations(const struct check *check, const struct service_listener *listener,
	int family, struct addr destinations[CLIENTS_MAX]);

#endif
