/*
 * A rate is what was added to a number within a whole second, so nothing is counted for it where sessions begin.
 *
 * The trap: after `clear counters all` a number is smaller than a second before.
 */
#include "standing.h"

#include "servers/balance.h"
#include "tproxy/clock.h"

static void note(struct standing *standing, bool is_down)
{
	long long now = clock_ms();

	if (!standing->is_known) {
		standing->is_known = true;
		standing->changed = now;
		standing->is_down = is_down;
		standing->downs += is_down;
		return;
	}
	if (standing->is_down == is_down)
		return;
	if (is_down)
		standing->downs++;
	else
		standing->down_time += now - standing->changed;
	standing->is_down = is_down;
	standing->changed = now;
}

static void look_at_backend(const struct stats_subject *subject, const struct proxy *backend)
{
	unsigned active, backups;

	for (size_t i = 0; i < backend->server_count; i++) {
		const struct server *server = &backend->servers[i];

		note(tally_standing(tally_of_server(subject->tallies, server)),
			!limits_is_up(subject->limits, server) ||
				limits_state(subject->limits, server) == SERVER_MAINT);
	}
	balance_count(subject->limits, backend, &active, &backups);
	note(tally_standing(tally_of_backend(subject->tallies, backend)),
		backend->server_count > 0 && active + backups == 0);
}

void standings_look(const struct stats_subject *subject)
{
	for (size_t i = 0; i < subject->config->proxy_count; i++)
		if (subject->config->proxies[i].role & ROLE_BACKEND)
			look_at_backend(subject, &subject->config->proxies[i]);
}

static unsigned passed(uint64_t now, uint64_t *before, unsigned *most)
{
	unsigned rate = now > *before ? (unsigned)(now - *before) : 0;

	*before = now;
	if (rate > *most)
		*most = rate;
	return rate;
}

static void count(struct standing *standing, uint64_t sessions, uint64_t connections)
{
	standing->rate = passed(sessions, &standing->sessions, &standing->most_rate);
	standing->connection_rate =
		passed(connections, &standing->connections, &standing->most_connection_rate);
}

static void count_tally(struct tally *tally, uint64_t *sessions, uint64_t *connections)
{
	struct tally_sums sums;

	tally_sum(tally, &sums);
	*sessions += sums.items[TALLY_SESSIONS];
	*connections += sums.items[TALLY_CONNECTIONS];
	count(tally_standing(tally), sums.items[TALLY_SESSIONS], sums.items[TALLY_CONNECTIONS]);
}

void standings_count(const struct stats_subject *subject, struct standing *process)
{
	uint64_t sessions = 0, connections = 0, unused = 0;

	for (size_t i = 0; i < subject->config->proxy_count; i++) {
		const struct proxy *proxy = &subject->config->proxies[i];

		if (proxy->role & ROLE_FRONTEND)
			count_tally(tally_of_frontend(subject->tallies, proxy), &sessions,
				&connections);
		if (proxy->role & ROLE_BACKEND)
			count_tally(tally_of_backend(subject->tallies, proxy), &unused, &unused);
		for (size_t j = 0; j < proxy->server_count; j++)
			count_tally(tally_of_server(subject->tallies, &proxy->servers[j]), &unused,
				&unused);
	}
	count(process, sessions, connections);
}
