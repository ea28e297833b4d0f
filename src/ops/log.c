/*
 * Logs: one write() or sendto() a line, and no waiting.
 *
 * Targets of several sections often are the same; each is opened once, and a sink is found again by
 * what it leads to. Terminals, files and pipes get a line with its newline; syslog gets a datagram
 * in the form of RFC 3164, without a host name, as HAProxy sends it.
 *
 * The trap: stdout and stderr are shared with whoever started the daemon, so they must not be made
 * non-blocking. Instead poll() says whether a pipe still has room for PIPE_BUF bytes, and a line is
 * shorter than that.
 */
#include "tproxy/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

_Static_assert(LOG_LINE_MAX < PIPE_BUF, "a line is written in one piece");

struct sink {
	const struct log_target *target;
	int fd;
	bool stream; /* lines, not datagrams */
};

struct log {
	const struct config *config;
	struct sink *sinks;
	size_t count;
	atomic_uint_least64_t lost;
};

static bool same_place(const struct log_target *a, const struct log_target *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == LOG_TO_FILE || a->kind == LOG_TO_UNIX)
		return strcmp(a->path, b->path) == 0;
	return a->kind != LOG_TO_SYSLOG || addr_equal(&a->address, &b->address);
}

static struct sink *find_sink(const struct log *log, const struct log_target *target)
{
	for (size_t i = 0; i < log->count; i++)
		if (same_place(log->sinks[i].target, target))
			return &log->sinks[i];
	return NULL;
}

/* A connected datagram socket would end with the first syslog daemon; this one outlives a restart.
 */
static int open_sink(const struct log_target *target)
{
	int datagram = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

	switch (target->kind) {
	case LOG_TO_STDOUT:
		return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	case LOG_TO_STDERR:
		return fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	case LOG_TO_FILE:
		return open(
			target->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
	case LOG_TO_UNIX:
		return socket(AF_UNIX, datagram, 0);
	case LOG_TO_SYSLOG:
		return socket(addr_family(&target->address), datagram, 0);
	}
	return -1;
}

static int add_targets(struct log *log, const struct log_targets *targets)
{
	for (size_t i = 0; i < targets->count; i++) {
		const struct log_target *target = &targets->list[i];
		struct sink *sinks;
		int fd;

		if (find_sink(log, target) != NULL)
			continue;
		sinks = realloc(log->sinks, (log->count + 1) * sizeof(*sinks));
		if (sinks == NULL)
			return -1;
		log->sinks = sinks;
		fd = open_sink(target);
		if (fd == -1) {
			fprintf(stderr, "tproxyd: cannot open the log %s: %s\n",
				target->path == NULL ? "target" : target->path, strerror(errno));
			return -1;
		}
		sinks[log->count++] = (struct sink){
			.target = target, .fd = fd, .stream = target->kind <= LOG_TO_FILE};
	}
	return 0;
}

struct log *log_new(const struct config *config)
{
	struct log *log = calloc(1, sizeof(*log));

	if (log == NULL)
		return NULL;
	log->config = config;
	if (add_targets(log, &config->global.logs) == -1)
		goto fail;
	for (size_t i = 0; i < config->proxy_count; i++)
		if (add_targets(log, &config->proxies[i].logs) == -1)
			goto fail;
	return log;
fail:
	log_free(log);
	return NULL;
}

void log_free(struct log *log)
{
	if (log == NULL)
		return;
	for (size_t i = 0; i < log->count; i++)
		close(log->sinks[i].fd);
	free(log->sinks);
	free(log);
}

static bool write_stream(int fd, const char *line, size_t length)
{
	struct pollfd ready = {.fd = fd, .events = POLLOUT};

	if (poll(&ready, 1, 0) != 1 || !(ready.revents & POLLOUT))
		return false;
	return write(fd, line, length) == (ssize_t)length;
}

static bool write_datagram(const struct sink *sink, const char *line, size_t length)
{
	const struct log_target *target = sink->target;
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	if (target->kind == LOG_TO_SYSLOG)
		return sendto(sink->fd, line, length, MSG_NOSIGNAL, &target->address.sa,
			       addr_length(&target->address)) == (ssize_t)length;
	memcpy(un.sun_path, target->path, strnlen(target->path, sizeof(un.sun_path) - 1));
	return sendto(sink->fd, line, length, MSG_NOSIGNAL, (struct sockaddr *)&un, sizeof(un)) ==
	       (ssize_t)length;
}

/* Writes the part before the message; the length is that of the text. */
static size_t write_header(const struct log_target *target, int level, char *out, size_t room)
{
	time_t seconds = time(NULL);
	struct tm tm;
	char stamp[32];

	if (target->format == LOG_RAW)
		return 0;
	localtime_r(&seconds, &tm);
	strftime(stamp, sizeof(stamp), "%b %e %H:%M:%S", &tm);
	return (size_t)snprintf(
		out, room, "<%d>%s tproxyd[%d]: ", target->facility | level, stamp, (int)getpid());
}

static void send_line(struct log *log, const struct log_target *target, int level, const char *text)
{
	const struct sink *sink = find_sink(log, target);
	char line[LOG_LINE_MAX];
	size_t header = write_header(target, level, line, sizeof(line));
	size_t length = strnlen(text, sizeof(line) - header - 1);
	bool taken;

	memcpy(line + header, text, length);
	length += header;
	if (sink->stream)
		line[length++] = '\n';
	taken = sink->stream ? write_stream(sink->fd, line, length)
			     : write_datagram(sink, line, length);
	if (!taken)
		atomic_fetch_add_explicit(&log->lost, 1, memory_order_relaxed);
}

static const struct log_targets *targets_of(const struct log *log, const struct proxy *section)
{
	if (section != NULL && section->logs.count > 0)
		return &section->logs;
	return &log->config->global.logs;
}

bool log_wants(const struct log *log, const struct proxy *section, int level)
{
	const struct log_targets *targets = targets_of(log, section);

	for (size_t i = 0; i < targets->count; i++)
		if (level <= targets->list[i].max_level)
			return true;
	return targets->count == 0 && level <= LOG_WARNING;
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
			send_line(log, &targets->list[i], level, text);
	if (targets->count == 0)
		fprintf(stderr, "tproxyd: %s\n", text);
}

uint64_t log_lost(const struct log *log)
{
	return atomic_load_explicit(&log->lost, memory_order_relaxed);
}
