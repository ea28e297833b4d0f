/*
 * Values: numbers, durations, and the forms of an address.
 */
#include "unit.h"

#include "tproxy/units.h"
#include "words/address.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static unsigned duration(const char *text)
{
	unsigned milliseconds = 12345;
	const char *error = duration_parse(text, &milliseconds);

	if (error != NULL)
		fail_msg("%s: %s", text, error);
	return milliseconds;
}

static void expect_bad_duration(const char *text)
{
	unsigned milliseconds = 12345;

	assert_non_null(duration_parse(text, &milliseconds));
	assert_int_equal(milliseconds, 12345);
}

static void a_duration_without_a_unit_is_in_milliseconds(void **state)
{
	(void)state;
	assert_int_equal(duration("0"), 0);
	assert_int_equal(duration("1500"), 1500);
	assert_int_equal(duration("0010"), 10);
}

static void every_unit_has_its_length(void **state)
{
	(void)state;
	assert_int_equal(duration("3ms"), 3);
	assert_int_equal(duration("3s"), 3000);
	assert_int_equal(duration("3m"), 180000);
	assert_int_equal(duration("3h"), 10800000);
	assert_int_equal(duration("3d"), 259200000);
}

static void microseconds_are_rounded_up(void **state)
{
	(void)state;
	assert_int_equal(duration("0us"), 0);
	assert_int_equal(duration("1us"), 1);
	assert_int_equal(duration("1000us"), 1);
	assert_int_equal(duration("1001us"), 2);
}

static void the_longest_duration_is_2147483647_ms(void **state)
{
	(void)state;
	assert_int_equal(duration("2147483647"), INT_MAX);
	assert_int_equal(duration("2147483647000us"), INT_MAX);
	assert_int_equal(duration("24d"), 2073600000);
	expect_bad_duration("2147483648");
	expect_bad_duration("2147483647001us");
	expect_bad_duration("25d");
	expect_bad_duration("18446744073709551617");
	expect_bad_duration("99999999999999999999999999d");
}

static void a_bad_duration_is_an_error(void **state)
{
	static const char *const bad[] = {
		"", "s", "-1s", "+1", "1 s", "1S", "1x", "1s5", "1.5s", "1msx", " 1", "0x10"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect_bad_duration(bad[i]);
}

static void a_number_is_digits_within_its_limits(void **state)
{
	static const char *const bad[] = {
		"", "4", "11", "1k", "-5", "+5", "5 ", "0x6", "4294967301", "18446744073709551621"};
	unsigned value = 0;

	(void)state;
	assert_null(number_parse("5", 5, 10, &value));
	assert_int_equal(value, 5);
	assert_null(number_parse("010", 5, 10, &value));
	assert_int_equal(value, 10);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_non_null(number_parse(bad[i], 5, 10, &value));
	assert_int_equal(value, 10);
}

/* The address as text, with the last port of a range; or "error". */
static const char *address(const char *text, unsigned options)
{
	static char out[ADDR_TEXT_MAX + sizeof("-65535")];
	struct address address;
	char ip[ADDR_TEXT_MAX];

	if (address_parse(text, options, &address) != NULL)
		return "error";
	addr_format(&address.addr, ip);
	if (address.last_port == addr_port(&address.addr))
		snprintf(out, sizeof(out), "%s", ip);
	else
		snprintf(out, sizeof(out), "%s-%u", ip, address.last_port);
	return out;
}

struct row {
	const char *text;
	const char *expected;
};

static void expect_addresses(const struct row *rows, size_t count, unsigned options)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(address(rows[i].text, options), rows[i].expected) != 0)
			fail_msg("%s: expected %s, got %s", rows[i].text, rows[i].expected,
				address(rows[i].text, options));
}

#define EXPECT(rows, options) expect_addresses(rows, sizeof(rows) / sizeof((rows)[0]), options)

static void a_listener_has_an_address_and_ports(void **state)
{
	static const struct row rows[] = {
		{":80", "0.0.0.0:80"},
		{"*:80", "0.0.0.0:80"},
		{"192.0.2.1:80", "192.0.2.1:80"},
		{"192.0.2.1:080", "192.0.2.1:80"},
		{"192.0.2.1:80-90", "192.0.2.1:80-90"},
		{":::80", "[::]:80"},
		{"[::]:80", "[::]:80"},
		{"::1:80", "[::1]:80"},
		{"2001:db8::1:80", "[2001:db8::1]:80"},
		{"[2001:db8::1]:80", "[2001:db8::1]:80"},
		{"ipv4@:80", "0.0.0.0:80"},
		{"ipv6@:80", "[::]:80"},
		{"ipv6@*:80", "[::]:80"},
		{"ipv4@192.0.2.1:80", "192.0.2.1:80"},
		{"ipv4@2001:db8::1:80", "error"},
		{"ipv6@192.0.2.1:80", "error"},
		{"", "error"},
		{"80", "error"},
		{"192.0.2.1", "error"},
		{"192.0.2.1:", "error"},
		{"192.0.2.1:0", "error"},
		{"192.0.2.1:0-5", "error"},
		{"192.0.2.1:65536", "error"},
		{"192.0.2.1:90-80", "error"},
		{"192.0.2.1:80-", "error"},
		{"192.0.2.1:80-81-82", "error"},
		{"192.0.2.1:+80", "error"},
		{"192.0.2.1:80x", "error"},
		{"[2001:db8::1", "error"},
		{"[2001:db8::1:80", "error"},
		{"[2001:db8::1]80", "error"},
		{"[2001:db8::1]", "error"},
		{"localhost:80", "error"},
		{"/run/socket", "error"},
		{"unix@/run/socket", "error"},
		{"[]:80", "error"},
		{":", "error"},
		{"::", "error"},
	};

	(void)state;
	EXPECT(rows, PORT_REQUIRED | PORT_RANGE);
}

static void a_server_needs_no_port(void **state)
{
	static const struct row rows[] = {
		{"192.0.2.1", "192.0.2.1:0"},
		{"192.0.2.1:", "192.0.2.1:0"},
		{"192.0.2.1:0", "192.0.2.1:0"},
		{"192.0.2.1:80", "192.0.2.1:80"},
		{"*", "0.0.0.0:0"},
		{"ipv6@", "[::]:0"},
		{"[2001:db8::1]", "[2001:db8::1]:0"},
		{"2001:db8::1:0", "[2001:db8::1]:0"},
		{"192.0.2.1:80-81", "error"},
		{"192.0.2.1:-1", "error"},
	};

	(void)state;
	EXPECT(rows, 0);
}

static void the_port_follows_the_last_colon_even_of_an_ipv6_address(void **state)
{
	static const struct row rows[] = {
		{"2001:db8::5:1", "[2001:db8::5]:1"},
		{"2001:db8::1", "error"},
		{"::", "error"},
	};

	(void)state;
	EXPECT(rows, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_duration_without_a_unit_is_in_milliseconds),
		cmocka_unit_test(every_unit_has_its_length),
		cmocka_unit_test(microseconds_are_rounded_up),
		cmocka_unit_test(the_longest_duration_is_2147483647_ms),
		cmocka_unit_test(a_bad_duration_is_an_error),
		cmocka_unit_test(a_number_is_digits_within_its_limits),
		cmocka_unit_test(a_listener_has_an_address_and_ports),
		cmocka_unit_test(a_server_needs_no_port),
		cmocka_unit_test(the_port_follows_the_last_colon_even_of_an_ipv6_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
