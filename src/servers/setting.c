/* The first words are read with each choice of a server; so nothing is done for those that have no setting. */
#include "setting.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

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

void setting_set_maxconn(struct setting *setting, const struct server *server, unsigned maxconn)
{
	setting->has_maxconn = true;
	setting->maxconn = maxconn;
	setting->maxconn_configured = server->maxconn;
}

unsigned setting_maxconn(const struct setting *setting, const struct server *server)
{
	bool holds = setting->has_maxconn && server->agent.on &&
		     setting->maxconn_configured == server->maxconn;

	return holds ? setting->maxconn : server->maxconn;
}

/* --- as texts --- */

/* Servers that take turns of a fixed number, and those that are chosen by a hash of the client. */
static bool has_fixed_weights(const struct proxy *backend)
{
	return backend->static_weights ||
	       (backend->balance == BALANCE_SOURCE && !backend->consistent);
}

/* Of the configured weight. A share that gives more than the largest weight gives that one, however large it is. */
static long share_of(const struct server *server, long percent)
{
	long most = 100L * WEIGHT_MAX;
	long weight = (long)server->weight * (percent > most ? most : percent) / 100;

	return weight > WEIGHT_MAX ? WEIGHT_MAX : weight;
}

const char *setting_parse_weight(const struct proxy *backend, const struct server *server,
	const char *text, unsigned *weight)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (*text == '\0')
		return "Require <weight> or <weight%>.";
	if (end == text)
		return "Empty weight string empty or preceded by garbage";
	if (strcmp(end, "%") == 0) {
		if (value < 0)
			return "Relative weight must be positive.";
		value = share_of(server, value);
	} else if (*end != '\0') {
		return "Trailing garbage in weight string";
	} else if (value < 0 || value > WEIGHT_MAX) {
		return "Absolute weight can only be between 0 and 256 inclusive.";
	}
	if (value != 0 && value != (long)server->weight && has_fixed_weights(backend))
		return "Backend is using a static LB algorithm and only accepts weights '0%' and '100%'.";
	*weight = (unsigned)value;
	return NULL;
}

const char *setting_parse_maxconn(const char *text, unsigned *maxconn)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (*text == '\0')
		return "Require <maxconn>.";
	if (end == text)
		return "maxconn string empty or preceded by garbage";
	if (*end != '\0')
		return "Trailing garbage in maxconn string";
	*maxconn = value < 0 || value > UINT_MAX ? UINT_MAX : (unsigned)value;
	return NULL;
}
