/*
 * The watchdog: the service manager restarts tproxyd where it hangs (WatchdogSec=, sd_watchdog_enabled(3)).
 */
#ifndef TPROXY_OPS_WATCHDOG_H
#define TPROXY_OPS_WATCHDOG_H

#include "process/notify.h"
#include "workers.h"

struct watchdog {
	struct event *event; /* NULL: the manager wants no signs of life */
	const struct notify *notify;
	struct workers *workers;
	struct log *(*log)(void *arg);
	void *arg;
	int interval;    /* ms between two signs of life */
	long long asked; /* clock_ms() when the threads were asked last */
	int silent;      /* the thread that is reported not to answer; -1: none is */
};

/*
 * Gives signs of life in the event loop BASE twice as often as NOTIFY says they are due, where it does. LOG returns the
 * log that is in force; it gets ARG. All of them must outlive the watchdog, and WORKERS must run. Returns 0, or -1.
 */
int watchdog_start(struct watchdog *watchdog, struct event_base *base, const struct notify *notify,
	struct workers *workers, struct log *(*log)(void *arg), void *arg);

/*
 * A sign of life, if all threads have answered the question of the time before; then they are asked again. For a
 * main thread that waits for something, and so does not run its loop. ARG is the watchdog.
 */
void watchdog_give_sign(void *arg);

/* A zeroed one is allowed. */
void watchdog_stop(struct watchdog *watchdog);

#endif
