/*
 * Conversations of checks: expressions, answers in pieces, and what is said of them. What HAProxy makes of whole conversations
 * is compared in tests/netns/selftest/agree/test_checks_agree.py.
 */
#include "unit.h"

#include "servers/way_back.h"
#include "tproxy/health_script.h"

#include <errno.h>
#include <stdio.h>

static struct config_memory *memory;

static bool matches(const char *expression, const char *text)
{
	const regex_t *regex = NULL;

	assert_null(health_compile(memory, expression, &regex));
	return regexec(regex, text, 0, NULL, 0) == 0;
}

static void expressions_mean_what_they_mean_to_haproxy(void **state)
{
	(void)state;
	assert_true(matches("^(2..|3..)", "250 hello"));
	assert_false(matches("^(2..|3..)", "500"));
	assert_true(matches("^\\d+\\s\\w{2}\\.$", "12 ab."));
	assert_false(matches("a.b", "a\nb"));
	assert_true(matches("ab$", "ab\n"));
	assert_true(matches("[[:digit:]]]", "1]"));
	assert_true(matches("[]x]", "]"));
	assert_true(matches("a\\.b\\\\", "a.b\\"));
	assert_true(matches("a\\r\\n\\tb", "a\r\n\tb"));
}

static void what_posix_has_not_is_refused(void **state)
{
	static const char *const wrong[] = {
		"(?i)ok", "\\bok", "a*?", "a++", "[\\d]", "[a", "a\\", "(", "\\1"};
	const regex_t *regex = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_non_null(health_compile(memory, wrong[i], &regex));
	assert_null(regex);
}

/* The progress of the step NUMBER of the script with the first LENGTH bytes of an answer. */
static enum health_progress judge(const struct health_script *script, size_t number,
	const char *text, size_t length, bool last, struct health_verdict *verdict)
{
	const struct health_input input = {text, length, last};

	return health_judge(script, &script->steps[number], &input, verdict);
}

static void nothing_is_concluded_from_a_part_of_an_answer(void **state)
{
	struct health_script script = health_script_redis(memory);
	struct health_verdict verdict = {0};
	const char answer[] = "-LOADING\r\n+PONG\r\n";

	(void)state;
	for (size_t i = 0; i < sizeof(answer) - 1; i++)
		assert_int_equal(judge(&script, 2, answer, i, false, &verdict), HEALTH_WAITS);
	assert_int_equal(judge(&script, 2, answer, 17, false, &verdict), HEALTH_GOES_ON);
	assert_int_equal(judge(&script, 2, answer, 16, true, &verdict), HEALTH_ENDS);
	assert_int_equal(verdict.status, HEALTH_L7STS);
	assert_string_equal(verdict.info, "-LOADING");
}

static struct health_script http_body(const char *wanted)
{
	struct health_script script = {.kind = HEALTH_BY_HTTP};
	struct health_step step = health_expectation(MATCH_BODY, HEALTH_BY_HTTP);

	step.wanted = (struct health_bytes){wanted, strlen(wanted)};
	health_add_step(&script, memory, step);
	return script;
}

