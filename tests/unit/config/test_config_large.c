/*
 * Large configurations: each reads to its end, and what is said about it stays in proportion.
 *
 * Nothing here is timed. A reader that compares all with all takes minutes where this takes a
 * second, and one that reports all with all runs out of memory. With a sanitizer, the numbers are a tenth of these.
 */
#include "unit.h"

#include "tproxy/config.h"

#include <stdlib.h>
#include <string.h>

enum {
	ITEMS = LARGE(100000), /* of one section */
	SECTIONS = LARGE(30000)
};

#define DEFAULTS "defaults\n timeout client 1s\n timeout server 2s\n timeout connect 3s\n"

/* A text that is being made, and what was said about it. */
static struct text {
	FILE *out;
	char *text;
	size_t length;
} source;
static struct diag *diag;

static void text_begin(const char *head)
{
	source.out = open_memstream(&source.text, &source.length);
	assert_non_null(source.out);
	fputs(head, source.out);
}

/* One of 16 million addresses. */
static const char *nth_address(unsigned n)
{
	static char text[sizeof("255.255.255.255")];

	snprintf(text, sizeof(text), "10.%u.%u.%u", n >> 16, n >> 8 & 255, n & 255);
	return text;
}

/* Reads the text. Its configuration must be freed; the messages stay in diag. */
static struct config *text_end(void)
{
	struct config *config;

	fclose(source.out);
	diag = diag_new();
	config = config_parse("large", source.text, source.length, diag);
	free(source.text);
	return config;
}

static void expect_messages(size_t warnings, size_t errors)
{
	assert_int_equal(diag_count(diag, DIAG_WARNING), warnings);
	assert_int_equal(diag_count(diag, DIAG_ERROR), errors);
	diag_free(diag);
}

/* The first line of what was said. */
static void expect_first_message(const char *expected)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	diag_print(diag, out);
	fclose(out);
	assert_non_null(strchr(text, '\n'));
	*strchr(text, '\n') = '\0';
	assert_string_equal(text, expected);
	free(text);
}

static void a_backend_can_have_100000_servers(void **state)
{
	struct config *config;

	(void)state;
	text_begin(DEFAULTS "frontend f\n bind :80\n default_backend b\nbackend b\n");
	for (unsigned i = 0; i < ITEMS; i++)
		fprintf(source.out, " server s%u %s:80\n", i, nth_address(i));
	config = text_end();
	assert_non_null(config);
	assert_int_equal(config->proxies[1].server_count, ITEMS);
	assert_int_equal(atoi(config->proxies[1].servers[ITEMS - 1].name + 1), ITEMS - 1);
	config_free(config);
	expect_messages(0, 0);
}

static void a_file_can_have_30000_frontends_and_backends(void **state)
{
	struct config *config;

	(void)state;
	text_begin(DEFAULTS);
	for (unsigned i = 0; i < SECTIONS; i++)
		fprintf(source.out,
			"frontend f%u\n bind %s:80\n default_backend b%u\n"
			"backend b%u\n server s 192.0.2.1:80\n",
			i, nth_address(i), i, i);
	config = text_end();
	assert_non_null(config);
	assert_ptr_equal(config->proxies[2 * SECTIONS - 2].default_backend,
		&config->proxies[2 * SECTIONS - 1]);
	config_free(config);
	expect_messages(0, 0);
}

static void a_section_can_have_100000_listeners_and_log_lines(void **state)
{
	struct config *config;

	(void)state;
	text_begin(DEFAULTS "listen l\n server s 192.0.2.1:80\n");
	for (unsigned i = 0; i < ITEMS; i++)
		fprintf(source.out, " bind %s:80\n log stdout local0\n", nth_address(i));
	config = text_end();
	assert_non_null(config);
	assert_int_equal(config->proxies[0].bind_count, ITEMS);
	assert_int_equal(config->proxies[0].logs.count, ITEMS);
	config_free(config);
	expect_messages(0, 0);
}

static void global_can_have_100000_log_lines(void **state)
{
	struct config *config;

	(void)state;
	text_begin("global\n");
	for (unsigned i = 0; i < ITEMS; i++)
		fputs(" log stdout local0\n", source.out);
	fputs(DEFAULTS " log global\n", source.out);
	for (unsigned i = 0; i < 1000; i++)
		fprintf(source.out, "listen l%u\n bind %s:80\n server s 192.0.2.1:80\n", i,
			nth_address(i));
	fputs(" log global\n", source.out);
	config = text_end();
	assert_non_null(config);
	assert_int_equal(config->global.logs.count, ITEMS);
	assert_int_equal(config->proxies[0].logs.count, ITEMS);
	assert_int_equal(config->proxies[999].logs.count, 2 * ITEMS);
	config_free(config);
	expect_messages(0, 0);
}

static void every_one_of_100000_errors_is_reported(void **state)
{
	(void)state;
	text_begin(DEFAULTS "listen l\n");
	for (unsigned i = 0; i < ITEMS; i++)
		fprintf(source.out, " servr s%u 192.0.2.1\n", i);
	assert_null(text_end());
	expect_first_message("large:6: error: 'servr': unknown keyword; did you mean 'server'?");
	expect_messages(0, ITEMS);
}

