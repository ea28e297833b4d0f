/*
 * What two configurations have in common.
 */
#include "servers/counterparts.h"

#include "tproxy/diag.h"
#include "unit.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>

#define NONE COUNTERPART_NONE

static struct config *parse(const char *text)
{
	struct diag *diag = diag_new();
	struct config *config = config_parse("test.cfg", text, strlen(text), diag);

	if (config == NULL)
		diag_print(diag, stderr);
	assert_non_null(config);
	diag_free(diag);
	return config;
}

struct pair {
	struct config *now, *before;
	struct counterparts *found;
};

static struct pair compare(const char *before, const char *now)
{
	struct pair pair = {.now = parse(now), .before = parse(before)};

	pair.found = counterparts_find(pair.now, pair.before);
	assert_non_null(pair.found);
	return pair;
}

static void release(struct pair *pair)
{
	counterparts_free(pair->found);
	config_free(pair->now);
	config_free(pair->before);
}

#define TIMES "defaults\n timeout connect 1s\n timeout client 1s\n timeout server 1s\n"

static void sections_and_servers_are_found_by_their_names(void **state)
{
	struct pair pair =
		compare(TIMES "listen a\n bind :1001\n server s1 192.0.2.1:1\n"
			      "frontend b\n bind :1002\n default_backend b\n"
			      "backend b\n server s1 192.0.2.2:1\n server s2 192.0.2.3:1\n",
			TIMES "backend b\n server s2 192.0.2.9:9\n server new 192.0.2.4:1\n"
			      "backend new\n server s1 192.0.2.1:1\n"
			      "frontend b\n bind :1002\n default_backend b\n"
			      "frontend a\n bind :1001\n default_backend new\n");
	static const size_t frontends[] = {NONE, NONE, 1, 0}, backends[] = {2, NONE, NONE, NONE};
	static const size_t servers[] = {2, NONE, NONE};

	(void)state;
	assert_memory_equal(pair.found->frontends, frontends, sizeof(frontends));
	assert_memory_equal(pair.found->backends, backends, sizeof(backends));
	assert_memory_equal(pair.found->servers, servers, sizeof(servers));
	release(&pair);
}

/* What the socket is told while it listens makes no other listener. */
static void listeners_are_found_by_where_they_listen(void **state)
{
	struct pair pair = compare(TIMES
		"listen a\n bind 192.0.2.1:1-3\n bind [2001:db8::1]:1\n bind 192.0.2.2:1\n"
		" server s 192.0.2.9:1\n",
		TIMES
		"listen x\n bind 192.0.2.2:1 transparent accept-proxy backlog 7\n"
		" bind [2001:db8::1]:1 v6only\n bind 192.0.2.1:3-4\n bind 192.0.2.1:1 interface lo\n"
		" server s 192.0.2.9:1\n");
	static const size_t listeners[] = {4, NONE, 2, NONE, NONE};

	(void)state;
	assert_memory_equal(pair.found->listeners, listeners, sizeof(listeners));
	assert_int_equal(pair.found->kept, 2);
	release(&pair);
}

/* Only sockets that let their address be shared can be bound beside each other. */
static void a_new_listener_that_overlaps_an_older_one_is_found(void **state)
{
	struct pair pair = compare(
		TIMES "listen a\n bind 192.0.2.1:1\n bind :2\n server s 192.0.2.9:1\n", TIMES
		"listen a\n bind :1\n bind :2\n bind 192.0.2.1:2\n bind 192.0.2.2:1\n bind :3\n"
		" bind [2001:db8::1]:1\n server s 192.0.2.9:1\n");
	static const bool overlaps[] = {true, false, true, false, false, false};

	(void)state;
	assert_memory_equal(pair.found->overlaps, overlaps, sizeof(overlaps));
	release(&pair);
}

#define UDP TIMES " mode udp\n"

static void assert_receiver(
	const struct counterpart *found, const struct config *config, size_t index, bool overlaps)
{
	assert_ptr_equal(found->config, config);
	assert_int_equal(found->overlaps, overlaps);
	if (config != NULL)
		assert_int_equal(found->index, index);
}

/* Ports of UDP are others than those of TCP. */
static void receivers_are_found_among_receivers(void **state)
{
	struct pair pair = compare(UDP
		"listen t\n mode tcp\n bind 192.0.2.1:1\n server s 192.0.2.9:1\n"
		"listen u\n bind 192.0.2.1:2\n bind 192.0.2.1:3\n server s 192.0.2.9:1\n",
		UDP
		"listen u\n bind 192.0.2.1:3\n bind 192.0.2.1:1\n bind :2\n server s 192.0.2.9:1\n"
		"listen t\n mode tcp\n bind 192.0.2.1:2\n bind 192.0.2.1:1\n server s 192.0.2.9:1\n");
	static const size_t listeners[] = {NONE, 0};

	(void)state;
	assert_memory_equal(pair.found->listeners, listeners, sizeof(listeners));
	assert_false(pair.found->overlaps[0]);
	assert_receiver(&pair.found->receivers[0], pair.before, 1, false);
	assert_receiver(&pair.found->receivers[1], NULL, 0, false);
	assert_receiver(&pair.found->receivers[2], NULL, 0, true);
	assert_int_equal(pair.found->kept, 2);
	release(&pair);
}

