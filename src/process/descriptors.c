/*
 * How the descriptor limit is divided: what is open already, what each worker and each listener will
 * take, and what is left for sessions.
 *
 * New descriptors get the lowest free number, so the first free number says how many are open. The
 * trap: what a parent left open with higher numbers is not counted.
 */
#include "descriptors.h"

#include "proxy/inherited.h"
#include "proxy/listener.h"
#include "servers/agent.h"
#include "servers/health.h"
#include "servers/moving.h"
#include "udp/receiver.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	LIMIT_DEFAULT = 1024,
	FEW_SESSIONS = 100, /* fewer are worth a warning */
};

unsigned long descriptors_of_sessions(unsigned long sessions)
{
	return 2 * sessions + sessions / 2;
}

/* Sets the limit to WANTED, or with 0 as high as it may be without a privilege. 0: it cannot be set; errno says why. */
static unsigned long set_limit(unsigned wanted)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
		return LIMIT_DEFAULT;
	limit.rlim_cur = wanted == 0 ? limit.rlim_max : wanted;
	if (limit.rlim_cur > limit.rlim_max)
		limit.rlim_max = limit.rlim_cur;
	if (setrlimit(RLIMIT_NOFILE, &limit) == -1 && wanted != 0)
		return 0;
	return getrlimit(RLIMIT_NOFILE, &limit) == -1 ? LIMIT_DEFAULT : limit.rlim_cur;
}

static unsigned long count_open(unsigned long limit)
{
	int first_free = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
	unsigned long count = first_free == -1 ? limit : (unsigned long)first_free;

	if (first_free != -1)
		close(first_free);
	return count;
}

int descriptors_check_inherited(const struct config *config, const char *path, struct log *log)
{
	char problem[INHERITED_TEXT_MAX];
	int status = 0;

	for (size_t i = 0; i < inherited_count(); i++) {
		if (!inherited_problem(i, config, path, problem))
			continue;
		log_complain(log, "%s", problem);
		status = -1;
	}
	return status;
}

struct descriptors descriptors_measure(
	const struct global *global, unsigned workers, const struct log *log)
{
	unsigned long limit = set_limit(global->ulimit_n);

	return (struct descriptors){
		.limit = limit,
		.error = limit == 0 ? errno : 0,
		.others = count_open(limit) - log_places(log) + DESCRIPTORS_OF_DAEMON +
			  workers * DESCRIPTORS_OF_WORKER + DESCRIPTORS_IN_PASSING,
		.workers = workers,
	};
}

/* Of those who ask for statistics. */
static unsigned long of_observers(const struct global *global)
{
	unsigned long clients = global->stats_maxconn != 0 ? global->stats_maxconn : 10;
	unsigned long count = 0;

	if (global->stats_socket_count > 0)
		count += global->stats_socket_count + clients;
	if (addr_family(&global->metrics) != AF_UNSPEC)
		count += 11; /* stats/http.c */
	return count;
}

int descriptors_plan(const struct descriptors *descriptors, const struct config *config,
	size_t places, struct log *log, unsigned *maxconn)
{
	unsigned long limit = descriptors->limit, workers = descriptors->workers;
	/* A worker with receivers has a ring, too (datagram_ring.h). */
	unsigned long of_worker =
		listeners_count(config) + receivers_count(config) + (receivers_count(config) > 0);
	unsigned long fixed = descriptors->others + places + workers * of_worker +
			      health_count(config) + agents_count(config) +
			      moving_descriptors(config) + of_observers(&config->global);
	unsigned long room = limit > fixed ? limit - fixed : 0;
	unsigned long least = fixed + descriptors_of_sessions(1);

	if (descriptors->error != 0) {
		log_complain(log,
			"cannot set the descriptor limit to %u (ulimit-n): %s; start tproxyd as root, or write a lower number",
			config->global.ulimit_n, strerror(descriptors->error));
		return -1;
	}
	if (limit < least) {
		log_complain(log,
			"the descriptor limit of %lu is too low: %lu threads with their listeners need at least %lu. Raise the limit (ulimit -n %lu, LimitNOFILE=%lu), or lower nbthread",
			limit, workers, least, least, least);
		return -1;
	}
	*maxconn = config->global.maxconn;
	if (*maxconn == 0) {
		unsigned long sessions = room * 2 / 5;

		*maxconn = sessions == 0 ? 1 : sessions > INT_MAX ? INT_MAX : (unsigned)sessions;
		if (*maxconn < FEW_SESSIONS)
			log_complain(log,
				"warning: the descriptor limit of %lu has room for %u connections only; raise it (ulimit -n, LimitNOFILE=)",
				limit, *maxconn);
	} else if (descriptors_of_sessions(*maxconn) > room) {
		log_complain(log,
			"warning: maxconn %u may need %lu descriptors, but the limit is %lu; while none is left, accepting pauses. Raise the limit (ulimit -n, LimitNOFILE=) or lower maxconn",
			*maxconn, descriptors_of_sessions(*maxconn) + fixed, limit);
	}
	return 0;
}
