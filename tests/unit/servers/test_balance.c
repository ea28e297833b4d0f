/*
 * Balancing: which server a client comes to, by each algorithm, with weights, backups and limits, and by several threads.
 *
 * Configurations are read from text, so that what the parser makes of weights is tested with it.
 */
#include "unit.h"

#include "servers/balance.h"
#include "tproxy/diag.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SERVERS_MAX = 16,
	THREADS = 4,
	CHOICES = 25000 /* of each thread */
};

#define HEAD                                                                                       \
	"defaults\n timeout client 1s\n timeout connect 1s\n timeout server 1s\n"                  \
	"listen l\n bind :80\n"

static struct config *config;
static struct limits *limits;
static const struct proxy *backend;
static struct addr client;

/* The backend with these LINES. */
static void use(const char *lines)
{
	struct diag *diag = diag_new();
	char *text;

	assert_return_code(asprintf(&text, HEAD "%s", lines), 0);
	config = config_parse("test", text, strlen(text), diag);
	free(text);
	diag_free(diag);
	assert_non_null(config);
	limits = limits_new(config, 1000);
	assert_non_null(limits);
	backend = &config->proxies[0];
	addr_parse(&client, "198.51.100.7");
}

static int tear_down(void **state)
{
	(void)state;
	limits_free(limits);
	config_free(config);
	limits = NULL;
	config = NULL;
	return 0;
}

/* The name of the server that is chosen, whose place stays taken; or of the reason. */
static const char *choose(void)
{
	const struct server *server;
	enum reason reason = balance_choose(limits, backend, &client, NULL, &server);

	return reason == REASON_DONE ? server->name : reason_name(reason);
}

static void leave(unsigned index)
{
	limits_unuse(limits, backend, &backend->servers[index]);
}

/* The choices that follow, each of which ends before the next one, or (HELD) stays. */
static void assert_choices(const char *expected, bool held)
{
	char found[512] = "";

	for (size_t i = 0; i == 0 || strlen(found) < strlen(expected); i++) {
		const struct server *server;

		assert_int_equal(
			balance_choose(limits, backend, &client, NULL, &server), REASON_DONE);
		snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s%s",
			i == 0 ? "" : " ", server->name);
		if (!held)
			limits_unuse(limits, backend, server);
	}
	assert_string_equal(found, expected);
}

static void servers_take_turns(void **state)
{
	(void)state;
	use(" server a 192.0.2.1\n server b 192.0.2.2\n server c 192.0.2.3\n");
	assert_false(backend->weighted);
	assert_choices("a b c a b c a", false);
}

static void weights_are_met_and_spread(void **state)
{
	(void)state;
	use(" server a 192.0.2.1 weight 40\n server b 192.0.2.2 weight 20\n server c 192.0.2.3 weight 10\n");
	assert_int_equal(backend->turns[0].count, 7);
	assert_choices("a b a c a b a a b a c a b a", false);
}

static void static_rr_is_the_same(void **state)
{
	(void)state;
	use(" balance static-rr\n server a 192.0.2.1 weight 2\n server b 192.0.2.2\n");
	assert_choices("a b a a b a", false);
}

static void a_server_without_weight_or_disabled_is_not_chosen(void **state)
{
	(void)state;
	use(" server a 192.0.2.1 weight 0\n server b 192.0.2.2\n server c 192.0.2.3 disabled\n server d 192.0.2.4\n");
	assert_choices("b d b d", false);
	assert_int_equal(balance_usable(limits, backend), 2);
	assert_false(balance_is_usable(limits, &backend->servers[2]));
	assert_true(balance_is_usable(limits, &backend->servers[0]));
}

static void without_a_usable_server_there_is_none(void **state)
{
	(void)state;
	use(" server a 192.0.2.1 weight 0\n server b 192.0.2.2 disabled\n");
	assert_string_equal(choose(), "no-server");
	assert_int_equal(balance_usable(limits, backend), 0);
}

