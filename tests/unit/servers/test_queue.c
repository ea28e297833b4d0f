/*
 * Queues: who is the oldest, over several workers, and that a place which is given back never goes unused while one waits.
 *
 * Each thread is a worker with one waiter at a time, as sessions use a queue: it joins, tries, sleeps until it is woken, and tries again.
 * A wake-up that is lost would leave all of them asleep, and the test would not end.
 */
#include "unit.h"

#include "servers/queue.h"
#include "tproxy/wakers.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
	THREADS = 4,
	ROUNDS = 20000,
	PLACES = 2
};

static struct queue *queue;
static struct wakers wakers;
static atomic_uint used;
static atomic_bool passed_the_limit;

static void the_oldest_comes_first_over_all_workers(void **state)
{
	struct queue_parts mine[2];
	struct waiter a = {.ticket = 1}, b = {.ticket = 2}, c = {.ticket = 3};

	(void)state;
	queue = queue_new();
	TAILQ_INIT(&mine[0]);
	TAILQ_INIT(&mine[1]);
	assert_int_equal(queue_oldest(queue).ticket, 0);
	queue_join(queue, 0, &mine[0], &c);
	queue_join(queue, 1, &mine[1], &b);
	assert_int_equal(queue_oldest(queue).worker, 1);
	queue_join(queue, 0, &mine[0], &a); /* with an old ticket it goes before c */
	assert_int_equal(queue_oldest(queue).worker, 0);
	assert_ptr_equal(queue_first(TAILQ_FIRST(&mine[0])), &a);
	assert_int_equal(queue_length(queue), 3);
	assert_true(queue_has_older(queue, 2));
	assert_false(queue_has_older(queue, 1));
	assert_int_equal(queue_leave(&a, 0, &mine[0], true), 1);
	assert_int_equal(queue_leave(&b, 1, &mine[1], true), 2);
	assert_int_equal(queue_leave(&c, 0, &mine[0], false), 3);
	assert_int_equal(queue_length(queue), 0);
	assert_true(TAILQ_EMPTY(&mine[0]) && TAILQ_EMPTY(&mine[1]));
	assert_false(queue_has_older(queue, UINT64_MAX));
	queue_free(queue);
}

static bool take_place(void)
{
	unsigned seen = atomic_load(&used);

	while (seen < PLACES)
		if (atomic_compare_exchange_weak(&used, &seen, seen + 1))
			return true;
	return false;
}

static void wake_oldest(void)
{
	struct queue_head head = queue_oldest(queue);

	if (head.ticket != 0)
		wakers_wake(&wakers, head.worker);
}

static void sleep_until_woken(int fd, unsigned worker)
{
	struct pollfd woken = {.fd = fd, .events = POLLIN};
	eventfd_t count;

	assert_int_equal(poll(&woken, 1, 20000), 1);
	eventfd_read(fd, &count);
	wakers_look(&wakers, worker);
}

static void *work(void *arg)
{
	unsigned worker = *(unsigned *)arg;
	struct queue_parts mine = TAILQ_HEAD_INITIALIZER(mine);
	int fd = atomic_load(&wakers.list[worker].fd) - 1;

	for (int i = 0; i < ROUNDS; i++) {
		struct waiter waiter = {.ticket = queue_ticket(queue)};

		queue_join(queue, worker, &mine, &waiter);
		while (queue_has_older(queue, waiter.ticket) || !take_place()) {
			if (queue_has_older(queue, waiter.ticket) && atomic_load(&used) < PLACES)
				wake_oldest();
			sleep_until_woken(fd, worker);
		}
		queue_leave(&waiter, worker, &mine, true);
		if (atomic_load(&used) < PLACES)
			wake_oldest();
		if (atomic_load(&used) > PLACES)
			atomic_store(&passed_the_limit, true);
		atomic_fetch_sub(&used, 1);
		if (queue_length(queue) > 0)
			wake_oldest();
	}
	return NULL;
}

static void no_wake_up_is_lost(void **state)
{
	unsigned numbers[THREADS];
	pthread_t threads[THREADS];

	(void)state;
	queue = queue_new();
	for (unsigned i = 0; i < THREADS; i++)
		wakers_add(&wakers, i, eventfd(0, EFD_NONBLOCK));
	for (unsigned i = 0; i < THREADS; i++) {
		numbers[i] = i;
		pthread_create(&threads[i], NULL, work, &numbers[i]);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		close(atomic_load(&wakers.list[i].fd) - 1);
	}
	assert_int_equal(atomic_load(&used), 0);
	assert_int_equal(queue_length(queue), 0);
	assert_false(atomic_load(&passed_the_limit));
	queue_free(queue);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_oldest_comes_first_over_all_workers),
		cmocka_unit_test(no_wake_up_is_lost),
	};

	return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
