/*
 * Simulated packets through rule sets: those of the recipes, and those of other software on a host.
 */
#include "traces.h"

static void the_walkthrough_marks_what_has_a_socket(void **state)
{
	struct ruleset ruleset = fixture("walkthrough.iptables");
	struct packet packet = syn();
	struct trace trace;

	(void)state;
	assert_int_equal(traced(&ruleset, packet).mark, 0);
	packet.socket = SOCKET_LISTENER;
	trace = traced(&ruleset, packet);
	assert_int_equal(trace.mark, 1);
	assert_text(trace.marked, "-A DIVERT -j MARK --set-xmark 0x1/0xffffffff");
	assert_text(trace.ended, "-A DIVERT -j ACCEPT");
	assert_text(trace.socket, "-A PREROUTING -p tcp -m socket -j DIVERT");
	assert_null(trace.unsure);
	assert_int_equal(traced(&ruleset, syn_ack()).mark, 1);
	ruleset_free(&ruleset);
}

/* The type of an ICMP error is not known; nor is the hop limit of a packet that no match of it concerns. */
static void a_type_of_icmpv6_that_is_not_known_is_unsure(void **state)
{
	struct ruleset by_type =
		rules6("-A PREROUTING -p ipv6-icmp -m icmp6 --icmpv6-type 136 -j DROP\n");
	struct ruleset by_hops = rules6("-A PREROUTING -m hl ! --hl-eq 255 -j DROP\n");
	struct packet packet = {.source = at("2001:db8:c::10", 0),
		.destination = at("2001:db8:c::1", 0),
		.protocol = IPPROTO_ICMPV6};

	(void)state;
	assert_non_null(traced(&by_type, packet).unsure);
	assert_non_null(traced(&by_hops, packet).unsure);
	packet.icmp_type = 136;
	packet.hop_limit = 255;
	assert_true(traced(&by_type, packet).dropped);
	assert_false(traced(&by_hops, packet).dropped);
	packet.icmp_type = 135;
	packet.hop_limit = 64;
	assert_false(traced(&by_type, packet).dropped);
	assert_true(traced(&by_hops, packet).dropped);
	packet.protocol = IPPROTO_UDP; /* has no type */
	packet.icmp_type = 136;
	assert_false(traced(&by_type, packet).dropped);
	ruleset_free(&by_type);
	ruleset_free(&by_hops);
}

static void what_the_kernel_sends_is_of_no_user(void **state)
{
	struct ruleset ruleset = {0};
	struct packet packet = {.source = at("2001:db8:c::1", 0),
		.destination = at("2001:db8:c::10", 0),
		.protocol = IPPROTO_ICMPV6,
		.of_kernel = true};

	(void)state;
	add_text(&ruleset, ".ip6tables",
		"*filter\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -m owner --uid-owner 0 -j DROP\nCOMMIT\n");
	assert_false(trace_packet(&ruleset, HOOK_OUTPUT, &packet).dropped);
	ruleset_free(&ruleset);
	add_text(&ruleset, ".ip6tables",
		"*filter\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -m owner ! --uid-owner 0 -j DROP\nCOMMIT\n");
	assert_true(trace_packet(&ruleset, HOOK_OUTPUT, &packet).dropped);
	ruleset_free(&ruleset);
}

static void iptables_ignores_wildcard_listeners(void **state)
{
	struct ruleset ruleset = fixture("walkthrough.iptables");
	struct ruleset all = rules("mangle", "ACCEPT",
		"-A PREROUTING -m socket --nowildcard -j MARK --set-xmark 0x1/0xffffffff\n");
	struct packet packet = syn();

	(void)state;
	packet.socket = SOCKET_WILDCARD;
	assert_int_equal(traced(&ruleset, packet).mark, 0);
	assert_int_equal(traced(&all, packet).mark, 1);
	ruleset_free(&ruleset);
	ruleset_free(&all);
}

