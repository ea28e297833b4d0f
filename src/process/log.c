/*
 * Logs: which line is written to which place, and in which form.
 *
 * Several sections often have the same target; each place is opened once, as a sink, and is found
 * again by its path or address. stderr is always a place: it takes the messages of the start, and the
 * warnings of a configuration without a `log` line. Terminals, files and pipes get a line with its
 * newline; syslog gets a datagram in the form of RFC 3164, without a host name, as HAProxy sends it.
 *
 * A line that a place does not take is lost. The next line that it takes follows one that reports how
 * many were lost; there is at most one such report a second, so that a slow reader gets other lines.
 *
 * A reload makes a log for the new configuration, while the sessions of the older one still write to
 * theirs. A place that is in both belongs to both, so its lines keep their order, and its file is open
 * once. A place keeps its own copy of its target, since either configuration may be freed first.
 *
 * The trap: any thread writes, and a slow disk must not stop all of them. A place's lock is held for
 * one non-blocking write, never while a file is opened.
 */
#include "log.h"

#include "advice.h"
#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct place {
	unsigned users;           /* logs that have it; the main thread's */
	struct log_target target; /* its path stands in PATH */
	pthread_mutex_t lock;     /* of all that follows but PATH */
	struct sink sink;
	unsigned long unreported; /* lines lost since the last report */
	int error;                /* errno of the last one */
	time_t report_due;        /* monotonic seconds: no report before */
	char path[];
};

struct log {
	const struct config *config;
	struct log_target stderr_target;
	struct log_targets stderr_targets; /* the one above, as a list */
	int pid;
	bool started;
	atomic_uint_least64_t lost;
	size_t place_count;
	struct place *places[];
};

static bool is_same_place(const struct log_target *a, const struct log_target *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == LOG_TO_FILE || a->kind == LOG_TO_UNIX)
		return strcmp(a->path, b->path) == 0;
	return a->kind != LOG_TO_SYSLOG || addr_equal(&a->address, &b->address);
}

static struct place *find_place(const struct log *log, const struct log_target *target)
{
	for (size_t i = 0; i < log->place_count; i++)
		if (is_same_place(&log->places[i]->target, target))
			return log->places[i];
	return NULL;
}

/* Writes what stands before the message, and returns its length. */
static size_t write_header(
	const struct log *log, const struct log_target *target, int level, char *out, size_t room)
{
	time_t seconds = time(NULL);
	struct tm tm;
	char stamp[32];

	if (target == &log->stderr_target)
		return (size_t)snprintf(out, room, "tproxyd: ");
	if (target->format == LOG_RAW)
		return 0;
	localtime_r(&seconds, &tm);
	strftime(stamp, sizeof(stamp), "%b %e %H:%M:%S", &tm);
	return (size_t)snprintf(
		out, room, "<%d>%s tproxyd[%d]: ", target->facility | level, stamp, log->pid);
}

/* Writes a line into OUT, of LOG_LINE_MAX bytes, and returns its length. */
static size_t make_line(const struct log *log, const struct place *place,
	const struct log_target *target, int level, const char *text, char *out)
{
	size_t header = write_header(log, target, level, out, LOG_LINE_MAX);
	size_t length = strnlen(text, LOG_LINE_MAX - header - 1);

	memcpy(out + header, text, length);
	length += header;
	if (!sink_takes_datagrams(&place->sink))
		out[length++] = '\n';
	return length;
}

static size_t make_report(const struct log *log, const struct place *place,
	const struct log_target *target, char *out)
{
	char text[LOG_LINE_MAX];

	snprintf(text, sizeof(text), "log lines lost here: %lu (%s)", place->unreported,
		strerror(place->error));
	return make_line(log, place, target, LOG_WARNING, text, out);
}

/*
 * Writes one line to a place, after a report if one is due. Returns 0 or an errno. A stream gets both
 * in one write, so that it never takes the report alone.
 */