static void default_server_holds_for_the_lines_after_it(void **state)
{
	(void)state;
	use(" server a 192.0.2.1\n default-server weight 3 maxconn 5 backup disabled\n"
	    " server b 192.0.2.2\n server c 192.0.2.3 no-backup enabled weight 4\n");
	assert_int_equal(backend->servers[0].weight, 1);
	assert_int_equal(backend->servers[1].weight, 3);
	assert_int_equal(backend->servers[1].maxconn, 5);
	assert_true(backend->servers[1].backup && backend->servers[1].disabled);
	assert_int_equal(backend->servers[2].weight, 4);
	assert_int_equal(backend->servers[2].maxconn, 5);
	assert_false(backend->servers[2].backup || backend->servers[2].disabled);
}

static void a_template_makes_servers(void **state)
{
	(void)state;
	use(" server-template s 3-5 192.0.2.1:80 weight 2\n server-template t 2 192.0.2.2\n");
	assert_int_equal(backend->server_count, 5);
	assert_string_equal(backend->servers[0].name, "s3");
	assert_string_equal(backend->servers[2].name, "s5");
	assert_string_equal(backend->servers[4].name, "t2");
	assert_int_equal(backend->servers[2].weight, 2);
	assert_int_equal(addr_port(&backend->servers[2].address), 80);
}

static void the_first_backup_serves_where_no_other_server_can(void **state)
{
	(void)state;
	use(" server a 192.0.2.1 disabled\n server b 192.0.2.2 backup\n server c 192.0.2.3 backup\n");
	assert_choices("b b b", false);
	assert_int_equal(balance_usable(limits, backend), 1);
}

static void a_backup_does_not_serve_beside_others(void **state)
{
	(void)state;
	use(" server b 192.0.2.2 backup\n server a 192.0.2.1 maxconn 1\n");
	assert_choices("a", true);
	assert_string_equal(choose(), "servers-full");
	assert_int_equal(balance_usable(limits, backend), 1);
}

static void all_backups_serve_where_they_may(void **state)
{
	(void)state;
	use(" option allbackups\n server b 192.0.2.2 backup weight 2\n server c 192.0.2.3 backup\n");
	assert_choices("b c b b c b", false);
	assert_int_equal(balance_usable(limits, backend), 2);
}

static void leastconn_evens_sessions_out(void **state)
{
	(void)state;
	use(" balance leastconn\n server a 192.0.2.1\n server b 192.0.2.2\n server c 192.0.2.3\n");
	assert_choices("a b c a b c", true);
	leave(1);
	leave(1);
	assert_string_equal(choose(), "b");
	assert_string_equal(choose(), "b");
}

static void leastconn_gives_turns_to_those_that_are_equal(void **state)
{
	(void)state;
	use(" balance leastconn\n server a 192.0.2.1\n server b 192.0.2.2\n");
	assert_choices("a b a b", false);
}

static void leastconn_goes_by_weight(void **state)
{
	unsigned counts[2] = {0, 0};

	(void)state;
	use(" balance leastconn\n server a 192.0.2.1 weight 30\n server b 192.0.2.2 weight 10\n");
	for (int i = 0; i < 400; i++)
		counts[strcmp(choose(), "b") == 0]++;
	assert_in_range(counts[0], 298, 302);
}

static void the_first_with_room_is_chosen(void **state)
{
	(void)state;
	use(" balance first\n server a 192.0.2.1 maxconn 2\n server b 192.0.2.2 maxconn 1\n server c 192.0.2.3\n");
	assert_choices("a a b c c", true);
	leave(1);
	assert_string_equal(choose(), "b");
}

static void a_full_server_is_passed_over(void **state)
{
	(void)state;
	use(" server a 192.0.2.1 maxconn 1\n server b 192.0.2.2 maxconn 2\n");
	assert_choices("a b b", true);
	assert_string_equal(choose(), "servers-full");
	leave(0);
	assert_string_equal(choose(), "a");
}

