/*
 * Rules of a stage are asked in their order. The first one that applies decides or chooses; only expect-proxy is a
 * note, and the rules after it are asked, too.
 *
 * A section without rules costs one comparison: nothing is asked of the kernel for it. Every server counts as usable,
 * since there are no health checks.
 */
#include "routing.h"

#include "tproxy/socket.h"

static unsigned usable_servers(const struct proxy *backend)
{
	return (unsigned)backend->server_count;
}

bool routing_destination(const struct session *session, struct addr *destination)
{
	*destination = session->destination;
	return addr_family(destination) != AF_UNSPEC ||
	       socket_local_address(session->sides[CLIENT].fd, destination);
}

static struct connection_facts facts_of(const struct session *session)
{
	struct connection_facts facts = {
		.source = session->client, .usable_servers = usable_servers};

	if (!routing_destination(session, &facts.destination))
		facts.destination = (struct addr){0};
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

		if (!condition_holds(&rule->condition, &facts))
			continue;
		if (rule->action != RULE_EXPECT_PROXY)
			return rule;
		*header = true;
	}
	return NULL;
}

bool routing_admits(const struct session *session, const struct proxy *proxy, enum rule_stage stage,
	bool *header)
{
	const struct client_rule *rule = find_rule(session, proxy, stage, header);

	return rule == NULL || rule->action == RULE_ACCEPT;
}

const struct proxy *routing_backend(const struct session *session)
{
	const struct client_rule *rule = find_rule(session, session->frontend, STAGE_BACKEND, NULL);

	return rule != NULL ? rule->backend : session->frontend->default_backend;
}

const struct server *routing_server(const struct session *session)
{
	const struct client_rule *rule = find_rule(session, session->backend, STAGE_SERVER, NULL);

	return rule != NULL ? rule->server : NULL;
}
