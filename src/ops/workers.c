/*
 * What is done for every worker. A worker whose event loop has failed serves no client, so it is left out:
 * a socket that is bound for it would get clients that no thread accepts.
 */
#include "workers.h"

#include "proxy/inherited.h"

#include <sched.h>

unsigned workers_wanted(const struct config *config)
{
	unsigned count = config->global.nbthread;
	cpu_set_t cpus;

	if (count == 0 && sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
		count = (unsigned)CPU_COUNT(&cpus);
	if (count == 0)
		count = 1;
	return count > WORKERS_MAX ? WORKERS_MAX : count;
}

int workers_bind(struct workers *workers, unsigned count, struct generation *generation,
	struct listener_failure *failure)
{
	inherited_deal();
	while (workers->count < count) {
		struct worker *worker =
			worker_new(workers->count, workers->reports, generation, failure);

		if (worker == NULL)
			return -1;
		workers->list[workers->count++] = worker;
	}
	for (unsigned i = 0; i < count; i++)
		worker_give_sockets(workers->list[i]);
	return 0;
}

int workers_start(struct workers *workers, const struct sandbox_filter *filter,
	struct listener_failure *failure, int *not_restricted)
{
	*not_restricted = 0;
	for (unsigned i = 0; i < workers->count && *not_restricted == 0; i++) {
		if (worker_start(workers->list[i], filter, failure) == -1)
			return -1;
		workers->started++;
		*not_restricted = worker_await_sandbox(workers->list[i]);
	}
	return 0;
}

void workers_command(struct workers *workers, enum worker_command command)
{
	for (unsigned i = 0; i < workers->count; i++)
		worker_command(workers->list[i], command);
}

unsigned workers_running(const struct workers *workers)
{
	unsigned running = workers->started;

	for (unsigned i = 0; i < workers->started; i++)
		running -= worker_has_ended(workers->list[i]);
	return running;
}

static int prepare_all(
	struct workers *workers, struct generation *generation, struct listener_failure *failure)
{
	bool first = true;

	inherited_deal();
	for (unsigned i = 0; i < workers->count; i++) {
		if (worker_has_ended(workers->list[i]))
			continue;
		if (worker_prepare(workers->list[i], generation, first, failure) == -1)
			return -1;
		first = false;
	}
	for (unsigned i = 0; i < workers->count; i++)
		if (worker_listen(workers->list[i], failure) == -1)
			return -1;
	return 0;
}

int workers_prepare(
	struct workers *workers, struct generation *generation, struct listener_failure *failure)
{
	if (prepare_all(workers, generation, failure) == 0)
		return 0;
	for (unsigned i = 0; i < workers->count; i++)
		worker_abandon(workers->list[i]);
	return -1;
}

void workers_succeed(struct workers *workers)
{
	for (unsigned i = 0; i < workers->count; i++)
		worker_succeed(workers->list[i]);
}

bool workers_are_settled(const struct workers *workers)
{
	bool settled = true;

	for (unsigned i = 0; i < workers->count; i++)
		settled &= worker_is_settled(workers->list[i]);
	return settled;
}

void workers_look(struct workers *workers)
{
	for (unsigned i = 0; i < workers->count; i++)
		worker_look(workers->list[i]);
}

void workers_ask(struct workers *workers)
{
	for (unsigned i = 0; i < workers->count; i++)
		worker_ask(workers->list[i]);
}

int workers_find_silent(const struct workers *workers)
{
	for (unsigned i = 0; i < workers->count; i++)
		if (worker_is_silent(workers->list[i]))
			return (int)i;
	return -1;
}

int workers_join(struct workers *workers, struct counters *counters)
{
	int status = 0;

	workers_command(workers, WORKER_STOP);
	for (unsigned i = 0; i < workers->count; i++)
		worker_await_end(workers->list[i]);
	for (unsigned i = 0; i < workers->count; i++)
		if (!worker_join(workers->list[i], counters))
			status = -1;
	workers->count = 0;
	return status;
}
