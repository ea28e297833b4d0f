/*
 * A worker's numbers have one writer, so adding is a load and a store, without a locked instruction; they are atomic only so that the
 * reader never sees half of one. Numbers never go down. What `clear counters all` forgets is subtracted by the reader.
 *
 * The most of something is shared by all workers: it is written only where it grows, which soon is seldom.
 *
 * An average is HAProxy's: that of a sliding window, in which each session takes the place of a share of all those before.
 */
#include "tally.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
	WINDOW = 512, /* sessions, as in HAProxy */
	CACHE_LINE = 64
};

struct numbers {
	_Alignas(CACHE_LINE) _Atomic uint64_t items[TALLY_ITEMS];
	_Atomic uint64_t times[TALLY_TIMES];  /* sums of the window */
	_Atomic uint64_t counts[TALLY_TIMES]; /* sessions in it, and before */
	_Atomic uint64_t last;
};

struct tally {
	unsigned users; /* configurations that have it; the main thread's, as what follows */
	unsigned workers;
	struct standing standing;
	uint64_t cleared[TALLY_ITEMS];
	atomic_uint most[TALLY_MOSTS];
	struct numbers *numbers; /* by worker */
};

struct tallies {
	unsigned workers;
	size_t count;
	struct tally **frontends, **backends; /* by proxy->index */
	struct tally **servers;               /* by server->index */
	struct tally *list[];                 /* what the three point into */
};

/* --- beginning and end --- */

static struct tally *tally_new(unsigned workers)
{
	struct tally *tally = calloc(1, sizeof(*tally));

	if (tally == NULL)
		return NULL;
	tally->users = 1;
	tally->workers = workers;
	tally->numbers = aligned_alloc(CACHE_LINE, workers * sizeof(*tally->numbers));
	if (tally->numbers == NULL) {
		free(tally);
		return NULL;
	}
	memset(tally->numbers, 0, workers * sizeof(*tally->numbers));
	return tally;
}

static void tally_free(struct tally *tally)
{
	if (tally == NULL || --tally->users > 0)
		return;
	free(tally->numbers);
	free(tally);
}

static struct tallies *tallies_alloc(const struct config *config, unsigned workers)
{
	size_t sections = config->proxy_count, count = 2 * sections + config->server_count;
	struct tallies *tallies = calloc(1, sizeof(*tallies) + count * sizeof(tallies->list[0]));

	if (tallies == NULL)
		return NULL;
	tallies->workers = workers;
	tallies->count = count;
	tallies->frontends = tallies->list;
	tallies->backends = tallies->list + sections;
	tallies->servers = tallies->list + 2 * sections;
	return tallies;
}

/* Makes those that are still missing. */
static struct tallies *complete(struct tallies *tallies)
{
	for (size_t i = 0; i < tallies->count; i++) {
		if (tallies->list[i] == NULL)
			tallies->list[i] = tally_new(tallies->workers);
		if (tallies->list[i] == NULL) {
			tallies_free(tallies);
			return NULL;
		}
	}
	return tallies;
}

struct tallies *tallies_new(const struct config *config, unsigned workers)
{
	struct tallies *tallies = tallies_alloc(config, workers);

	return tallies == NULL ? NULL : complete(tallies);
}

/* Those of OLDER that have a counterpart; FOUND says which, for each of COUNT. */
static void keep(struct tally **list, struct tally *const *older, const size_t *found, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (found[i] != COUNTERPART_NONE) {
			list[i] = older[found[i]];
			list[i]->users++;
		}
}

struct tallies *tallies_renew(const struct tallies *before, const struct config *config,
	const struct counterparts *counterparts)
{
	struct tallies *tallies = tallies_alloc(config, before->workers);

	if (tallies == NULL)
		return NULL;
	keep(tallies->frontends, before->frontends, counterparts->frontends, config->proxy_count);
	keep(tallies->backends, before->backends, counterparts->backends, config->proxy_count);
	keep(tallies->servers, before->servers, counterparts->servers, config->server_count);
	return complete(tallies);
}

void tallies_free(struct tallies *tallies)
{
	if (tallies == NULL)
		return;
	for (size_t i = 0; i < tallies->count; i++)
		tally_free(tallies->list[i]);
	free(tallies);
}