static int place_write(const struct log *log, struct place *place, const struct log_target *target,
	int level, const char *text)
{
	char lines[SINK_WRITE_MAX];
	struct timespec now;
	size_t length = 0;
	bool report = false;
	int error = 0;

	if (place->unreported > 0) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		report = now.tv_sec >= place->report_due;
	}
	if (report)
		length = make_report(log, place, target, lines);
	if (report && sink_takes_datagrams(&place->sink)) {
		error = sink_write(&place->sink, lines, length);
		length = 0;
	}
	length += make_line(log, place, target, level, text, lines + length);
	if (error == 0)
		error = sink_write(&place->sink, lines, length);
	if (error == 0 && report) {
		place->unreported = 0;
		place->report_due = now.tv_sec + 1;
	}
	return error;
}

static void send_text(struct log *log, const struct log_target *target, int level, const char *text)
{
	struct place *place = find_place(log, target);
	int error;

	pthread_mutex_lock(&place->lock);
	error = place_write(log, place, target, level, text);
	if (error != 0) {
		place->unreported++;
		place->error = error;
		atomic_fetch_add_explicit(&log->lost, 1, memory_order_relaxed);
	}
	pthread_mutex_unlock(&place->lock);
}

static const struct log_targets *targets_of(const struct log *log, const struct proxy *section)
{
	if (section != NULL && section->logs.count > 0)
		return &section->logs;
	if (log->config->global.logs.count > 0)
		return &log->config->global.logs;
	return &log->stderr_targets;
}

bool log_wants(const struct log *log, const struct proxy *section, int level)
{
	const struct log_targets *targets = targets_of(log, section);

	for (size_t i = 0; i < targets->count; i++)
		if (level <= targets->list[i].max_level)
			return true;
	return false;
}

void log_line(struct log *log, const struct proxy *section, int level, const char *format, ...)
{
	const struct log_targets *targets = targets_of(log, section);
	char text[LOG_LINE_MAX];
	va_list args;

	if (!log_wants(log, section, level))
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	for (size_t i = 0; i < targets->count; i++)
		if (level <= targets->list[i].max_level)
			send_text(log, &targets->list[i], level, text);
}

