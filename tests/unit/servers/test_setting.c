/*
 * What an operator sets: states and weights of servers, and which of them clients then come to.
 */
#include "servers/balance.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD "listen web\n bind :80\n timeout connect 1s\n timeout client 1s\n timeout server 1s\n"

static struct config *config;
static struct limits *limits;
static const struct proxy *backend;

static int tear_down(void **state)
{
	(void)state;
	limits_free(limits);
	config_free(config);
	return 0;
}

static struct config *parse(const char *lines)
{
	struct diag *diag = diag_new();
	struct config *made;
	char *text;

	assert_return_code(asprintf(&text, HEAD "%s", lines), 0);
	made = config_parse("test", text, strlen(text), diag);
	free(text);
	diag_free(diag);
	assert_non_null(made);
	return made;
}

static void use(const char *lines)
{
	config = parse(lines);
	limits = limits_new(config, 100000);
	backend = &config->proxies[0];
}

static void set_state(unsigned index, enum server_state state)
{
	limits_set_state(limits, backend, &backend->servers[index], state);
}

static void set_weight(unsigned index, unsigned weight)
{
	limits_set_weight(limits, backend, &backend->servers[index], weight);
}

/* Chooses so often for different clients, and counts at each server; no session ends. */
static void choose(unsigned times)
{
	struct addr client;
	const struct server *server;

	addr_parse(&client, "198.51.100.1");
	for (unsigned i = 0; i < times; i++) {
		client.in4.sin_addr.s_addr = htonl(0xc6336400 + i);
		assert_int_equal(
			balance_choose(limits, backend, &client, NULL, &server), REASON_DONE);
	}
}

static unsigned sessions_of(unsigned index)
{
	return limits_server_sessions(limits, &backend->servers[index]);
}

static void in_maintenance_or_draining_a_server_gets_no_client(void **state)
{
	(void)state;
	use(" server a 192.0.2.1\n server b 192.0.2.2\n server c 192.0.2.3\n");
	set_state(0, SERVER_MAINT);
	set_state(1, SERVER_DRAIN);
	choose(30);
	assert_int_equal(sessions_of(2), 30);
	assert_false(balance_is_usable(limits, &backend->servers[0]));
	assert_true(balance_is_usable(limits, &backend->servers[1])); /* for use-server */
	set_state(0, SERVER_READY);
	choose(30);
	assert_int_equal(sessions_of(0), 15);
}

static void a_disabled_server_is_in_maintenance_until_it_is_made_ready(void **state)
{
	(void)state;
	use(" server a 192.0.2.1 disabled\n server b 192.0.2.2\n");
	assert_int_equal(limits_state(limits, &backend->servers[0]), SERVER_MAINT);
	set_state(0, SERVER_READY);
	choose(10);
	assert_int_equal(sessions_of(0), 5);
}

static void turns_go_by_the_weights_that_were_set(void **state)
{
	(void)state;
	use(" server a 192.0.2.1\n server b 192.0.2.2 weight 2\n server c 192.0.2.3 weight 0\n");
	set_weight(0, 3);
	set_weight(2, 1);
	choose(600);
	assert_int_equal(sessions_of(0), 300);
	assert_int_equal(sessions_of(1), 200);
	assert_int_equal(sessions_of(2), 100);
}

/* Among 20 clients in a row no server of three quarters has more than 17, nor fewer than 13. */
static void turns_are_spread(void **state)
{
	(void)state;
	use(" server a 192.0.2.1\n server b 192.0.2.2\n");
	set_weight(0, 75);
	set_weight(1, 25);
	for (unsigned i = 0; i < 20; i++) {
		unsigned before = sessions_of(0);

		choose(20);
		assert_in_range(sessions_of(0) - before, 13, 17);
	}
}

static void every_algorithm_knows_the_settings(void **state)
{
	static const char *const algorithms[] = {
		"roundrobin", "leastconn", "first", "source", "random", "static-rr"};

	for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++) {
		char lines[200];

		snprintf(lines, sizeof(lines),
			" balance %s\n server a 192.0.2.1\n server b 192.0.2.2\n server c 192.0.2.3 disabled\n",
			algorithms[i]);
		use(lines);
		set_state(0, SERVER_MAINT);
		choose(50);
		assert_int_equal(sessions_of(0), 0);
		set_state(2, SERVER_READY);
		set_state(1, SERVER_DRAIN);
		choose(50);
		assert_int_equal(sessions_of(2), 50);
		assert_int_equal(sessions_of(1), 50);
		tear_down(state);
	}
	use(" server a 192.0.2.1\n");
}

static void who_tracks_a_server_follows_its_state(void **state)
{
	(void)state;
	use(" server a 192.0.2.1:80 check\n server b 192.0.2.2:80 track a\n");
	set_state(0, SERVER_MAINT);
	assert_int_equal(limits_state(limits, &backend->servers[1]), SERVER_MAINT);
	set_state(0, SERVER_READY);
	set_state(1, SERVER_DRAIN);
	assert_int_equal(limits_state(limits, &backend->servers[1]), SERVER_DRAIN);
	assert_int_equal(limits_state(limits, &backend->servers[0]), SERVER_READY);
}

static void settings_stay_over_a_reload_but_for_a_weight_that_the_file_changes(void **state)
{
	struct config *next;
	struct counterparts *found;
	struct limits *renewed;

	(void)state;
	use(" server a 192.0.2.1\n server b 192.0.2.2 weight 5\n");
	set_state(0, SERVER_DRAIN);
	set_weight(0, 7);
	set_weight(1, 9);
	next = parse(" server b 192.0.2.2 weight 6\n server a 192.0.2.1\n");
	found = counterparts_find(next, config);
	renewed = limits_renew(limits, next, found);
	assert_int_equal(limits_state(renewed, &next->proxies[0].servers[1]), SERVER_DRAIN);
	assert_int_equal(limits_weight(renewed, &next->proxies[0].servers[1]), 7);
	assert_int_equal(limits_weight(renewed, &next->proxies[0].servers[0]), 6);
	assert_int_equal(limits_weight(limits, &backend->servers[1]), 9);
	limits_free(renewed);
	counterparts_free(found);
	config_free(next);
}

#define SETTING_TEST(name) cmocka_unit_test_teardown(name, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SETTING_TEST(in_maintenance_or_draining_a_server_gets_no_client),
		SETTING_TEST(a_disabled_server_is_in_maintenance_until_it_is_made_ready),
		SETTING_TEST(turns_go_by_the_weights_that_were_set),
		SETTING_TEST(turns_are_spread),
		SETTING_TEST(every_algorithm_knows_the_settings),
		SETTING_TEST(who_tracks_a_server_follows_its_state),
		SETTING_TEST(settings_stay_over_a_reload_but_for_a_weight_that_the_file_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
