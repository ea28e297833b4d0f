/*
 * When agents are asked, and what follows from their answers.
 *
 * An agent is no check: one that refuses, is silent, or talks nonsense changes nothing, and is logged with `option log-health-checks` alone. It
 * is asked in maintenance, too, since it alone can end a maintenance that it began. An answer is a line (attempt.h bounds its bytes and its
 * time), and its words count in HAProxy's order: the state, the weight, the limit, and last whether the server is up.
 *
 * The trap: most answers say what the ones before them said. Workers are woken by a change alone.
 */
#include "agent.h"

#include "attempt.h"
#include "check_target.h"
#include "health/agent_answer.h"
#include "schedule.h"
#include "tproxy/clock.h"

#include <stdlib.h>
#include <string.h>

enum {
	STEPS_MAX = 3,
	ANSWER_STEP = 2 /* in HAProxy's messages */
};

struct agent {
	struct agents *agents;
	const struct proxy *backend;
	const struct server *server;
	struct health_step steps[STEPS_MAX];
	struct health_script script;
	struct attempt_target target;
	struct attempt attempt;
	bool up;
	struct health_report report; /* but for what is said elsewhere */
	long long started;           /* when the last question began */
	struct schedule schedule;
};

struct agents {
	struct availability availability;
	struct agents_host host;
	size_t count;
	struct agent list[];
};

size_t agents_count(const struct config *config)
{
	size_t count = 0;

	for (size_t i = 0; i < config->proxy_count; i++)
		for (size_t j = 0; j < config->proxies[i].server_count; j++)
			count += config->proxies[i].servers[j].agent.on;
	return count;
}

/* --- an answer --- */

static void set_state(struct agent *agent, enum agent_state said)
{
	static const enum server_state states[] = {[AGENT_SAYS_READY] = SERVER_READY,
		[AGENT_SAYS_DRAIN] = SERVER_DRAIN,
		[AGENT_SAYS_MAINT] = SERVER_MAINT};
	const struct agents *agents = agent->agents;

	if (said == AGENT_SAYS_NOTHING ||
		limits_own_state(agents->availability.limits, agent->server) == states[said])
		return;
	agents->host.set_state(agents->host.arg, agent->backend, agent->server, states[said]);
}

/* Returns what is wrong with TEXT, or NULL. */
static const char *set_weight(struct agent *agent, const char *text)
{
	struct limits *limits = agent->agents->availability.limits;
	unsigned weight;
	const char *problem = setting_parse_weight(agent->backend, agent->server, text, &weight);

	if (problem == NULL && weight != limits_weight(limits, agent->server))
		limits_set_weight(limits, agent->backend, agent->server, weight);
	return problem;
}

static const char *set_maxconn(struct agent *agent, const char *text)
{
	struct limits *limits = agent->agents->availability.limits;
	unsigned maxconn;
	const char *problem = setting_parse_maxconn(text, &maxconn);

	if (problem == NULL && maxconn != limits_maxconn(limits, agent->server))
		limits_set_server_maxconn(limits, agent->server, maxconn);
	return problem;
}

/* Does what the words say, but for up and down. */
static void follow(struct agent *agent, char *line, struct health_verdict *verdict)
{
	const char *of_weight = NULL, *of_maxconn = NULL;
	struct agent_answer answer;

	agent_answer_parse(line, &answer);
	set_state(agent, answer.state);
	if (answer.weight != NULL)
		of_weight = set_weight(agent, answer.weight);
	if (answer.maxconn != NULL)
		of_maxconn = set_maxconn(agent, answer.maxconn);
	agent_answer_verdict(&answer, of_weight != NULL ? of_weight : of_maxconn, verdict);
}

/* False: there is no memory, and nothing is known. */
static bool read_answer(struct agent *agent, struct health_verdict *verdict)
{
	const struct health_input *input = &agent->attempt.input;
	bool whole;
	size_t length = agent_line(input, &whole);
	char *line;

	if (!whole) {
		*verdict = (struct health_verdict){
			.status = HEALTH_L7RSP, .info = "Ignoring incomplete line from agent"};
		return true;
	}
	line = strndup(input->bytes, length);
	if (line == NULL)
		return false;
	follow(agent, line, verdict);
	free(line);
	return true;
}

