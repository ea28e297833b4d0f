/*
 * Names of servers: which texts are names, and what the configuration makes of them.
 */
#include "unit.h"

#include "tproxy/config.h"
#include "tproxy/lookup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned asked;
static int asked_family;

/* Knows three names. */
static const char *look_up(void *context, const char *name, int family, struct addr *found)
{
	assert_ptr_equal(context, &asked);
	asked++;
	asked_family = family;
	if (strcmp(name, "db.example.org") == 0 && addr_parse(found, "192.0.2.7"))
		return NULL;
	if (strcmp(name, "six.example.org") == 0 && addr_parse(found, "2001:db8::7"))
		return NULL;
	if (strcmp(name, "blocked.example.org") == 0 && addr_parse(found, "0.0.0.0"))
		return NULL;
	return "no such name";
}

static int set_up(void **state)
{
	(void)state;
	asked = 0;
	lookup_use(look_up, &asked);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	lookup_use(NULL, NULL);
	return 0;
}

static void note(void *context, enum diag_severity severity, const char *text)
{
	char *messages = context;

	(void)severity;
	snprintf(messages + strlen(messages), 1024 - strlen(messages), "%s", text);
}

/* Reads a section with one SERVER line. MESSAGES has room for 1024 bytes. */
static struct config *read_server(const char *server, char *messages)
{
	struct diag *diag = diag_new();
	struct config *config;
	char *text;

	assert_return_code(
		asprintf(&text,
			"listen l\n bind :80\n timeout client 1s\n timeout connect 1s\n timeout server 1s\n %s\n",
			server),
		0);
	config = config_parse("test", text, strlen(text), diag);
	messages[0] = '\0';
	diag_report(diag, note, messages);
	diag_free(diag);
	free(text);
	return config;
}

static void assert_address(const char *line, const char *expected)
{
	char messages[1024], text[ADDR_TEXT_MAX];
	struct config *config = read_server(line, messages);

	assert_string_equal(messages, "");
	assert_non_null(config);
	assert_string_equal(addr_format(&config->proxies[0].servers[0].address, text), expected);
	assert_false(config->proxies[0].servers[0].disabled);
	config_free(config);
}

static void assert_messages(const char *line, bool good, const char *expected)
{
	char messages[1024];
	struct config *config = read_server(line, messages);

	assert_string_equal(messages, expected);
	assert_int_equal(config != NULL, good);
	config_free(config);
}

static void a_name_has_a_letter_in_its_last_part(void **state)
{
	(void)state;
	assert_true(lookup_is_name("localhost"));
	assert_true(lookup_is_name("db_1.example.org"));
	assert_true(lookup_is_name("10.in-addr.arpa."));
	assert_true(lookup_is_name("3com"));
	assert_false(lookup_is_name("192.0.2.1"));
	assert_false(lookup_is_name("192.0.2"));
	assert_false(lookup_is_name("1e3.1"));
	assert_false(lookup_is_name("a b"));
	assert_false(lookup_is_name("a:b"));
	assert_false(lookup_is_name(""));
	assert_false(lookup_is_name("*"));
}

static void a_name_is_looked_up_with_its_port_kept(void **state)
{
	(void)state;
	assert_address("server a db.example.org:5432", "192.0.2.7:5432");
	assert_int_equal(asked_family, AF_UNSPEC);
	assert_address("server a db.example.org", "192.0.2.7:0");
	assert_address("server a six.example.org:80", "[2001:db8::7]:80");
	assert_int_equal(asked, 3);
}

static void a_prefix_says_the_family(void **state)
{
	(void)state;
	assert_address("server a ipv4@db.example.org:80", "192.0.2.7:80");
	assert_int_equal(asked_family, AF_INET);
	assert_address("server a ipv6@six.example.org:80", "[2001:db8::7]:80");
	assert_int_equal(asked_family, AF_INET6);
}

static void a_template_looks_its_name_up_once(void **state)
{
	(void)state;
	assert_address("server-template a 9 db.example.org:80", "192.0.2.7:80");
	assert_int_equal(asked, 1);
}

static void the_model_says_that_it_has_names(void **state)
{
	char messages[1024];
	struct config *config = read_server("server a db.example.org:80", messages);

	(void)state;
	assert_true(config->has_names);
	assert_string_equal(config->proxies[0].servers[0].host, "db.example.org");
	config_free(config);
	config = read_server("server a 192.0.2.1:80", messages);
	assert_false(config->has_names);
	assert_null(config->proxies[0].servers[0].host);
	config_free(config);
	assert_int_equal(asked, 1);
}

static void a_name_that_is_not_found_is_an_error(void **state)
{
	(void)state;
	assert_messages("server a other.example.org:80", false,
		"test:6: error: 'other.example.org': cannot be looked up: no such name");
}

static void a_wildcard_is_no_servers_address(void **state)
{
	(void)state;
	assert_messages("server a blocked.example.org:80", false,
		"test:6: error: 'blocked.example.org': cannot be looked up: the name stands for the wildcard, which is no server's address");
}

static void init_addr_says_what_becomes_of_it_then(void **state)
{
	char messages[1024];
	struct config *config;

	(void)state;
	assert_messages("server a other.example.org:80 init-addr last,libc,192.0.2.9", true,
		"test:6: warning: 'other.example.org': cannot be looked up (no such name), so the address of 'init-addr' is used");
	config = read_server("server a other.example.org:80 init-addr libc,none", messages);
	assert_non_null(config);
	assert_true(config->proxies[0].servers[0].disabled);
	config_free(config);
	assert_int_equal(asked, 2);
	assert_messages("server a db.example.org:80 init-addr last", false,
		"test:6: error: 'db.example.org': cannot be looked up: `init-addr` has no 'libc', and no address");
	assert_int_equal(asked, 2);
	assert_messages("server a 192.0.2.1 init-addr dns", false,
		"test:6: error: 'dns': not a way to an address; there are last, libc, none, and the address of a server");
}

static void without_a_way_no_name_is_found(void **state)
{
	(void)state;
	lookup_use(NULL, NULL);
	assert_messages("server a db.example.org:80", false,
		"test:6: error: 'db.example.org': cannot be looked up: names are not looked up here");
}

#define LOOKUP_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOKUP_TEST(a_name_has_a_letter_in_its_last_part),
		LOOKUP_TEST(a_name_is_looked_up_with_its_port_kept),
		LOOKUP_TEST(a_prefix_says_the_family),
		LOOKUP_TEST(a_template_looks_its_name_up_once),
		LOOKUP_TEST(the_model_says_that_it_has_names),
		LOOKUP_TEST(a_name_that_is_not_found_is_an_error),
		LOOKUP_TEST(a_wildcard_is_no_servers_address),
		LOOKUP_TEST(init_addr_says_what_becomes_of_it_then),
		LOOKUP_TEST(without_a_way_no_name_is_found),
	};

	return cmocka_run_group_tests_name("lookup", tests, NULL, NULL);
}
