/*
 * What an operator or an agent has set of a server, while the process runs (`set server`, `set weight`, `agent-check`).
 *
 * It is kept over a reload. A weight or a limit holds as long as the configuration has the same one for the server as when it was set: a
 * file that was changed there says what holds. One thread sets it, any thread reads it.
 */
#ifndef TPROXY_SERVERS_SETTING_H
#define TPROXY_SERVERS_SETTING_H

#include "tproxy/config.h"

#include <stdatomic.h>

/* HAProxy's administrative states. */
enum server_state {
	SERVER_READY, /* it has clients, where it is up */
	SERVER_DRAIN, /* none but those of `use-server`; its sessions go on */
	SERVER_MAINT, /* none at all, and it is not checked */
};

/* Zeroed: all is as the configuration says. */
struct setting {
	atomic_uint state;      /* 1 more than the state; 0: the configuration's */
	atomic_uint weight;     /* 1 more than the weight; 0: the configuration's */
	atomic_uint configured; /* weight in the configuration, when it was set */
	bool has_maxconn; /* the main thread alone knows it: limits have a copy for the others */
	unsigned maxconn, maxconn_configured;
};

void setting_set_state(struct setting *setting, enum server_state state);
void setting_set_weight(struct setting *setting, const struct server *server, unsigned weight);

/* Of SERVER alone, whatever it tracks. */
enum server_state setting_state(const struct setting *setting, const struct server *server);
unsigned setting_weight(const struct setting *setting, const struct server *server);

/* For the main thread. */
void setting_set_maxconn(struct setting *setting, const struct server *server, unsigned maxconn);
unsigned setting_maxconn(const struct setting *setting, const struct server *server);

/*
 * Reads TEXT, a weight or its share in percent of SERVER's in the configuration. Returns what is wrong, in HAProxy's words, or NULL, and
 * *WEIGHT is set then. Static.
 */
const char *setting_parse_weight(const struct proxy *backend, const struct server *server,
	const char *text, unsigned *weight);

/* The same for a limit of sessions. 0 is none, and so is one below 0, as in HAProxy. */
const char *setting_parse_maxconn(const char *text, unsigned *maxconn);

#endif
