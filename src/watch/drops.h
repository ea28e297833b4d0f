/*
 * Why the kernel drops packets while others are captured: the reasons that its tracepoint skb:kfree_skb has since
 * Linux 5.17.
 *
 * A tracepoint is the machine's, and not a network namespace's: packets of all of its containers are among them. Packets that
 * are no longer on their way do not count: what a socket still had when it was closed, and what a sniffer had no room for.
 */
#ifndef TPROXY_DROPS_H
#define TPROXY_DROPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct drops;

enum {
	DROPS_REASONS = 256 /* larger numbers are those of wireless networks and the like */
};

/* How many packets were dropped, for each reason and at all. */
struct drops_counts {
	unsigned reasons[DROPS_REASONS];
	uint64_t read; /* records, of these reasons and of others */
	uint64_t
		all; /* what the kernel counted: more than `read` where it had no room for a record */
};

/* Begins to note packets of IPv4 and IPv6. NULL: this process may not, or this kernel has no such tracepoint. */
struct drops *drops_begin(void);

/*
 * A descriptor that is readable when drops_read() is due: half of the room for records is used. It is closed by drops_end().
 * -1: DROPS is NULL.
 */
int drops_descriptor(const struct drops *drops);

/* Counts the records that are there, and makes room for others. */
void drops_read(struct drops *drops);

/*
 * Ends it, and frees DROPS (NULL is allowed). Returns "NETFILTER_DROP 2, IP_RPFILTER 1", to be freed; NULL: none was dropped, as
 * far as is known.
 */
char *drops_end(struct drops *drops);

/* The pure parts. */

/* Reads the tracepoint's number, and where its records have the reason, from TEXT, its file `format`. */
bool drops_read_format(const char *text, unsigned *id, size_t *reason_at);

/* Which packets the kernel notes, as perf_event_open(2) takes it, to be freed. TEXT is as above. */
char *drops_filter(const char *text);

/*
 * Counts the records of RING from its byte number FROM since the start until the one number TO. The ring has SIZE bytes;
 * REASON_AT is where a record of the tracepoint has the reason.
 */
void drops_count(struct drops_counts *counts, const uint8_t *ring, size_t size, uint64_t from,
	uint64_t to, size_t reason_at);

/* What drops_end() returns. */
char *drops_text(const struct drops_counts *counts, const char *format);

#endif