static void nft_matches_wildcard_listeners_by_default(void **state)
{
	struct ruleset ruleset = fixture("transparent.nft.json");
	struct ruleset careful = fixture("dropping.nft.json");
	struct packet packet = syn();

	(void)state;
	packet.destination = at("198.51.100.9", 9);
	packet.socket = SOCKET_WILDCARD;
	assert_null(traced(&ruleset, packet).marked);
	packet.socket_transparent = true;
	assert_int_equal(traced(&ruleset, packet).mark, 1);
	assert_int_equal(traced(&careful, packet).mark, 0);
	packet.socket = SOCKET_CONNECTED;
	assert_int_equal(traced(&careful, packet).mark, 0x10);
	ruleset_free(&ruleset);
	ruleset_free(&careful);
}

static void tproxy_names_the_listener(void **state)
{
	struct ruleset ruleset = fixture("tproxy.iptables");
	struct trace trace = traced(&ruleset, syn());
	struct addr listener = at("192.0.2.80", 8080);

	(void)state;
	assert_int_equal(trace.mark, 1);
	assert_true(trace.tproxy != NULL && trace.tproxy == trace.marked);
	assert_true(trace.ended == trace.tproxy);
	assert_true(addr_equal(&trace.listener, &listener));
	trace = traced(&ruleset, syn_ack());
	assert_null(trace.tproxy);
	assert_int_equal(trace.mark, 1);
	ruleset_free(&ruleset);
}

static void an_acknowledgement_without_a_socket_goes_to_tproxy(void **state)
{
	struct ruleset ruleset = fixture("tproxy.iptables");
	struct ruleset divert = fixture("walkthrough.iptables");
	struct packet packet = syn();

	(void)state;
	packet.tcp_flags = ACK; /* of a SYN cookie: the host keeps nothing of the SYN */
	packet.ct = CT_ESTABLISHED;
	assert_non_null(traced(&ruleset, packet).tproxy);
	assert_int_equal(traced(&divert, packet).mark, 0);
	ruleset_free(&ruleset);
	ruleset_free(&divert);
}

static void tproxy_is_completed_from_the_packet(void **state)
{
	struct ruleset ruleset = rules("mangle", "ACCEPT",
		"-A PREROUTING -p tcp -j TPROXY --on-port 0 --on-ip 0.0.0.0 --tproxy-mark "
		"0x0/0x0\n");
	struct packet packet = syn();
	struct trace trace = traced(&ruleset, packet);

	(void)state;
	assert_true(addr_equal(&trace.listener, &packet.destination));
	assert_null(trace.marked);
	ruleset_free(&ruleset);
}

static void rules_of_ipv6_apply_to_ipv6_only(void **state)
{
	struct ruleset ruleset = fixture("tproxy.ip6tables");
	struct packet packet = syn();

	(void)state;
	assert_null(traced(&ruleset, packet).tproxy);
	packet.source = at("2001:db8:c::7", 40000);
	packet.destination = at("2001:db8:f::80", 80);
	assert_non_null(traced(&ruleset, packet).tproxy);
	ruleset_free(&ruleset);
}

static void nfts_tproxy_does_not_end_the_chain(void **state)
{
	struct ruleset ruleset = fixture("dropping.nft.json");
	struct packet packet = syn();
	struct trace trace = traced(&ruleset, packet);

	(void)state;
	assert_non_null(trace.tproxy);
	assert_int_equal(trace.mark, 0x10);
	assert_true(trace.dropped);
	assert_null(trace.ended);
	assert_string_equal(trace.table->name, "transparent");
	packet.protocol = IPPROTO_ICMP;
	assert_false(traced(&ruleset, packet).dropped);
	ruleset_free(&ruleset);
}

