/*
 * Checks of servers: what takes one down and up, what a reload keeps, and what the log says of it.
 *
 * Servers are sockets on the loopback address, checked every few milliseconds. No test depends on how long that takes.
 */
#include "unit.h"

#include "servers/balance.h"
#include "servers/health.h"
#include "tproxy/diag.h"
#include "tproxy/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Checks send a byte: one that only connects is not seen by the server's program. */
#define HEAD                                                                                       \
	"defaults\n timeout client 1s\n timeout connect 1s\n timeout server 1s\n"                  \
	"listen l\n bind 192.0.2.80:80\n option tcp-check\n tcp-check send x\n"

static struct event_base *base;
static struct config *config;
static struct limits *limits;
static struct health *health;
static struct health_change last;
static unsigned changes;

static void on_changed(void *arg, const struct health_change *change)
{
	assert_ptr_equal(arg, &changes);
	last = *change;
	changes++;
}

/* A socket at a free port of the loopback address, which refuses connections until it listens. */
static int make_server(struct addr *address)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct addr any = addr_any(AF_INET);

	any.in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, &any.sa, addr_length(&any)), 0);
	assert_true(socket_local_address(fd, address));
	return fd;
}

static struct config *read_config(const char *lines)
{
	struct diag *diag = diag_new();
	struct config *read;
	char *text;

	assert_return_code(asprintf(&text, HEAD "%s", lines), 0);
	read = config_parse("test", text, strlen(text), diag);
	assert_non_null(read);
	free(text);
	diag_free(diag);
	return read;
}

static void start(const char *lines)
{
	config = read_config(lines);
	limits = limits_new(config, 100);
	health = health_start(base, config, limits, NULL, NULL, on_changed, &changes);
}

/* Puts a configuration with these LINES in place of the one before. */
static void restart(const char *lines)
{
	struct config *before = config;
	struct limits *newer;
	struct counterparts *counterparts;

	config = read_config(lines);
	counterparts = counterparts_find(config, before);
	newer = limits_renew(limits, config, counterparts);
	health = health_start(base, config, newer, health, counterparts, on_changed, &changes);
	limits_free(limits);
	limits = newer;
	counterparts_free(counterparts);
	config_free(before);
}

static const char *line_for(const struct addr *address, const char *words)
{
	static char text[256];
	char place[ADDR_TEXT_MAX];

	snprintf(text, sizeof(text), " server a %s %s\n", addr_format(address, place), words);
	return text;
}

static void await_changes(unsigned count)
{
	while (changes < count)
		assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
	assert_int_equal(changes, count);
}

/* Turns the loop until a server that listens was connected to so often. */
static void await_checks(int server, unsigned count)
{
	struct addr peer;

	while (count > 0) {
		int fd = socket_accept(server, &peer);

		if (fd == -1)
			assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
		else
			count--;
		if (fd != -1)
			close(fd);
	}
}

static void listen_at(int fd)
{
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(listen(fd, 64), 0);
}

static bool first_is_up(void)
{
	return limits_is_up(limits, &config->proxies[0].servers[0]);
}

static int set_up(void **state)
{
	(void)state;
	base = event_base_new();
	changes = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	health_free(health);
	health = NULL;
	assert_int_equal(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED), 0);
	event_base_free(base);
	limits_free(limits);
	config_free(config);
	return 0;
}

static void a_server_is_up_at_the_start_and_the_first_failure_takes_it_down(void **state)
{
	struct addr address;
	int fd = make_server(&address);

	(void)state;
	start(line_for(&address, "check inter 5ms fall 3"));
	assert_true(first_is_up());
	await_changes(1);
	assert_false(first_is_up());
	assert_false(last.up);
	assert_int_equal(last.verdict.status, HEALTH_L4CON);
	assert_string_equal(
		last.verdict.info, "Connection refused at initial connection step of tcp-check");
	assert_int_equal(last.active + last.backups, 0);
	assert_int_equal(balance_usable(limits, &config->proxies[0]), 0);
	close(fd);
}

