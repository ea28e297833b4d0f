/*
 * Agents: what an answer changes, what it does not, and what a reload keeps.
 *
 * Agents are sockets on the loopback address, asked every few milliseconds. No test depends on how long that takes: an answer has been
 * understood when the next question comes.
 */
#include "unit.h"

#include "servers/agent.h"
#include "servers/balance.h"
#include "tproxy/diag.h"
#include "tproxy/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEAD                                                                                          \
	"defaults\n timeout client 1s\n timeout connect 1s\n timeout server 1s\n timeout check 20s\n" \
	"listen l\n bind 192.0.2.80:80\n"

static struct event_base *base;
static struct config *config;
static struct limits *limits;
static struct health *health;
static struct agents *agents;
static int listener, question;
static struct addr address;

static struct health_change last;
static unsigned changes, notes, settings;

static void on_changed(void *arg, const struct health_change *change)
{
	assert_ptr_equal(arg, &changes);
	last = *change;
	changes += !change->of_check;
	notes += change->of_check;
}

static void on_state(void *arg, const struct proxy *backend, const struct server *server,
	enum server_state state)
{
	assert_ptr_equal(arg, &changes);
	settings++;
	limits_set_state(limits, backend, server, state);
}

static const struct agents_host host = {on_changed, on_state, &changes};

static int set_up(void **state)
{
	struct addr any = addr_any(AF_INET);

	(void)state;
	base = event_base_new();
	changes = notes = settings = 0;
	question = -1;
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	any.in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(listener, &any.sa, addr_length(&any)), 0);
	assert_int_equal(listen(listener, 64), 0);
	assert_true(socket_local_address(listener, &address));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	agents_free(agents);
	health_free(health);
	agents = NULL;
	health = NULL;
	assert_int_equal(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED), 0);
	event_base_free(base);
	limits_free(limits);
	config_free(config);
	close(listener);
	if (question != -1)
		close(question);
	return 0;
}

/* A # in LINES stands for the agent's port. */
static struct config *read_config(const char *lines)
{
	struct diag *diag = diag_new();
	struct config *read;
	char port[8], text[2048] = HEAD, *end = text + strlen(text);

	snprintf(port, sizeof(port), "%u", addr_port(&address));
	for (; *lines != '\0'; lines++)
		end = *lines == '#' ? stpcpy(end, port) : (*end = *lines, end + 1);
	*end = '\0';
	read = config_parse("test", text, strlen(text), diag);
	assert_non_null(read);
	diag_free(diag);
	return read;
}

static void start(const char *lines)
{
	config = read_config(lines);
	limits = limits_new(config, 100);
	health = health_start(base, config, limits, NULL, NULL, on_changed, &changes);
	agents = agents_start(base, config, limits, NULL, NULL, &host);
}

/* Puts a configuration with these LINES in place of the one before. */
static void restart(const char *lines)
{
	struct config *before = config;
	struct limits *newer;
	struct counterparts *found;

	config = read_config(lines);
	found = counterparts_find(config, before);
	newer = limits_renew(limits, config, found);
	health = health_start(base, config, newer, health, found, on_changed, &changes);
	agents = agents_start(base, config, newer, agents, found, &host);
	limits_set_places(newer, config);
	limits_free(limits);
	limits = newer;
	counterparts_free(found);
	config_free(before);
	if (question != -1)
		close(question);
	question = -1;
}

static void await_question(void)
{
	struct addr peer;

	while (question == -1) {
		question = socket_accept(listener, &peer);
		if (question == -1)
			assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
	}
}

