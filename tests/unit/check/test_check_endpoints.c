/*
 * The clients that the checklist simulates if the user names none: one behind each link, in the link's
 * network; and the sources of the proxy's connections to its servers.
 */
#include "snapshots.h"
#include "tproxy/text.h"

#include <stdlib.h>
#include <string.h>

#define LOCAL "{\"type\":\"2\",\"dst\":\"default\",\"dev\":\"lo\",\"table\":\"100\"},"

/* One link to clients, whose network is NET, and which has the host's address OWN. */
static void one_link(int which, const char *own, const char *net)
{
	static char *text[2];

	free(text[0]);
	free(text[1]);
	text[0] = text_format("[{\"ifname\":\"lo\",\"flags\":[\"UP\"]},{\"ifname\":\"client0\","
			      "\"flags\":[\"UP\"],\"addr_info\":[{\"local\":\"%s\","
			      "\"prefixlen\":%s}]}]",
		own, strchr(net, '/') + 1);
	text[1] = text_format("[" LOCAL "{\"dst\":\"%.*s%s\",\"dev\":\"client0\"}]",
		(int)strcspn(net, "/"), net,
		strcmp(strchr(net, '/'), which == SIX ? "/128" : "/32") == 0 ? ""
									     : strchr(net, '/'));
	host.links = text[0];
	host.routes[which] = text[1];
	host.service.server_count = 0;
	host.service.spoofs = false;
	host_judged();
}

static void assert_clients(const char *clients)
{
	char *line = text_format("name yours with --client): %s\n", clients);

	if (strstr(host.report.scope, line) == NULL)
		fail_msg("the clients are not %s in\n%s", clients, host.report.scope);
	free(line);
}

static void assert_client(int which, const char *own, const char *net, const char *client)
{
	one_link(which, own, net);
	assert_clients(client);
	assert_state(CHECK_DIVERT, CHECK_OK);
}

static void a_client_is_in_the_network_of_its_link(void **state)
{
	(void)state;
	assert_client(FOUR, "198.51.100.1", "198.51.100.0/24", "198.51.100.10");
	assert_client(FOUR, "198.51.100.10", "198.51.100.0/24", "198.51.100.11");
	assert_client(FOUR, "198.51.100.65", "198.51.100.64/27", "198.51.100.74");
	assert_client(FOUR, "198.51.100.30", "198.51.100.16/28", "198.51.100.17");
	assert_client(FOUR, "198.51.0.1", "198.51.0.0/16", "198.51.0.10");
}

static void a_client_is_in_a_small_network_too(void **state)
{
	(void)state;
	assert_client(FOUR, "198.51.100.9", "198.51.100.8/29", "198.51.100.10");
	assert_client(FOUR, "198.51.100.12", "198.51.100.8/29", "198.51.100.9");
	assert_client(FOUR, "198.51.100.5", "198.51.100.4/30", "198.51.100.6");
	assert_client(FOUR, "198.51.100.6", "198.51.100.4/30", "198.51.100.5");
	assert_client(FOUR, "198.51.100.6", "198.51.100.6/31", "198.51.100.7");
	assert_client(FOUR, "198.51.100.7", "198.51.100.6/31", "198.51.100.6");
	assert_client(FOUR, "198.51.100.7", "198.51.100.99/32", "198.51.100.99");
}

static void a_client_is_in_a_small_ipv6_network_too(void **state)
{
	(void)state;
	host_serves_ipv6();
	assert_client(SIX, "2001:db8:c::9", "2001:db8:c::8/125", "2001:db8:c::a");
	assert_client(SIX, "2001:db8:c::6", "2001:db8:c::4/126", "2001:db8:c::5");
	assert_client(SIX, "2001:db8:c::6", "2001:db8:c::6/127", "2001:db8:c::7");
	assert_client(SIX, "2001:db8:c::7", "2001:db8:c::6/127", "2001:db8:c::6");
	assert_client(SIX, "2001:db8:c::7", "2001:db8:c::99/128", "2001:db8:c::99");
}

static void no_client_has_an_address_that_is_served(void **state)
{
	(void)state;
	host_serves("198.51.100.10:80", NULL);
	host.socket_count = 0;
	host_listens("198.51.100.10", 80, IPPROTO_TCP);
	assert_client(FOUR, "198.51.100.1", "198.51.100.0/24", "198.51.100.11");
}

static void a_network_without_room_has_no_client(void **state)
{
	(void)state;
	one_link(FOUR, "198.51.100.7", "198.51.100.7/32");
	assert_state(CHECK_DIVERT, CHECK_UNKNOWN);
	assert_int_equal(found(CHECK_DIVERT, CHECK_UNKNOWN)->remedy, REMEDY_CLIENT);
}

