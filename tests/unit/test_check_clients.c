/*
 * Which clients the checklist thinks of where the user names none: one behind each link, in its network.
 */
#include "situations.h"
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
	host.needs.server_count = 0;
	host.needs.spoofs = false;
	host_judged();
}

static void assert_clients(const char *clients)
{
	char *line = text_format("--client names others): %s\n", clients);

	if (strstr(host.report.about, line) == NULL)
		fail_msg("the clients are not %s in\n%s", clients, host.report.about);
	free(line);
}

static void assert_thought_of(int which, const char *own, const char *net, const char *client)
{
	one_link(which, own, net);
	assert_clients(client);
	assert_state(CHECK_DIVERT, CHECK_OK);
}

static void a_client_is_in_the_network_of_its_link(void **state)
{
	(void)state;
	assert_thought_of(FOUR, "198.51.100.1", "198.51.100.0/24", "198.51.100.10");
	assert_thought_of(FOUR, "198.51.100.10", "198.51.100.0/24", "198.51.100.11");
	assert_thought_of(FOUR, "198.51.100.65", "198.51.100.64/27", "198.51.100.74");
	assert_thought_of(FOUR, "198.51.100.30", "198.51.100.16/28", "198.51.100.17");
	assert_thought_of(FOUR, "198.51.0.1", "198.51.0.0/16", "198.51.0.10");
}

static void so_it_is_in_a_small_network(void **state)
{
	(void)state;
	assert_thought_of(FOUR, "198.51.100.9", "198.51.100.8/29", "198.51.100.10");
	assert_thought_of(FOUR, "198.51.100.12", "198.51.100.8/29", "198.51.100.9");
	assert_thought_of(FOUR, "198.51.100.5", "198.51.100.4/30", "198.51.100.6");
	assert_thought_of(FOUR, "198.51.100.6", "198.51.100.4/30", "198.51.100.5");
	assert_thought_of(FOUR, "198.51.100.6", "198.51.100.6/31", "198.51.100.7");
	assert_thought_of(FOUR, "198.51.100.7", "198.51.100.6/31", "198.51.100.6");
	assert_thought_of(FOUR, "198.51.100.7", "198.51.100.99/32", "198.51.100.99");
}

static void so_it_is_in_a_small_network_of_ipv6(void **state)
{
	(void)state;
	host_serves_ipv6();
	assert_thought_of(SIX, "2001:db8:c::9", "2001:db8:c::8/125", "2001:db8:c::a");
	assert_thought_of(SIX, "2001:db8:c::6", "2001:db8:c::4/126", "2001:db8:c::5");
	assert_thought_of(SIX, "2001:db8:c::6", "2001:db8:c::6/127", "2001:db8:c::7");
	assert_thought_of(SIX, "2001:db8:c::7", "2001:db8:c::6/127", "2001:db8:c::6");
	assert_thought_of(SIX, "2001:db8:c::7", "2001:db8:c::99/128", "2001:db8:c::99");
}

static void no_client_has_an_address_that_is_served(void **state)
{
	(void)state;
	host_serves("198.51.100.10:80", NULL);
	host.socket_count = 0;
	host_listens("198.51.100.10", 80, IPPROTO_TCP);
	assert_thought_of(FOUR, "198.51.100.1", "198.51.100.0/24", "198.51.100.11");
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
	host.needs.server_count = 0;
	host.needs.spoofs = false;
	host_judged();
	assert_clients("198.51.100.10, 192.0.2.10");
}

#define WITH(name) cmocka_unit_test_setup_teardown(name, host_fresh, host_gone)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(a_client_is_in_the_network_of_its_link),
		WITH(so_it_is_in_a_small_network),
		WITH(so_it_is_in_a_small_network_of_ipv6),
		WITH(no_client_has_an_address_that_is_served),
		WITH(a_network_without_room_has_no_client),
		WITH(behind_a_default_route_is_a_client_that_no_other_link_leads_to),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
