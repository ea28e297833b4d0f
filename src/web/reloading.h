/*
 * Makes the proxy read its configuration again, and finds out whether it took it.
 */
#ifndef TPROXY_WEB_RELOADING_H
#define TPROXY_WEB_RELOADING_H

#include "helper.h"

enum reloading {
	RELOADING_DONE,
	RELOADING_NONE, /* no proxy is known, or it does not run: it will read the file when it starts */
	RELOADING_FAILED
};

/*
 * Runs the command of --reload, whose exit status is its word; or sends SIGHUP to the process that holds the lock of the
 * pidfile, and waits until it listens as the file says. RELOADING_FAILED: *PROBLEM, NULL before, says why; to be freed.
 */
enum reloading reloading_run(const struct helper_settings *settings, char **problem);

#endif
