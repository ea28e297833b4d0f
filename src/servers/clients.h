/*
 * Clients of datagrams: how many flows each has, and how many datagrams it may send in a second.
 *
 * A client is an address, of IPv6 a network of 64 bits: a host has all of its addresses. Each section counts its clients
 * apart, over all workers and configurations of the process. A client is known while it has a flow.
 *
 * Any thread may call any function.
 */
#ifndef TPROXY_SERVERS_CLIENTS_H
#define TPROXY_SERVERS_CLIENTS_H

#include "tproxy/addr.h"

#include <stdbool.h>
#include <stdint.h>

struct clients;
struct client;

/* Returns NULL without memory. */
struct clients *clients_new(void);

/* There must be no client. NULL is allowed. */
void clients_free(struct clients *clients);

/*
 * Counts a flow of ADDRESS, never mapped, in the section of this name, until clients_leave(). MOST is how many it may have
 * at the same time, 0 any number. NULL: it has as many, or *NO_MEMORY is set.
 */
struct client *clients_enter(struct clients *clients, const char *section,
	const struct addr *address, unsigned most, bool *no_memory);

void clients_leave(struct clients *clients, struct client *client);

/*
 * How many of WANTED datagrams the client may send, at RATE in each second; NOW is in seconds. *FIRST_LOST is set where it
 * is fewer than WANTED for the first time in this second.
 */
unsigned clients_take(struct clients *clients, struct client *client, unsigned rate,
	unsigned wanted, uint64_t now, bool *first_lost);

#endif
