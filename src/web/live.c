/*
 * The proxy's counters over the last ten minutes.
 *
 * A reading gives one sample to each frontend and backend: a place in a ring, the same for all of them. Rates are the
 * differences of two samples, made when the page asks. A counter that is lower than before belongs to a proxy that
 * was started again: its rate there is 0.
 *
 * The columns of `show stat` are found by their numbers, which HAProxy's management manual (section 9.1) fixes.
 */
#include "live.h"
#include "tproxy/array.h"
#include "tproxy/clock.h"
#include "tproxy/json.h"
#include "tproxy/text.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

enum {
	COLUMN_PROXY = 0,
	COLUMN_SERVICE = 1,
	COLUMN_SESSIONS = 4,
	COLUMN_TOTAL = 7,
	COLUMN_IN = 8,
	COLUMN_OUT = 9,
	COLUMNS = 10,
	POINTS = 60 /* of one proxy's plot */
};

struct sample {
	long long at; /* milliseconds */
	long long sessions, total, bytes;
};

struct series {
	char *name;      /* "PROXY/FRONTEND" or "PROXY/BACKEND" */
	unsigned first;  /* the number of its first sample */
	unsigned newest; /* and of its newest */
	struct sample ring[LIVE_SAMPLES];
};

struct live {
	struct helper_client *helper;
	struct event *clock;
	char *info, *stat, *reasons, *problem;
	unsigned taken; /* samples */
	struct series all;
	struct series **list;
	size_t count;
	bool asking, ended;
};

static void take_sample(struct series *series, unsigned number, const struct sample *sample)
{
	series->ring[number % LIVE_SAMPLES] = *sample;
	series->newest = number;
}

/* HINT: where it was found last time, since the order seldom changes. */
static struct series *find_series(struct live *live, const char *name, size_t hint)
{
	struct series *made;

	if (hint < live->count && strcmp(live->list[hint]->name, name) == 0)
		return live->list[hint];
	for (size_t i = 0; i < live->count; i++)
		if (strcmp(live->list[i]->name, name) == 0)
			return live->list[i];
	made = calloc(1, sizeof(*made));
	if (made == NULL)
		return NULL;
	made->name = text_copy(name);
	made->first = live->taken;
	live->list = array_room(live->list, live->count, sizeof(struct series *));
	return live->list[live->count++] = made;
}

/* Cuts a line of CSV into its first COLUMNS fields, in place. False: it has fewer. */
static bool cut(char *line, char *fields[COLUMNS])
{
	for (int i = 0; i < COLUMNS; i++) {
		fields[i] = line;
		line = strchr(line, ',');
		if (line == NULL)
			return false;
		*line++ = '\0';
	}
	return true;
}

/* ALL, which has the time, grows by a frontend. */
static void read_line(struct live *live, char *line, struct sample *all, size_t *hint)
{
	char *fields[COLUMNS], *name;
	struct series *series;
	struct sample sample;
	bool frontend;

	if (*line == '#' || !cut(line, fields))
		return;
	frontend = strcmp(fields[COLUMN_SERVICE], "FRONTEND") == 0;
	if (!frontend && strcmp(fields[COLUMN_SERVICE], "BACKEND") != 0)
		return;
	sample = (struct sample){all->at, atoll(fields[COLUMN_SESSIONS]),
		atoll(fields[COLUMN_TOTAL]), atoll(fields[COLUMN_IN]) + atoll(fields[COLUMN_OUT])};
	if (frontend) {
		all->sessions += sample.sessions;
		all->total += sample.total;
		all->bytes += sample.bytes;
	}
	name = text_format("%s/%s", fields[COLUMN_PROXY], fields[COLUMN_SERVICE]);
	series = find_series(live, name, (*hint)++);
	if (series != NULL)
		take_sample(series, live->taken, &sample);
	free(name);
}

/* Those that the newest answer does not have. */
static void forget_those_that_left(struct live *live)
{
	size_t kept = 0;

	for (size_t i = 0; i < live->count; i++)
		if (live->list[i]->newest == live->taken)
			live->list[kept++] = live->list[i];
		else {
			free(live->list[i]->name);
			free(live->list[i]);
		}
	live->count = kept;
}