static void random_meets_weights(void **state)
{
	unsigned count = 0;

	(void)state;
	use(" balance random(1)\n server a 192.0.2.1 weight 30\n server b 192.0.2.2 weight 10\n");
	for (int i = 0; i < 40000; i++) {
		bool first = strcmp(choose(), "a") == 0;

		count += first;
		leave(first ? 0 : 1);
	}
	assert_in_range(count, 29700, 30300);
}

static void random_chooses_the_less_busy_one(void **state)
{
	unsigned a;

	(void)state;
	use(" balance random\n server a 192.0.2.1\n server b 192.0.2.2\n server c 192.0.2.3\n");
	for (int i = 0; i < 3000; i++)
		choose();
	a = limits_server_sessions(limits, &backend->servers[0]);
	assert_in_range(a, 980, 1020);
}

static unsigned chosen_for(unsigned number)
{
	const struct server *server;
	char text[ADDR_TEXT_MAX];

	snprintf(text, sizeof(text), "198.51.%u.%u", number / 256, number % 256);
	assert_true(addr_parse(&client, text));
	assert_int_equal(balance_choose(limits, backend, &client, NULL, &server), REASON_DONE);
	limits_unuse(limits, backend, server);
	return (unsigned)(server->name[0] - 'a');
}

enum {
	CLIENTS = 4096
};

/* Chooses for many clients before and after server c is disabled: clients of the others stay. */
static void assert_only_its_own_move(const char *options, bool removed)
{
	static unsigned before[CLIENTS];
	unsigned counts[4] = {0}, moved_to[4] = {0};
	char lines[512];

	snprintf(lines, sizeof(lines),
		" balance source\n%s server a 192.0.2.1\n server b 192.0.2.2\n"
		" server c 192.0.2.3\n server d 192.0.2.4\n",
		options);
	use(lines);
	for (unsigned i = 0; i < CLIENTS; i++) {
		before[i] = chosen_for(i);
		counts[before[i]]++;
		assert_int_equal(chosen_for(i), before[i]);
	}
	for (unsigned i = 0; i < 4; i++)
		assert_in_range(counts[i], CLIENTS / 4 - 100, CLIENTS / 4 + 100);
	if (removed) {
		tear_down(NULL);
		*strstr(lines, " server c") = '#';
		use(lines);
	} else {
		config->proxies[0].servers[2].disabled = true;
	}
	for (unsigned i = 0; i < CLIENTS; i++) {
		unsigned now = chosen_for(i);

		assert_int_not_equal(now, 2);
		assert_true(now == before[i] || before[i] == 2);
		moved_to[now] += before[i] == 2;
	}
	for (unsigned i = 0; i < 4; i++)
		assert_in_range(moved_to[i], i == 2 ? 0 : 250, i == 2 ? 0 : 450);
}

static void by_source_a_client_stays_at_its_server(void **state)
{
	(void)state;
	assert_only_its_own_move("", false);
}

static void by_consistent_source_it_stays_after_a_removal_too(void **state)
{
	(void)state;
	assert_only_its_own_move(" hash-type consistent\n", true);
	tear_down(NULL);
	assert_only_its_own_move(" hash-type consistent\n", false);
}

/* What HAProxy 2.6 chooses for these: the address's words, exclusive or, modulo the servers. */
static void by_source_the_server_is_haproxys(void **state)
{
	(void)state;
	use(" balance source\n server a 192.0.2.1\n server b 192.0.2.2\n server c 192.0.2.3\n");
	assert_true(addr_parse(&client, "198.51.100.7")); /* 0xc6336407 % 3 */
	assert_int_equal(choose()[0] - 'a', 0xc6336407U % 3);
	assert_true(addr_parse(&client, "2001:db8::5"));
	assert_int_equal(choose()[0] - 'a', (0x20010db8U ^ 5U) % 3);
}

