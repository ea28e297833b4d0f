/*
 * From a configuration to running workers, in the one order that works: everything that needs
 * privileges (ports, log files, the pid file) first, then they are dropped, then threads start.
 *
 * The main thread carries no traffic. It waits for signals and for the workers' ends, and passes
 * orders on. Whatever fails before the workers run ends the process with a message that says what
 * to do; afterwards nothing does but a signal.
 *
 * The trap: signals must be blocked before the first thread is made, so that only the main thread,
 * whose loop knows what to do with them, gets them.
 */
#include "tproxy/daemon.h"

#include "tproxy/privileges.h"
#include "tproxy/socket.h"
#include "tproxy/version.h"
#include "tproxy/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	WORKERS_MAX = 64,
	DESCRIPTORS_RESERVED = 64, /* for logs, event loops, libraries */
	MAXCONN_MIN = 1,
};

static const int signals[] = {SIGTERM, SIGINT, SIGUSR1, SIGHUP};
enum {
	SIGNALS = sizeof(signals) / sizeof(signals[0])
};

struct daemon {
	const struct config *config;
	const char *path;
	const struct identity *identity;
	struct worker_shared shared;
	struct worker *workers[WORKERS_MAX];
	unsigned worker_count, running;
	struct event_base *base;
	struct event *on_signal[SIGNALS], *on_ended;
	bool pidfile_written;
};

