/*
 * Why the kernel drops packets while others are captured: the reasons that its tracepoint skb:kfree_skb has since
 * Linux 5.17.
 *
 * A tracepoint is the machine's, and not a network namespace's: packets of all of its containers are among them.
 */
#ifndef TPROXY_DROPS_H
#define TPROXY_DROPS_H

#include <stdbool.h>
#include <stddef.h>

struct drops;

/* Begins to note packets of IPv4 and IPv6. NULL: this process may not, or this kernel has no such tracepoint. */
struct drops *drops_begin(void);

/*
 * Ends it, and frees DROPS (NULL is allowed). Returns "NETFILTER_DROP 2, IP_RPFILTER 1", to be freed; NULL: none was dropped, as
 * far as is known. Where many are dropped, these are the first.
 */
char *drops_end(struct drops *drops);

/* Reads the tracepoint's number, and where its records have the reason, from TEXT, its file `format`. */
bool drops_read_format(const char *text, unsigned *id, size_t *reason_at);

/* The name that TEXT has for a reason, to be freed; NULL: none. */
char *drops_reason(const char *text, unsigned reason);

/* The number that TEXT has for "not specified". What is less is no loss, and what is more is a reason. */
unsigned drops_unspecified(const char *text);

#endif