static void consistent_source_meets_weights(void **state)
{
	unsigned first = 0;

	(void)state;
	use(" balance source\n hash-type consistent\n server a 192.0.2.1 weight 30\n server b 192.0.2.2 weight 10\n");
	for (unsigned i = 0; i < 40000; i++)
		first += chosen_for(i) == 0;
	assert_in_range(first, 29600, 30400);
}

static void the_server_to_avoid_is_the_last_choice(void **state)
{
	const struct server *server;

	(void)state;
	use(" server a 192.0.2.1\n server b 192.0.2.2 maxconn 1\n");
	for (int i = 0; i < 2; i++)
		assert_int_equal(
			balance_choose(limits, backend, &client, &backend->servers[0], &server),
			REASON_DONE);
	assert_string_equal(server->name, "a");
	assert_int_equal(limits_server_sessions(limits, &backend->servers[1]), 1);
}

static void turns_go_on_after_a_reload(void **state)
{
	struct counterparts *counterparts;
	struct limits *newer;

	(void)state;
	use(" server a 192.0.2.1\n server b 192.0.2.2\n server c 192.0.2.3\n");
	assert_choices("a b", true);
	counterparts = counterparts_find(config, config);
	newer = limits_renew(limits, config, counterparts);
	limits_free(limits);
	limits = newer;
	counterparts_free(counterparts);
	assert_choices("c a", true);
	assert_int_equal(limits_server_sessions(limits, &backend->servers[0]), 2);
}

/* --- several threads --- */

/* Returns ARG where a choice failed, else NULL. */
static void *choose_often(void *arg)
{
	const struct server *server;

	for (int i = 0; i < CHOICES; i++)
		if (balance_choose(limits, backend, &client, NULL, &server) != REASON_DONE)
			return arg;
	return NULL;
}

static void choose_in_threads(void)
{
	pthread_t threads[THREADS];
	void *problem;

	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, choose_often, threads), 0);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &problem);
		assert_null(problem);
	}
}

static unsigned sessions_of(unsigned index)
{
	return limits_server_sessions(limits, &backend->servers[index]);
}

static void threads_meet_the_weights_exactly(void **state)
{
	(void)state;
	use(" server a 192.0.2.1 weight 5\n server b 192.0.2.2 weight 3\n server c 192.0.2.3 weight 2\n");
	choose_in_threads();
	assert_int_equal(sessions_of(0), THREADS * CHOICES / 2);
	assert_int_equal(sessions_of(1), THREADS * CHOICES * 3 / 10);
	assert_int_equal(sessions_of(2), THREADS * CHOICES / 5);
}

static void threads_keep_leastconn_even(void **state)
{
	unsigned least, most;

	(void)state;
	use(" balance leastconn\n server a 192.0.2.1\n server b 192.0.2.2\n server c 192.0.2.3\n");
	choose_in_threads();
	least = most = sessions_of(0);
	for (unsigned i = 1; i < 3; i++) {
		least = sessions_of(i) < least ? sessions_of(i) : least;
		most = sessions_of(i) > most ? sessions_of(i) : most;
	}
	assert_in_range(most - least, 0, 1);
}

static void threads_do_not_pass_a_servers_limit(void **state)
{
	(void)state;
	use(" balance first\n server a 192.0.2.1 maxconn 40000\n server b 192.0.2.2 maxconn 30000\n server c 192.0.2.3\n");
	choose_in_threads();
	assert_int_equal(sessions_of(0), 40000);
	assert_int_equal(sessions_of(1), 30000);
	assert_int_equal(sessions_of(2), 30000);
}

#define BALANCE_TEST(function) cmocka_unit_test_teardown(function, tear_down)