static void it_comes_up_after_as_many_checks_as_rise_says(void **state)
{
	struct addr address;
	int fd = make_server(&address);

	(void)state;
	start(line_for(&address, "check inter 5ms rise 3"));
	await_changes(1);
	listen_at(fd);
	await_checks(fd, 2);
	assert_int_equal(changes, 1);
	await_changes(2);
	assert_true(last.up);
	assert_int_equal(last.verdict.status, HEALTH_L7OK);
	assert_int_equal(last.active, 1);
	assert_true(first_is_up());
	close(fd);
}

/* The checks that fail are counted by another server, which is never up. */
static void it_goes_down_after_as_many_as_fall_says(void **state)
{
	struct addr address;
	int fd = make_server(&address);

	(void)state;
	listen_at(fd);
	start(line_for(&address, "check inter 5ms rise 1 fall 2"));
	await_checks(fd, 3);
	assert_int_equal(changes, 0);
	close(fd);
	await_changes(1);
	assert_false(last.up);
	assert_int_equal(last.verdict.status, HEALTH_L4CON);
}

/* The first three take it to the edge, and the next three down, also where both are seen at once. */
static void each_row_of_errors_counts(void **state)
{
	struct addr address;
	int fd = make_server(&address);

	(void)state;
	listen_at(fd);
	start(line_for(&address,
		"check inter 5ms rise 1 fall 2 observe layer4 error-limit 3 on-error sudden-death"));
	await_checks(fd, 3);
	for (int i = 0; i < 6; i++)
		limits_observe(limits, &config->proxies[0].servers[0], false);
	assert_int_equal(changes, 0);
	health_observe(health);
	assert_int_equal(changes, 1);
	assert_false(last.up);
	assert_int_equal(last.errors, 3);
	close(fd);
}

static void a_silent_server_is_told_from_one_that_refuses(void **state)
{
	struct addr address;
	int fd = make_server(&address), clients[8];

	(void)state;
	assert_int_equal(
		listen(fd, 0), 0); /* its queue is full soon, and no answer comes any more */
	for (size_t i = 0; i < 8; i++) {
		clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)!connect(clients[i], &address.sa, addr_length(&address));
	}
	start(line_for(&address, "check inter 20ms"));
	await_changes(1);
	assert_false(last.up);
	assert_int_equal(last.verdict.status, HEALTH_L4TOUT);
	for (size_t i = 0; i < 8; i++)
		close(clients[i]);
	close(fd);
}

static void the_port_and_the_address_of_a_check_may_be_others(void **state)
{
	struct addr address;
	int fd = make_server(&address);
	char words[96];

	(void)state;
	listen_at(fd);
	snprintf(words, sizeof(words),
		" server a 192.0.2.1:9 check inter 5ms addr 127.0.0.1 port %u\n",
		addr_port(&address));
	start(words);
	await_checks(fd, 3);
	assert_int_equal(changes, 0);
	close(fd);
}

/* One that is disabled may be enabled at any time. */
static void only_what_is_checked_is_counted(void **state)
{
	(void)state;
	start(" server a 192.0.2.1:9\n server b 192.0.2.1:9 check disabled\n"
	      " default-server check\n server c 192.0.2.1:9 no-check\n server d 192.0.2.1:9\n");
	assert_int_equal(health_count(config), 2);
}

static void in_maintenance_a_server_is_not_checked(void **state)
{
	struct addr address, other;
	struct health_report report;
	int fd = make_server(&address), witness = make_server(&other);
	char words[160];
	const struct server *server;

	(void)state;
	listen_at(fd);
	listen_at(witness);
	snprintf(words, sizeof(words),
		" server a 127.0.0.1:%u check inter 2ms disabled\n server b 127.0.0.1:%u check inter 2ms\n",
		addr_port(&address), addr_port(&other));
	start(words);
	server = &config->proxies[0].servers[0];
	await_checks(witness, 5);
	assert_true(health_report(health, server, &report));
	assert_false(report.has_verdict);
	limits_set_state(limits, &config->proxies[0], server, SERVER_READY);
	health_recover(health, limits, server);
	await_checks(fd, 2);
	assert_true(health_report(health, server, &report));
	assert_true(report.has_verdict);
	assert_true(health_is_passed(report.verdict.status));
	assert_int_equal(report.failures, 0);
	close(fd);
	close(witness);
}

