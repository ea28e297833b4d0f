/*
 * From a configuration to running workers, in the one order that works: what needs privileges comes
 * first (log files, ports, the pidfile), then privileges are dropped, then threads start, and then
 * the system calls that a running daemon does not make are forbidden to all of them.
 *
 * The main thread carries no traffic. It waits for signals and for the workers' reports, passes commands
 * on, and reloads: it prepares a generation beside the running one, and only when nothing can fail any
 * more, the workers put it in force. A failure before the workers run ends the process with a message that
 * says what to do; a reload that fails changes nothing.
 *
 * The traps: signals must be blocked before the first thread starts, so that only the main thread
 * gets them. And stderr may be a pipe that no process reads: every message, those of libevent too,
 * goes through the log, which never waits.
 */
#include "daemon.h"

#include "care.h"
#include "observe.h"
#include "process/advice.h"
#include "process/background.h"
#include "process/descriptors.h"
#include "process/notify.h"
#include "process/pidfile.h"
#include "process/privileges.h"
#include "process/sandbox.h"
#include "proxy/inherited.h"
#include "reload.h"
#include "resolver.h"
#include "tproxy/version.h"
#include "udp/receiver.h"
#include "watchdog.h"
#include "workers.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

static const int signals[] = {SIGTERM, SIGINT, SIGUSR1, SIGHUP};
enum {
	SIGNALS = sizeof(signals) / sizeof(signals[0])
};

struct daemon {
	const char *path;
	const struct identity *identity;
	struct generation *current;     /* the one that is in force, or is being put in force */
	struct generations generations; /* that one and those of older sessions; newest first */
	uint64_t lost;                  /* log lines, of generations that are gone */
	struct workers workers;
	struct care care; /* for the servers of the current one */
	struct observing observing;
	struct permanent permanent;
	struct event_base *base;
	struct event *on_signal[SIGNALS], *on_report;
	struct watchdog watchdog;
	pid_t pid; /* the process that was started, of which this one may be a child */
	struct pidfile pidfile;
	struct notify notify;
	struct resolver resolver;     /* where the configuration of the start has names */
	struct background background; /* where the configuration has `daemon` */
	bool started;
	bool ends;         /* no client is accepted any more */
	bool reloading;    /* a generation was handed over, and not every worker has taken it */
	bool reload_again; /* SIGHUP came meanwhile */
};

/*
 * libevent's messages know no daemon, so the log that they go to is kept here. An older log is freed only
 * after every worker has put the newer generation in force, so none can still be using it.
 */
static _Atomic(struct log *) library_log;

static void on_library_message(int severity, const char *message)
{
	static const int levels[] = {[EVENT_LOG_DEBUG] = LOG_DEBUG,
		[EVENT_LOG_MSG] = LOG_NOTICE,
		[EVENT_LOG_WARN] = LOG_WARNING,
		[EVENT_LOG_ERR] = LOG_ERR};
	int error = errno;

	log_line(atomic_load(&library_log), NULL, levels[severity], "libevent: %s", message);
	errno = error;
}

/* --- what goes wrong --- */

/* LOG is that of the generation in force. */
static void complain_of_worker(
	const struct daemon *daemon, struct log *log, const struct listener_failure *failure)
{
	struct socket_listener place;
	char address[ADDR_TEXT_MAX];

	if (failure->bind == NULL && daemon->started) {
		log_complain(log, "SIGHUP: no thread can take it on: %s%s",
			strerror(failure->error), advice_on_errno(failure->error));
		return;
	}
	if (failure->bind == NULL) {
		log_complain(log, "cannot start a thread: %s%s", strerror(failure->error),
			failure->error == EAGAIN
				? "; raise the limit on threads (ulimit -u, TasksMax=), or lower nbthread"
				: advice_on_errno(failure->error));
		return;
	}
	place = inherited_place(failure->bind, failure->frontend->mode);
	log_complain(log, "%s:%u: frontend %s cannot listen on %s: %s%s", daemon->path,
		failure->bind->line, failure->frontend->name,
		addr_format(&failure->bind->address, address), strerror(failure->error),
		inherited_has(&place, false) ? advice_on_inherited(failure->error)
					     : advice_on_bind(failure->error, daemon->started));
}