static void a_body_is_what_http_says(void **state)
{
	static const struct {
		const char *answer;
		enum health_progress progress;
	} rows[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nokay", HEALTH_GOES_ON},
		{"HTTP/1.1 200 OK\nContent-Length: 4\n\nokay", HEALTH_GOES_ON},
		{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nokay", HEALTH_ENDS},
		{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", HEALTH_ENDS},
		{"HTTP/1.1 304 No\r\n\r\nok", HEALTH_ENDS},
		{"HTTP/1.1 200 OK\r\n\r\nno", HEALTH_WAITS},
		{"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n",
			HEALTH_GOES_ON},
		{"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n0\r\n\r\n",
			HEALTH_ENDS},
		{"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n", HEALTH_WAITS},
		{"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\no\r\n",
			HEALTH_WAITS},
		{"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nok", HEALTH_ENDS},
		{"HTTP/1.1 200 OK\r\nno field\r\n\r\nok", HEALTH_ENDS},
		{"HTTP/1.1 2000 OK\r\n\r\nok", HEALTH_ENDS},
		{"HTTP/11 200 OK\r\n\r\nok", HEALTH_ENDS},
		{"HTTP/1.1 200 OK\r\n", HEALTH_WAITS},
		{"HTT", HEALTH_WAITS},
		{"SSH-2", HEALTH_ENDS},
	};
	struct health_script script = http_body("ok");
	struct health_verdict verdict = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(
			judge(&script, 0, rows[i].answer, strlen(rows[i].answer), false, &verdict),
			rows[i].progress);
}

static void what_a_server_sends_cannot_end_a_line_of_the_log(void **state)
{
	struct health_verdict verdict = {HEALTH_L7STS, 7, "a\n\"b\" <c>\x7f\xff"};
	char line[256];

	(void)state;
	health_verdict_format(&verdict, line, sizeof(line));
	assert_string_equal(
		line, "Layer7 wrong status, code: 7, info: \"a<0A><22>b<22> <3C>c<3E><7F><FF>\"");
}

static void a_break_names_the_step(void **state)
{
	struct health_script script = {.kind = HEALTH_BY_RULES};
	struct health_step step = {
		.action = HEALTH_CONNECT, .number = 3, .port = 25, .comment = "x"};
	struct health_verdict verdict;

	(void)state;
	health_add_step(&script, memory, step);
	health_break(&script, &script.steps[0], HEALTH_L4CON, ECONNREFUSED, &verdict);
	assert_string_equal(verdict.info,
		"Connection refused at step 3 of tcp-check (connect port 25) comment: 'x'");
	health_break(NULL, NULL, HEALTH_L4TOUT, 0, &verdict);
	assert_string_equal(verdict.info, "");
}

/* --- the way back --- */

static struct server checked_from(const char *address, unsigned bits)
{
	struct server server = {.name = "a"};

	assert_true(addr_parse(&server.check.usesrc, address));
	server.check.usesrc_bits = bits;
	return server;
}

static void checks_have_ports_that_clients_hardly_have(void **state)
{
	struct server server = checked_from("198.51.100.9", 32);
	uint16_t before = 0;

	(void)state;
	assert_true(way_back_is_checked(&server));
	for (unsigned i = 0; i < 20000; i++) {
		struct source source = way_back_source(&server, i);
		uint16_t port = addr_port(&source.address);

		assert_int_equal(source.mode, SOURCE_FOREIGN);
		assert_in_range(port, 1024, 9999);
		assert_int_not_equal(port, before);
		assert_int_equal(addr_compare_ip(&source.address, &server.check.usesrc), 0);
		before = port;
	}
}

static void addresses_of_a_network_are_those_of_hosts(void **state)
{
	static const struct {
		const char *network;
		unsigned bits;
	} rows[] = {{"198.51.100.77", 24}, {"198.51.100.64", 30}, {"198.51.100.64", 31},
		{"10.0.0.0", 8}, {"2001:db8:c::", 64}, {"2001:db8:c::8", 125}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct server server = checked_from(rows[i].network, rows[i].bits);
		unsigned family = (unsigned)addr_family(&server.check.usesrc);
		unsigned length = family_bits((int)family), hosts = length - rows[i].bits;

		for (unsigned j = 0; j < 1000; j++) {
			struct source source = way_back_source(&server, j);
			const uint8_t *bytes = addr_bytes(&source.address);
			const uint8_t *network = addr_bytes(&server.check.usesrc);
			unsigned last = hosts >= 8 ? 0xff : (1U << hosts) - 1;

			for (unsigned bit = 0; bit < rows[i].bits; bit++)
				assert_int_equal(
					(bytes[bit / 8] ^ network[bit / 8]) & 0x80 >> bit % 8, 0);
			if (hosts > 1 && hosts <= 8) {
				assert_int_not_equal(bytes[length / 8 - 1] & last, 0);
				assert_int_not_equal(bytes[length / 8 - 1] & last, last);
			}
		}
	}
}

static int set_up(void **state)
{
	(void)state;
	memory = memory_new(1 << 20);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	memory_free(memory);
	return 0;
}

#define SCRIPT_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCRIPT_TEST(expressions_mean_what_they_mean_to_haproxy),
		SCRIPT_TEST(what_posix_has_not_is_refused),
		SCRIPT_TEST(nothing_is_concluded_from_a_part_of_an_answer),
		SCRIPT_TEST(a_body_is_what_http_says),
		SCRIPT_TEST(what_a_server_sends_cannot_end_a_line_of_the_log),
		SCRIPT_TEST(a_break_names_the_step),
		SCRIPT_TEST(checks_have_ports_that_clients_hardly_have),
		SCRIPT_TEST(addresses_of_a_network_are_those_of_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
