/*
 * The daemon: a loaded configuration becomes listeners, workers, and an end.
 */
#ifndef TPROXY_DAEMON_H
#define TPROXY_DAEMON_H

#include "tproxy/config.h"
#include "tproxy/privileges.h"

/*
 * Serves the configuration until a signal ends it: SIGTERM and SIGINT at once, SIGUSR1 with the last
 * session. What keeps it from starting is said on stderr. Returns the exit status of the process:
 * a failure where it did not start, or a worker ended by itself.
 * PATH is what messages call the configuration, IDENTITY what to become once all is bound.
 */
int daemon_run(const struct config *config, const char *path, const struct identity *identity);

#endif
