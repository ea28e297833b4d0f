/*
 * Rules of a stage are asked in their order. The first one that applies decides or chooses; only expect-proxy is a
 * note, and the rules after it are asked, too.
 *
 * A listen section is its own backend, so its rules for contents are asked twice, with the same answer. A section without
 * rules costs one comparison: nothing is asked of the kernel for it. Every server counts as usable,
 * since there are no health checks.
 */
#include "routing.h"

#include "destination.h"

static unsigned usable_servers(const struct proxy *backend)
{
	return (unsigned)backend->server_count;
}

static struct connection_facts facts_of(const struct session *session)
{
	struct connection_facts facts = {
		.source = session->client, .usable_servers = usable_servers};

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

enum reason routing_choose(
	const struct session *session, const struct proxy **backend, const struct server **server)
{
	const struct proxy *frontend = session->frontend;
	const struct client_rule *rule;
	bool unused;

	*backend = NULL;
	*server = NULL;
	if (is_rejected(find_rule(session, frontend, STAGE_SESSION, &unused)))
		return REASON_REJECTED;
	if (is_rejected(find_rule(session, frontend, STAGE_CONTENT, &unused)))
		return REASON_CONTENT_REJECTED;
	rule = find_rule(session, frontend, STAGE_BACKEND, &unused);
	*backend = rule != NULL ? rule->backend : frontend->default_backend;
	if (*backend == NULL)
		return REASON_DONE;
	if (is_rejected(find_rule(session, *backend, STAGE_CONTENT, &unused)))
		return REASON_CONTENT_REJECTED;
	rule = find_rule(session, *backend, STAGE_SERVER, &unused);
	*server = rule != NULL ? rule->server : NULL;
	return REASON_DONE;
}