void log_complain(struct log *log, const char *format, ...)
{
	char text[LOG_LINE_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (log->started)
		log_line(log, NULL, LOG_ERR, "%s", text);
	else
		send_text(log, &log->stderr_target, LOG_ERR, text);
}

void log_started(struct log *log)
{
	log->started = true;
}

uint64_t log_lost(const struct log *log)
{
	return atomic_load_explicit(&log->lost, memory_order_relaxed);
}

/* --- opening --- */

static const char *target_name(const struct log_target *target, char text[ADDR_TEXT_MAX])
{
	if (target->path != NULL)
		return target->path;
	if (target->kind == LOG_TO_SYSLOG)
		return addr_format(&target->address, text);
	return target->kind == LOG_TO_STDOUT ? "stdout" : "stderr";
}

/* ERROR is an errno; LOG is where the message goes, if there is one. */
static int complain_of_target(struct log *log, const struct log_target *target, int error)
{
	char name[ADDR_TEXT_MAX];

	if (log == NULL)
		fprintf(stderr,
			"tproxyd: cannot start: stderr cannot be opened for the log: %s%s\n",
			strerror(error), advice_on_errno(error));
	else
		log_complain(log, "cannot open the log %s: %s%s", target_name(target, name),
			strerror(error), advice_on_errno(error));
	return -1;
}

static struct place *place_new(
	const struct log_target *target, const struct identity *owner, int *error)
{
	size_t room = target->path == NULL ? 0 : strlen(target->path) + 1;
	struct place *place = calloc(1, sizeof(*place) + room);

	*error = ENOMEM;
	if (place == NULL)
		return NULL;
	place->target = *target;
	if (room > 0)
		place->target.path = memcpy(place->path, target->path, room);
	*error = sink_open(&place->sink, &place->target, owner);
	if (*error != 0) {
		free(place);
		return NULL;
	}
	pthread_mutex_init(&place->lock, NULL);
	return place;
}

/* BEFORE is the log of the configuration before, or NULL; failures are reported there, or else here. */
static int add_targets(struct log *log, struct log *before, const struct log_targets *targets,
	const struct identity *owner)
{
	struct log *reports = before != NULL ? before : log->place_count > 0 ? log : NULL;
	int error;

	for (size_t i = 0; i < targets->count; i++) {
		const struct log_target *target = &targets->list[i];
		struct place *place = before == NULL ? NULL : find_place(before, target);

		if (find_place(log, target) != NULL)
			continue;
		if (place == NULL)
			place = place_new(target, owner, &error);
		if (place == NULL)
			return complain_of_target(reports, target, error);
		place->users++;
		log->places[log->place_count++] = place;
	}
	return 0;
}

static size_t count_targets(const struct config *config)
{
	size_t count = 1 + config->global.logs.count; /* the first is stderr */

	for (size_t i = 0; i < config->proxy_count; i++)
		count += config->proxies[i].logs.count;
	return count;
}

static struct log *log_make(
	struct log *before, const struct config *config, const struct identity *owner)
{
	size_t room = count_targets(config) * sizeof(struct place *);
	struct log *log = calloc(1, sizeof(*log) + room);

	if (log == NULL && before == NULL)
		fputs("tproxyd: cannot start: out of memory\n", stderr);
	else if (log == NULL)
		log_complain(before, "cannot open the logs: out of memory");
	if (log == NULL)
		return NULL;
	log->config = config;
	log->pid = (int)getpid();
	log->stderr_target = (struct log_target){
		.kind = LOG_TO_STDERR, .format = LOG_RAW, .max_level = LOG_WARNING};
	log->stderr_targets = (struct log_targets){&log->stderr_target, 1};
	if (add_targets(log, before, &log->stderr_targets, owner) == -1 ||
		add_targets(log, before, &config->global.logs, owner) == -1)
		goto fail;
	for (size_t i = 0; i < config->proxy_count; i++)
		if (add_targets(log, before, &config->proxies[i].logs, owner) == -1)
			goto fail;
	return log;
fail:
	log_free(log);
	return NULL;
}

struct log *log_new(const struct config *config, const struct identity *owner)
{
	return log_make(NULL, config, owner);
}

struct log *log_renew(struct log *before, const struct config *config)
{
	struct log *log = log_make(before, config, NULL);

	if (log != NULL)
		log->started = before->started;
	return log;
}

void log_free(struct log *log)
{
	if (log == NULL)
		return;
	for (size_t i = 0; i < log->place_count; i++) {
		struct place *place = log->places[i];

		if (--place->users > 0)
			continue;
		pthread_mutex_destroy(&place->lock);
		sink_close(&place->sink);
		free(place);
	}
	free(log);
}

void log_leave_stderr(struct log *log, int nowhere)
{
	for (size_t i = 0; i < log->place_count; i++)
		if (log->places[i]->target.kind == LOG_TO_STDERR)
			dup3(nowhere, log->places[i]->sink.fd, O_CLOEXEC);
}

size_t log_places(const struct log *log)
{
	return log->place_count;
}

void log_check(struct log *log)
{
	char name[ADDR_TEXT_MAX];

	for (size_t i = 0; i < log->place_count; i++) {
		struct place *place = log->places[i];
		int error = sink_reach(&place->sink);

		if (error != 0)
			log_complain(log,
				"warning: the log %s cannot be reached: %s; its lines are lost until a syslog daemon listens there",
				target_name(&place->target, name), strerror(error));
	}
}

/*
 * Only the exchange is locked: the threads that write must not wait for a slow disk. Nothing else of
 * the sink changes, since threads look at its target without the lock.
 */
static int place_reopen(struct place *place)
{
	struct sink made;
	int before, error = sink_open(&made, &place->target, NULL);

	if (error != 0)
		return error;
	pthread_mutex_lock(&place->lock);
	before = place->sink.fd;
	place->sink.fd = made.fd;
	place->sink.torn = false;
	pthread_mutex_unlock(&place->lock);
	close(before);
	return 0;
}

void log_reopen(struct log *log)
{
	for (size_t i = 0; i < log->place_count; i++) {
		struct place *place = log->places[i];
		const char *path = place->target.path;
		int error;

		if (place->target.kind != LOG_TO_FILE)
			continue;
		error = place_reopen(place);
		if (error == 0)
			log_line(log, NULL, LOG_NOTICE, "SIGHUP: reopened the log file %s", path);
		else
			log_line(log, NULL, LOG_WARNING,
				"SIGHUP: cannot reopen the log file %s: %s%s; lines still go to the file that was open before",
				path, strerror(error), advice_on_errno(error));
	}
}
