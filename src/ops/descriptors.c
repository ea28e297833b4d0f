/*
 * How the descriptor limit is divided: what is open already, what each worker and each listener will
 * take, and what is left for sessions.
 *
 * New descriptors get the lowest free number, so the first free number says how many are open. The
 * trap: what a parent left open with higher numbers is not counted.
 */
#include "descriptors.h"

#include "proxy/listener.h"
#include "udp/receiver.h"

#include <fcntl.h>
#include <limits.h>
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

static unsigned long raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
		return LIMIT_DEFAULT;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
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

int descriptors_plan(
	const struct config *config, unsigned workers, struct log *log, unsigned *maxconn)
{
	unsigned long limit = raise_limit();
	unsigned long of_worker =
		DESCRIPTORS_OF_WORKER + listeners_count(config) + receivers_count(config);
	unsigned long fixed = count_open(limit) + DESCRIPTORS_OF_DAEMON + workers * of_worker +
			      DESCRIPTORS_IN_PASSING;
	unsigned long room = limit > fixed ? limit - fixed : 0;
	unsigned long least = fixed + descriptors_of_sessions(1);

	if (limit < least) {
		log_complain(log,
			"the descriptor limit of %lu is too low: %u threads with their listeners need at least %lu. Raise the limit (ulimit -n %lu, LimitNOFILE=%lu), or lower nbthread",
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