/* After all that is opened by its path, and before the privilege for it is dropped. */
static int change_root(const struct daemon *daemon)
{
	const char *path = daemon->permanent.chroot;

	if (path == NULL || (chroot(path) == 0 && chdir("/") == 0))
		return 0;
	log_complain(daemon->current->log,
		"cannot change the root to %s: %s; start tproxyd as root and make the folder, or remove `chroot` from %s",
		path, strerror(errno), daemon->path);
	return -1;
}

static int drop_privileges(struct daemon *daemon)
{
	const struct identity *identity = daemon->identity;
	const struct config *config = daemon->current->config;
	struct log *log = daemon->current->log;

	if (change_root(daemon) == -1)
		return -1;
	if (privileges_drop(identity, privileges_kept(config)) == -1) {
		log_complain(log,
			"cannot change to user %u and group %u: %s; start tproxyd as root, or remove `user` and `group` from %s",
			(unsigned)identity->uid, (unsigned)identity->gid, strerror(errno),
			daemon->path);
		return -1;
	}
	daemon->permanent.privileges = privileges_held();
	return privileges_check(config, daemon->path, daemon->permanent.privileges, false, log);
}

static int complain_of_sandbox(const struct daemon *daemon, int error)
{
	log_complain(daemon->current->log,
		"cannot restrict system calls: %s; allow seccomp(2) in the container or systemd unit that tproxyd runs in",
		strerror(error));
	return -1;
}

/* Each restricted by FILTER; NULL: the kernel has no filters. */
static int start_workers(struct daemon *daemon, const struct sandbox_filter *filter)
{
	struct listener_failure failure;
	int not_restricted;

	if (workers_start(&daemon->workers, filter, &failure, &not_restricted) == -1) {
		complain_of_worker(daemon, daemon->current->log, &failure);
		return -1;
	}
	return not_restricted == 0 ? 0 : complain_of_sandbox(daemon, not_restricted);
}

/*
 * Starts the threads, and restricts them and this one. Sets *RESTRICTED; a kernel without filters leaves it
 * false, which the first log line reports.
 */
static int start_restricted(struct daemon *daemon, bool *restricted)
{
	struct sandbox main_thread = {.reloads = true,
		.removes_pidfile = daemon->pidfile.fd != -1,
		.takes_commands = daemon->current->config->global.stats_socket_count > 0,
		.leaves_terminal = daemon->current->config->global.daemon};
	struct sandbox_filter *traffic = sandbox_compile(&(struct sandbox){0});
	struct sandbox_filter *own = sandbox_compile(&main_thread);
	int status = 0, error = traffic == NULL || own == NULL ? errno : 0;

	*restricted = error != ENOTSUP;
	if (error != 0 && error != ENOTSUP)
		status = complain_of_sandbox(daemon, error);
	if (status == 0)
		status = start_workers(daemon, traffic);
	if (status == 0 && *restricted)
		error = sandbox_enter(own);
	if (status == 0 && *restricted && error != 0)
		status = complain_of_sandbox(daemon, error);
	sandbox_filter_free(traffic);
	sandbox_filter_free(own);
	return status;
}

/* --- a reload --- */

/* The service manager waits for this, except where it has ended tproxyd meanwhile. */
static void end_reload(struct daemon *daemon, bool well, const char *outcome)
{
	daemon->reloading = false;
	observing_count_reload(&daemon->observing, well);
	if (!daemon->ends)
		notify_ready(&daemon->notify, outcome);
}

/* From here on nothing can fail: each worker puts NEXT in force when it comes to it. */
static void put_in_force(struct daemon *daemon, struct generation *next)
{
	limits_set_maxconn(next->limits, next->maxconn);
	limits_set_places(next->limits, next->config);
	SLIST_INSERT_HEAD(&daemon->generations, next, link);
	daemon->current = next;
	atomic_store(&library_log, next->log);
	daemon->reloading = true;
	care_begin(&daemon->care, daemon->base, daemon->current);
	observing_use(&daemon->observing, next, &daemon->permanent.descriptors);
	workers_succeed(&daemon->workers);
}