static void a_servers_name_that_stands_often_is_reported_once_a_line(void **state)
{
	(void)state;
	text_begin(DEFAULTS "listen l\n");
	for (unsigned i = 0; i < 2000; i++)
		fputs(" server s 192.0.2.1:80\n", source.out);
	assert_null(text_end());
	expect_first_message("large:7: error: 's': line 6 has a server of this name already");
	expect_messages(0, 1999);
}

static void a_sections_name_that_stands_often_is_reported_once_a_section(void **state)
{
	(void)state;
	text_begin(DEFAULTS);
	for (unsigned i = 0; i < 2000; i++)
		fprintf(source.out, "listen l\n bind %s:80\n server s 192.0.2.1:80\n",
			nth_address(i));
	assert_null(text_end());
	expect_first_message("large:8: error: 'l': line 5 has a section of this name already");
	expect_messages(0, 1999);
}

static void servers_without_clients_of_their_family_are_reported_once_a_frontend(void **state)
{
	struct config *config;

	(void)state;
	text_begin(DEFAULTS);
	for (unsigned i = 0; i < 1000; i++)
		fprintf(source.out, "frontend f%u\n bind %s:80\n default_backend b\n", i,
			nth_address(i));
	fputs("backend b\n source 0.0.0.0 usesrc clientip\n", source.out);
	for (unsigned i = 0; i < 1000; i++)
		fprintf(source.out, " server s%u [2001:db8::%x]:80\n", i, i + 1);
	config = text_end();
	assert_non_null(config);
	expect_first_message("large:3007: warning: 's0': the clients of 'f0' have no IPv6 "
			     "address, so every connection to this server and to 999 more of its "
			     "backend will be refused");
	config_free(config);
	expect_messages(1000, 0);
}

/* Each is read once, into one test; the file's lines are those of its message. */
static void a_file_can_have_100000_networks(void **state)
{
	struct connection_facts facts = {.source = addr_any(AF_INET)};
	char path[] = "/tmp/tproxyd-test-XXXXXX";
	FILE *out = fdopen(mkstemp(path), "w");
	struct config *config;

	(void)state;
	assert_non_null(out);
	for (unsigned i = 0; i < ITEMS; i++)
		fprintf(out, "%s/32\n", nth_address(2 * i));
	fclose(out);
	text_begin(DEFAULTS "frontend f\n bind :80\n default_backend b\n");
	fprintf(source.out, " use_backend b if { src -f %s }\n", path);
	fputs("backend b\n server s 192.0.2.1:80\n", source.out);
	config = text_end();
	remove(path);
	assert_non_null(config);
	for (uint32_t i = 0; i < 2 * ITEMS; i += 999) {
		facts.source.in4.sin_addr.s_addr = htonl(10U << 24 | i);
		assert_int_equal(
			condition_holds(
				&config->proxies[0].rules[STAGE_BACKEND].list[0].condition, &facts),
			i % 2 == 0);
	}
	config_free(config);
	expect_messages(0, 0);
}

static void a_section_can_have_30000_acls_and_rules(void **state)
{
	struct config *config;

	(void)state;
	text_begin(DEFAULTS "frontend f\n bind :80\n default_backend b0\n");
	for (unsigned i = 0; i < SECTIONS; i++)
		fprintf(source.out,
			" acl a%u src %s\n use_backend b%u if a%u or { nbsrv(b%u) 0 }\n", i,
			nth_address(i), i % 1000, i / 2, i % 500);
	for (unsigned i = 0; i < 1000; i++)
		fprintf(source.out, "backend b%u\n server s 192.0.2.1:%u\n", i, i + 1);
	config = text_end();
	assert_non_null(config);
	assert_int_equal(config->proxies[0].rules[STAGE_BACKEND].count, SECTIONS);
	assert_int_equal(config->proxies[0].target_count, 1000);
	config_free(config);
	expect_messages(0, 0);
}

static void of_a_file_that_is_no_list_a_few_errors_are_reported(void **state)
{
	(void)state;
	text_begin(
		DEFAULTS "frontend f\n bind :80\n default_backend b\n"
			 " tcp-request connection reject if { src -f fixtures/requirements.toml }\n"
			 "backend b\n server s 192.0.2.1:80\n");
	assert_null(text_end());
	expect_messages(0, 11);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_backend_can_have_100000_servers),
		cmocka_unit_test(a_file_can_have_30000_frontends_and_backends),
		cmocka_unit_test(a_section_can_have_100000_listeners_and_log_lines),
		cmocka_unit_test(global_can_have_100000_log_lines),
		cmocka_unit_test(every_one_of_100000_errors_is_reported),
		cmocka_unit_test(a_servers_name_that_stands_often_is_reported_once_a_line),
		cmocka_unit_test(a_sections_name_that_stands_often_is_reported_once_a_section),
		cmocka_unit_test(a_file_can_have_100000_networks),
		cmocka_unit_test(a_section_can_have_30000_acls_and_rules),
		cmocka_unit_test(of_a_file_that_is_no_list_a_few_errors_are_reported),
		cmocka_unit_test(
			servers_without_clients_of_their_family_are_reported_once_a_frontend),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
