/*
 * When servers are checked, and what follows from what a check finds (attempt.h).
 *
 * As in HAProxy, a server has points: `rise` of them or more are up. A check that passes gives one point, and all of
 * them when the server comes up; one that fails takes one from a server that has more than it needs, and else all of them.
 * At the start a server has exactly `rise`, so the first check that fails takes it down.
 *
 * The first checks are spread evenly over the shortest interval, and each goes on at its own pace (schedule.h), so that they
 * never all fall due at once. The trap: a lack of this host's own resources says nothing of a server, and is no failed check.
 */
#include "health.h"

#include "attempt.h"
#include "check_target.h"
#include "schedule.h"
#include "tproxy/clock.h"
#include "way_back.h"

#include <stdlib.h>

enum {
	RISE = 2, /* HAProxy's defaults */
	FALL = 3
};

struct check {
	struct health *health;
	const struct proxy *backend;
	const struct server *server;
	struct attempt_target target;
	struct attempt attempt;
	unsigned count; /* of checks that were made */
	/* A server that did not answer a client's address: it is asked from this host's own, for the reason. */
	bool asks_again;
	struct attempt_target plain;
	struct health_verdict silent;
	unsigned points;
	struct health_report report; /* but for what is said elsewhere */
	enum health_status last;     /* what the last one found, or HEALTH_L4OK */
	long long started;           /* when it began */
	struct schedule schedule;
};

struct health {
	struct availability availability;
	size_t count;
	struct check checks[];
};

static unsigned or_default(unsigned value, unsigned other)
{
	return value != 0 ? value : other;
}

static unsigned rise_of(const struct server *server)
{
	return or_default(server->check.rise, RISE);
}

/* The points of a server that is up for sure. */
static unsigned points_max(const struct server *server)
{
	return rise_of(server) + or_default(server->check.fall, FALL) - 1;
}

static bool is_checked(const struct server *server)
{
	return server->check.on;
}

size_t health_count(const struct config *config)
{
	size_t count = 0;

	for (size_t i = 0; i < config->proxy_count; i++)
		for (size_t j = 0; j < config->proxies[i].server_count; j++)
			count += is_checked(&config->proxies[i].servers[j]);
	return count;
}

static bool is_in_maintenance(const struct check *check)
{
	return limits_state(check->health->availability.limits, check->server) == SERVER_MAINT;
}

/* --- time --- */

/* From the beginning of a check to that of the next one. */
static unsigned interval(const struct check *check)
{
	const struct server_check *settings = &check->server->check;
	unsigned inter = check_interval(check->server);

	if (check->points == 0)
		return or_default(settings->downinter, inter);
	if (check->points == points_max(check->server))
		return inter;
	return or_default(settings->fastinter, inter);
}

static void wait_for_next(struct check *check)
{
	schedule_next(&check->schedule, interval(check));
}

/* --- the result --- */

static void report_change(struct check *check, struct health_change *change)
{
	change->backend = check->backend;
	change->server = check->server;
	change->duration = (unsigned)(clock_ms() - check->started);
	availability_change(&check->health->availability, change);
}

static void report(struct check *check, bool up, const struct health_verdict *verdict)
{
	report_change(check, &(struct health_change){.up = up, .verdict = *verdict});
}

/* More clients may have a place at a server that has come up slowly. */
static void look_at_queue(const struct check *check)
{
	if (check->server->slowstart != 0 && check->backend->queues)
		wakers_wake_all(limits_wakers(limits_process(check->health->availability.limits)));
}

/* As HAProxy: one that counts, or that has another result than the one before. */
static void report_check(
	struct check *check, unsigned points_before, const struct health_verdict *verdict)
{
	unsigned rise = rise_of(check->server), fall = or_default(check->server->check.fall, FALL);
	bool up = check->points >= rise;
	struct health_change change = {.backend = check->backend,
		.server = check->server,
		.up = up,
		.points = up ? check->points - rise + 1 : check->points,
		.of = up ? fall : rise,
		.verdict = *verdict,
		.duration = (unsigned)(clock_ms() - check->started)};
	bool counts = check->points != points_before || verdict->status != check->last;

	check->last = verdict->status;
	check->report.verdict = *verdict;
	check->report.has_verdict = true;
	check->report.duration = change.duration;
	if (counts)
		availability_note(&check->health->availability, &change);
}

static void passed(struct check *check, const struct health_verdict *verdict)
{
	unsigned rise = rise_of(check->server);

	unsigned before = check->points;

	look_at_queue(check);
	if (before < points_max(check->server))
		check->points++;
	if (check->points >= rise)
		check->points = points_max(check->server);
	report_check(check, before, verdict);
	if (before < rise && check->points >= rise)
		report(check, true, verdict);
}