static void reload(struct daemon *daemon)
{
	struct generation *before = daemon->current, *next;
	struct listener_failure failure;

	notify_reloading(&daemon->notify);
	next = reload_read(daemon->path, before, &daemon->permanent);
	if (next != NULL &&
		observing_prepare(&daemon->observing, next, daemon->path, before->log) == 0) {
		if (workers_prepare(&daemon->workers, next, &failure) == 0) {
			put_in_force(daemon, next);
			return;
		}
		observing_abandon(&daemon->observing);
		complain_of_worker(daemon, before->log, &failure);
	}
	generation_free(next);
	log_complain(before->log,
		"SIGHUP: %s is not used, and the configuration before stays in force; correct what the lines above name, and send SIGHUP again",
		daemon->path);
	end_reload(daemon, false,
		"the reload failed: the configuration before stays in force; the log says why");
}

/* All workers have put the newest generation in force. */
static void report_reload(struct daemon *daemon)
{
	const struct generation *current = daemon->current;
	size_t listeners = listeners_count(current->config) + receivers_count(current->config);

	log_check(current->log);
	log_line(current->log, NULL, LOG_NOTICE,
		"SIGHUP: %s is in force: %zu listeners, %zu of them kept; maxconn %u", daemon->path,
		listeners, current->counterparts->kept, current->maxconn);
	end_reload(daemon, true, "reloaded");
}

static void on_hangup(struct daemon *daemon)
{
	log_reopen(daemon->current->log);
	if (daemon->ends)
		log_line(daemon->current->log, NULL, LOG_WARNING,
			"SIGHUP: %s is not read again, since tproxyd accepts no more clients",
			daemon->path);
	else if (daemon->reloading)
		daemon->reload_again = true;
	else
		reload(daemon);
}

static void free_unused_generations(struct daemon *daemon)
{
	struct generation *generation = SLIST_FIRST(&daemon->generations), *next;

	if (observing_is_asking(&daemon->observing))
		return;
	for (; generation != NULL; generation = next) {
		next = SLIST_NEXT(generation, link);
		if (generation == daemon->current || atomic_load(&generation->users) > 0)
			continue;
		SLIST_REMOVE(&daemon->generations, generation, generation, link);
		daemon->lost += log_lost(generation->log);
		generation_free(generation);
	}
}

/* Receivers that drain close in all workers, or in none (udp/receiver.c). */
static void end_silent_generations(struct daemon *daemon)
{
	struct generation *generation = SLIST_FIRST(&daemon->generations), *silent = generation;
	bool news = false;

	for (; generation != NULL; generation = SLIST_NEXT(generation, link))
		if (atomic_load(&generation->flows) > 0 ||
			(generation == daemon->current && !daemon->ends))
			silent = SLIST_NEXT(generation, link);
	for (; silent != NULL; silent = SLIST_NEXT(silent, link))
		news |= !atomic_exchange(&silent->silent, true);
	if (news)
		workers_look(&daemon->workers);
}

/* --- running --- */

static void on_signal(evutil_socket_t number, short what, void *arg)
{
	struct daemon *daemon = arg;

	(void)what;
	if (number == SIGHUP) {
		on_hangup(daemon);
		return;
	}
	log_line(daemon->current->log, NULL, LOG_NOTICE, "%s",
		number == SIGUSR1
			? "SIGUSR1: accepts no more clients, and ends with the last session"
		: number == SIGINT ? "SIGINT: ends now; sessions are reset"
				   : "SIGTERM: ends now; sessions are reset");
	daemon->ends = true;
	notify_stopping(&daemon->notify);
	workers_command(&daemon->workers, number == SIGUSR1 ? WORKER_DRAIN : WORKER_STOP);
}