static void behind_a_default_route_is_a_client_that_no_other_link_leads_to(void **state)
{
	(void)state;
	host.routes[FOUR] = "[" LOCAL "{\"dst\":\"198.51.100.0/24\",\"dev\":\"server0\"},"
			    "{\"dst\":\"default\",\"dev\":\"client0\"}]";
	host.service.server_count = 0;
	host.service.spoofs = false;
	host_judged();
	assert_clients("198.51.100.10, 192.0.2.10");
}

/* --- sources of connections to servers --- */

/* The walk-through's proxy with another `source`, on the host as the test has it. */
static void judge_with(const char *source)
{
	char *text = text_format(
		"listen l\n bind " VIP4 ":80 transparent\n %s\n server s " SERVER4 ":80\n", source);
	struct diag *diag = diag_new();
	struct config *config = config_parse("test", text, strlen(text), diag);

	assert_non_null(config);
	service_free(&host.service);
	service_add_config(&host.service, config, "test");
	host_judged();
	config_free(config);
	diag_free(diag);
	free(text);
}

#define FOREIGN "source 0.0.0.0 usesrc 192.0.2.77"

static void a_fixed_source_is_simulated_like_a_clients(void **state)
{
	(void)state;
	judge_with(FOREIGN);
	assert_well();
	found_about(CHECK_DIVERT, CHECK_OK, ANSWERS4);
	found(CHECK_NAT_SOURCE, CHECK_OK);
	assert_non_null(strstr(found(CHECK_RETURN_PATH, CHECK_UNKNOWN)->read,
		"On the server, `ip route get 192.0.2.77` has to lead to 203.0.113.1"));
}

static void answers_to_a_fixed_source_have_to_be_diverted(void **state)
{
	(void)state;
	host_rules(TOOL_IPTABLES, AF_INET,
		MANGLE("-A PREROUTING -i client0 -p tcp -m socket --transparent " MARKED));
	judge_with(FOREIGN);
	assert_alone(CHECK_DIVERT, CHECK_MISSING);
	found_about(CHECK_DIVERT, CHECK_MISSING, ANSWERS4);
}

/* The table delivers what is for the listener and for clients, and not what is for the source. */
static void answers_to_a_fixed_source_are_for_that_address(void **state)
{
	(void)state;
	host.routes[FOUR] = "[{\"type\":\"2\",\"dst\":\"192.0.2.80\",\"dev\":\"lo\",\"table\":"
			    "\"100\"},{\"type\":\"2\",\"dst\":\"198.51.100.0/24\",\"dev\":\"lo\","
			    "\"table\":\"100\"},{\"dst\":\"198.51.100.0/24\",\"dev\":\"client0\"},"
			    "{\"dst\":\"203.0.113.0/24\",\"dev\":\"server0\"}]";
	judge_with("source 0.0.0.0 usesrc clientip");
	assert_well();
	judge_with(FOREIGN);
	assert_alone(CHECK_IP_ROUTE, CHECK_MISSING);
}

static void a_masquerade_replaces_a_fixed_source_too(void **state)
{
	(void)state;
	host_more_rules(TOOL_IPTABLES, AF_INET, NAT("-A POSTROUTING -o server0 -j MASQUERADE\n"));
	judge_with(FOREIGN);
	assert_alone(CHECK_NAT_SOURCE, CHECK_HARMFUL);
	judge_with("");
	assert_well();
}

static void a_fixed_source_is_known_without_a_client(void **state)
{
	(void)state;
	host.routes[FOUR] = "[" LOCAL "{\"dst\":\"203.0.113.20\",\"dev\":\"server0\"}]";
	host_sysctl("net/ipv4/ip_forward", "1");
	judge_with(FOREIGN);
	found_about(CHECK_DIVERT, CHECK_OK, ANSWERS4);
	assert_well();
}

#define WITH(name) cmocka_unit_test_setup_teardown(name, host_fresh, host_gone)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(a_client_is_in_the_network_of_its_link),
		WITH(a_client_is_in_a_small_network_too),
		WITH(a_client_is_in_a_small_ipv6_network_too),
		WITH(no_client_has_an_address_that_is_served),
		WITH(a_network_without_room_has_no_client),
		WITH(behind_a_default_route_is_a_client_that_no_other_link_leads_to),
		WITH(a_fixed_source_is_simulated_like_a_clients),
		WITH(answers_to_a_fixed_source_have_to_be_diverted),
		WITH(answers_to_a_fixed_source_are_for_that_address),
		WITH(a_masquerade_replaces_a_fixed_source_too),
		WITH(a_fixed_source_is_known_without_a_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
