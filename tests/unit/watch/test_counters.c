/*
 * The kernel's counters of dropped packets.
 */
#include "unit.h"
#include "watch/counters.h"

#include <stdlib.h>

static const char netstat[] = "TcpExt: SyncookiesSent IPReversePathFilter ListenDrops\n"
			      "TcpExt: 0 17 4\n"
			      "IpExt: InNoRoutes InMcastPkts\n"
			      "IpExt: 3 5\n";

static void a_counter_is_found_by_its_group_and_name(void **state)
{
	(void)state;
	assert_int_equal(counters_find(netstat, "TcpExt", "IPReversePathFilter"), 17);
	assert_int_equal(counters_find(netstat, "TcpExt", "ListenDrops"), 4);
	assert_int_equal(counters_find(netstat, "IpExt", "InNoRoutes"), 3);
}

static void what_is_not_there_or_cut_off_counts_as_0(void **state)
{
	(void)state;
	assert_int_equal(counters_find(netstat, "TcpExt", "InNoRoutes"), 0);
	assert_int_equal(counters_find(netstat, "TcpExt", "Listen"), 0);
	assert_int_equal(counters_find("TcpExt: A B\nTcpExt: 1\n", "TcpExt", "B"), 0);
	assert_int_equal(counters_find("TcpExt: A B", "TcpExt", "B"), 0);
	assert_int_equal(counters_find("", "TcpExt", "B"), 0);
}

static void only_counters_that_moved_are_named(void **state)
{
	struct counters before = {0}, after = {0};
	char *moved;

	(void)state;
	assert_null(counters_moved(&before, &after));
	after.values[0] = 2;
	moved = counters_moved(&before, &after);
	assert_string_equal(moved, "IPReversePathFilter 2 (dropped by rp_filter)");
	free(moved);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_counter_is_found_by_its_group_and_name),
		cmocka_unit_test(what_is_not_there_or_cut_off_counts_as_0),
		cmocka_unit_test(only_counters_that_moved_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
