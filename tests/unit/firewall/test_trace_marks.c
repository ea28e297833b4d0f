/*
 * Marks of packets and of connections in simulated packets, and what connection tracking knows where.
 */
#include "tproxy/text.h"
#include "traces.h"

/* In the table raw, nothing has a state yet but what a rule there has left out. */
static void neighbour_discovery_is_untracked_by_connection_tracking(void **state)
{
	struct packet packet = {.source = at("2001:db8:c::10", 0),
		.destination = at("2001:db8:c::1", 0),
		.protocol = IPPROTO_ICMPV6,
		.icmp_type = 136,
		.ct = CT_UNTRACKED};
	static const char drop[] = "-A PREROUTING -m conntrack --ctstate UNTRACKED -j DROP\n";
	char *after = text_format("-A PREROUTING -j CT --notrack\n%s", drop);
	struct ruleset mangle = rules6(drop);
	struct ruleset raw = named("text.ip6tables", "raw", "ACCEPT", drop);
	struct ruleset left_out = named("text.ip6tables", "raw", "ACCEPT", after);

	(void)state;
	assert_true(traced(&mangle, packet).dropped);
	assert_false(traced(&raw, packet).dropped);
	assert_true(traced(&left_out, packet).dropped);
	ruleset_free(&mangle);
	ruleset_free(&raw);
	ruleset_free(&left_out);
	free(after);
}

static void what_is_not_tracked_is_neither_new_nor_established(void **state)
{
	struct ruleset raw = rules("raw", "ACCEPT", "-A PREROUTING -p tcp -j CT --notrack\n");
	static const char input[] =
		"*filter\n:INPUT DROP [0:0]\n"
		"-A INPUT -m conntrack --ctstate NEW,RELATED,ESTABLISHED -j ACCEPT\nCOMMIT\n";
	struct packet packet = syn();

	(void)state;
	add_text(&raw, "text", input);
	assert_false(trace_packet(&raw, HOOK_INPUT, &packet).dropped);
	packet.ct = traced(&raw, packet).ct;
	assert_int_equal(packet.ct, CT_UNTRACKED);
	assert_true(trace_packet(&raw, HOOK_INPUT, &packet).dropped);
	ruleset_free(&raw);
}

static void a_mark_is_saved_in_the_connection_and_restored(void **state)
{
	struct ruleset ruleset = rules("mangle", "ACCEPT",
		"-A PREROUTING -j MARK --set-mark 0x13\n"
		"-A PREROUTING -j CONNMARK --save-mark --nfmask 0xf --ctmask 0xff\n"
		"-A PREROUTING -j MARK --set-mark 0x20\n"
		"-A PREROUTING -j CONNMARK --restore-mark --nfmask 0xf --ctmask 0xff\n");
	struct trace trace = traced(&ruleset, syn());

	(void)state;
	assert_int_equal(trace.ct_mark, 3);
	assert_int_equal(trace.mark, 0x23);
	ruleset_free(&ruleset);
}

/* Neither negated nor not, and nothing is restored. */
static void without_a_connection_no_match_of_its_mark_holds(void **state)
{
	static const char lines[] = "-A PREROUTING -j CONNMARK --restore-mark\n"
				    "-A PREROUTING -m connmark ! --mark 5 -j DROP\n";
	struct ruleset raw = rules("raw", "ACCEPT", lines);
	struct ruleset mangle = rules("mangle", "ACCEPT", lines);
	struct packet packet = syn();

	(void)state;
	packet.mark = 1;
	assert_true(traced(&mangle, packet).dropped);
	assert_false(traced(&raw, packet).dropped);
	assert_int_equal(traced(&raw, packet).mark, 1);
	packet.in = "lo"; /* tracked when it was sent */
	assert_true(traced(&raw, packet).dropped);
	packet.ct = CT_INVALID;
	assert_false(traced(&mangle, packet).dropped);
	ruleset_free(&raw);
	ruleset_free(&mangle);
}

/* What a rule of nft that restores a connection's mark and drops does with a packet that has a mark. */
static struct trace restored_by_nft(int priority)
{
	struct ruleset ruleset = {0};
	struct packet packet = syn();
	struct trace trace;
	char *text = text_format(
		"{\"nftables\": [{\"metainfo\": {\"json_schema_version\": 1}},"
		"{\"table\": {\"family\": \"ip\", \"name\": \"t\"}},"
		"{\"chain\": {\"family\": \"ip\", \"table\": \"t\", \"name\": \"c\", \"type\": \"route\","
		" \"hook\": \"output\", \"prio\": %d, \"policy\": \"accept\"}},"
		"{\"rule\": {\"family\": \"ip\", \"table\": \"t\", \"chain\": \"c\", \"handle\": 2, \"expr\":"
		" [{\"mangle\": {\"key\": {\"meta\": {\"key\": \"mark\"}}, \"value\": {\"ct\": {\"key\":"
		" \"mark\"}}}}, {\"drop\": null}]}}]}",
		priority);