/* As HAProxy: "down" and "up" change the state, and each result that differs from the one before is logged, unless it says nothing of it. */
static void judge(struct agent *agent, const struct health_verdict *verdict)
{
	bool was_up = agent->up;
	bool differs =
		!agent->report.has_verdict || verdict->status != agent->report.verdict.status;
	struct health_change change = {.backend = agent->backend,
				     .server = agent->server,
				     .by_agent = true,
				     .verdict = *verdict,
				     .duration = (unsigned)(clock_ms() - agent->started)},
			     note;

	if (verdict->status == HEALTH_L7OK || verdict->status == HEALTH_L7STS)
		agent->up = verdict->status == HEALTH_L7OK;
	agent->report.has_verdict = true;
	agent->report.verdict = *verdict;
	agent->report.duration = change.duration;
	change.up = agent->up;
	note = change;
	note.points = agent->up;
	note.of = 1;
	if (verdict->status != HEALTH_CHECKED && (differs || agent->up != was_up))
		availability_note(&agent->agents->availability, &note);
	if (agent->up != was_up)
		availability_change(&agent->agents->availability, &change);
}

/* VERDICT is NULL where this host lacked what a question needs; L7OK: a line has come, or a part of one. */
static void on_verdict(void *arg, const struct health_verdict *verdict)
{
	struct agent *agent = arg;
	struct health_verdict found;

	if (verdict != NULL && verdict->status != HEALTH_L7OK)
		judge(agent, verdict);
	else if (verdict != NULL && read_answer(agent, &found))
		judge(agent, &found);
	schedule_next(&agent->schedule, agent_interval(agent->server));
}

/* Where the agent of a server that moves is now. False: nowhere. */
static bool find_address(struct agent *agent)
{
	const struct limits *limits = agent->agents->availability.limits;
	const struct server *server = agent->server;
	struct addr somewhere;

	if (server->resolvers == NULL || addr_family(&server->agent.addr) != AF_UNSPEC)
		return true;
	if (!limits_address(limits, server, &somewhere))
		return false;
	agent->target.address = agent_target_address(limits, server);
	return true;
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct agent *agent = arg;

	(void)fd;
	(void)what;
	agent->started = clock_ms();
	if (find_address(agent))
		attempt_start(&agent->attempt, &agent->target);
	else
		schedule_next(&agent->schedule, agent_interval(agent->server));
}

/* --- beginning and end --- */

static int compare_indices(const void *key, const void *element)
{
	size_t index = *(const size_t *)key;
	size_t other = ((const struct agent *)element)->server->index;

	return index < other ? -1 : index > other;
}

/* The agent of the server of this index, or NULL. They are sorted by it. */
static struct agent *find_agent(struct agents *agents, size_t index)
{
	return agents == NULL ? NULL
			      : bsearch(&index, agents->list, agents->count,
					sizeof(agents->list[0]), compare_indices);
}

/* Connects, asks, and reads a line. */
static void write_script(struct agent *agent)
{
	const char *question = agent->server->agent.send;
	size_t count = 0;

	agent->steps[count++] = (struct health_step){.action = HEALTH_CONNECT};
	if (question != NULL)
		agent->steps[count++] = (struct health_step){
			.action = HEALTH_SEND, .data = {question, strlen(question)}};
	agent->steps[count] = health_expectation(MATCH_LINE, HEALTH_BY_PROTOCOL);
	agent->steps[count++].number = ANSWER_STEP;
	agent->script = (struct health_script){HEALTH_BY_PROTOCOL, agent->steps, count};
}

