/*
 * The checklist on datagrams in fragments: which rules reassemble them, and the fix if none does.
 */
#include "snapshots.h"

#define NFT_UDP NFT_IS("{\"meta\":{\"key\":\"l4proto\"}}", "\"udp\"")
#define NFT_ESTABLISHED                                                                            \
	"{\"match\":{\"op\":\"in\",\"left\":{\"ct\":{\"key\":\"state\"}},\"right\":"               \
	"\"established\"}}"
#define NFT_TPROXY "{\"tproxy\":{\"port\":53}}"
#define SOCKET_ALONE(family)                                                                       \
	NFT_TABLE(family, "t")                                                                     \
	NFT_CHAIN(family, "t", "pre", "prerouting", "-150", "accept")                              \
	NFT_RULE(family, "t", "pre", NFT_UDP "," NFT_SOCKET "," NFT_MARK)

#define UNKNOWN(family)  OTHER(family, NFT_IS("{\"ct\":{\"key\":\"status\"}}", "\"assured\""))
#define TRACKING(family) OTHER(family, NFT_ESTABLISHED)
#define OTHER(family, match)                                                                       \
	NFT_TABLE(family, "f")                                                                     \
	NFT_CHAIN(family, "f", "in", "input", "0", "accept")                                       \
	NFT_RULE(family, "f", "in", match "," NFT_ACCEPT)
#define WITH(name) cmocka_unit_test_setup_teardown(name, host_fresh, host_gone)

static void host_serves_datagrams(const char *listener, const char *address)
{
	host_serves(listener, SERVER4 ":53");
	host.socket_count = 0;
	host_listens(address, 53, IPPROTO_UDP);
}

/* A proxy for datagrams, on a host with these rules of nft's. */
static void datagrams_by(const char *listener, const char *address, const char *rules)
{
	host_serves_datagrams(listener, address);
	host_rules(TOOL_NFT, 0, rules);
	host_judged();
}

static void nft_socket_alone_does_not_reassemble(void **state)
{
	const struct check_finding *finding;

	(void)state;
	datagrams_by(VIP4 ":53/udp", VIP4, NFT(SOCKET_ALONE("ip")));
	assert_alone(CHECK_FRAGMENTS, CHECK_MISSING);
	finding = found_about(CHECK_FRAGMENTS, CHECK_MISSING, "IPv4");
	assert_reads(finding,
		"`ip t pre handle 7` looks up sockets, and no rule reassembles fragments first");
	assert_fixed_by_nft(finding, "insert", "ip t pre",
		"ip daddr 192.0.2.80 udp dport 53 tproxy to 192.0.2.80:53 meta mark set 0x1 accept",
		"tproxyctl-tproxy-192-0-2-80-53");
}

static void in_a_table_of_both_families_the_rule_names_the_family(void **state)
{
	(void)state;
	datagrams_by(VIP4 ":53/udp", VIP4, NFT(SOCKET_ALONE("inet")));
	assert_fixed_by_nft(found_about(CHECK_FRAGMENTS, CHECK_MISSING, "IPv4"), "insert",
		"inet t pre",
		"ip daddr 192.0.2.80 udp dport 53 tproxy ip to 192.0.2.80:53 meta mark set 0x1 "
		"accept",
		"tproxyctl-tproxy-192-0-2-80-53");
}

static void a_wildcard_listener_is_matched_by_its_port(void **state)
{
	(void)state;
	datagrams_by("0.0.0.0:53/udp", "0.0.0.0", NFT(SOCKET_ALONE("ip")));
	assert_fixed_by_nft(found_about(CHECK_FRAGMENTS, CHECK_MISSING, "IPv4"), "insert",
		"ip t pre", "udp dport 53 tproxy to :53 meta mark set 0x1 accept",
		"tproxyctl-tproxy-0-0-0-0-53");
}

static void a_tproxy_rule_anywhere_reassembles(void **state)
{
	(void)state;
	datagrams_by(VIP4 ":53/udp", VIP4,
		NFT(SOCKET_ALONE("ip")
				NFT_RULE("ip", "t", "pre", NFT_UDP "," NFT_TPROXY "," NFT_MARK)));
	assert_well();
	found_about(CHECK_FRAGMENTS, CHECK_OK, "IPv4");
}

static void connection_tracking_reassembles_in_its_own_family(void **state)
{
	(void)state;
	datagrams_by(VIP4 ":53/udp", VIP4, NFT(SOCKET_ALONE("ip") "," TRACKING("inet")));
	assert_well();
	found_about(CHECK_FRAGMENTS, CHECK_OK, "IPv4");
	host_rules(TOOL_NFT, 0, NFT(SOCKET_ALONE("ip") "," TRACKING("ip6")));
	host_judged();
	assert_alone(CHECK_FRAGMENTS, CHECK_MISSING);
}

static void an_unsupported_match_may_reassemble(void **state)
{
	(void)state;
	datagrams_by(VIP4 ":53/udp", VIP4, NFT(SOCKET_ALONE("ip") "," UNKNOWN("inet")));
	assert_well();
	assert_reads(found_about(CHECK_FRAGMENTS, CHECK_UNKNOWN, "IPv4"),
		"`ip t pre handle 7` looks up sockets, and no rule that check understands reassembles fragments first");
}

static void the_socket_match_of_iptables_reassembles(void **state)
{
	(void)state;
	host_serves_datagrams(VIP4 ":53/udp", VIP4);
	host_rules(TOOL_IPTABLES, AF_INET,
		MANGLE("-A PREROUTING -p udp -m socket --transparent " MARKED));
	host_judged();
	assert_well();
	assert_reads(found(CHECK_FRAGMENTS, CHECK_OK),
		"the rule that diverts datagrams reassembles fragments first");
}

static void tcp_is_not_judged(void **state)
{
	(void)state;
	host_rules(TOOL_NFT, 0,
		NFT(NFT_TABLE("ip", "t") NFT_CHAIN("ip", "t", "pre", "prerouting", "-150", "accept")
				NFT_RULE("ip", "t", "pre", NFT_TCP "," NFT_SOCKET "," NFT_MARK)));
	host_judged();
	assert_well();
	assert_reads(found(CHECK_FRAGMENTS, CHECK_OK), "the proxy does not serve UDP");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(nft_socket_alone_does_not_reassemble),
		WITH(in_a_table_of_both_families_the_rule_names_the_family),
		WITH(a_wildcard_listener_is_matched_by_its_port),
		WITH(a_tproxy_rule_anywhere_reassembles),
		WITH(connection_tracking_reassembles_in_its_own_family),
		WITH(an_unsupported_match_may_reassemble),
		WITH(the_socket_match_of_iptables_reassembles),
		WITH(tcp_is_not_judged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