	packet.in = NULL;
	packet.mark = 1;
	add_text(&ruleset, "text.nft.json", text);
	trace = trace_packet(&ruleset, HOOK_OUTPUT, &packet);
	free(text);
	ruleset_free(&ruleset);
	return trace;
}

static void a_rule_of_nft_ends_where_it_reads_a_mark_that_is_not_there(void **state)
{
	(void)state;
	assert_true(restored_by_nft(-150).dropped);
	assert_false(restored_by_nft(-310).dropped);
	assert_int_equal(restored_by_nft(-310).mark, 1);
}

/* What OUTPUT does with a SYN, by the rules of one or more tables. */
static struct trace sent_through(struct ruleset *ruleset, const char *text)
{
	struct packet packet = syn();

	packet.in = NULL;
	add_text(ruleset, "text", text);
	return trace_packet(ruleset, HOOK_OUTPUT, &packet);
}

static void only_mangle_routes_again_at_output(void **state)
{
	static const char *const tables[] = {"mangle", "filter"};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct ruleset ruleset = {0};
		char *text = text_format("*%s\n:OUTPUT ACCEPT [0:0]\n"
					 "-A OUTPUT -j MARK --set-mark 1\nCOMMIT\n",
			tables[i]);
		struct trace trace = sent_through(&ruleset, text);

		assert_int_equal(trace.mark, 1);
		assert_int_equal(trace.routed_again, i == 0);
		free(text);
		ruleset_free(&ruleset);
	}
}

static void a_later_mark_leaves_the_chosen_route_as_it_is(void **state)
{
	struct ruleset ruleset = {0};
	struct trace trace = sent_through(&ruleset,
		"*mangle\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -j MARK --set-mark 1\nCOMMIT\n"
		"*filter\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -j MARK --set-mark 2\nCOMMIT\n");

	(void)state;
	assert_int_equal(trace.mark, 2);
	assert_true(trace.routed_again);
	assert_int_equal(trace.route_mark, 1);
	assert_text(trace.routed, "-A OUTPUT -j MARK --set-mark 1");
	assert_string_equal(trace.routed_at.table->name, "mangle");
	ruleset_free(&ruleset);
}

static void a_mark_that_its_chain_takes_back_chooses_no_route(void **state)
{
	struct ruleset ruleset = {0};
	struct trace trace = sent_through(&ruleset,
		"*mangle\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -j MARK --set-mark 1\n"
		"-A OUTPUT -j MARK --set-mark 0\nCOMMIT\n");

	(void)state;
	assert_false(trace.routed_again);
	ruleset_free(&ruleset);
}

static void connections_are_not_known_before_conntrack(void **state)
{
	struct ruleset raw = rules(
		"raw", "ACCEPT", "-A PREROUTING -m conntrack --ctstate ESTABLISHED -j DROP\n");
	struct ruleset mangle = rules(
		"mangle", "ACCEPT", "-A PREROUTING -m conntrack --ctstate ESTABLISHED -j DROP\n");

	(void)state;
	assert_false(traced(&raw, syn_ack()).dropped);
	assert_true(traced(&mangle, syn_ack()).dropped);
	ruleset_free(&raw);
	ruleset_free(&mangle);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connections_are_not_known_before_conntrack),
		cmocka_unit_test(what_is_not_tracked_is_neither_new_nor_established),
		cmocka_unit_test(neighbour_discovery_is_untracked_by_connection_tracking),
		cmocka_unit_test(a_mark_is_saved_in_the_connection_and_restored),
		cmocka_unit_test(without_a_connection_no_match_of_its_mark_holds),
		cmocka_unit_test(a_rule_of_nft_ends_where_it_reads_a_mark_that_is_not_there),
		cmocka_unit_test(only_mangle_routes_again_at_output),
		cmocka_unit_test(a_later_mark_leaves_the_chosen_route_as_it_is),
		cmocka_unit_test(a_mark_that_its_chain_takes_back_chooses_no_route),
	};

	return cmocka_run_group_tests_name("trace_marks", tests, NULL, NULL);
}
