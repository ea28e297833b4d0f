/*
 * From a configuration to running workers, in the one order that works: what needs privileges comes
 * first (log files, ports, the pidfile), then privileges are dropped, then threads start, and then
 * the system calls that a running daemon does not make are forbidden to all of them.
 *
 * The main thread carries no traffic. It waits for signals and for the workers' ends, and passes
 * commands on. A failure before the workers run ends the process with a message that says what to
 * do; later only a signal ends it, or the end of the last worker.
 *
 * The traps: signals must be blocked before the first thread starts, so that only the main thread
 * gets them. And stderr may be a pipe that no process reads: every message, those of libevent too,
 * goes through the log, which never waits.
 */
#include "daemon.h"

#include "advice.h"
#include "descriptors.h"
#include "pidfile.h"
#include "privileges.h"
#include "sandbox.h"
#include "tproxy/socket.h"
#include "tproxy/version.h"
#include "worker.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum {
	WORKERS_MAX = 64,
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
	struct pidfile pidfile;
	bool started;
};

/* libevent's messages know no daemon, so the log that they go to is kept here. */
static struct log *library_log;

static void on_library_message(int severity, const char *message)
{
	static const int levels[] = {[EVENT_LOG_DEBUG] = LOG_DEBUG,
		[EVENT_LOG_MSG] = LOG_NOTICE,
		[EVENT_LOG_WARN] = LOG_WARNING,
		[EVENT_LOG_ERR] = LOG_ERR};
	int error = errno;

	log_line(library_log, NULL, levels[severity], "libevent: %s", message);
	errno = error;
}

/* --- starting --- */

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

static const char *bind_advice(const struct listener_failure *failure)
{
	switch (failure->error) {
	case EADDRNOTAVAIL:
		return "; this host does not have this address: add it to an interface, or write `transparent` on the bind line";
	case EADDRINUSE:
		return "; another process listens on it (`ss -ltnp` shows which): stop that one, or write another port";
	case EPERM:
		return "; `transparent` needs CAP_NET_RAW: start tproxyd as root, or give it the capability (AmbientCapabilities=CAP_NET_RAW in its systemd unit)";
	case EACCES:
		return "; this port needs CAP_NET_BIND_SERVICE: start tproxyd as root, or write a higher port";
	case ENODEV:
		return "; write an interface that exists (`ip link` lists them)";
	default:
		return advice_on_errno(failure->error);
	}
}

static void complain_of_worker(const struct daemon *daemon, const struct listener_failure *failure)
{
	char address[ADDR_TEXT_MAX];

	if (failure->bind == NULL) {
		log_complain(daemon->shared.log, "cannot start a thread: %s%s",
			strerror(failure->error),
			failure->error == EAGAIN
				? "; raise the limit on threads (ulimit -u, TasksMax=), or lower nbthread"
				: advice_on_errno(failure->error));
		return;
	}
	log_complain(daemon->shared.log, "%s:%u: frontend %s cannot listen on %s: %s%s",
		daemon->path, failure->bind->line, failure->frontend->name,
		addr_format(&failure->bind->address, address), strerror(failure->error),
		bind_advice(failure));
}

static int bind_workers(struct daemon *daemon, unsigned count)
{
	struct listener_failure failure;

	while (daemon->worker_count < count) {
		struct worker *worker = worker_new(&daemon->shared, daemon->worker_count, &failure);

		if (worker == NULL) {
			complain_of_worker(daemon, &failure);
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
			complain_of_worker(daemon, &failure);
			return -1;
		}
		daemon->running++;
	}
	return 0;
}

