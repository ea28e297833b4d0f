/*
 * Formats: what HAProxy 2.6 wrote for each of them (unique-id-format), and what is none.
 */
#include "tproxy/value_format.h"
#include "unit.h"

static struct config_memory *memory;

static int set_up(void **state)
{
	(void)state;
	memory = memory_new(1 << 16);
	return memory == NULL;
}

static int tear_down(void **state)
{
	(void)state;
	memory_free(memory);
	return 0;
}

static struct addr endpoint(const char *text, uint16_t port)
{
	struct addr addr;

	assert_true(addr_parse(&addr, text));
	addr_set_port(&addr, port);
	return addr;
}

static void assert_writes(
	const struct format_values *values, const char *text, const char *expected)
{
	struct value_format format;
	char out[256];
	size_t length;

	assert_null(value_format_parse(&format, memory, text, FORMAT_OF_HEADER));
	length = value_format_write(&format, values, out, sizeof(out));
	assert_int_equal(length, strlen(expected));
	assert_memory_equal(out, expected, length);
	length = value_format_write(&format, values, out, 3);
	assert_int_equal(length, strlen(expected) < 3 ? strlen(expected) : 3);
}

static void values_are_those_of_the_connection(void **state)
{
	struct format_values values = {.source = endpoint("198.51.100.7", 1234),
		.destination = endpoint("192.0.2.80", 443),
		.came_at = 0x6b07f862,
		.authority = {"host", 4},
		.unique_id = {"id", 2}};

	(void)state;
	assert_writes(&values, "", "");
	assert_writes(&values, "fixed", "fixed");
	assert_writes(&values, "%ci:%cp_%fi:%fp", "198.51.100.7:1234_192.0.2.80:443");
	assert_writes(&values, "%Ts", "1795684450");
	assert_writes(&values, "100%% of %[fc_pp_authority]/%[fc_pp_unique_id]", "100% of host/id");
	assert_writes(&values, "%[src]:%[src_port]-%[dst]:%[dst_port]",
		"198.51.100.7:1234-192.0.2.80:443");
	assert_writes(&values, "%{+X}o%ci:%cp_%fi:%fp_%Ts", "C6336407:04D2_C0000250:01BB_6B07F862");
	assert_writes(&values, "%{+X}o %ci:%{-X}cp", "C6336407:1234");
	assert_writes(&values, "%{+X}ci-%ci", "C6336407-198.51.100.7");
	values.source = endpoint("2001:db8::7", 80);
	assert_writes(&values, "%ci %{+X}ci", "2001:db8::7 20010DB8000000000000000000000007");
}

static void what_is_not_known_is_left_out(void **state)
{
	struct format_values values = {.source = endpoint("198.51.100.7", 1234)};

	(void)state;
	assert_writes(&values, "<%fi|%{+X}fi|%[fc_pp_authority]>", "<||>");
}

static void what_is_no_value_is_refused(void **state)
{
	static const char *const wrong[] = {
		"%", "%x", "%[req.hdr(host)]", "%{+Q}ci", "%{+X", "%{", "%[", "a%"};
	struct value_format format;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_non_null(value_format_parse(&format, memory, wrong[i], FORMAT_OF_HEADER));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_those_of_the_connection),
		cmocka_unit_test(what_is_not_known_is_left_out),
		cmocka_unit_test(what_is_no_value_is_refused),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
