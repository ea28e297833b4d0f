/*
 * Queues: who waits for a place, of all workers, in the order in which they came.
 *
 * A backend has a queue for those that any of its servers may serve, and each of its servers has one for those that it alone may
 * serve. Tickets of one backend are counted together, so the queues of its servers can be compared.
 */
#ifndef TPROXY_SERVERS_QUEUE_H
#define TPROXY_SERVERS_QUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct queue;
struct queue_part;

/* The parts of queues in which one worker has waiters. */
TAILQ_HEAD(queue_parts, queue_part);

/* One who waits: of one worker, and changed by it alone. */
struct waiter {
	TAILQ_ENTRY(waiter) link;
	struct queue *queue; /* NULL: it does not wait */
	uint64_t ticket;     /* from 1 */
	unsigned served;     /* how many the queue had served when it came */
};

struct queue_head {
	uint64_t ticket; /* 0: no one waits */
	unsigned worker;
};

/* NULL: no memory. */
struct queue *queue_new(void);

/* No one may wait in it; NULL is allowed. */
void queue_free(struct queue *queue);

/* The next ticket of QUEUE, which is a backend's. */
uint64_t queue_ticket(struct queue *queue);

/*
 * WAITER, whose ticket is set, waits from now on, behind those with older tickets. MINE has the parts of WORKER, whose number is below
 * WAKERS_MAX. A place that is given back afterwards is seen by its giver to be waited for; the caller must look itself
 * whether one was given back before.
 */
void queue_join(
	struct queue *queue, unsigned worker, struct queue_parts *mine, struct waiter *waiter);

/* It waits no more; SERVED: it has got its place. Returns its place in the queue, for the log. */
unsigned queue_leave(struct waiter *waiter, unsigned worker, struct queue_parts *mine, bool served);

/* The first waiter of a part, or NULL; and the part after it of the same worker, or NULL. */
struct waiter *queue_first(struct queue_part *part);
struct queue_part *queue_next_part(struct queue_part *part);

/* Any thread may call these. */
struct queue_head queue_oldest(const struct queue *queue);
bool queue_has_older(const struct queue *queue, uint64_t ticket);
unsigned queue_length(const struct queue *queue);

#endif