static void add_agents(struct agents *agents, struct event_base *base, const struct proxy *backend)
{
	struct limits *limits = agents->availability.limits;

	for (size_t i = 0; i < backend->server_count; i++) {
		const struct server *server = &backend->servers[i];
		struct agent *agent = &agents->list[agents->count];

		if (!server->agent.on)
			continue;
		agents->count++;
		*agent = (struct agent){.agents = agents,
			.backend = backend,
			.server = server,
			.target = agent_target(limits, backend, server),
			.up = true};
		write_script(agent);
		agent->target.script = &agent->script;
		attempt_init(&agent->attempt, base, on_verdict, agent);
		schedule_init(&agent->schedule, base, on_turn, agent);
	}
}

/* A reload may have taken an agent away that said "down"; its server does not stay down for ever. */
static void forget_agents(const struct availability *availability)
{
	const struct config *config = availability->config;

	for (size_t i = 0; i < config->proxy_count; i++)
		for (size_t j = 0; j < config->proxies[i].server_count; j++) {
			const struct server *server = &config->proxies[i].servers[j];

			if (!server->agent.on &&
				(limits_down(availability->limits, server) & DOWN_BY_AGENT))
				availability_begin(availability, server, DOWN_BY_AGENT, true);
		}
}

static unsigned shortest_interval(const struct agents *agents)
{
	unsigned shortest = UINT32_MAX;

	for (size_t i = 0; i < agents->count; i++) {
		unsigned inter = agent_interval(agents->list[i].server);

		shortest = inter < shortest ? inter : shortest;
	}
	return shortest;
}

/* Goes on where the agent before was, if it is at the same address, or else begins as one of many, spread over the SHORTEST interval. */
static void agent_start(
	struct agent *agent, const struct agent *before, size_t place, unsigned shortest)
{
	bool is_same =
		before != NULL && addr_equal(&before->target.address, &agent->target.address);

	if (is_same) {
		agent->up = before->up;
		agent->report = before->report;
		schedule_continue(
			&agent->schedule, &before->schedule, agent_interval(agent->server));
	} else {
		schedule_begin(
			&agent->schedule, (unsigned)(place * shortest / agent->agents->count));
	}
	availability_begin(&agent->agents->availability, agent->server, DOWN_BY_AGENT, agent->up);
}

static struct agents *agents_new(struct event_base *base, const struct availability *availability,
	const struct agents_host *host)
{
	const struct config *config = availability->config;
	size_t count = agents_count(config);
	struct agents *agents = NULL;

	if (count > 0)
		agents = calloc(1, sizeof(*agents) + count * sizeof(agents->list[0]));
	if (agents == NULL)
		return NULL;
	agents->availability = *availability;
	agents->host = *host;
	for (size_t i = 0; i < config->proxy_count; i++)
		add_agents(agents, base, &config->proxies[i]);
	return agents;
}

struct agents *agents_start(struct event_base *base, const struct config *config,
	struct limits *limits, struct agents *before, const struct counterparts *counterparts,
	const struct agents_host *host)
{
	struct availability availability = {config, limits, host->changed, host->arg};
	struct agents *agents = agents_new(base, &availability, host);
	unsigned shortest = agents == NULL ? 0 : shortest_interval(agents);

	forget_agents(&availability);
	for (size_t i = 0; agents != NULL && i < agents->count; i++) {
		struct agent *agent = &agents->list[i];
		size_t index = counterparts == NULL ? COUNTERPART_NONE
						    : counterparts->servers[agent->server->index];

		agent_start(agent, find_agent(before, index), i, shortest);
	}
	agents_free(before);
	return agents;
}

bool agents_report(struct agents *agents, const struct server *server, struct health_report *report)
{
	const struct agent *agent = find_agent(agents, server->index);

	if (agent == NULL)
		return false;
	*report = agent->report;
	report->rise = report->fall = 1;
	report->points = agent->up;
	report->runs = agent->attempt.fd != -1;
	return true;
}

void agents_free(struct agents *agents)
{
	if (agents == NULL)
		return;
	for (size_t i = 0; i < agents->count; i++) {
		schedule_stop(&agents->list[i].schedule);
		attempt_stop(&agents->list[i].attempt);
	}
	free(agents);
}
