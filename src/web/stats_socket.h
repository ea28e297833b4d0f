/*
 * Asks the stats socket of a proxy, tproxyd or HAProxy.
 */
#ifndef TPROXY_WEB_STATS_SOCKET_H
#define TPROXY_WEB_STATS_SOCKET_H

#include <stdbool.h>

/*
 * What the socket at PATH answers to a command, to be freed. It waits until the proxy has closed, at most 30 seconds for each
 * part. NULL with errno: EAGAIN where nothing more came in that time, EFBIG for more than 64 MiB.
 */
char *stats_socket_ask(const char *path, const char *command);

/* How often the proxy has put a configuration in force, and how often it did not use one. */
struct stats_reloads {
	unsigned done, failed;
	unsigned process; /* one that was started again counts anew */
};

/* False: the proxy does not answer, or does not say that, as HAProxy's workers. */
bool stats_socket_reloads(const char *path, struct stats_reloads *reloads);

#endif