static void a_drop_ends_it_and_an_accept_only_its_chain(void **state)
{
	struct ruleset ruleset = rules("raw", "ACCEPT", "-A PREROUTING -j ACCEPT\n");
	struct trace trace;

	(void)state;
	add_text(&ruleset, "text",
		"*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -s 198.51.100.0/24 -j DROP\n"
		"COMMIT\n*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j REDIRECT\nCOMMIT\n");
	trace = traced(&ruleset, syn());
	assert_true(trace.dropped);
	assert_text(trace.ended, "-A PREROUTING -s 198.51.100.0/24 -j DROP");
	assert_string_equal(trace.table->name, "mangle");
	assert_null(trace.nat);
	ruleset_free(&ruleset);
}

static void tables_apply_by_priority_not_by_place(void **state)
{
	struct ruleset ruleset = fixture("tproxy.iptables");
	struct trace trace;

	(void)state;
	add_text(&ruleset, "text",
		"*raw\n:PREROUTING DROP [0:0]\n-A PREROUTING -i server0 -j ACCEPT\nCOMMIT\n");
	trace = traced(&ruleset, syn());
	assert_true(trace.dropped);
	assert_null(trace.tproxy);
	assert_int_equal(traced(&ruleset, syn_ack()).mark, 1);
	ruleset_free(&ruleset);
}

static void docker_changes_the_destination_of_what_begins(void **state)
{
	struct ruleset ruleset = fixture("docker.iptables");
	struct packet packet = syn();
	struct trace trace;

	(void)state;
	packet.destination = at("192.0.2.1", 8080);
	packet.destination_local = true;
	trace = traced(&ruleset, packet);
	assert_text(trace.nat, "-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 "
			       "-j DNAT --to-destination 172.17.0.2:80");
	packet.ct = CT_ESTABLISHED;
	assert_null(traced(&ruleset, packet).nat);
	packet.ct = CT_NEW;
	packet.in = "docker0";
	assert_null(traced(&ruleset, packet).nat);
	packet.in = NULL;
	assert_non_null(traced(&ruleset, packet).unsure);
	ruleset_free(&ruleset);
}

static void docker_masquerades_its_own_network_only(void **state)
{
	struct ruleset ruleset = fixture("docker.iptables");
	struct packet packet = syn();

	(void)state;
	packet.in = NULL;
	packet.out = "server0";
	assert_null(trace_packet(&ruleset, HOOK_POSTROUTING, &packet).nat);
	packet.source = at("172.17.0.2", 40000);
	assert_non_null(trace_packet(&ruleset, HOOK_POSTROUTING, &packet).nat);
	ruleset_free(&ruleset);
}

static void what_docker_does_not_know_is_not_forwarded(void **state)
{
	struct ruleset ruleset = fixture("docker.iptables");
	struct packet packet = syn();
	struct trace trace;

	(void)state;
	packet.out = "server0";
	trace = trace_packet(&ruleset, HOOK_FORWARD, &packet);
	assert_true(trace.dropped);
	assert_null(trace.ended);
	ruleset_free(&ruleset);
}

static void firewalld_lets_in_what_its_zone_allows(void **state)
{
	struct ruleset ruleset = fixture("firewalld.nft.json");
	struct packet packet = syn();

	(void)state;
	packet.destination_local = true;
	assert_false(trace_packet(&ruleset, HOOK_INPUT, &packet).dropped);
	packet.destination = at("192.0.2.80", 25);
	assert_true(trace_packet(&ruleset, HOOK_INPUT, &packet).dropped);
	packet.ct = CT_ESTABLISHED;
	assert_false(trace_packet(&ruleset, HOOK_INPUT, &packet).dropped);
	packet.ct = CT_INVALID;
	assert_true(trace_packet(&ruleset, HOOK_INPUT, &packet).dropped);
	ruleset_free(&ruleset);
}

static void firewalld_masquerades_towards_the_server(void **state)
{
	struct ruleset ruleset = fixture("firewalld.nft.json");
	struct packet packet = syn();

	(void)state;
	packet.out = "eth1";
	assert_non_null(trace_packet(&ruleset, HOOK_POSTROUTING, &packet).nat);
	packet.out = "eth0";
	assert_null(trace_packet(&ruleset, HOOK_POSTROUTING, &packet).nat);
	ruleset_free(&ruleset);
}

