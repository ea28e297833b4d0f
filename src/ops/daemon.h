/*
 * The daemon: serves a loaded configuration until it is stopped.
 */
#ifndef TPROXY_DAEMON_H
#define TPROXY_DAEMON_H

#include "process/privileges.h"
#include "tproxy/config.h"

/*
 * Serves CONFIG until a signal ends it: SIGTERM and SIGINT at once, SIGUSR1 with the last session. SIGHUP
 * reopens the log files, and reads the configuration again from PATH. IDENTITY is the user that the process
 * changes to once all addresses are bound. Takes CONFIG over; the other two must stay until it returns.
 * Returns the exit status of the process: EXIT_FAILURE where it did not start, which stderr then explains,
 * or where a worker ended by itself.
 */
int daemon_run(struct config *config, const char *path, const struct identity *identity);

#endif