static void what_a_newer_configuration_left_open_is_found_in_an_older_one(void **state)
{
	struct config *oldest = parse(UDP "listen u\n bind 192.0.2.1:1-3\n server s 192.0.2.9:1\n");
	struct pair pair = compare(UDP "listen u\n bind 192.0.2.1:1\n server s 192.0.2.9:1\n",
		UDP "listen u\n bind 192.0.2.1:1-2\n bind :3\n server s 192.0.2.9:1\n");

	(void)state;
	assert_true(counterparts_add_receivers(pair.found, pair.now, oldest));
	assert_receiver(&pair.found->receivers[0], pair.before, 0, false);
	assert_receiver(&pair.found->receivers[1], oldest, 1, false);
	assert_receiver(&pair.found->receivers[2], NULL, 0, true);
	assert_int_equal(pair.found->kept, 2);
	release(&pair);
	config_free(oldest);
}

static void the_same_file_has_all_in_common(void **state)
{
	static const char text[] =
		TIMES "listen a\n bind :1-9\n server s 192.0.2.9:1\n"
		      "listen b\n bind :10\n server s 192.0.2.9:1\n server t 192.0.2.8:1\n";
	struct pair pair = compare(text, text);

	(void)state;
	assert_int_equal(pair.found->kept, 10);
	for (size_t i = 0; i < 10; i++)
		assert_int_equal(pair.found->listeners[i], i);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pair.found->servers[i], i);
	assert_int_equal(pair.found->backends[1], 1);
	release(&pair);
}

/* Of an IPv4 address it says nothing. */
static void how_ipv6_takes_ipv4_makes_another_listener_of_ipv6_alone(void **state)
{
	struct pair pair = compare(
		TIMES "listen a\n bind 192.0.2.1:1,[2001:db8::1]:1\n server s 192.0.2.9:1\n", TIMES
		"listen a\n bind 192.0.2.1:1,[2001:db8::1]:1 v6only\n server s 192.0.2.9:1\n");
	static const size_t listeners[] = {0, NONE};

	(void)state;
	assert_memory_equal(pair.found->listeners, listeners, sizeof(listeners));
	release(&pair);
}

static void listeners_are_found_in_every_section(void **state)
{
	struct pair pair = compare(TIMES
		"listen a\n bind 192.0.2.1:1\n bind 192.0.2.1:2\n server s 192.0.2.9:1\n"
		"listen b\n bind 192.0.2.1:3\n bind 192.0.2.1:4\n server s 192.0.2.9:1\n",
		TIMES "listen b\n bind 192.0.2.1:4\n bind 192.0.2.1:2\n server s 192.0.2.9:1\n"
		      "listen a\n bind 192.0.2.1:3\n bind 192.0.2.1:1\n server s 192.0.2.9:1\n");
	static const size_t listeners[] = {3, 1, 2, 0};

	(void)state;
	assert_memory_equal(pair.found->listeners, listeners, sizeof(listeners));
	release(&pair);
}

static void freed_counterparts_leave_no_memory(void **state)
{
	struct pair pair = compare(TIMES "listen a\n bind :1-9\n server s 192.0.2.9:1\n",
		TIMES "listen a\n bind :1-9\n server s 192.0.2.9:1\n");
	size_t before = mallinfo2().uordblks;

	(void)state;
	for (int i = 0; i < 1000; i++)
		counterparts_free(counterparts_find(pair.now, pair.before));
	assert_in_range(mallinfo2().uordblks, 0, before + 4096);
	release(&pair);
	counterparts_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sections_and_servers_are_found_by_their_names),
		cmocka_unit_test(listeners_are_found_by_where_they_listen),
		cmocka_unit_test(a_new_listener_that_overlaps_an_older_one_is_found),
		cmocka_unit_test(receivers_are_found_among_receivers),
		cmocka_unit_test(what_a_newer_configuration_left_open_is_found_in_an_older_one),
		cmocka_unit_test(the_same_file_has_all_in_common),
		cmocka_unit_test(how_ipv6_takes_ipv4_makes_another_listener_of_ipv6_alone),
		cmocka_unit_test(listeners_are_found_in_every_section),
		cmocka_unit_test(freed_counterparts_leave_no_memory),
	};

	return cmocka_run_group_tests_name("counterparts", tests, NULL, NULL);
}
