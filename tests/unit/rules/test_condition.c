/*
 * Conditions: each as it stands in a file, and whether it holds for a connection.
 */
#include "unit.h"

#include "tproxy/config.h"

#include <stdlib.h>

#define HEAD "defaults\n timeout client 1s\n timeout connect 1s\n timeout server 1s\n"
#define TAIL "backend b\n server x 192.0.2.1:80\n server y 192.0.2.2:80\nbackend none\n"

/* Reads a frontend whose lines are LINES and that ends with `use_backend b CONDITION`. */
static struct config *read_condition(const char *lines, const char *condition)
{
	struct diag *diag = diag_new();
	struct config *config;
	char *text;

	assert_return_code(asprintf(&text, HEAD "frontend f\n bind :80\n%s use_backend b %s\n" TAIL,
				   lines, condition),
		0);
	config = config_parse("test", text, strlen(text), diag);
	if (config == NULL)
		diag_print(diag, stderr);
	assert_non_null(config);
	diag_free(diag);
	free(text);
	return config;
}

static unsigned count_servers(void *context, const struct proxy *backend)
{
	(void)context;
	return (unsigned)backend->server_count;
}

static struct addr endpoint(const char *address, uint16_t port)
{
	struct addr addr;

	assert_true(addr_parse(&addr, address));
	addr_set_port(&addr, port);
	return addr;
}

/* A connection from 198.51.100.7:1023 to 192.0.2.80:443. */
static bool holds(const char *lines, const char *condition)
{
	struct connection_facts facts = {.source = endpoint("198.51.100.7", 1023),
		.destination = endpoint("192.0.2.80", 443),
		.usable_servers = count_servers};
	struct config *config = read_condition(lines, condition);
	bool result =
		condition_holds(&config->proxies[0].rules[STAGE_BACKEND].list[0].condition, &facts);

	config_free(config);
	return result;
}

static void each_test_looks_at_its_subject(void **state)
{
	(void)state;
	assert_true(holds("", "if { src 198.51.100.7 }"));
	assert_true(holds("", "if { src 203.0.113.1 198.51.100.0/24 }"));
	assert_false(holds("", "if { src 192.0.2.80 }"));
	assert_true(holds("", "if { dst 192.0.2.80 }"));
	assert_false(holds("", "if { dst 198.51.100.7 }"));
	assert_true(holds("", "if { src_port 1023 }"));
	assert_false(holds("", "if { src_port 443 }"));
	assert_true(holds("", "if { dst_port 443 }"));
	assert_false(holds("", "if { dst_port 1023 }"));
	assert_true(holds("", "if { nbsrv(b) 2 }"));
	assert_true(holds("", "if { nbsrv(none) 0 }"));
	assert_true(holds("", "if { always_true }"));
	assert_false(holds("", "if { always_false }"));
	assert_true(holds("", "if TRUE"));
	assert_false(holds("", "if FALSE"));
	assert_false(holds("", "if LOCALHOST"));
}

static void numbers_are_ranges_or_compared(void **state)
{
	(void)state;
	assert_true(holds("", "if { src_port 1000:1023 }"));
	assert_false(holds("", "if { src_port 1024:2000 }"));
	assert_true(holds("", "if { src_port :1023 }"));
	assert_true(holds("", "if { src_port 1023: }"));
	assert_false(holds("", "if { src_port 1024: }"));
	assert_true(holds("", "if { src_port eq 1 1023 }"));
	assert_true(holds("", "if { src_port ge 1023 }"));
	assert_false(holds("", "if { src_port gt 1023 }"));
	assert_true(holds("", "if { src_port gt 1022 }"));
	assert_true(holds("", "if { src_port le 1023 }"));
	assert_false(holds("", "if { src_port lt 1023 }"));
	assert_true(holds("", "if { src_port lt 1024 }"));
	assert_false(holds("", "if { src_port lt 0 }"));
	assert_true(holds("", "if { src_port gt 5000 lt 1024 }")); /* one of the values is enough */
	assert_false(holds("", "if { src_port gt 5000 4000 lt 1000 }"));
	assert_true(holds("", "if { src_port gt 5000 eq 1000:1023 }"));
}

