/*
 * What an operator has set of a server, while the process runs (`set server`, `set weight`).
 *
 * It is kept over a reload, as long as the configuration has the same weight for the server as when it was set: a file that was
 * changed there says what holds. One thread sets it, any thread reads it.
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
};

void setting_set_state(struct setting *setting, enum server_state state);
void setting_set_weight(struct setting *setting, const struct server *server, unsigned weight);

/* Of SERVER alone, whatever it tracks. */
enum server_state setting_state(const struct setting *setting, const struct server *server);
unsigned setting_weight(const struct setting *setting, const struct server *server);

#endif