/* A privilege that is needed in any case is an error where it is missing, another one a warning. */
static int check_privileges(const struct daemon *daemon)
{
	unsigned needed = privileges_needed(daemon->config), missing = needed & ~privileges_held();
	const struct server *server = privileges_low_source(daemon->config);
	struct log *log = daemon->shared.log;
	char address[ADDR_TEXT_MAX];

	if (needed & PRIVILEGE_TRANSPARENT && !socket_may_be_transparent()) {
		log_complain(log,
			"CAP_NET_RAW is missing: `transparent` and `usesrc` need it. Start tproxyd as root, or give it the capability (AmbientCapabilities=CAP_NET_RAW in its systemd unit, or `setcap cap_net_raw+ep` on the program)");
		return -1;
	}
	if (!(missing & PRIVILEGE_LOW_PORTS))
		return 0;
	if (server == NULL) {
		log_complain(log,
			"warning: CAP_NET_BIND_SERVICE is missing: with `usesrc client`, clients whose port is below %u are refused. Start tproxyd as root, or give it the capability (AmbientCapabilities=CAP_NET_BIND_SERVICE in its systemd unit)",
			privileges_first_port());
		return 0;
	}
	log_complain(log,
		"%s:%u: CAP_NET_BIND_SERVICE is missing: server %s has the source %s, and ports below %u need it. Start tproxyd as root, give it the capability (AmbientCapabilities=CAP_NET_BIND_SERVICE in its systemd unit), or write a higher port",
		daemon->path, server->line, server->name,
		addr_format(&server->source.address, address), privileges_first_port());
	return -1;
}

static int drop_privileges(const struct daemon *daemon)
{
	const struct identity *identity = daemon->identity;

	if (privileges_drop(identity, privileges_needed(daemon->config)) == -1) {
		log_complain(daemon->shared.log,
			"cannot change to user %u and group %u: %s; start tproxyd as root, or remove `user` and `group` from %s",
			(unsigned)identity->uid, (unsigned)identity->gid, strerror(errno),
			daemon->path);
		return -1;
	}
	return check_privileges(daemon);
}

/* For servers that may be the proxy itself, or where a client chooses, and for clients that a PROXY header names. */
static bool asks_for_own_addresses(const struct config *config)
{
	for (size_t i = 0; i < config->proxy_count; i++) {
		const struct proxy *proxy = &config->proxies[i];

		for (size_t j = 0; j < proxy->server_count; j++)
			if (proxy->servers[j].loop != NULL ||
				server_is_original(&proxy->servers[j]))
				return true;
		for (size_t j = 0; j < proxy->bind_count; j++)
			if (proxy->binds[j].accept_proxy)
				return true;
	}
	return false;
}

/* Sets *RESTRICTED; a kernel without filters leaves it false, which the first log line reports. */
static int restrict_system_calls(const struct daemon *daemon, bool *restricted)
{
	struct sandbox sandbox = {.opens_logs = log_has_files(daemon->shared.log),
		.removes_pidfile = daemon->config->global.pidfile != NULL,
		.relays_datagrams = daemon->config->has_datagrams,
		.asks_for_own_addresses = asks_for_own_addresses(daemon->config)};
	int failed = sandbox_enter(&sandbox);

	*restricted = failed == 0;
	if (failed == 0 || failed == ENOTSUP)
		return 0;
	log_complain(daemon->shared.log,
		"cannot restrict system calls: %s; allow seccomp(2) in the container or systemd unit that tproxyd runs in",
		strerror(failed));
	return -1;
}

/* --- running --- */

static void command_workers(struct daemon *daemon, enum worker_command command)
{
	for (unsigned i = 0; i < daemon->worker_count; i++)
		worker_command(daemon->workers[i], command);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
	struct daemon *daemon = arg;

	(void)what;
	if (number == SIGHUP) {
		log_reopen(daemon->shared.log);
		log_line(daemon->shared.log, NULL, LOG_WARNING,
			"SIGHUP: the configuration is not read again; restart tproxyd to read %s",
			daemon->path);
		return;
	}
	log_line(daemon->shared.log, NULL, LOG_NOTICE, "%s",
		number == SIGUSR1
			? "SIGUSR1: accepts no more clients, and ends with the last session"
		: number == SIGINT ? "SIGINT: ends now; sessions are reset"
				   : "SIGTERM: ends now; sessions are reset");
	command_workers(daemon, number == SIGUSR1 ? WORKER_DRAIN : WORKER_STOP);
}

static void on_workers_ended(evutil_socket_t fd, short what, void *arg)
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
		daemon->base, daemon->shared.ended, EV_READ | EV_PERSIST, on_workers_ended, daemon);
	return daemon->on_ended == NULL ? -1 : event_add(daemon->on_ended, NULL);
}

