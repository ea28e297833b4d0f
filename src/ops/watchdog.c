/*
 * A sign of life says that every event loop turns: the main thread's, since its timer gives it, and those of the
 * threads that carry traffic, since each has answered a question since the last one. One that hangs, with its clients
 * waiting, keeps the sign back, and the manager restarts the process.
 */
#include "watchdog.h"

#include "tproxy/clock.h"

#include <limits.h>

void watchdog_give_sign(void *arg)
{
	struct watchdog *watchdog = arg;

	if (workers_find_silent(watchdog->workers) != -1)
		return;
	notify_alive(watchdog->notify);
	workers_ask(watchdog->workers);
	watchdog->asked = clock_ms();
}

/* A question that was asked just now is not reported as silence. There is no other one while a thread is silent. */
static void report_silence(struct watchdog *watchdog)
{
	struct log *log = watchdog->log(watchdog->arg);
	int silent = workers_find_silent(watchdog->workers);

	if (silent == watchdog->silent || clock_ms() - watchdog->asked < watchdog->interval / 2)
		return;
	if (watchdog->silent != -1)
		log_line(log, NULL, LOG_NOTICE, "thread %d answers again", watchdog->silent);
	if (silent != -1)
		log_line(log, NULL, LOG_CRIT,
			"thread %d does not answer; until it does, the service manager gets no sign of life (WatchdogSec=)",
			silent);
	watchdog->silent = silent;
}

static void on_due(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	report_silence(arg);
	watchdog_give_sign(arg);
}

int watchdog_start(struct watchdog *watchdog, struct event_base *base, const struct notify *notify,
	struct workers *workers, struct log *(*log)(void *arg), void *arg)
{
	unsigned long long half = notify->watchdog / 2000;
	int interval = half < 1 ? 1 : half > INT_MAX ? INT_MAX : (int)half;
	const struct timeval every = {interval / 1000, interval % 1000 * 1000};

	*watchdog = (struct watchdog){NULL, notify, workers, log, arg, interval, 0, -1};
	if (notify->watchdog == 0)
		return 0;
	watchdog->event = event_new(base, -1, EV_PERSIST, on_due, watchdog);
	if (watchdog->event == NULL)
		return -1;
	watchdog_give_sign(watchdog);
	return event_add(watchdog->event, &every);
}

void watchdog_stop(struct watchdog *watchdog)
{
	if (watchdog->event != NULL)
		event_free(watchdog->event);
	watchdog->event = NULL;
}