void live_take(struct live *live, const json_t *answer, long long now)
{
	struct sample all = {.at = now};
	const char *at;
	size_t hint = 0;

	free(live->info);
	free(live->stat);
	free(live->reasons);
	live->info = text_copy(json_text(answer, "info"));
	live->stat = text_copy(json_text(answer, "stat"));
	live->reasons = text_copy(json_text(answer, "reasons"));
	at = live->stat;
	for (char *line; (line = text_line(&at)) != NULL; free(line))
		read_line(live, line, &all, &hint);
	take_sample(&live->all, live->taken, &all);
	forget_those_that_left(live);
	live->taken++;
}

static void on_answer(void *arg, const json_t *answer)
{
	struct live *live = arg;

	live->asking = false;
	if (live->ended) {
		live_free(live);
		return;
	}
	free(live->problem);
	live->problem = NULL;
	if (json_integer_value(json_object_get(answer, "status")) == 200)
		live_take(live, answer, clock_ms());
	else
		live->problem = text_copy(json_text(answer, "message"));
}

static void on_clock(evutil_socket_t none, short what, void *arg)
{
	struct live *live = arg;

	(void)none;
	(void)what;
	if (!live->asking)
		live->asking = helper_call(
			live->helper, json_pack("{s:s}", "verb", "stats"), on_answer, live);
}

struct live *live_new(struct helper_client *helper)
{
	static const struct timeval pause = {LIVE_SECONDS, 0};
	struct live *live = calloc(1, sizeof(*live));

	if (live == NULL)
		return NULL;
	live->helper = helper;
	if (helper == NULL)
		return live;
	live->clock = event_new(helper->base, -1, EV_PERSIST, on_clock, live);
	if (live->clock == NULL || event_add(live->clock, &pause) == -1) {
		live_free(live);
		return NULL;
	}
	on_clock(-1, 0, live);
	return live;
}

/* The increase of a counter, which is 0 where it began again. */
static json_int_t increase(long long before, long long after)
{
	return after > before ? after - before : 0;
}

/* The newest points of a series, each over STRIDE samples. */
static json_t *report_series(const struct series *series, unsigned stride, unsigned points)
{
	json_t *rate = json_array(), *bytes = json_array(), *now = json_array();
	unsigned held = series->newest - series->first;
	unsigned count = held / stride < points ? held / stride : points;

	for (unsigned i = count; i > 0; i--) {
		const struct sample *before =
			&series->ring[(series->newest - i * stride) % LIVE_SAMPLES];
		const struct sample *after =
			&series->ring[(series->newest - (i - 1) * stride) % LIVE_SAMPLES];
		json_int_t elapsed = after->at > before->at ? after->at - before->at : 1;
		json_int_t tenths = increase(before->total, after->total) * 10000 / elapsed;

		json_array_append_new(rate, json_real((double)tenths / 10));
		json_array_append_new(bytes,
			json_integer(increase(before->bytes, after->bytes) * 1000 / elapsed));
		json_array_append_new(now, json_integer(after->sessions));
	}
	return json_pack("{s:o, s:o, s:o}", "rate", rate, "bytes", bytes, "now", now);
}

json_t *live_report(const struct live *live)
{
	json_t *history = json_object();

	if (live->taken > 0)
		json_object_set_new(history, "", report_series(&live->all, 1, LIVE_SAMPLES - 1));
	for (size_t i = 0; i < live->count; i++)
		json_object_set_new(history, live->list[i]->name,
			report_series(live->list[i], LIVE_SAMPLES / POINTS, POINTS - 1));
	return json_pack("{s:i, s:s?, s:s?, s:s?, s:s?, s:o}", "seconds", LIVE_SECONDS, "problem",
		live->problem, "info", live->info, "stat", live->stat, "reasons", live->reasons,
		"history", history);
}

void live_free(struct live *live)
{
	if (live == NULL)
		return;
	if (live->clock != NULL)
		event_free(live->clock);
	live->clock = NULL;
	live->ended = true;
	if (live->asking) /* on_answer() comes once more, unless the loop has ended */
		return;
	for (size_t i = 0; i < live->count; i++) {
		free(live->list[i]->name);
		free(live->list[i]);
	}
	free(live->list);
	free(live->info);
	free(live->stat);
	free(live->reasons);
	free(live->problem);
	free(live);
}