/* Something of what worker_new() names has happened; which, is asked. */
static void on_report(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *daemon = arg;
	eventfd_t count = 0;

	(void)what;
	eventfd_read(fd, &count);
	wakers_look(limits_wakers(limits_process(daemon->current->limits)), LIMITS_OBSERVER);
	care_observe(&daemon->care);
	if (workers_are_settled(&daemon->workers)) {
		if (daemon->reloading)
			report_reload(daemon);
		end_silent_generations(daemon);
	}
	observing_report(&daemon->observing);
	free_unused_generations(daemon);
	if (workers_running(&daemon->workers) == 0) {
		event_base_loopbreak(daemon->base);
	} else if (daemon->reload_again && !daemon->reloading) {
		daemon->reload_again = false;
		on_hangup(daemon);
	}
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
	daemon->on_report = event_new(
		daemon->base, daemon->workers.reports, EV_READ | EV_PERSIST, on_report, daemon);
	return daemon->on_report == NULL ? -1 : event_add(daemon->on_report, NULL);
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

/* --- starting --- */

/* The service manager's sockets: each has to have its bind line. */
static int receive_sockets(const struct daemon *daemon)
{
	struct log *log = daemon->current->log;

	if (inherited_receive(daemon->pid) == 0)
		return descriptors_check_inherited(daemon->current->config, daemon->path, log);
	log_complain(log,
		"$LISTEN_FDS is not a number of descriptors; start tproxyd by a .socket unit, or without $LISTEN_PID");
	return -1;
}

/* The first generation, as far as it can be had before listeners are bound. */
static int prepare_generation(struct daemon *daemon, struct config *config)
{
	struct generation *generation = generation_new(config);
	unsigned workers = workers_wanted(config);

	if (generation == NULL || permanent_set(&daemon->permanent, &config->global) == -1) {
		fputs("tproxyd: cannot start: out of memory\n", stderr);
		generation_free(generation);
		return -1;
	}
	SLIST_INSERT_HEAD(&daemon->generations, generation, link);
	daemon->current = generation;
	resolver_do_without(&daemon->resolver);
	if (config->has_names && resolver_start(&daemon->resolver, daemon->identity) == -1) {
		fprintf(stderr, "tproxyd: cannot start a process that looks names up: %s%s\n",
			strerror(errno), advice_on_errno(errno));
		return -1;
	}
	generation->owner = daemon->identity;
	generation->log = log_new(config, daemon->identity);
	if (generation->log == NULL)
		return -1;
	atomic_store(&library_log, generation->log);
	event_set_log_callback(on_library_message);
	notify_open(&daemon->notify, daemon->pid);
	if (receive_sockets(daemon) == -1)
		return -1;
	daemon->permanent.descriptors =
		descriptors_measure(&config->global, workers, generation->log);
	return descriptors_plan(&daemon->permanent.descriptors, config, log_places(generation->log),
		generation->log, &generation->maxconn);
}

/* Makes the main loop, and binds the listeners, which may need privileges. */
static int daemon_prepare(struct daemon *daemon)
{
	struct generation *first = daemon->current;
	struct listener_failure failure;

	daemon->workers.reports = eventfd(0, EFD_CLOEXEC);
	first->limits = limits_new(first->config, first->maxconn);
	first->tallies = tallies_new(first->config, daemon->permanent.descriptors.workers);
	if (daemon->workers.reports == -1 || first->limits == NULL || first->tallies == NULL ||
		watch_events(daemon) == -1) {
		log_complain(
			first->log, "cannot start: %s%s", strerror(errno), advice_on_errno(errno));
		return -1;
	}
	wakers_add(limits_wakers(limits_process(first->limits)), LIMITS_OBSERVER,
		daemon->workers.reports);
	observing_begin(&daemon->observing, daemon->base, &daemon->workers, &daemon->care);
	if (observing_prepare(&daemon->observing, first, daemon->path, first->log) == -1)
		return -1;
	if (workers_bind(
		    &daemon->workers, daemon->permanent.descriptors.workers, first, &failure) == 0)
		return 0;
	complain_of_worker(daemon, first->log, &failure);
	return -1;
}

static void report_start(struct daemon *daemon, bool restricted)
{
	daemon->started = true;
	log_started(daemon->current->log);
	log_line(daemon->current->log, NULL, LOG_NOTICE,
		"tproxyd %s started: %u threads, maxconn %u; keeps %s; %s", TPROXYD_VERSION,
		daemon->workers.count, daemon->current->maxconn,
		privileges_text(daemon->permanent.privileges),
		restricted
			? "system calls are restricted"
			: "system calls are not restricted: the kernel lacks CONFIG_SECCOMP_FILTER");
	notify_ready(&daemon->notify, "serves");
}

static struct log *log_in_force(void *daemon)
{
	return ((struct daemon *)daemon)->current->log;
}

/* While a reload waits for names, which may be long, it goes on. */
static int start_watchdog(struct daemon *daemon)
{
	struct watchdog *watchdog = &daemon->watchdog;

	if (watchdog_start(watchdog, daemon->base, &daemon->notify, &daemon->workers, log_in_force,
		    daemon) == -1) {
		log_complain(daemon->current->log, "cannot start the watchdog's timer");
		return -1;
	}
	daemon->resolver.meanwhile = watchdog->event == NULL ? NULL : watchdog_give_sign;
	daemon->resolver.arg = watchdog;
	daemon->resolver.interval = watchdog->interval;
	return 0;
}

static int daemon_start(struct daemon *daemon, struct config *config)
{
	const char *pidfile;
	bool restricted;

	if (prepare_generation(daemon, config) == -1 || daemon_prepare(daemon) == -1)
		return -1;
	pidfile = daemon->permanent.pidfile;
	if (pidfile != NULL && pidfile_take(&daemon->pidfile, pidfile, daemon->current->log) == -1)
		return -1;
	/* Names of sockets; what is known of servers follows. */
	observing_use(&daemon->observing, daemon->current, &daemon->permanent.descriptors);
	if (drop_privileges(daemon) == -1)
		return -1;
	tzset(); /* reads files, which workers may not do */
	log_check(daemon->current->log);
	if (start_restricted(daemon, &restricted) == -1)
		return -1;
	report_start(daemon, restricted);
	care_begin(&daemon->care, daemon->base, daemon->current);
	observing_use(&daemon->observing, daemon->current, &daemon->permanent.descriptors);
	return start_watchdog(daemon);
}

/* --- the end --- */

static void daemon_release(struct daemon *daemon)
{
	struct generation *generation;

	observing_end(&daemon->observing);
	care_end(&daemon->care);
	pidfile_drop(&daemon->pidfile);
	watchdog_stop(&daemon->watchdog);
	notify_close(&daemon->notify);
	resolver_stop(&daemon->resolver);
	inherited_close();
	for (int i = 0; i < SIGNALS; i++)
		if (daemon->on_signal[i] != NULL)
			event_free(daemon->on_signal[i]);
	if (daemon->on_report != NULL)
		event_free(daemon->on_report);
	if (daemon->base != NULL)
		event_base_free(daemon->base);
	event_set_log_callback(NULL);
	while ((generation = SLIST_FIRST(&daemon->generations)) != NULL) {
		SLIST_REMOVE_HEAD(&daemon->generations, link);
		generation_free(generation);
	}
	permanent_clear(&daemon->permanent);
	if (daemon->workers.reports != -1)
		close(daemon->workers.reports);
}

static void report_end(struct daemon *daemon, const struct counters *counters)
{
	char summary[LOG_LINE_MAX];
	uint64_t lost = daemon->lost;
	const struct generation *generation = SLIST_FIRST(&daemon->generations);

	for (; generation != NULL; generation = SLIST_NEXT(generation, link))
		lost += log_lost(generation->log);
	counters_format(counters, summary, sizeof(summary));
	log_line(daemon->current->log, NULL, LOG_NOTICE, "tproxyd ended: %s; %lu log lines lost",
		summary, (unsigned long)lost);
}

int daemon_run(struct config *config, const char *path, const struct identity *identity)
{
	struct daemon daemon = {.path = path,
		.identity = identity,
		.pid = getpid(),
		.workers = {.reports = -1},
		.pidfile = {.fd = -1},
		.notify = {.fd = -1},
		.resolver = {.socket = -1}};
	struct counters counters = {0};
	int failed = -1;
	sigset_t before;

	if (config->global.daemon && background_begin(&daemon.background) == -1) {
		fprintf(stderr, "tproxyd: cannot go to the background: %s%s\n", strerror(errno),
			advice_on_errno(errno));
		return EXIT_FAILURE;
	}
	block_signals(&before);
	if (daemon_start(&daemon, config) == 0) {
		if (config->global.daemon)
			background_ready(&daemon.background, config, daemon.current->log);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
		failed = event_base_dispatch(daemon.base);
	}
	failed |= workers_join(&daemon.workers, &counters);
	if (daemon.started)
		report_end(&daemon, &counters);
	daemon_release(&daemon);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
