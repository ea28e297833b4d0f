/* Three words that are read with each choice of a server; so nothing is done for those that have no setting. */
#include "setting.h"

void setting_set_state(struct setting *setting, enum server_state state)
{
	atomic_store(&setting->state, (unsigned)state + 1);
}

void setting_set_weight(struct setting *setting, const struct server *server, unsigned weight)
{
	atomic_store(&setting->configured, server->weight);
	atomic_store(&setting->weight, weight + 1);
}

enum server_state setting_state(const struct setting *setting, const struct server *server)
{
	unsigned state = atomic_load_explicit(&setting->state, memory_order_relaxed);

	if (state == 0)
		return server->disabled ? SERVER_MAINT : SERVER_READY;
	return (enum server_state)(state - 1);
}

unsigned setting_weight(const struct setting *setting, const struct server *server)
{
	unsigned weight = atomic_load_explicit(&setting->weight, memory_order_relaxed);

	if (weight == 0 || atomic_load(&setting->configured) != server->weight)
		return server->weight;
	return weight - 1;
}