/* Workers never get signals: the main thread unblocks them again when the workers run. */
static void block_signals(sigset_t *before)
{
	sigset_t set;

	sigemptyset(&set);
	for (int i = 0; i < SIGNALS; i++)
		sigaddset(&set, signals[i]);
	pthread_sigmask(SIG_BLOCK, &set, before);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* at ulimit -f a log file loses lines, and no session */
}

/* Makes the main loop, and binds the listeners, which may need privileges. */
static int daemon_prepare(struct daemon *daemon, unsigned workers, unsigned maxconn)
{
	daemon->shared.ended = eventfd(0, EFD_CLOEXEC);
	daemon->shared.limits = limits_new(daemon->config, maxconn);
	if (daemon->shared.ended != -1 && daemon->shared.limits != NULL &&
		watch_events(daemon) == 0)
		return bind_workers(daemon, workers);
	log_complain(
		daemon->shared.log, "cannot start: %s%s", strerror(errno), advice_on_errno(errno));
	return -1;
}

static int daemon_start(struct daemon *daemon)
{
	unsigned workers = count_workers(daemon->config), maxconn;
	const char *pidfile = daemon->config->global.pidfile;
	unsigned privileges;
	bool restricted;

	daemon->shared.log = library_log = log_new(daemon->config, daemon->identity);
	if (library_log == NULL)
		return -1;
	event_set_log_callback(on_library_message);
	if (descriptors_plan(daemon->config, workers, library_log, &maxconn) == -1 ||
		daemon_prepare(daemon, workers, maxconn) == -1)
		return -1;
	if (pidfile != NULL && pidfile_take(&daemon->pidfile, pidfile, library_log) == -1)
		return -1;
	if (drop_privileges(daemon) == -1)
		return -1;
	privileges = privileges_held();
	tzset(); /* reads files, which is forbidden from here on */
	log_check(library_log);
	if (start_workers(daemon) == -1 || restrict_system_calls(daemon, &restricted) == -1)
		return -1;
	daemon->started = true;
	log_line(library_log, NULL, LOG_NOTICE,
		"tproxyd %s started: %u threads, maxconn %u; keeps %s; %s", TPROXYD_VERSION,
		workers, maxconn, privileges_text(privileges),
		restricted
			? "system calls are restricted"
			: "system calls are not restricted: the kernel lacks CONFIG_SECCOMP_FILTER");
	return 0;
}

/* Stops all workers, waits for them, and adds up their counters. -1 where one of them had failed. */
static int join_workers(struct daemon *daemon, struct counters *counters)
{
	int status = 0;

	command_workers(daemon, WORKER_STOP);
	for (unsigned i = 0; i < daemon->worker_count; i++)
		if (!worker_join(daemon->workers[i], counters))
			status = -1;
	return status;
}

static void daemon_release(struct daemon *daemon)
{
	pidfile_drop(&daemon->pidfile);
	for (int i = 0; i < SIGNALS; i++)
		if (daemon->on_signal[i] != NULL)
			event_free(daemon->on_signal[i]);
	if (daemon->on_ended != NULL)
		event_free(daemon->on_ended);
	if (daemon->base != NULL)
		event_base_free(daemon->base);
	event_set_log_callback(NULL);
	log_free(daemon->shared.log);
	limits_free(daemon->shared.limits);
	if (daemon->shared.ended != -1)
		close(daemon->shared.ended);
}

int daemon_run(const struct config *config, const char *path, const struct identity *identity)
{
	struct daemon daemon = {.config = config,
		.path = path,
		.identity = identity,
		.shared = {.config = config, .ended = -1},
		.pidfile = {.fd = -1}};
	struct counters counters = {0};
	char summary[LOG_LINE_MAX];
	int failed = -1;
	sigset_t before;

	block_signals(&before);
	if (daemon_start(&daemon) == 0) {
		pthread_sigmask(SIG_SETMASK, &before, NULL);
		failed = event_base_dispatch(daemon.base);
	}
	failed |= join_workers(&daemon, &counters);
	if (daemon.started) {
		counters_format(&counters, summary, sizeof(summary));
		log_line(daemon.shared.log, NULL, LOG_NOTICE,
			"tproxyd ended: %s; %lu log lines lost", summary,
			(unsigned long)log_lost(daemon.shared.log));
	}
	daemon_release(&daemon);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
