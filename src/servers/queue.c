/*
 * A queue without a lock. Each worker has a part of it: a list of its own waiters, which no other thread touches, and the ticket
 * of the first of them, which all threads may read. The oldest of all is the smallest of these tickets. So nothing that
 * another thread may read is ever freed or moved, and one who leaves takes itself off its own list.
 *
 * That no wake-up is lost rests on one order: who joins shows its ticket, then the length, and then looks for a place; who gives a
 * place back does that first, and then reads the length. All of these are sequentially consistent, so one of the two sees the other.
 */
#include "queue.h"

#include "tproxy/wakers.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

TAILQ_HEAD(waiter_list, waiter);

struct queue_part {
	_Alignas(64) atomic_ullong oldest; /* ticket of the first waiter; 0: none */
	struct waiter_list waiters;
	TAILQ_ENTRY(queue_part) link; /* while it is not empty */
};

struct queue {
	atomic_ullong tickets;
	atomic_uint length, served;
	atomic_uint parts_used; /* no worker of this number or above has ever joined */
	struct queue_part parts[WAKERS_MAX];
};

struct queue *queue_new(void)
{
	struct queue *queue = aligned_alloc(_Alignof(struct queue), sizeof(*queue));

	if (queue == NULL)
		return NULL;
	memset(queue, 0, sizeof(*queue));
	for (unsigned i = 0; i < WAKERS_MAX; i++)
		TAILQ_INIT(&queue->parts[i].waiters);
	return queue;
}

void queue_free(struct queue *queue)
{
	free(queue);
}

uint64_t queue_ticket(struct queue *queue)
{
	return atomic_fetch_add(&queue->tickets, 1) + 1;
}

static void insert(struct waiter_list *list, struct waiter *waiter)
{
	struct waiter *before = TAILQ_LAST(list, waiter_list);

	while (before != NULL && before->ticket > waiter->ticket)
		before = TAILQ_PREV(before, waiter_list, link);
	if (before == NULL)
		TAILQ_INSERT_HEAD(list, waiter, link);
	else
		TAILQ_INSERT_AFTER(list, before, waiter, link);
}

static void show_oldest(struct queue_part *part)
{
	const struct waiter *first = TAILQ_FIRST(&part->waiters);

	atomic_store(&part->oldest, first == NULL ? 0 : first->ticket);
}

static void use_part(struct queue *queue, unsigned worker)
{
	unsigned used = atomic_load(&queue->parts_used);

	while (used <= worker &&
		!atomic_compare_exchange_weak(&queue->parts_used, &used, worker + 1))
		;
}

void queue_join(
	struct queue *queue, unsigned worker, struct queue_parts *mine, struct waiter *waiter)
{
	struct queue_part *part = &queue->parts[worker];

	if (TAILQ_EMPTY(&part->waiters))
		TAILQ_INSERT_TAIL(mine, part, link);
	waiter->queue = queue;
	waiter->served = atomic_load(&queue->served);
	insert(&part->waiters, waiter);
	use_part(queue, worker);
	show_oldest(part);
	atomic_fetch_add(&queue->length, 1);
}

unsigned queue_leave(struct waiter *waiter, unsigned worker, struct queue_parts *mine, bool served)
{
	struct queue *queue = waiter->queue;
	struct queue_part *part = &queue->parts[worker];

	waiter->queue = NULL;
	TAILQ_REMOVE(&part->waiters, waiter, link);
	if (TAILQ_EMPTY(&part->waiters))
		TAILQ_REMOVE(mine, part, link);
	show_oldest(part);
	atomic_fetch_sub(&queue->length, 1);
	return atomic_fetch_add(&queue->served, served) - waiter->served + 1;
}

struct waiter *queue_first(struct queue_part *part)
{
	return TAILQ_FIRST(&part->waiters);
}

struct queue_part *queue_next_part(struct queue_part *part)
{
	return TAILQ_NEXT(part, link);
}

struct queue_head queue_oldest(const struct queue *queue)
{
	unsigned used = atomic_load(&queue->parts_used);
	struct queue_head head = {0};

	for (unsigned i = 0; i < used; i++) {
		uint64_t ticket = atomic_load(&queue->parts[i].oldest);

		if (ticket != 0 && (head.ticket == 0 || ticket < head.ticket))
			head = (struct queue_head){.ticket = ticket, .worker = i};
	}
	return head;
}

bool queue_has_older(const struct queue *queue, uint64_t ticket)
{
	struct queue_head head = {0};

	if (queue_length(queue) > 0)
		head = queue_oldest(queue);
	return head.ticket != 0 && head.ticket < ticket;
}

unsigned queue_length(const struct queue *queue)
{
	return atomic_load(&queue->length);
}