/* Just after it has come up: a sixteenth of its turns. */
static void a_server_that_starts_slowly_has_few_turns(void **state)
{
	unsigned counts[2] = {0, 0};

	(void)state;
	use(" server a 192.0.2.1\n server b 192.0.2.2 slowstart 1h\n");
	assert_choices("a b a b", false);
	limits_start_slowly(limits, &backend->servers[1]);
	for (int i = 0; i < 1000; i++) {
		const struct server *server;

		assert_int_equal(
			balance_choose(limits, backend, &client, NULL, &server), REASON_DONE);
		counts[server->name[0] - 'a']++;
		limits_unuse(limits, backend, server);
	}
	assert_in_range(counts[1], 30, 80);
	limits_set_up(limits, &backend->servers[0], DOWN_BY_CHECK, false);
	assert_choices("b b b", false);
}

static void with_fewest_sessions_it_has_few_of_them(void **state)
{
	(void)state;
	use(" balance leastconn\n server a 192.0.2.1\n server b 192.0.2.2 slowstart 1h\n");
	limits_start_slowly(limits, &backend->servers[1]);
	for (int i = 0; i < 32; i++)
		choose();
	assert_in_range(limits_server_sessions(limits, &backend->servers[1]), 1, 3);
}

static void with_static_rr_it_has_all_its_turns(void **state)
{
	(void)state;
	use(" balance static-rr\n server a 192.0.2.1\n server b 192.0.2.2 slowstart 1h\n");
	limits_start_slowly(limits, &backend->servers[1]);
	assert_choices("a b a b", false);
}

static void its_maxconn_begins_with_one(void **state)
{
	(void)state;
	use(" server a 192.0.2.1 maxconn 50 slowstart 1h\n");
	limits_start_slowly(limits, &backend->servers[0]);
	assert_string_equal(choose(), "a");
	assert_string_equal(choose(), "servers-full");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BALANCE_TEST(servers_take_turns),
		BALANCE_TEST(weights_are_met_and_spread),
		BALANCE_TEST(static_rr_is_the_same),
		BALANCE_TEST(a_server_without_weight_or_disabled_is_not_chosen),
		BALANCE_TEST(without_a_usable_server_there_is_none),
		BALANCE_TEST(default_server_holds_for_the_lines_after_it),
		BALANCE_TEST(a_template_makes_servers),
		BALANCE_TEST(the_first_backup_serves_where_no_other_server_can),
		BALANCE_TEST(a_backup_does_not_serve_beside_others),
		BALANCE_TEST(all_backups_serve_where_they_may),
		BALANCE_TEST(leastconn_evens_sessions_out),
		BALANCE_TEST(leastconn_gives_turns_to_those_that_are_equal),
		BALANCE_TEST(leastconn_goes_by_weight),
		BALANCE_TEST(the_first_with_room_is_chosen),
		BALANCE_TEST(a_full_server_is_passed_over),
		BALANCE_TEST(random_meets_weights),
		BALANCE_TEST(random_chooses_the_less_busy_one),
		BALANCE_TEST(by_source_a_client_stays_at_its_server),
		BALANCE_TEST(by_consistent_source_it_stays_after_a_removal_too),
		BALANCE_TEST(by_source_the_server_is_haproxys),
		BALANCE_TEST(consistent_source_meets_weights),
		BALANCE_TEST(the_server_to_avoid_is_the_last_choice),
		BALANCE_TEST(turns_go_on_after_a_reload),
		BALANCE_TEST(threads_meet_the_weights_exactly),
		BALANCE_TEST(threads_keep_leastconn_even),
		BALANCE_TEST(threads_do_not_pass_a_servers_limit),
		BALANCE_TEST(a_server_that_starts_slowly_has_few_turns),
		BALANCE_TEST(with_fewest_sessions_it_has_few_of_them),
		BALANCE_TEST(with_static_rr_it_has_all_its_turns),
		BALANCE_TEST(its_maxconn_begins_with_one),
	};

	return cmocka_run_group_tests_name("balance", tests, NULL, NULL);
}