static void terms_are_joined_by_and_and_alternatives_by_or(void **state)
{
	static const char acls[] = " acl yes always_true\n acl no always_false\n";

	(void)state;
	assert_true(holds(acls, "if yes"));
	assert_false(holds(acls, "if no"));
	assert_false(holds(acls, "unless yes"));
	assert_true(holds(acls, "unless no"));
	assert_true(holds(acls, "if !no"));
	assert_true(holds(acls, "if ! no"));
	assert_true(holds(acls, "if !!yes"));
	assert_false(holds(acls, "if ! !no"));
	assert_true(holds(acls, "if !{ always_false }"));
	assert_false(holds(acls, "if yes no"));
	assert_true(holds(acls, "if yes !no"));
	assert_true(holds(acls, "if no or yes"));
	assert_true(holds(acls, "if yes no || yes yes"));
	assert_true(holds(acls, "if yes OR no"));
	assert_false(holds(acls, "if yes no or no yes"));
	assert_true(holds(acls, "if no or no or yes"));
	assert_false(holds(acls, "unless no or !no no or yes"));
	assert_true(holds(acls, "if no yes or !no"));
}

static void lines_of_one_name_are_alternatives_wherever_they_stand(void **state)
{
	(void)state;
	assert_true(holds(" acl a src 203.0.113.1\n acl a dst_port 443\n", "if a"));
	assert_false(holds(" acl a src 203.0.113.1\n acl a dst_port 80\n", "if a"));
	assert_true(holds(" acl a src 203.0.113.1\n", "if a\n acl a dst_port 443"));
	assert_true(holds(" acl A always_true\n acl a always_false\n", "if A !a"));
	assert_false(holds(" acl TRUE always_false\n", "if TRUE"));
}

static void values_come_from_files_and_from_the_line(void **state)
{
	(void)state;
	assert_false(holds("", "if { src -f fixtures/config/networks.txt }"));
	assert_true(holds("", "if { src -f fixtures/config/networks.txt 198.51.100.7 }"));
	assert_true(holds("", "if { src -n -f fixtures/config/networks.txt -- 198.51.100.7 }"));
}

static void what_a_file_says_is_looked_up(void **state)
{
	struct config *config = read_condition("", "if { src -f fixtures/config/networks.txt }");
	const struct condition *condition =
		&config->proxies[0].rules[STAGE_BACKEND].list[0].condition;
	static const struct {
		const char *address;
		bool inside;
	} rows[] = {{"203.0.113.15", true}, {"203.0.113.16", false}, {"203.0.113.99", true},
		{"2001:db8:bad::1", true}, {"2001:db8:bae::1", false}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct connection_facts facts = {.source = endpoint(rows[i].address, 1)};

		assert_int_equal(condition_holds(condition, &facts), rows[i].inside);
	}
	config_free(config);
}

static void what_is_not_known_passes_no_test(void **state)
{
	struct connection_facts facts = {.source = endpoint("198.51.100.7", 1023)};
	struct config *config = read_condition("", "if { dst 0.0.0.0/0 } or { dst_port 0:65535 }");

	(void)state;
	assert_false(condition_holds(
		&config->proxies[0].rules[STAGE_BACKEND].list[0].condition, &facts));
	config_free(config);
	config = read_condition("", "if !{ dst 0.0.0.0/0 }");
	assert_true(condition_holds(
		&config->proxies[0].rules[STAGE_BACKEND].list[0].condition, &facts));
	config_free(config);
}

static void a_rule_without_a_condition_always_applies(void **state)
{
	(void)state;
	assert_true(holds("", ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_test_looks_at_its_subject),
		cmocka_unit_test(numbers_are_ranges_or_compared),
		cmocka_unit_test(terms_are_joined_by_and_and_alternatives_by_or),
		cmocka_unit_test(lines_of_one_name_are_alternatives_wherever_they_stand),
		cmocka_unit_test(values_come_from_files_and_from_the_line),
		cmocka_unit_test(what_a_file_says_is_looked_up),
		cmocka_unit_test(what_is_not_known_passes_no_test),
		cmocka_unit_test(a_rule_without_a_condition_always_applies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
