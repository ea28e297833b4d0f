/*
 * What a probe of the servers says about their way back.
 */
#include "snapshots.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WITH(name) cmocka_unit_test_setup_teardown(name, host_fresh, host_gone)

static struct probe probe(enum probe_outcome from_client, enum probe_outcome from_host)
{
	return (struct probe){.server = host_address(SERVER4, 80),
		.client = host_address(CLIENT4, 0),
		.from_client = from_client,
		.from_host = from_host};
}

static const struct check_finding *judged(struct probe *made, enum check_state state)
{
	host.snapshot.probes = made;
	host.snapshot.probe_count = 1;
	host_judged();
	host.snapshot.probes = NULL; /* not from the heap */
	host.snapshot.probe_count = 0;
	return found_about(CHECK_RETURN_PATH, state, SERVER4 ":80");
}

static void an_answer_to_a_client_is_ok(void **state)
{
	struct probe made = probe(PROBE_ANSWERED, PROBE_NOT_SENT);

	(void)state;
	assert_reads(judged(&made, CHECK_OK), "probed: it answers 198.51.100.10 through this host");
}

static void a_refusal_shows_that_the_way_back_is_right(void **state)
{
	struct probe made = probe(PROBE_REFUSED, PROBE_NOT_SENT);

	(void)state;
	assert_int_equal(judged(&made, CHECK_HARMFUL)->command_count, 0);
	assert_true(check_wrong_alone(&host.report, CHECK_RETURN_PATH));
}

static void an_answer_to_this_host_alone_blames_the_way_back(void **state)
{
	struct probe made = probe(PROBE_SILENT, PROBE_ANSWERED);
	const struct check_finding *finding;

	(void)state;
	finding = judged(&made, CHECK_HARMFUL);
	assert_non_null(strstr(finding->read, "Its way back to the client leads elsewhere"));
	assert_string_equal(
		finding->commands[0].run, "ip -4 route replace 198.51.100.10/32 via 203.0.113.1");
}

/* The ICMP error to the client's address would reach this host only if ICMP were diverted. */
static void a_refusal_of_datagrams_blames_no_way_back(void **state)
{
	struct probe made = probe(PROBE_SILENT, PROBE_REFUSED);
	const struct check_finding *finding;

	(void)state;
	made.payload = "x";
	host.snapshot.probes = &made;
	host.snapshot.probe_count = 1;
	host_judged();
	host.snapshot.probes = NULL;
	host.snapshot.probe_count = 0;
	finding = found_about(CHECK_RETURN_PATH, CHECK_HARMFUL, SERVER4 ":80/udp");
	assert_non_null(strstr(finding->read, "it refuses datagrams"));
	assert_int_equal(finding->command_count, 0);
}

static void a_client_in_the_servers_network_is_answered_directly(void **state)
{
	struct probe made = probe(PROBE_SILENT, PROBE_ANSWERED);

	(void)state;
	made.client = host_address("203.0.113.99", 0);
	assert_non_null(strstr(
		judged(&made, CHECK_HARMFUL)->read, "The client is in the server's own network"));
}

static void no_answer_at_all_blames_nobodys_routes(void **state)
{
	struct probe made = probe(PROBE_SILENT, PROBE_SILENT);

	(void)state;
	assert_non_null(strstr(judged(&made, CHECK_HARMFUL)->read, "a firewall drops packets"));
	host.neighbours_silent = true;
	assert_non_null(strstr(judged(&made, CHECK_HARMFUL)->read, "it is down"));
	assert_int_equal(judged(&made, CHECK_HARMFUL)->command_count, 0);
}

/* An answer that this host does not divert looks like none. */
static void silence_counts_only_where_this_host_takes_answers(void **state)
{
	struct probe made = probe(PROBE_SILENT, PROBE_ANSWERED);

	(void)state;
	host_rules(TOOL_IPTABLES, AF_INET, MANGLE(""));
	assert_non_null(strstr(judged(&made, CHECK_UNKNOWN)->read, "fix the other items first"));
}

static void what_cannot_be_sent_is_unknown(void **state)
{
	struct probe made = probe(PROBE_NOT_SENT, PROBE_NOT_SENT);

	(void)state;
	made.error = EPERM;
	assert_non_null(strstr(judged(&made, CHECK_UNKNOWN)->read, "cannot probe it"));
}

static void only_servers_of_the_users_with_a_port_are_probed(void **state)
{
	struct probe *list;

	(void)state;
	host_judged();
	assert_int_equal(check_probe_list(&host.snapshot, NULL, 0, &list), 1);
	free(list);
	host_serves(VIP4 ":80", SERVER4);
	assert_int_equal(check_probe_list(&host.snapshot, NULL, 0, &list), 0);
	free(list);
	host_serves(VIP4 ":80", SERVER4 ":80");
	host.service.example = true;
	assert_int_equal(check_probe_list(&host.snapshot, NULL, 0, &list), 0);
	free(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(an_answer_to_a_client_is_ok),
		WITH(a_refusal_shows_that_the_way_back_is_right),
		WITH(an_answer_to_this_host_alone_blames_the_way_back),
		WITH(a_refusal_of_datagrams_blames_no_way_back),
		WITH(a_client_in_the_servers_network_is_answered_directly),
		WITH(no_answer_at_all_blames_nobodys_routes),
		WITH(silence_counts_only_where_this_host_takes_answers),
		WITH(what_cannot_be_sent_is_unknown),
		WITH(only_servers_of_the_users_with_a_port_are_probed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
