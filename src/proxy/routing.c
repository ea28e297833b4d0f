/*
 * Rules of a stage are asked in their order. The first one that applies decides or chooses; only expect-proxy is a
 * note, and the rules after it are asked, too.
 *
 * A listen section is its own backend, so its rules for contents are asked twice, with the same answer. A section without
 * rules costs one comparison: nothing is asked of the kernel for it.
 */
#include "routing.h"

#include "destination.h"
#include "servers/balance.h"

static unsigned usable_servers(void *limits, const struct proxy *backend)
{
	return balance_usable(limits, backend);
}

static struct connection_facts facts_of(const struct session *session)
{
	struct connection_facts facts = {.source = session->client,
		.usable_servers = usable_servers,
		.context = session->set->limits};

	destination_asked(session, &facts.destination); /* without a family where it is not known */
	return facts;
}

/* The first rule of a stage that applies and is no note, or NULL. *HEADER becomes true where one expects a header. */
static const struct client_rule *find_rule(const struct session *session, const struct proxy *proxy,
	enum rule_stage stage, bool *header)
{
	const struct client_rules *rules = &proxy->rules[stage];
	struct connection_facts facts;

	if (rules->count == 0)
		return NULL;
	facts = facts_of(session);
	for (size_t i = 0; i < rules->count; i++) {
		const struct client_rule *rule = &rules->list[i];

		if (rule->server != NULL && !balance_is_usable(session->set->limits, rule->server))
			continue; /* the next rule may have a better one, and then `balance` */
		if (!condition_holds(&rule->condition, &facts))
			continue;
		if (rule->action != RULE_EXPECT_PROXY)
			return rule;
		*header = true;
	}
	return NULL;
}

static bool is_rejected(const struct client_rule *rule)
{
	return rule != NULL && rule->action == RULE_REJECT;
}

bool routing_admits(const struct session *session, bool *header)
{
	return !is_rejected(find_rule(session, session->frontend, STAGE_CONNECTION, header));
}

/* Takes a place at SERVER, unless one with an older ticket waits for it. */
static enum reason take_place(struct session *session, const struct server *server, uint64_t ticket,
	const struct server **wanted)
{
	struct limits *limits = session->set->limits;
	const struct proxy *backend = session->backend;

	*wanted = server;
	if ((backend->queues && queue_has_older(limits_server_queue(limits, server), ticket)) ||
		!limits_use(limits, backend, server))
		return REASON_SERVERS_FULL;
	session->server = server;
	return REASON_DONE;
}

/* Whether no more clients may wait for the server of a rule, and may go to another one. */
static bool is_given_up(
	const struct limits *limits, const struct proxy *backend, const struct server *server)
{
	return server->maxqueue != 0 && backend->queues && backend->redispatch != 0 &&
	       queue_length(limits_server_queue(limits, server)) >= server->maxqueue;
}

/* By use-server, where a rule applies, or else by `balance`. */
static enum reason choose_server(
	struct session *session, const struct proxy *backend, const struct server **wanted)
{
	struct limits *limits = session->set->limits;
	bool unused;
	const struct client_rule *rule = find_rule(session, backend, STAGE_SERVER, &unused);

	session->by_rule = rule != NULL;
	if (rule != NULL && take_place(session, rule->server, UINT64_MAX, wanted) == REASON_DONE)
		return REASON_DONE;
	if (rule != NULL && !is_given_up(limits, backend, rule->server))
		return REASON_SERVERS_FULL;
	session->by_rule = false;
	return balance_choose_or_wait(
		limits, backend, &session->client, NO_TICKET, &session->server, wanted);
}

enum reason routing_choose_again(struct session *session, const struct server *server,
	uint64_t ticket, const struct server **wanted)
{
	if (server != NULL)
		return take_place(session, server, ticket, wanted);
	return balance_choose_or_wait(session->set->limits, session->backend, &session->client,
		ticket, &session->server, wanted);
}

enum reason routing_choose(struct session *session, const struct server **wanted)
{
	const struct proxy *frontend = session->frontend;
	const struct client_rule *rule;
	bool unused;

	if (is_rejected(find_rule(session, frontend, STAGE_SESSION, &unused)))
		return REASON_REJECTED;
	if (is_rejected(find_rule(session, frontend, STAGE_CONTENT, &unused)))
		return REASON_CONTENT_REJECTED;
	rule = find_rule(session, frontend, STAGE_BACKEND, &unused);
	session->backend = rule != NULL ? rule->backend : frontend->default_backend;
	if (session->backend == NULL)
		return REASON_NO_SERVER;
	if (is_rejected(find_rule(session, session->backend, STAGE_CONTENT, &unused)))
		return REASON_CONTENT_REJECTED;
	return choose_server(session, session->backend, wanted);
}

/* Whether the attempt that comes now is one for another server. */
static bool redispatches_now(const struct session *session)
{
	const struct proxy *backend = session->backend;
	int interval = backend->redispatch;
	bool in_turn = backend->balance == BALANCE_ROUNDROBIN || backend->balance == BALANCE_RANDOM;

	if (interval == 0)
		return false;
	if (in_turn && !session->by_rule && balance_usable(session->set->limits, backend) > 1)
		return true; /* none of them was meant more than another */
	if (interval < 0)
		interval += (int)backend->retries + 1;
	return session->failures % (unsigned)(interval > 1 ? interval : 1) == 0;
}

const struct server *routing_redispatch(struct session *session)
{
	struct limits *limits = session->set->limits;
	const struct server *before = session->server, *server;

	if (!redispatches_now(session) || balance_choose(limits, session->backend, &session->client,
						  before, &server) != REASON_DONE)
		return NULL;
	if (server == before) { /* with two places there: one is given back, and it stays */
		limits_unuse(limits, session->backend, before);
		return NULL;
	}
	session->server = server;
	session->by_rule = false;
	session->redispatched = true;
	return before;
}