__attribute__((format(printf, 1, 2))) static void complain(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("tproxyd: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
}

/* --- limits --- */

static unsigned count_workers(const struct config *config)
{
	unsigned count = config->global.nbthread;
	cpu_set_t cpus;

	if (count == 0 && sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
		count = (unsigned)CPU_COUNT(&cpus);
	if (count == 0)
		count = 1;
	return count > WORKERS_MAX ? WORKERS_MAX : count;
}

static rlim_t raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
		return 1024;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	return getrlimit(RLIMIT_NOFILE, &limit) == -1 ? 1024 : limit.rlim_cur;
}

/* Descriptors that sessions do not use: listeners, and what is reserved. */
static rlim_t fixed_descriptors(const struct config *config, unsigned workers)
{
	rlim_t listeners = 0;

	for (size_t i = 0; i < config->proxy_count; i++)
		listeners += config->proxies[i].bind_count;
	return listeners * workers + DESCRIPTORS_RESERVED;
}

/* Two descriptors a session, and as HAProxy reckons, a pipe of two more for every fourth. */
static rlim_t session_descriptors(rlim_t sessions)
{
	return 2 * sessions + sessions / 2;
}

static unsigned choose_maxconn(const struct config *config, unsigned workers)
{
	rlim_t limit = raise_descriptor_limit();
	rlim_t fixed = fixed_descriptors(config, workers);
	rlim_t room = limit > fixed ? limit - fixed : 0;
	unsigned wanted = config->global.maxconn;

	if (wanted == 0)
		return room > 5 ? (unsigned)(room * 2 / 5) : MAXCONN_MIN;
	if (session_descriptors(wanted) > room)
		complain("warning: maxconn %u may need %lu descriptors, the limit is %lu; when "
			 "they run "
			 "out, accepting pauses. Raise the limit (ulimit -n, LimitNOFILE=) or "
			 "lower maxconn",
			wanted, (unsigned long)(session_descriptors(wanted) + fixed),
			(unsigned long)limit);
	return wanted;
}

/* --- starting --- */

static const char *bind_advice(const struct listener_failure *failure)
{
	switch (failure->error) {
	case EADDRNOTAVAIL:
		return "; this host has no such address: write `transparent` on the bind line to "
		       "serve "
		       "it all the same";
	case EADDRINUSE:
		return "; another process serves it: `ss -ltnp` shows which";
	case EPERM:
		return "; `transparent` needs CAP_NET_RAW: start tproxyd as root, or give it the "
		       "capability (AmbientCapabilities=CAP_NET_RAW in its systemd unit)";
	case EACCES:
		return "; ports below 1024 need root or CAP_NET_BIND_SERVICE";
	case ENODEV:
		return "; there is no such interface";
	default:
		return "";
	}
}

static void complain_bind(const struct daemon *daemon, const struct listener_failure *failure)
{
	char address[ADDR_TEXT_MAX];

	if (failure->bind == NULL) {
		complain("cannot start a worker: %s", strerror(failure->error));
		return;
	}
	complain("%s:%u: frontend %s cannot listen on %s: %s%s", daemon->path, failure->bind->line,
		failure->frontend->name, addr_format(&failure->bind->address, address),
		strerror(failure->error), bind_advice(failure));
}

static int bind_workers(struct daemon *daemon, unsigned count)
{
	struct listener_failure failure;

	while (daemon->worker_count < count) {
		struct worker *worker = worker_new(&daemon->shared, daemon->worker_count, &failure);

		if (worker == NULL) {
			complain_bind(daemon, &failure);
			return -1;
		}
		daemon->workers[daemon->worker_count++] = worker;
	}
	return 0;
}

static int start_workers(struct daemon *daemon)
{
	struct listener_failure failure;

	for (unsigned i = 0; i < daemon->worker_count; i++) {
		if (worker_start(daemon->workers[i], &failure) == -1) {
			complain_bind(daemon, &failure);
			return -1;
		}
		daemon->running++;
	}
	return 0;
}

static int write_pidfile(struct daemon *daemon)
{
	const char *path = daemon->config->global.pidfile;
	FILE *file;

	if (path == NULL)
		return 0;
	file = fopen(path, "we");
	if (file == NULL || fprintf(file, "%d\n", (int)getpid()) < 0 || fclose(file) == EOF) {
		complain("cannot write the pidfile %s: %s", path, strerror(errno));
		return -1;
	}
	daemon->pidfile_written = true;
	return 0;
}

static int drop_privileges(const struct config *config, const struct identity *identity)
{
	bool transparent = config_needs_transparent(config);

	if (privileges_drop(identity, transparent) == -1) {
		complain("cannot become user %u, group %u: %s; start tproxyd as root, or leave "
			 "`user` "
			 "and `group` out",
			(unsigned)identity->uid, (unsigned)identity->gid, strerror(errno));
		return -1;
	}
	if (transparent && !socket_may_be_transparent()) {
		complain("CAP_NET_RAW is missing: `transparent` and `usesrc` cannot work without "
			 "it. Start "
			 "tproxyd as root, or give it the capability "
			 "(AmbientCapabilities=CAP_NET_RAW "
			 "in its systemd unit, or `setcap cap_net_raw+ep` on the program)");
		return -1;
	}
	return 0;
}

/* --- running --- */

static void order_workers(struct daemon *daemon, enum worker_order order)
{
	for (unsigned i = 0; i < daemon->worker_count; i++)
		worker_order(daemon->workers[i], order);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
	struct daemon *daemon = arg;

	(void)what;
	if (number == SIGHUP) {
		log_line(daemon->shared.log, NULL, LOG_WARNING,
			"SIGHUP: reloading is not supported; restart tproxyd to read %s again",
			daemon->path);
		return;
	}
	log_line(daemon->shared.log, NULL, LOG_NOTICE, "%s",
		number == SIGUSR1 ? "SIGUSR1: accepting no more, ending with the last session"
				  : "stopping at once");
	order_workers(daemon, number == SIGUSR1 ? WORKER_DRAIN : WORKER_STOP);
}

static void on_ended(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *daemon = arg;
	eventfd_t count = 0;

	(void)what;
	eventfd_read(fd, &count);
	daemon->running -= (unsigned)count;
	if (daemon->running == 0)
		event_base_loopbreak(daemon->base);
}

static int watch_events(struct daemon *daemon)
{
	daemon->base = event_base_new();
	if (daemon->base == NULL)
		return -1;
	for (int i = 0; i < SIGNALS; i++) {
		daemon->on_signal[i] = evsignal_new(daemon->base, signals[i], on_signal, daemon);
		if (daemon->on_signal[i] == NULL || event_add(daemon->on_signal[i], NULL) == -1)
			return -1;
	}
	daemon->on_ended = event_new(
		daemon->base, daemon->shared.ended, EV_READ | EV_PERSIST, on_ended, daemon);
	return daemon->on_ended == NULL ? -1 : event_add(daemon->on_ended, NULL);
}

/* Signals stay blocked in every thread but for the moments in which this one waits for them. */
static void block_signals(sigset_t *before)
{
	sigset_t set;

	sigemptyset(&set);
	for (int i = 0; i < SIGNALS; i++)
		sigaddset(&set, signals[i]);
	pthread_sigmask(SIG_BLOCK, &set, before);
	signal(SIGPIPE, SIG_IGN);
}

static int start(struct daemon *daemon)
{
	unsigned workers = count_workers(daemon->config);
	unsigned maxconn = choose_maxconn(daemon->config, workers);

	daemon->shared.config = daemon->config;
	daemon->shared.ended = eventfd(0, EFD_CLOEXEC);
	daemon->shared.limits = limits_new(daemon->config, maxconn);
	if (daemon->shared.ended == -1 || daemon->shared.limits == NULL ||
		watch_events(daemon) == -1) {
		complain("cannot start: %s", strerror(errno));
		return -1;
	}
	daemon->shared.log = log_new(daemon->config);
	if (daemon->shared.log == NULL || bind_workers(daemon, workers) == -1)
		return -1;
	if (write_pidfile(daemon) == -1 || drop_privileges(daemon->config, daemon->identity) == -1)
		return -1;
	if (start_workers(daemon) == -1)
		return -1;
	log_line(daemon->shared.log, NULL, LOG_NOTICE, "tproxyd %s started: %u threads, maxconn %u",
		TPROXYD_VERSION, workers, maxconn);
	return 0;
}

static void finish(struct daemon *daemon)
{
	struct counters counters = {0};
	char summary[LOG_LINE_MAX];

	order_workers(daemon, WORKER_STOP);
	for (unsigned i = 0; i < daemon->worker_count; i++)
		worker_join(daemon->workers[i], &counters);
	if (daemon->shared.log != NULL && daemon->running == 0 && daemon->worker_count > 0) {
		counters_format(&counters, summary, sizeof(summary));
		log_line(daemon->shared.log, NULL, LOG_NOTICE,
			"tproxyd ended: %s; %lu log lines lost", summary,
			(unsigned long)log_lost(daemon->shared.log));
	}
	if (daemon->pidfile_written)
		unlink(daemon->config->global.pidfile);
	for (int i = 0; i < SIGNALS; i++)
		if (daemon->on_signal[i] != NULL)
			event_free(daemon->on_signal[i]);
	if (daemon->on_ended != NULL)
		event_free(daemon->on_ended);
	if (daemon->base != NULL)
		event_base_free(daemon->base);
	log_free(daemon->shared.log);
	limits_free(daemon->shared.limits);
	if (daemon->shared.ended != -1)
		close(daemon->shared.ended);
}

int daemon_run(const struct config *config, const char *path, const struct identity *identity)
{
	struct daemon daemon = {.config = config, .path = path, .identity = identity};
	sigset_t before;
	int status = EXIT_FAILURE;

	block_signals(&before);
	if (start(&daemon) == 0) {
		pthread_sigmask(SIG_SETMASK, &before, NULL);
		event_base_dispatch(daemon.base);
		status = EXIT_SUCCESS;
	}
	finish(&daemon);
	return status;
}