static void ufw_drops_packets_without_a_service(void **state)
{
	struct ruleset ruleset = fixture("ufw.iptables");
	struct packet packet = syn();

	(void)state;
	assert_true(trace_packet(&ruleset, HOOK_INPUT, &packet).dropped); /* ufw-not-local */
	packet.destination_local = true;
	assert_false(trace_packet(&ruleset, HOOK_INPUT, &packet).dropped);
	packet.destination = at("192.0.2.80", 25);
	assert_true(trace_packet(&ruleset, HOOK_INPUT, &packet).dropped);
	ruleset_free(&ruleset);
}

static void wireguards_drop_is_for_its_own_address(void **state)
{
	static const char *const names[] = {"wg-quick.iptables", "wg-quick.nft.json"};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct ruleset ruleset = fixture(names[i]);
		struct packet packet = syn();

		assert_null(traced(&ruleset, packet).unsure);
		packet.destination = at("198.51.100.2", 80);
		assert_non_null(traced(&ruleset, packet).unsure);
		packet.in = "wg0";
		assert_null(traced(&ruleset, packet).unsure);
		packet.protocol = IPPROTO_UDP;
		packet.ct_mark = 0xca6c;
		assert_int_equal(traced(&ruleset, packet).mark, 0xca6c);
		ruleset_free(&ruleset);
	}
}

/* --- what rules ask of the host --- */

/* A host on which the mark makes every address local, and that has one link, client0. */
static bool type_of(
	void *context, const struct addr *address, uint32_t mark, struct trace_route *answer)
{
	(void)context;
	answer->type =
		mark != 0 && addr_family(address) == AF_INET6 ? ADDRESS_LOCAL : ADDRESS_UNICAST;
	return true;
}

static bool route_of(
	void *context, const struct addr *address, uint32_t mark, struct trace_route *answer)
{
	(void)context;
	(void)address;
	answer->type = mark != 0 ? ADDRESS_LOCAL : ADDRESS_UNICAST;
	answer->link = mark != 0 ? "lo" : "client0";
	return true;
}

static bool first_address_of(void *context, int family, const char *link, struct addr *address)
{
	(void)context;
	(void)link;
	*address = at(family == AF_INET6 ? "2001:db8:c::1" : "198.51.100.1", 0);
	return true;
}

static const struct trace_host asked = {NULL, type_of, route_of, first_address_of, NULL};

static struct trace asked_of(const char *lines, struct packet packet)
{
	struct ruleset ruleset = rules("mangle", "ACCEPT", lines);
	struct trace trace;

	packet.host = &asked;
	trace = traced(&ruleset, packet);
	assert_null(trace.unsure);
	ruleset_free(&ruleset);
	return trace;
}

static void a_mark_makes_no_address_local_for_addrtype(void **state)
{
	static const char lines[] = "-A PREROUTING -j MARK --set-mark 1\n"
				    "-A PREROUTING -m addrtype ! --dst-type LOCAL -j DROP\n";

	(void)state;
	assert_true(asked_of(lines, syn()).dropped);
}

static void a_reverse_path_filter_uses_the_mark_only_if_it_is_told(void **state)
{
	struct packet elsewhere = syn();

	(void)state;
	elsewhere.in = "server0";
	assert_false(asked_of("-A PREROUTING -m rpfilter --invert -j DROP\n", syn()).dropped);
	assert_true(asked_of("-A PREROUTING -m rpfilter --invert -j DROP\n", elsewhere).dropped);
	assert_false(asked_of("-A PREROUTING -m rpfilter --loose --invert -j DROP\n", elsewhere)
			     .dropped);
	assert_true(asked_of("-A PREROUTING -j MARK --set-mark 1\n"
			     "-A PREROUTING -m rpfilter --validmark --invert -j DROP\n",
		syn())
			    .dropped);
	assert_false(asked_of(
		"-A PREROUTING -j MARK --set-mark 1\n"
		"-A PREROUTING -m rpfilter --loose --accept-local --validmark --invert -j DROP\n",
		syn())
			     .dropped);
}

