/*
 * Makes the proxy read its configuration again.
 *
 * Neither a signal nor the service manager's command says what became of it. With a stats socket tproxyd counts the reloads that
 * were done and those that failed. Without, the sockets of the process are compared with the file's listeners until they are
 * the same, or time is up: a listener that cannot be bound keeps the whole configuration out of force (SIGHUP in
 * tproxyd(8)). A pidfile's number is trusted only while its process holds the file's lock, so that no other
 * process gets the signal.
 */
#include "reloading.h"
#include "hoststate/service.h"
#include "hoststate/sockets.h"
#include "stats_socket.h"
#include "tproxy/clock.h"
#include "tproxy/config.h"
#include "tproxy/file.h"
#include "tproxy/lookup.h"
#include "tproxy/subprocess.h"
#include "tproxy/text.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum {
	WAIT_MS = 5000,
	COUNT_MS = 10000, /* names of servers may be looked up meanwhile */
	PAUSE_NS = 50 * 1000 * 1000,
	OWNERS_MAX = 8
};

static enum reloading run_command(const char *command, char **problem)
{
	const char *const shell[] = {"/bin/sh", "-c", command, NULL};
	struct subprocess_result result;
	bool well = subprocess_run(shell, NULL, &result);

	if (!well)
		*problem = text_format("`%s` ended with status %d%s%s", command, result.status,
			*result.errors != '\0' ? ": " : "", result.errors);
	subprocess_free(&result);
	return well ? RELOADING_DONE : RELOADING_FAILED;
}

/* The process that holds the lock of the pidfile, or 0. */
static pid_t find_process(const char *pidfile)
{
	size_t length;
	char *text = file_read_regular(pidfile, &length);
	int file = open(pidfile, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	bool held = file != -1 && flock(file, LOCK_SH | LOCK_NB) == -1 && errno == EWOULDBLOCK;
	long number = held && text != NULL ? strtol(text, NULL, 10) : 0;

	if (file != -1)
		close(file);
	free(text);
	return number > 1 ? (pid_t)number : 0;
}

/* Whether the process has that listener. */
static bool listens(
	pid_t process, const struct host_sockets *sockets, const struct service_listener *listener)
{
	for (size_t i = 0; i < sockets->count; i++) {
		const struct host_socket *socket = &sockets->list[i];
		struct socket_owner owners[OWNERS_MAX];
		size_t count;

		if (socket->state != SOCKET_STATE_LISTENING ||
			socket->protocol != listener->protocol ||
			!addr_equal(&socket->local, &listener->address) ||
			(socket->options_known && listener->transparent && !socket->transparent))
			continue;
		count = socket_owners(socket, owners, OWNERS_MAX);
		for (size_t j = 0; j < count && j < OWNERS_MAX; j++)
			if (owners[j].pid == process)
				return true;
	}
	return false;
}

/* The first listener that the process does not have; NULL: it has all of them. */
static const struct service_listener *find_missing(pid_t process, const struct service *service)
{
	struct host_sockets sockets;
	const struct service_listener *missing = NULL;
	char *problem = NULL;

	socket_owners_forget();
	if (!sockets_read(&sockets, &problem)) {
		free(problem);
		return NULL; /* not to be seen on this host */
	}
	for (size_t i = 0; i < service->listener_count && missing == NULL; i++)
		if (!listens(process, &sockets, &service->listeners[i]))
			missing = &service->listeners[i];
	sockets_free(&sockets);
	return missing;
}

static enum reloading await_listeners(pid_t process, const struct service *service, char **problem)
{
	static const struct timespec pause = {0, PAUSE_NS};
	long long deadline = clock_ms() + WAIT_MS;
	const struct service_listener *missing;
	char text[ADDR_TEXT_MAX];

	do {
		if (kill(process, 0) == -1) {
			*problem =
				text_format("process %d has ended; its log says why", (int)process);
			return RELOADING_FAILED;
		}
		missing = find_missing(process, service);
		if (missing == NULL)
			return RELOADING_DONE;
		nanosleep(&pause, NULL);
	} while (clock_ms() < deadline);
	*problem = text_format("process %d does not listen at %s; its log says why", (int)process,
		addr_format(&missing->address, text));
	return RELOADING_FAILED;
}

static enum reloading hang_up(
	const struct helper_settings *settings, bool is_counted, char **problem)
{
	pid_t process = find_process(settings->pidfile);
	struct diag *diag = process != 0 ? diag_new() : NULL;
	struct service service = {0};
	struct config *config;
	enum reloading result = RELOADING_NONE;

	if (process == 0)
		return RELOADING_NONE;
	lookup_use(lookup_by_library, NULL);
	config = diag != NULL ? config_load(settings->config, diag) : NULL;
	if (config != NULL)
		service_add_config(&service, config, settings->config);
	if (kill(process, SIGHUP) == 0)
		result = is_counted ? RELOADING_DONE : await_listeners(process, &service, problem);
	service_free(&service);
	config_free(config);
	diag_free(diag);
	return result;
}

/* Waits until one more reload is counted, or the proxy was started again. */
static enum reloading await_count(
	const char *path, const struct stats_reloads *before, char **problem)
{
	static const struct timespec pause = {0, PAUSE_NS};
	long long deadline = clock_ms() + COUNT_MS;
	struct stats_reloads now;

	do {
		if (stats_socket_reloads(path, &now) &&
			(now.process != before->process || now.done != before->done ||
				now.failed != before->failed)) {
			if (now.process != before->process || now.failed <= before->failed)
				return RELOADING_DONE;
			*problem = text_copy("it says that the reload failed; its log says why");
			return RELOADING_FAILED;
		}
		nanosleep(&pause, NULL);
	} while (clock_ms() < deadline);
	*problem = text_copy("it has not read the file within ten seconds; its log says why");
	return RELOADING_FAILED;
}

enum reloading reloading_run(const struct helper_settings *settings, char **problem)
{
	struct stats_reloads before;
	bool is_counted = settings->stats_socket != NULL &&
			  stats_socket_reloads(settings->stats_socket, &before);
	enum reloading result = RELOADING_NONE;

	if (settings->reload != NULL)
		result = run_command(settings->reload, problem);
	else if (settings->pidfile != NULL)
		result = hang_up(settings, is_counted, problem);
	return result == RELOADING_DONE && is_counted
		       ? await_count(settings->stats_socket, &before, problem)
		       : result;
}
