/*
 * What follows for the profiles from what was found, and the rules that are loaded to find it.
 */
#include "prove/prove.h"
#include "prove/scratch_rules.h"
#include "unit.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static struct proof *proof;

static int begin(void **state)
{
	(void)state;
	proof = calloc(1, sizeof(*proof));
	return proof == NULL;
}

static int end(void **state)
{
	(void)state;
	free(proof);
	return 0;
}

static bool is_for(const struct connection_recipe *recipe, int tool)
{
	return tool == -1 ? recipe->tools == 0 : (recipe->tools >> tool & 1) != 0;
}

static struct connection *add(const char *recipe, int tool, int family)
{
	struct connection *made = &proof->connections[proof->connection_count++];

	made->tool = tool;
	made->family = family;
	for (size_t i = 0; i < connection_recipe_count; i++)
		if (strcmp(connection_recipes[i].name, recipe) == 0 &&
			is_for(&connection_recipes[i], tool))
			made->recipe = &connection_recipes[i];
	assert_non_null(made->recipe);
	return made;
}

static void make_work(struct connection *connection)
{
	connection->state = CONNECTION_WORKS;
	connection->listener_reached = true;
	connection->client_seen = connection->recipe->spoofs;
}

/* The profiles that work, as letters in their order. */
static const char *provable(void)
{
	static char letters[PROFILES + 1];
	size_t count = 0;

	for (int i = 0; i < PROFILES; i++)
		if (profile_is_provable(proof, (enum profile)i))
			letters[count++] = "bsfiu6"[i];
	letters[count] = '\0';
	return letters;
}

static void nothing_found_proves_nothing(void **state)
{
	(void)state;
	assert_string_equal(provable(), "");
	add("divert", TOOL_IPTABLES, AF_INET);
	assert_string_equal(provable(), "");
}

static void one_firewall_tool_is_enough(void **state)
{
	(void)state;
	add("divert", TOOL_IPTABLES, AF_INET)->state = CONNECTION_FAILED;
	make_work(add("divert", TOOL_LEGACY, AF_INET));
	assert_string_equal(provable(), "bsf");
}

static void a_local_route_is_good_for_binding_alone(void **state)
{
	(void)state;
	make_work(add("local-route", -1, AF_INET));
	assert_string_equal(provable(), "b");
}

static bool is_needed(const struct connection *connection, enum capability_name name)
{
	enum capability_name needed[CONNECTION_CAPABILITIES_MAX];
	size_t count = connection_capabilities(connection, needed);

	for (size_t i = 0; i < count; i++)
		if (needed[i] == name)
			return true;
	return false;
}

static void only_packet_rules_need_a_table_of_their_own(void **state)
{
	const struct connection *plain = add("local-route", -1, AF_INET);
	const struct connection *marked = add("udp", TOOL_NFT, AF_INET);

	(void)state;
	assert_false(is_needed(plain, CAPABILITY_LOCAL_ROUTE));
	assert_false(is_needed(plain, CAPABILITY_POLICY_RULE));
	assert_true(is_needed(plain, CAPABILITY_TRANSPARENT));
	assert_true(is_needed(marked, CAPABILITY_LOCAL_ROUTE));
	assert_true(is_needed(marked, CAPABILITY_POLICY_RULE));
}

static void nft_needs_tproxy_for_datagrams_in_fragments(void **state)
{
	enum capability_name tproxy = capability_of_rules(TOOL_NFT, RULES_TPROXY);

	(void)state;
	assert_true(is_needed(add("udp", TOOL_NFT, AF_INET), tproxy));
	assert_false(is_needed(add("divert", TOOL_NFT, AF_INET), tproxy));
	assert_false(is_needed(add("udp", TOOL_IPTABLES, AF_INET),
		capability_of_rules(TOOL_IPTABLES, RULES_TPROXY)));
}

static void a_side_alone_proves_its_own_profile(void **state)
{
	struct connection *connection = add("nft", TOOL_NFT, AF_INET);

	(void)state;
	connection->state = CONNECTION_FAILED;
	connection->client_seen = true;
	assert_string_equal(provable(), "s");
}

static void each_kind_proves_its_own(void **state)
{
	(void)state;
	make_work(add("intercept", TOOL_NFT, AF_INET));
	assert_string_equal(provable(), "i");
	make_work(add("udp-intercept", TOOL_NFT, AF_INET));
	assert_string_equal(provable(), "i");
	make_work(add("udp", TOOL_NFT, AF_INET));
	assert_string_equal(provable(), "iu");
	make_work(add("udp", TOOL_NFT, AF_INET6));
	assert_string_equal(provable(), "iu");
	make_work(add("nft", TOOL_NFT, AF_INET6));
	assert_string_equal(provable(), "iu6");
}