static void tproxy_without_an_address_takes_the_links_first(void **state)
{
	struct trace trace = asked_of("-A PREROUTING -p tcp -j TPROXY --on-port 3129\n", syn());
	struct addr first = at("198.51.100.1", 3129);

	(void)state;
	assert_true(addr_equal(&trace.listener, &first));
}

static void without_its_listener_tproxy_drops_and_nft_goes_on(void **state)
{
	static const char nft[] =
		"{\"nftables\": [{\"metainfo\": {\"json_schema_version\": 1}},"
		"{\"table\": {\"family\": \"ip\", \"name\": \"t\"}},"
		"{\"chain\": {\"family\": \"ip\", \"table\": \"t\", \"name\": \"c\", \"type\": \"filter\","
		" \"hook\": \"prerouting\", \"prio\": -150, \"policy\": \"accept\"}},"
		"{\"rule\": {\"family\": \"ip\", \"table\": \"t\", \"chain\": \"c\", \"handle\": 2, \"expr\":"
		" [{\"tproxy\": {\"port\": 3129}}, {\"mangle\": {\"key\": {\"meta\": {\"key\": \"mark\"}},"
		" \"value\": 1}}, {\"drop\": null}]}}]}";
	struct ruleset ruleset = {0};
	struct packet packet = syn();

	(void)state;
	add_text(&ruleset, "text.nft.json", nft);
	assert_true(traced(&ruleset, packet).dropped);
	packet.proxy_down = true;
	assert_false(traced(&ruleset, packet).dropped);
	assert_int_equal(traced(&ruleset, packet).mark, 0);
	assert_true(asked_of("-A PREROUTING -p tcp -j TPROXY --on-port 3129\n", packet).dropped);
	ruleset_free(&ruleset);
}

static void a_limit_is_passed_until_it_is_reached(void **state)
{
	static const char lines[] =
		"-A PREROUTING -m limit --limit 2/hour --limit-burst 1 -j ACCEPT\n"
		"-A PREROUTING -j DROP\n";
	struct packet packet = syn();
	struct trace trace = asked_of(lines, packet);

	(void)state;
	assert_false(trace.dropped);
	assert_non_null(trace.limited);
	assert_int_equal(trace.rate, 0);
	packet.limits_reached = true;
	assert_true(asked_of(lines, packet).dropped);
}

static void an_unknown_match_is_unsure_only_where_it_matters(void **state)
{
	struct ruleset ruleset = rules("mangle", "ACCEPT",
		"-A PREROUTING -p udp -m u32 --u32 \"0x0=0x1\" -j DROP\n"
		"-A PREROUTING -m u32 --u32 \"0x0=0x1\" -j LOG\n"
		"-A PREROUTING -p tcp -m tcp --dport 81 -j NFQUEUE --queue-num 0\n");
	struct packet packet = syn();

	(void)state;
	assert_null(traced(&ruleset, packet).unsure);
	packet.destination = at("192.0.2.80", 81);
	assert_int_equal(traced(&ruleset, packet).unsure->number, 3);
	packet.protocol = IPPROTO_UDP;
	assert_int_equal(traced(&ruleset, packet).unsure->number, 1);
	assert_false(traced(&ruleset, packet).dropped);
	ruleset_free(&ruleset);
}