static void a_reload_that_takes_a_check_away_sets_its_server_free(void **state)
{
	struct addr address;
	int fd = make_server(&address);
	char lines[320];

	(void)state;
	start(line_for(&address, "check inter 5ms"));
	await_changes(1);
	assert_false(first_is_up());
	snprintf(lines, sizeof(lines), "%s server b 192.0.2.1:9 check inter 1h\n",
		line_for(&address, ""));
	restart(lines);
	assert_true(first_is_up());
	close(fd);
}

static void without_a_check_there_is_nothing(void **state)
{
	(void)state;
	start(" server a 192.0.2.1:9\n");
	assert_null(health);
	assert_true(first_is_up());
}

static void a_lack_of_descriptors_takes_no_server_down(void **state)
{
	struct addr address;
	struct rlimit few, before;
	int fd = make_server(&address);

	(void)state;
	listen_at(fd);
	start(line_for(&address, "check inter 2ms rise 1 fall 1"));
	await_checks(fd, 1);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	for (int i = 0; i < 5; i++)
		event_base_loop(base, EVLOOP_ONCE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(changes, 0);
	await_checks(fd, 1);
	assert_int_equal(changes, 0);
	close(fd);
}

static void a_reload_keeps_what_is_down(void **state)
{
	struct addr address;
	int fd = make_server(&address);

	(void)state;
	start(line_for(&address, "check inter 5ms"));
	await_changes(1);
	restart(line_for(&address, "check inter 5ms rise 4"));
	assert_false(first_is_up());
	listen_at(fd);
	await_changes(2);
	assert_true(last.up);
	close(fd);
}

static void a_reload_keeps_what_is_up_for_sure(void **state)
{
	struct addr address;
	int fd = make_server(&address);

	(void)state;
	listen_at(fd);
	start(line_for(&address, "check inter 5ms fall 3"));
	await_checks(fd, 2);
	restart(line_for(&address, "check inter 1h fastinter 5ms fall 3"));
	assert_true(first_is_up());
	assert_int_equal(changes, 0);
	close(fd);
}

static void a_server_at_another_address_begins_anew(void **state)
{
	struct addr address, other;
	int fd = make_server(&address), second = make_server(&other);

	(void)state;
	start(line_for(&address, "check inter 5ms"));
	await_changes(1);
	listen_at(second);
	restart(line_for(&other, "check inter 5ms"));
	assert_true(first_is_up());
	await_checks(second, 2);
	assert_int_equal(changes, 1);
	close(fd);
	close(second);
}

static void a_server_that_is_checked_no_more_is_up(void **state)
{
	struct addr address;
	int fd = make_server(&address);

	(void)state;
	start(line_for(&address, "check inter 5ms"));
	await_changes(1);
	restart(line_for(&address, ""));
	assert_null(health);
	assert_true(first_is_up());
	close(fd);
}

static void assert_line(struct health_change change, const char *expected)
{
	char line[256];

	health_format(&change, line, sizeof(line));
	assert_string_equal(line, expected);
}

/* As HAProxy 2.6 writes them. */
static void the_lines_are_haproxys(void **state)
{
	const struct proxy backend = {.name = "l"};
	const struct server server = {.name = "a"}, backup = {.name = "c", .backup = true};
	const struct health_verdict refused = {HEALTH_L4CON, 0, "Connection refused"};
	const struct health_verdict silent = {HEALTH_L4TOUT, 0, ""}, passed = {HEALTH_L4OK, 0, ""};

	(void)state;
	assert_line((struct health_change){.backend = &backend,
			    .server = &server,
			    .up = false,
			    .verdict = refused,
			    .duration = 0,
			    .active = 1,
			    .backups = 1,
			    .sessions = 4},
		"Server l/a is DOWN, reason: Layer4 connection problem, info: \"Connection refused\", check duration: 0ms. 1 active and 1 backup servers left. 4 sessions active, 0 requeued, 0 remaining in queue.");
	assert_line((struct health_change){.backend = &backend,
			    .server = &server,
			    .up = false,
			    .verdict = silent,
			    .duration = 201,
			    .active = 0,
			    .backups = 1,
			    .sessions = 0},
		"Server l/a is DOWN, reason: Layer4 timeout, check duration: 201ms. 0 active and 1 backup servers left. Running on backup. 0 sessions active, 0 requeued, 0 remaining in queue.");
	assert_line((struct health_change){.backend = &backend,
			    .server = &backup,
			    .up = false,
			    .verdict = refused,
			    .duration = 0,
			    .active = 0,
			    .backups = 0,
			    .sessions = 0},
		"Backup Server l/c is DOWN, reason: Layer4 connection problem, info: \"Connection refused\", check duration: 0ms. 0 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue.");
	assert_line((struct health_change){.backend = &backend,
			    .server = &backup,
			    .up = true,
			    .verdict = passed,
			    .duration = 0,
			    .active = 1,
			    .backups = 1,
			    .sessions = 0},
		"Backup Server l/c is UP, reason: Layer4 check passed, check duration: 0ms. 1 active and 1 backup servers online. 0 sessions requeued, 0 total in queue.");
	assert_line((struct health_change){.backend = &backend,
			    .server = &backup,
			    .of_check = true,
			    .points = 1,
			    .of = 2,
			    .verdict = silent,
			    .duration = 20},
		"Health check for backup server l/c failed, reason: Layer4 timeout, check duration: 20ms, status: 1/2 DOWN.");
	assert_line((struct health_change){.backend = &backend,
			    .server = &server,
			    .via = &backup,
			    .via_backend = &backend,
			    .requeued = 2,
			    .waiting = 1},
		"Server l/a is DOWN via l/c. 0 active and 0 backup servers left. 0 sessions active, 2 requeued, 1 remaining in queue.");
	assert_line((struct health_change){.backend = &backend, .server = &server, .errors = 10},
		"Server l/a is DOWN, reason: Health analyze, info: \"Detected 10 consecutive errors, last one was: L4 unsuccessful connection\". 0 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue.");
}

#define HEALTH_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HEALTH_TEST(a_server_is_up_at_the_start_and_the_first_failure_takes_it_down),
		HEALTH_TEST(it_comes_up_after_as_many_checks_as_rise_says),
		HEALTH_TEST(it_goes_down_after_as_many_as_fall_says),
		HEALTH_TEST(each_row_of_errors_counts),
		HEALTH_TEST(a_silent_server_is_told_from_one_that_refuses),
		HEALTH_TEST(the_port_and_the_address_of_a_check_may_be_others),
		HEALTH_TEST(only_what_is_checked_is_counted),
		HEALTH_TEST(in_maintenance_a_server_is_not_checked),
		HEALTH_TEST(a_reload_that_takes_a_check_away_sets_its_server_free),
		HEALTH_TEST(without_a_check_there_is_nothing),
		HEALTH_TEST(a_lack_of_descriptors_takes_no_server_down),
		HEALTH_TEST(a_reload_keeps_what_is_down),
		HEALTH_TEST(a_reload_keeps_what_is_up_for_sure),
		HEALTH_TEST(a_server_at_another_address_begins_anew),
		HEALTH_TEST(a_server_that_is_checked_no_more_is_up),
		cmocka_unit_test(the_lines_are_haproxys),
	};

	return cmocka_run_group_tests_name("health", tests, NULL, NULL);
}