static void failed(struct check *check, const struct health_verdict *verdict)
{
	unsigned before = check->points, rise = rise_of(check->server);

	check->points = before > rise ? before - 1 : 0;
	check->report.failures += before >= rise;
	report_check(check, before, verdict);
	if (before == rise)
		report(check, false, verdict);
}

/* As HAProxy: what the errors of clients' connections do (configuration manual, section 5.2, `on-error`). */
static void observed(struct check *check)
{
	unsigned before = check->points, rise = rise_of(check->server);
	enum on_error action = check->server->check.on_error;
	struct health_change change = {.errors = limits_error_limit(check->server)};

	if (action == ON_ERROR_MARK_DOWN && before > rise)
		before = rise;
	if (action == ON_ERROR_SUDDEN_DEATH && before > rise)
		before = rise + 1;
	if (action != ON_ERROR_FASTINTER)
		check->points = before > rise ? before - 1 : 0;
	if (action != ON_ERROR_FASTINTER && before == rise)
		report_change(check, &change);
	if (check->attempt.fd == -1 && check->server->check.fastinter != 0)
		schedule_advance(&check->schedule, check->server->check.fastinter);
}

void health_observe(struct health *health)
{
	for (size_t i = 0; health != NULL && i < health->count; i++) {
		struct check *check = &health->checks[i];
		unsigned times =
			check->server->check.observes
				? limits_take_errors(health->availability.limits, check->server)
				: 0;

		while (times-- > 0)
			observed(check);
	}
}

/* --- a check --- */

/* Only a server that goes down needs a reason. */
static bool needs_reason(const struct check *check, const struct health_verdict *verdict)
{
	return way_back_is_checked(check->server) && verdict->status == HEALTH_L4TOUT &&
	       check->points == rise_of(check->server);
}

static void ask_again(struct check *check, const struct health_verdict *silent)
{
	check->asks_again = true;
	check->silent = *silent;
	check->plain = check->target;
	check->plain.script = NULL;
	check->plain.header = PROXY_HEADER_NONE;
	check->plain.source = check_target_source(check->server);
	attempt_start(&check->attempt, &check->plain);
}

/* The server is not fit in any case; PLAIN says what it makes of this host's own address. */
static const struct health_verdict *explained(
	struct check *check, const struct health_verdict *plain)
{
	check->asks_again = false;
	if (plain != NULL && health_is_passed(plain->status))
		way_back_explain(&check->silent, &check->target.source);
	return &check->silent;
}

/* VERDICT is NULL where this host lacked what a check needs. */
static void on_verdict(void *arg, const struct health_verdict *verdict)
{
	struct check *check = arg;

	if (is_in_maintenance(check)) {
		check->asks_again = false;
		wait_for_next(check);
		return;
	}
	if (check->asks_again)
		verdict = explained(check, verdict);
	else if (verdict != NULL && needs_reason(check, verdict)) {
		ask_again(check, verdict);
		return;
	}
	if (verdict != NULL && health_is_passed(verdict->status))
		passed(check, verdict);
	else if (verdict != NULL)
		failed(check, verdict);
	wait_for_next(check);
}

/* Where a server that moves is now. False: nowhere. */
static bool find_address(struct check *check)
{
	const struct limits *limits = check->health->availability.limits;
	struct addr somewhere;

	if (check->server->resolvers == NULL)
		return true;
	if (!limits_address(limits, check->server, &somewhere))
		return false;
	check->target.address = check_target_address(limits, check->server);
	return true;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct check *check = arg;

	(void)fd;
	(void)what;
	check->started = clock_ms();
	if (is_in_maintenance(check) || !find_address(check)) {
		wait_for_next(check);
		return;
	}
	if (way_back_is_checked(check->server))
		check->target.source = way_back_source(check->server, check->count++);
	attempt_start(&check->attempt, &check->target);
}

/* --- beginning and end --- */

static int compare_indices(const void *key, const void *element)
{
	size_t index = *(const size_t *)key;
	size_t other = ((const struct check *)element)->server->index;

	return index < other ? -1 : index > other;
}

/* The check of a server's counterpart, if it was at the same address; or NULL. Checks are sorted by server->index. */
static const struct check *check_before(const struct check *check, const struct health *before,
	const struct counterparts *counterparts)
{
	size_t index = counterparts == NULL ? COUNTERPART_NONE
					    : counterparts->servers[check->server->index];

	const struct check *found = NULL;

	if (before != NULL && index != COUNTERPART_NONE)
		found = bsearch(&index, before->checks, before->count, sizeof(before->checks[0]),
			compare_indices);
	return found != NULL && addr_equal(&found->target.address, &check->target.address) ? found
											   : NULL;
}

