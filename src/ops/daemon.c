/*
 * From a configuration to running workers, in the one order that works: everything that needs
 * privileges (log files, ports, the pidfile) first, then they are dropped, then threads start, and
 * then the system calls that no running daemon makes are forbidden to all of them.
 *
 * The main thread carries no traffic. It waits for signals and for the workers' ends, and passes
 * commands on. Whatever fails before the workers run ends the process with a message that says what
 * to do; afterwards nothing does but a signal, or the end of the last worker.
 *
 * The traps: signals must be blocked before the first thread is made, so that only the main thread,
 * whose loop knows what to do with them, gets them. And stderr may be a pipe that no process reads:
 * everything that is said goes through the log, which never waits, libevent's messages included.
 */
#include "tproxy/daemon.h"

#include "descriptors.h"
#include "pidfile.h"
#include "sandbox.h"
#include "tproxy/privileges.h"
#include "tproxy/socket.h"
#include "tproxy/version.h"
#include "tproxy/worker.h"

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
		return "; this host has no such address: write `transparent` on the bind line to "
		       "serve it all the same";
	case EADDRINUSE:
		return "; another process serves it: `ss -ltnp` shows which";
	case EPERM:
		return "; `transparent` needs CAP_NET_RAW: start tproxyd as root, or give it the "
		       "capability (AmbientCapabilities=CAP_NET_RAW in its systemd unit)";
	case EACCES:
		return "; ports below 1024 need root or CAP_NET_BIND_SERVICE";
	case EMFILE:
		return "; raise the descriptor limit (ulimit -n, LimitNOFILE=) or lower nbthread";
	case ENFILE:
		return "; raise the host's limit (sysctl fs.file-max)";
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
		log_complain(daemon->shared.log, "cannot start a thread: %s%s",
			strerror(failure->error), bind_advice(failure));
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

/* A privilege that is surely needed keeps the daemon from starting, one that may be is warned of. */
static int check_privileges(const struct daemon *daemon)
{
	unsigned needed = privileges_needed(daemon->config), missing = needed & ~privileges_held();
	const struct server *server = privileges_low_source(daemon->config);
	struct log *log = daemon->shared.log;
	char address[ADDR_TEXT_MAX];

	if (needed & PRIVILEGE_TRANSPARENT && !socket_may_be_transparent()) {
		log_complain(log,
			"CAP_NET_RAW is missing: `transparent` and `usesrc` cannot work without "
			"it. Start tproxyd as root, or give it the capability "
			"(AmbientCapabilities=CAP_NET_RAW in its systemd unit, or "
			"`setcap cap_net_raw+ep` on the program)");
		return -1;
	}
	if (!(missing & PRIVILEGE_LOW_PORTS))
		return 0;
	if (server == NULL) {
		log_complain(log,
			"warning: CAP_NET_BIND_SERVICE is missing: with `usesrc client`, clients "
			"whose port is below %u are refused. Start tproxyd as root, or give it "
			"the capability (AmbientCapabilities=CAP_NET_BIND_SERVICE in its systemd "
			"unit)",
			privileges_first_port());
		return 0;
	}
	log_complain(log,
		"%s:%u: CAP_NET_BIND_SERVICE is missing: server %s cannot be connected to from %s "
		"without it, since the port is below %u. Start tproxyd as root, give it the "
		"capability (AmbientCapabilities=CAP_NET_BIND_SERVICE in its systemd unit), or "
		"write a higher port",
		daemon->path, server->line, server->name,
		addr_format(&server->source.address, address), privileges_first_port());
	return -1;
}

static int drop_privileges(const struct daemon *daemon)
{
	const struct identity *identity = daemon->identity;

	if (privileges_drop(identity, privileges_needed(daemon->config)) == -1) {
		log_complain(daemon->shared.log,
			"cannot become user %u, group %u: %s; start tproxyd as root, or leave "
			"`user` and `group` out",
			(unsigned)identity->uid, (unsigned)identity->gid, strerror(errno));
		return -1;
	}
	return check_privileges(daemon);
}

static bool logs_to_files(const struct log_targets *targets)
{
	for (size_t i = 0; i < targets->count; i++)
		if (targets->list[i].kind == LOG_TO_FILE)
			return true;
	return false;
}

static bool may_loop(const struct proxy *backend)
{
	for (size_t i = 0; i < backend->server_count; i++)
		if (backend->servers[i].loop != NULL)
			return true;
	return false;
}

/* Sets *RESTRICTED; a kernel without filters leaves it false, and the first log line says so. */
static int restrict_system_calls(const struct daemon *daemon, bool *restricted)
{
	const struct config *config = daemon->config;
	struct sandbox sandbox = {.opens_logs = logs_to_files(&config->global.logs),
		.removes_pidfile = config->global.pidfile != NULL};
	int failed;

	for (size_t i = 0; i < config->proxy_count; i++) {
		sandbox.opens_logs |= logs_to_files(&config->proxies[i].logs);
		sandbox.finds_loops |= may_loop(&config->proxies[i]);
	}
	failed = sandbox_enter(&sandbox);
	*restricted = failed == 0;
	if (failed == 0 || failed == ENOTSUP)
		return 0;
	log_complain(daemon->shared.log, "cannot restrict its system calls (seccomp): %s",
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
		number == SIGUSR1 ? "SIGUSR1: accepting no more, ending with the last session"
				  : "stopping at once");
	command_workers(daemon, number == SIGUSR1 ? WORKER_DRAIN : WORKER_STOP);
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
	signal(SIGXFSZ, SIG_IGN); /* at ulimit -f a log file loses lines, and no session */
}

/* The main loop, and what only a privileged process may do: the listeners. */
static int prepare(struct daemon *daemon, unsigned workers, unsigned maxconn)
{
	daemon->shared.ended = eventfd(0, EFD_CLOEXEC);
	daemon->shared.limits = limits_new(daemon->config, maxconn);
	if (daemon->shared.ended != -1 && daemon->shared.limits != NULL &&
		watch_events(daemon) == 0)
		return bind_workers(daemon, workers);
	log_complain(daemon->shared.log, "cannot start: %s", strerror(errno));
	return -1;
}

static int start(struct daemon *daemon)
{
	unsigned workers = count_workers(daemon->config), maxconn;
	const char *pidfile = daemon->config->global.pidfile;
	unsigned privileges;
	bool restricted;

	daemon->shared.log = library_log = log_new(daemon->config, daemon->identity);
	if (library_log == NULL)
		return -1;
	event_set_log_callback(on_library_message);
	if (descriptors_reckon(daemon->config, workers, library_log, &maxconn) == -1 ||
		prepare(daemon, workers, maxconn) == -1)
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
		restricted ? "system calls are restricted"
			   : "this kernel cannot restrict system calls (CONFIG_SECCOMP_FILTER)");
	return 0;
}

/* The counters of all workers; -1 where one has failed. */
static int join_workers(struct daemon *daemon, struct counters *counters)
{
	int status = 0;

	command_workers(daemon, WORKER_STOP);
	for (unsigned i = 0; i < daemon->worker_count; i++)
		if (!worker_join(daemon->workers[i], counters))
			status = -1;
	return status;
}

static void release(struct daemon *daemon)
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
	if (start(&daemon) == 0) {
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
	release(&daemon);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