/* The agent answers one question, and has the next one when this returns. */
static void say(const char *text)
{
	await_question();
	assert_int_equal(send(question, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	close(question);
	question = -1;
	await_question();
}

static const struct server *server_at(size_t place)
{
	return &config->proxies[0].servers[place];
}

static bool is_up(size_t place)
{
	return limits_is_up(limits, server_at(place));
}

static struct health_report report_of(size_t place)
{
	struct health_report report;

	assert_true(agents_report(agents, server_at(place), &report));
	return report;
}

#define AGENT " server a 127.0.0.1:9 agent-check agent-inter 2ms agent-port #"

static void an_agent_takes_its_server_down_and_up(void **state)
{
	(void)state;
	start(AGENT "\n");
	assert_true(is_up(0));
	say("down #out of disk\n");
	assert_false(is_up(0));
	assert_int_equal(changes, 1);
	assert_false(last.up);
	assert_true(last.by_agent);
	assert_string_equal(last.verdict.info, "via agent : down (out of disk)");
	assert_int_equal(last.active, 0);
	say("down\n");
	assert_int_equal(changes, 1);
	say("up\n");
	assert_true(is_up(0));
	assert_int_equal(changes, 2);
	assert_true(last.up);
	assert_int_equal(last.active, 1);
}

static void only_up_brings_it_back(void **state)
{
	static const char *const others[] = {"\n", "50%\n", "ready\n", "hello\n", "up", ""};

	(void)state;
	start(AGENT "\n");
	say("fail\n");
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		say(others[i]);
		assert_false(is_up(0));
	}
	assert_int_equal(changes, 1);
	say("up\n");
	assert_true(is_up(0));
}

static void a_line_without_its_end_changes_nothing(void **state)
{
	(void)state;
	start(AGENT "\n");
	say("down");
	assert_true(is_up(0));
	assert_int_equal(changes, 0);
}

static void an_agent_that_cannot_be_reached_changes_nothing(void **state)
{
	(void)state;
	start(AGENT "\n");
	say("up\n");
	close(question);
	question = -1;
	close(listener);
	listener = -1;
	while (report_of(0).verdict.status != HEALTH_L4CON)
		assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
	assert_true(is_up(0));
	assert_int_equal(changes, 0);
	assert_int_equal(report_of(0).points, 1);
}

static void an_answer_without_end_is_read_in_part(void **state)
{
	static char flood[1 << 20];

	(void)state;
	memset(flood, 'x', sizeof(flood));
	start(AGENT "\n");
	await_question();
	assert_int_equal(fcntl(question, F_SETFL, O_NONBLOCK), 0);
	while (report_of(0).verdict.status != HEALTH_L7RSP) {
		(void)!send(question, flood, sizeof(flood), MSG_NOSIGNAL);
		assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
	}
	assert_true(is_up(0));
	assert_string_equal(report_of(0).verdict.info, "Ignoring incomplete line from agent");
}

/* A check at port 1 is refused. */
static void a_server_is_up_where_check_and_agent_say_so(void **state)
{
	(void)state;
	start(" server a 127.0.0.1:1 check inter 2ms rise 1 fall 1 agent-check agent-inter 2ms agent-port #\n");
	await_question();
	while (changes == 0)
		assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
	assert_false(last.by_agent);
	say("up\n");
	assert_false(is_up(0));
	say("down\n");
	say("up\n");
	assert_false(is_up(0));
	assert_int_equal(changes, 1);
}

/* The first check of the second one to be checked comes after half of an hour. */
static void a_server_that_tracks_it_follows(void **state)
{
	(void)state;
	start(" server t 127.0.0.1:9 track a\n server x 127.0.0.1:9 check inter 1h\n"
	      " server a 127.0.0.1:9 check inter 1h agent-check agent-inter 2ms agent-port #\n");
	say("down\n");
	assert_false(is_up(0));
	assert_false(is_up(2));
	assert_ptr_equal(last.server, server_at(0));
	assert_ptr_equal(last.via, server_at(2));
	say("up\n");
	assert_true(is_up(0));
}

static void a_weight_is_a_share_of_the_configured_one(void **state)
{
	(void)state;
	start(AGENT " weight 40\n server b 127.0.0.1:9\n");
	say("100%\n");
	assert_false(limits_are_set(limits, &config->proxies[0]));
	say("50%\n");
	assert_int_equal(limits_weight(limits, server_at(0)), 20);
	say("50% 10%\n");
	assert_int_equal(limits_weight(limits, server_at(0)), 4);
	say("0%\n");
	assert_int_equal(limits_weight(limits, server_at(0)), 0);
	say("30%x\n");
	assert_int_equal(limits_weight(limits, server_at(0)), 0);
	assert_string_equal(
		report_of(0).verdict.info, "agent warns : Trailing garbage in weight string");
	say("9999999999999%\n");
	assert_int_equal(limits_weight(limits, server_at(0)), 256);
}

static void states_are_the_hosts(void **state)
{
	(void)state;
	start(AGENT "\n");
	say("ready\n");
	assert_int_equal(settings, 0);
	say("drain\n");
	say("drain\n");
	assert_int_equal(settings, 1);
	assert_int_equal(limits_state(limits, server_at(0)), SERVER_DRAIN);
	say("maint\n");
	assert_int_equal(limits_state(limits, server_at(0)), SERVER_MAINT);
	say("down\n");
	assert_int_equal(changes, 0);
	assert_false(is_up(0));
	say("ready up\n");
	assert_int_equal(limits_state(limits, server_at(0)), SERVER_READY);
	assert_true(is_up(0));
}

static bool use(size_t place)
{
	return limits_use(limits, &config->proxies[0], server_at(place));
}

static void a_limit_of_sessions_holds_at_once(void **state)
{
	(void)state;
	start(AGENT "\n");
	assert_true(use(0));
	assert_true(use(0));
	say("maxconn:2\n");
	assert_int_equal(limits_maxconn(limits, server_at(0)), 2);
	assert_false(use(0));
	assert_false(limits_has_place(limits, server_at(0)));
	say("maxconn:x\n");
	assert_false(use(0));
	say("maxconn:3\n");
	assert_true(use(0));
	say("maxconn:0\n");
	assert_true(use(0));
}

static void a_reload_keeps_what_an_agent_said(void **state)
{
	(void)state;
	start(AGENT " maxconn 9 weight 10\n server b 127.0.0.1:9\n");
	say("down maxconn:1 50%\n");
	restart(" server b 127.0.0.1:9\n" AGENT " maxconn 9 weight 10\n");
	assert_false(is_up(1));
	assert_true(is_up(0));
	assert_int_equal(report_of(1).points, 0);
	assert_int_equal(limits_maxconn(limits, server_at(1)), 1);
	assert_int_equal(limits_weight(limits, server_at(1)), 5);
	restart(AGENT " maxconn 8 weight 10\n");
	assert_int_equal(limits_maxconn(limits, server_at(0)), 8);
	assert_false(is_up(0));
	assert_int_equal(changes, 1);
}

static void a_reload_that_takes_an_agent_away_sets_its_server_free(void **state)
{
	(void)state;
	start(AGENT "\n");
	say("down maxconn:1\n");
	restart(" server a 127.0.0.1:9\n server b 127.0.0.1:9 agent-check agent-port 1\n");
	assert_true(is_up(0));
	assert_int_equal(limits_maxconn(limits, server_at(0)), 0);
	restart(AGENT "\n");
	say("down\n");
	restart(" server a 127.0.0.1:9\n");
	assert_null(agents);
	assert_true(is_up(0));
}

static void an_agent_elsewhere_begins_anew(void **state)
{
	(void)state;
	start(AGENT "\n");
	say("down\n");
	restart(" server a 127.0.0.1:9 agent-check agent-inter 1h agent-port 1\n");
	assert_true(is_up(0));
	assert_false(report_of(0).has_verdict);
}

static void results_that_differ_are_noted(void **state)
{
	(void)state;
	start(" option log-health-checks\n" AGENT "\n");
	say("up\n");
	assert_int_equal(notes, 1);
	assert_int_equal(last.points, 1);
	assert_int_equal(last.of, 1);
	say("up\n");
	say("\n");
	assert_int_equal(notes, 1);
	say("up\n");
	assert_int_equal(notes, 2);
	say("0% up\n");
	say("\n");
	say("up\n");
	assert_int_equal(notes, 3);
	assert_true(last.drains);
}

static void an_operator_overrules_it_until_it_says_otherwise(void **state)
{
	(void)state;
	start(AGENT "\n server b 127.0.0.1:9\n");
	say("down\n");
	assert_true(agents_overrule(agents, server_at(0), true));
	assert_true(is_up(0));
	assert_true(last.by_operator);
	assert_int_equal(report_of(0).points, 1);
	say("\n");
	assert_true(is_up(0));
	say("down\n");
	assert_false(is_up(0));
	assert_false(agents_overrule(agents, server_at(1), false));
	assert_false(agents_overrule(NULL, server_at(0), false));
}

static void the_question_is_sent_as_it_stands(void **state)
{
	char text[16] = "";

	(void)state;
	start(AGENT " agent-send \"who?\\n\"\n");
	await_question();
	while (recv(question, text, sizeof(text) - 1, MSG_DONTWAIT) == -1)
		assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
	assert_string_equal(text, "who?\n");
}

static void those_that_have_an_agent_are_counted(void **state)
{
	(void)state;
	start(" default-server agent-check agent-port # agent-inter 1h\n server a 127.0.0.1:9\n"
	      " server b 127.0.0.1:9 no-agent-check\n server c 127.0.0.1:9 disabled\n");
	assert_int_equal(agents_count(config), 2);
	assert_false(agents_report(agents, server_at(1), &(struct health_report){0}));
	assert_false(agents_report(NULL, server_at(0), &(struct health_report){0}));
}

#define AGENT_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		AGENT_TEST(an_agent_takes_its_server_down_and_up),
		AGENT_TEST(only_up_brings_it_back),
		AGENT_TEST(a_line_without_its_end_changes_nothing),
		AGENT_TEST(an_agent_that_cannot_be_reached_changes_nothing),
		AGENT_TEST(an_answer_without_end_is_read_in_part),
		AGENT_TEST(a_server_is_up_where_check_and_agent_say_so),
		AGENT_TEST(a_server_that_tracks_it_follows),
		AGENT_TEST(a_weight_is_a_share_of_the_configured_one),
		AGENT_TEST(states_are_the_hosts),
		AGENT_TEST(a_limit_of_sessions_holds_at_once),
		AGENT_TEST(a_reload_keeps_what_an_agent_said),
		AGENT_TEST(a_reload_that_takes_an_agent_away_sets_its_server_free),
		AGENT_TEST(an_agent_elsewhere_begins_anew),
		AGENT_TEST(results_that_differ_are_noted),
		AGENT_TEST(an_operator_overrules_it_until_it_says_otherwise),
		AGENT_TEST(the_question_is_sent_as_it_stands),
		AGENT_TEST(those_that_have_an_agent_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
