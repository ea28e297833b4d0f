/*
 * Health and names ask servers on the main thread's event loop, and write what they find into the limits, where all workers see
 * it. Here it is put into the log of the generation in force.
 */
#include "care.h"

#include "servers/balance.h"

static void report_no_server(struct log *log, const struct proxy *backend)
{
	log_line(log, backend, LOG_EMERG, "%s %s has no server available!",
		backend->role == ROLE_LISTEN ? "proxy" : "backend", backend->name);
}

static void on_health_changed(void *arg, const struct health_change *change)
{
	const struct care *care = arg;
	struct log *log = care->generation->log;
	char line[LOG_LINE_MAX];

	health_format(change, line, sizeof(line));
	log_line(log, change->backend, change->up || change->of_check ? LOG_NOTICE : LOG_ALERT,
		"%s", line);
	if (!change->of_check && !change->up && change->active + change->backups == 0)
		report_no_server(log, change->backend);
}

static void on_server_moved(void *arg, const struct proxy *backend, bool lost, const char *line)
{
	const struct care *care = arg;
	struct log *log = care->generation->log;
	unsigned active, backups;

	log_line(log, backend, lost ? LOG_ALERT : LOG_NOTICE, "%s", line);
	balance_count(care->generation->limits, backend, &active, &backups);
	if (lost && active + backups == 0)
		report_no_server(log, backend);
}

void care_begin(struct care *care, struct event_base *base, const struct generation *generation)
{
	care->generation = generation;
	care->moving = moving_start(base, generation->config, generation->limits, care->moving,
		generation->counterparts, on_server_moved, care);
	care->health = health_start(base, generation->config, generation->limits, care->health,
		generation->counterparts, on_health_changed, care);
}

void care_observe(const struct care *care)
{
	health_observe(care->health);
}

void care_end(struct care *care)
{
	health_free(care->health);
	moving_free(care->moving);
	*care = (struct care){0};
}