static void a_chain_returns_to_where_it_was_jumped_from(void **state)
{
	struct ruleset ruleset = rules("mangle", "DROP",
		"-A PREROUTING -j A\n-A PREROUTING -j MARK --set-xmark 0x2/0x2\n"
		"-A PREROUTING -g B\n-A PREROUTING -j ACCEPT\n"
		"-A A -j RETURN\n-A A -j DROP\n-A B -j MARK --set-xmark 0x4/0x4\n");
	struct trace trace = traced(&ruleset, syn());

	(void)state;
	assert_int_equal(trace.mark, 6);
	assert_true(trace.dropped);
	assert_null(trace.ended); /* what was gone to ends with the policy */
	ruleset_free(&ruleset);
}

static void loops_end(void **state)
{
	struct ruleset ruleset = rules("mangle", "ACCEPT",
		"-A PREROUTING -j A\n-A A -j B\n-A A -j B\n-A B -j A\n-A B -j A\n");

	(void)state;
	assert_non_null(traced(&ruleset, syn()).unsure);
	ruleset_free(&ruleset);
}

static void a_packet_without_ports_has_no_other_port_either(void **state)
{
	struct ruleset ruleset = rules("mangle", "ACCEPT",
		"-A PREROUTING -m multiport ! --dports 80 -j DROP\n"
		"-A PREROUTING -m tcp ! --syn -j DROP\n");
	struct packet packet = syn();

	(void)state;
	packet.protocol = IPPROTO_ICMP;
	assert_false(traced(&ruleset, packet).dropped);
	ruleset_free(&ruleset);
}

static void an_interface_may_be_named_by_its_beginning(void **state)
{
	struct ruleset ruleset = rules("mangle", "ACCEPT", "-A PREROUTING -i cli+ -j DROP\n");

	(void)state;
	assert_true(traced(&ruleset, syn()).dropped);
	assert_false(traced(&ruleset, syn_ack()).dropped);
	ruleset_free(&ruleset);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_walkthrough_marks_what_has_a_socket),
		cmocka_unit_test(a_type_of_icmpv6_that_is_not_known_is_unsure),
		cmocka_unit_test(what_the_kernel_sends_is_of_no_user),
		cmocka_unit_test(iptables_ignores_wildcard_listeners),
		cmocka_unit_test(nft_matches_wildcard_listeners_by_default),
		cmocka_unit_test(tproxy_names_the_listener),
		cmocka_unit_test(an_acknowledgement_without_a_socket_goes_to_tproxy),
		cmocka_unit_test(tproxy_is_completed_from_the_packet),
		cmocka_unit_test(rules_of_ipv6_apply_to_ipv6_only),
		cmocka_unit_test(nfts_tproxy_does_not_end_the_chain),
		cmocka_unit_test(a_drop_ends_it_and_an_accept_only_its_chain),
		cmocka_unit_test(tables_apply_by_priority_not_by_place),
		cmocka_unit_test(docker_changes_the_destination_of_what_begins),
		cmocka_unit_test(docker_masquerades_its_own_network_only),
		cmocka_unit_test(what_docker_does_not_know_is_not_forwarded),
		cmocka_unit_test(firewalld_lets_in_what_its_zone_allows),
		cmocka_unit_test(firewalld_masquerades_towards_the_server),
		cmocka_unit_test(ufw_drops_packets_without_a_service),
		cmocka_unit_test(wireguards_drop_is_for_its_own_address),
		cmocka_unit_test(a_mark_makes_no_address_local_for_addrtype),
		cmocka_unit_test(a_reverse_path_filter_uses_the_mark_only_if_it_is_told),
		cmocka_unit_test(tproxy_without_an_address_takes_the_links_first),
		cmocka_unit_test(without_its_listener_tproxy_drops_and_nft_goes_on),
		cmocka_unit_test(a_limit_is_passed_until_it_is_reached),
		cmocka_unit_test(an_unknown_match_is_unsure_only_where_it_matters),
		cmocka_unit_test(a_chain_returns_to_where_it_was_jumped_from),
		cmocka_unit_test(loops_end),
		cmocka_unit_test(a_packet_without_ports_has_no_other_port_either),
		cmocka_unit_test(an_interface_may_be_named_by_its_beginning),
	};

	return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