/* Goes on where the check before was, or else begins as one of many, spread over the SHORTEST interval. */
static void check_start(
	struct check *check, const struct check *before, size_t place, unsigned shortest)
{
	unsigned rise = rise_of(check->server);

	check->points = rise;
	if (before != NULL && before->points < rise_of(before->server))
		check->points = before->points < rise ? before->points : rise - 1;
	else if (before != NULL && before->points > rise_of(before->server))
		check->points = points_max(check->server);
	availability_begin(
		&check->health->availability, check->server, DOWN_BY_CHECK, check->points >= rise);
	if (before != NULL) {
		check->report = before->report;
		schedule_continue(&check->schedule, &before->schedule, interval(check));
	} else {
		schedule_begin(
			&check->schedule, (unsigned)(place * shortest / check->health->count));
	}
}

static void add_checks(struct health *health, struct event_base *base, const struct proxy *backend)
{
	for (size_t i = 0; i < backend->server_count; i++) {
		struct check *check = &health->checks[health->count];

		if (!is_checked(&backend->servers[i]))
			continue;
		health->count++;
		*check = (struct check){.health = health,
			.backend = backend,
			.server = &backend->servers[i],
			.target = check_target(
				health->availability.limits, backend, &backend->servers[i]),
			.last = HEALTH_L4OK};
		attempt_init(&check->attempt, base, on_verdict, check);
		schedule_init(&check->schedule, base, on_timer, check);
	}
}

static unsigned shortest_interval(const struct health *health)
{
	unsigned shortest = UINT32_MAX;

	for (size_t i = 0; i < health->count; i++) {
		unsigned inter = check_interval(health->checks[i].server);

		shortest = inter < shortest ? inter : shortest;
	}
	return shortest;
}

/* A reload may have taken their checks away. */
static void set_up_unchecked(const struct config *config, struct limits *limits)
{
	for (size_t i = 0; i < config->proxy_count; i++)
		for (size_t j = 0; j < config->proxies[i].server_count; j++) {
			const struct server *server = &config->proxies[i].servers[j];

			if (!is_checked(server) && server->track == NULL)
				limits_set_up(limits, server, DOWN_BY_CHECK, true);
		}
}

static struct health *health_new(
	struct event_base *base, const struct config *config, struct limits *limits)
{
	size_t count = health_count(config);
	struct health *health = NULL;

	if (count > 0)
		health = calloc(1, sizeof(*health) + count * sizeof(health->checks[0]));
	if (health == NULL)
		return NULL;
	health->availability = (struct availability){.config = config, .limits = limits};
	for (size_t i = 0; i < config->proxy_count; i++)
		add_checks(health, base, &config->proxies[i]);
	return health;
}

struct health *health_start(struct event_base *base, const struct config *config,
	struct limits *limits, struct health *before, const struct counterparts *counterparts,
	health_observer observer, void *arg)
{
	struct health *health = health_new(base, config, limits);
	unsigned shortest;

	set_up_unchecked(config, limits);
	if (health == NULL) {
		health_free(before);
		return NULL;
	}
	health->availability.observer = observer;
	health->availability.arg = arg;
	shortest = shortest_interval(health);
	for (size_t i = 0; i < health->count; i++)
		check_start(&health->checks[i],
			check_before(&health->checks[i], before, counterparts), i, shortest);
	health_free(before);
	return health;
}

static struct check *find_check(struct health *health, const struct server *server)
{
	size_t index = server->index;

	return health == NULL ? NULL
			      : bsearch(&index, health->checks, health->count,
					sizeof(health->checks[0]), compare_indices);
}

void health_recover(struct health *health, struct limits *limits, const struct server *server)
{
	struct check *check = find_check(health, server);

	if (check != NULL) {
		check->points = rise_of(server);
		availability_begin(&health->availability, server, DOWN_BY_CHECK, true);
		schedule_begin(&check->schedule, 0);
	}
	if (limits_is_up(limits, server))
		limits_start_slowly(limits, server);
}

bool health_report(struct health *health, const struct server *server, struct health_report *report)
{
	const struct check *check = find_check(health, server);

	if (check == NULL)
		return false;
	*report = check->report;
	report->points = check->points;
	report->rise = rise_of(server);
	report->fall = or_default(server->check.fall, FALL);
	report->runs = check->attempt.fd != -1;
	return true;
}

void health_free(struct health *health)
{
	if (health == NULL)
		return;
	for (size_t i = 0; i < health->count; i++) {
		struct check *check = &health->checks[i];

		schedule_stop(&check->schedule);
		attempt_stop(&check->attempt);
	}
	free(health);
}