static void a_profiles_options_are_those_of_what_it_lacks(void **state)
{
	const char *options[PROVE_OPTIONS_MAX];
	enum capability_name tproxy = capability_of_rules(TOOL_NFT, RULES_TPROXY);

	(void)state;
	add("divert", TOOL_IPTABLES, AF_INET);
	add("nft", TOOL_NFT, AF_INET);
	for (int i = RULES_TABLE; i < RULES_TPROXY; i++)
		findings_set_result(&proof->findings,
			capability_of_rules(TOOL_NFT, (enum rules_feature)i), AF_INET, 0);
	findings_set_message(&proof->findings, tproxy, AF_INET, "No such file or directory");
	findings_set_message(
		&proof->findings, CAPABILITY_NAT, AF_INET, "No such file or directory");
	assert_int_equal(proof_options(proof, PROFILE_FULL, options), 1);
	assert_string_equal(options[0], "CONFIG_NFT_TPROXY");
	assert_int_equal(proof_options(proof, PROFILE_UDP, options), 0);
	/* What is optional is no reason to build a kernel. */
	assert_int_equal(proof_options(proof, PROFILES, options), 1);
}

static void profiles_have_names(void **state)
{
	(void)state;
	assert_int_equal(profile_of("full"), PROFILE_FULL);
	assert_int_equal(profile_of("ipv6"), PROFILE_IPV6);
	assert_int_equal(profile_of("operations"), -1);
}

static void rules_are_the_walk_throughs(void **state)
{
	char text[SCRATCH_RULES_TEXT_MAX];

	(void)state;
	scratch_rules_text(TOOL_IPTABLES, AF_INET, ~0U, text);
	assert_memory_equal(text, "*mangle\n:DIVERT - [0:0]\n", 23);
	assert_non_null(strstr(text, "\n-A PREROUTING -p tcp -m socket -j DIVERT\n"));
	assert_non_null(strstr(text, "\n-A DIVERT -j MARK --set-mark 1\n-A DIVERT -j ACCEPT\n"));
	assert_non_null(strstr(text, "\nCOMMIT\n"));
	assert_null(strpbrk(text, "@$&"));
}

static void rules_that_need_what_is_missing_are_left_out(void **state)
{
	char text[SCRATCH_RULES_TEXT_MAX];
	unsigned features = 1U << RULES_TABLE | 1U << RULES_SOCKET | 1U << RULES_MARK;

	(void)state;
	for (int tool = 0; tool < FIREWALL_TOOLS; tool++) {
		scratch_rules_text((enum firewall_tool)tool, AF_INET6, features, text);
		assert_null(strcasestr(text, "tproxy"));
		assert_non_null(strstr(text, "socket"));
		scratch_rules_text((enum firewall_tool)tool, AF_INET6, ~0U, text);
		assert_non_null(strcasestr(text, "tproxy"));
		assert_non_null(strstr(text, "2001:db8:f::80"));
		assert_null(strstr(text, "192.0.2."));
	}
}

static void nft_writes_an_address_before_a_port_in_brackets(void **state)
{
	char text[SCRATCH_RULES_TEXT_MAX];

	(void)state;
	scratch_rules_text(TOOL_NFT, AF_INET6, ~0U, text);
	assert_non_null(strstr(text, "add rule ip6 transparent PREROUTING ip6 daddr 2001:db8:f::80 "
				     "tcp dport 81 tproxy to [2001:db8:f::80]:8081 "));
	scratch_rules_text(TOOL_NFT, AF_INET, ~0U, text);
	assert_non_null(strstr(text, "tproxy to 192.0.2.80:8081 "));
}

static void a_recipe_needs_what_it_is_made_of(void **state)
{
	enum capability_name needed[CONNECTION_CAPABILITIES_MAX];
	struct connection *connection = add("udp", TOOL_LEGACY, AF_INET6);
	size_t count = connection_capabilities(connection, needed);

	(void)state;
	assert_int_equal(needed[0], CAPABILITY_IPV6);
	assert_int_equal(needed[count - 1], capability_of_rules(TOOL_LEGACY, RULES_MARK));
	for (size_t i = 0; i < connection_recipe_count; i++)
		for (int tool = 0; tool < FIREWALL_TOOLS; tool++) {
			connection->recipe = &connection_recipes[i];
			connection->tool = tool;
			assert_in_range(connection_capabilities(connection, needed), 1,
				CONNECTION_CAPABILITIES_MAX);
		}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_found_proves_nothing),
		TEST(one_firewall_tool_is_enough),
		TEST(a_local_route_is_good_for_binding_alone),
		TEST(only_packet_rules_need_a_table_of_their_own),
		TEST(nft_needs_tproxy_for_datagrams_in_fragments),
		TEST(a_side_alone_proves_its_own_profile),
		TEST(each_kind_proves_its_own),
		TEST(a_profiles_options_are_those_of_what_it_lacks),
		TEST(profiles_have_names),
		TEST(rules_are_the_walk_throughs),
		TEST(rules_that_need_what_is_missing_are_left_out),
		TEST(nft_writes_an_address_before_a_port_in_brackets),
		TEST(a_recipe_needs_what_it_is_made_of),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