struct tally *tally_of_frontend(const struct tallies *tallies, const struct proxy *frontend)
{
	return tallies->frontends[frontend->index];
}

struct tally *tally_of_backend(const struct tallies *tallies, const struct proxy *backend)
{
	return tallies->backends[backend->index];
}

struct tally *tally_of_server(const struct tallies *tallies, const struct server *server)
{
	return tallies->servers[server->index];
}

/* --- adding --- */

static uint64_t number(const _Atomic uint64_t *of)
{
	return atomic_load_explicit(of, memory_order_relaxed);
}

static void set_number(_Atomic uint64_t *of, uint64_t value)
{
	atomic_store_explicit(of, value, memory_order_relaxed);
}

void tally_add(struct tally *tally, unsigned worker, unsigned item, uint64_t count)
{
	_Atomic uint64_t *of = &tally->numbers[worker].items[item];

	set_number(of, number(of) + count);
}

void tally_time(struct tally *tally, unsigned worker, enum tally_time time, unsigned milliseconds)
{
	struct numbers *numbers = &tally->numbers[worker];
	uint64_t sum = number(&numbers->times[time]);

	set_number(&numbers->times[time], sum - (sum + WINDOW - 1) / WINDOW + milliseconds);
	set_number(&numbers->counts[time], number(&numbers->counts[time]) + 1);
	tally_most(tally, TALLY_MOST_TIME + (enum tally_most)time, milliseconds);
}

void tally_came(struct tally *tally, unsigned worker, uint64_t now)
{
	set_number(&tally->numbers[worker].last, now);
}

void tally_most(struct tally *tally, enum tally_most most, unsigned count)
{
	atomic_uint *of = &tally->most[most];
	unsigned before = atomic_load_explicit(of, memory_order_relaxed);

	while (count > before && !atomic_compare_exchange_weak(of, &before, count))
		;
}

/* --- reading --- */

static unsigned average_of(const struct tally *tally, enum tally_time time)
{
	uint64_t sum = 0, count = 0;

	for (unsigned worker = 0; worker < tally->workers; worker++) {
		uint64_t own = number(&tally->numbers[worker].counts[time]);

		sum += number(&tally->numbers[worker].times[time]);
		count += own < WINDOW ? own : WINDOW;
	}
	return count == 0 ? 0 : (unsigned)((sum + count - 1) / count);
}

static uint64_t total(const struct tally *tally, unsigned item)
{
	uint64_t sum = 0;

	for (unsigned worker = 0; worker < tally->workers; worker++)
		sum += number(&tally->numbers[worker].items[item]);
	return sum;
}

void tally_sum(const struct tally *tally, struct tally_sums *sums)
{
	sums->last = 0;
	for (unsigned i = 0; i < TALLY_ITEMS; i++)
		sums->items[i] = total(tally, i) - tally->cleared[i];
	for (unsigned i = 0; i < TALLY_MOSTS; i++)
		sums->most[i] = atomic_load(&tally->most[i]);
	for (unsigned i = 0; i < TALLY_TIMES; i++)
		sums->average[i] = average_of(tally, (enum tally_time)i);
	for (unsigned worker = 0; worker < tally->workers; worker++)
		if (number(&tally->numbers[worker].last) > sums->last)
			sums->last = number(&tally->numbers[worker].last);
}

struct standing *tally_standing(struct tally *tally)
{
	return &tally->standing;
}

void tally_clear(struct tally *tally, bool all, unsigned sessions, unsigned waiting)
{
	struct standing *standing = &tally->standing;

	for (unsigned i = 0; i < TALLY_MOSTS; i++)
		atomic_store(&tally->most[i], 0);
	tally_most(tally, TALLY_MOST_SESSIONS, sessions);
	tally_most(tally, TALLY_MOST_WAITING, waiting);
	standing->most_rate = standing->most_connection_rate = 0;
	if (!all)
		return;
	for (unsigned i = 0; i < TALLY_ITEMS; i++)
		tally->cleared[i] = total(tally, i);
	standing->downs = 0;
	standing->down_time = 0;
	standing->sessions = standing->connections = 0;
}
