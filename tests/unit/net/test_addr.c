/*
 * Addresses as values.
 */
#include "tproxy/addr.h"
#include "unit.h"

#include <string.h>

static struct addr parsed(const char *text, uint16_t port)
{
	struct addr addr;

	assert_true(addr_parse(&addr, text));
	addr_set_port(&addr, port);
	return addr;
}

static void assert_text(const struct addr *addr, const char *expected)
{
	char text[ADDR_TEXT_MAX];

	assert_string_equal(addr_format(addr, text), expected);
}

static void an_ipv4_address_reads_back_as_it_was_written(void **state)
{
	struct addr addr = parsed("192.0.2.1", 80);

	(void)state;
	assert_int_equal(addr_family(&addr), AF_INET);
	assert_text(&addr, "192.0.2.1:80");
}

static void an_ipv6_address_stands_in_brackets_before_its_port(void **state)
{
	struct addr addr = parsed("2001:db8::1", 443);

	(void)state;
	assert_int_equal(addr_family(&addr), AF_INET6);
	assert_text(&addr, "[2001:db8::1]:443");
}

static void brackets_around_an_ipv6_address_are_read(void **state)
{
	struct addr bare = parsed("2001:db8::1", 0), bracketed = parsed("[2001:db8::1]", 0);

	(void)state;
	assert_true(addr_equal(&bare, &bracketed));
}

static void what_is_no_address_is_refused_and_changes_nothing(void **state)
{
	static const char *const wrong[] = {"", "192.0.2", "192.0.2.256", "[192.0.2.1]", "[", "[]",
		"[2001:db8::1", "2001:db8::1]", "2001:db8:::1", "localhost", "192.0.2.1 ",
		"1111:2222:3333:4444:5555:6666:255.255.255.2555",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd"};
	struct addr before = parsed("192.0.2.9", 9), addr = before;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		(void)parsed("2001:db8::1", 0); /* nothing of it is left for the next one */
		assert_false(addr_parse(&addr, wrong[i]));
		assert_true(addr_equal(&addr, &before));
	}
}

/* 45 characters, the most that an address has. */
static void the_longest_address_is_read_with_and_without_brackets(void **state)
{
	struct addr bare = parsed("1111:2222:3333:4444:5555:6666:255.255.255.255", 0);
	struct addr bracketed = parsed("[1111:2222:3333:4444:5555:6666:255.255.255.255]", 0);

	(void)state;
	assert_true(addr_equal(&bare, &bracketed));
	assert_text(&bare, "[1111:2222:3333:4444:5555:6666:ffff:ffff]:0");
}

static void a_mapped_client_becomes_the_ipv4_host_it_is(void **state)
{
	struct addr addr = parsed("::ffff:192.0.2.7", 4000);

	(void)state;
	addr_unmap(&addr);
	assert_text(&addr, "192.0.2.7:4000");
}

static void an_address_that_is_not_mapped_stays(void **state)
{
	struct addr six = parsed("2001:db8::7", 4000), four = parsed("192.0.2.7", 4000);

	(void)state;
	addr_unmap(&six);
	addr_unmap(&four);
	assert_text(&six, "[2001:db8::7]:4000");
	assert_text(&four, "192.0.2.7:4000");
}

static void addresses_are_equal_only_with_family_port_and_host(void **state)
{
	struct addr a = parsed("192.0.2.1", 80), same = parsed("192.0.2.1", 80);
	struct addr port = parsed("192.0.2.1", 81), host = parsed("192.0.2.2", 80);
	struct addr family = parsed("::ffff:192.0.2.1", 80);

	(void)state;
	assert_true(addr_equal(&a, &same));
	assert_false(addr_equal(&a, &port));
	assert_false(addr_equal(&a, &host));
	assert_false(addr_equal(&a, &family));
}

static void ipv6_addresses_are_equal_only_with_port_host_and_scope(void **state)
{
	struct addr a = parsed("fe80::1", 80), same = parsed("fe80::1", 80);
	struct addr port = parsed("fe80::1", 81), host = parsed("fe80::2", 80), scope = a;

	(void)state;
	scope.in6.sin6_scope_id = 2;
	assert_true(addr_equal(&a, &same));
	assert_false(addr_equal(&a, &port));
	assert_false(addr_equal(&a, &host));
	assert_false(addr_equal(&a, &scope));
}

static void an_address_has_the_length_of_its_family(void **state)
{
	struct addr four = addr_any(AF_INET), six = addr_any(AF_INET6);

	(void)state;
	assert_int_equal(addr_length(&four), sizeof(struct sockaddr_in));
	assert_int_equal(addr_length(&six), sizeof(struct sockaddr_in6));
}

static void an_address_has_a_text_without_its_port(void **state)
{
	struct addr four = parsed("192.0.2.1", 80), six = parsed("2001:db8::1", 80);
	struct addr none = addr_any(AF_UNSPEC);
	char text[ADDR_TEXT_MAX] = "x";

	(void)state;
	assert_ptr_equal(addr_format_ip(&four, text), text);
	assert_string_equal(text, "192.0.2.1");
	assert_string_equal(addr_format_ip(&six, text), "2001:db8::1");
	assert_string_equal(addr_format_ip(&none, text), "");
}

static void the_wildcard_is_recognised_in_both_families(void **state)
{
	struct addr four = addr_any(AF_INET), six = addr_any(AF_INET6);
	struct addr host = parsed("2001:db8::", 0), other = parsed("192.0.2.1", 0);

	(void)state;
	assert_true(addr_is_any(&four));
	assert_true(addr_is_any(&six));
	assert_false(addr_is_any(&host));
	assert_false(addr_is_any(&other));
	assert_text(&four, "0.0.0.0:0");
	assert_text(&six, "[::]:0");
}

static void an_address_taken_from_the_kernel_keeps_its_scope_and_drops_its_flow_label(void **state)
{
	struct sockaddr_in6 sa = {.sin6_family = AF_INET6,
		.sin6_port = htons(80),
		.sin6_flowinfo = htonl(7),
		.sin6_scope_id = 3,
		.sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct addr addr;

	(void)state;
	assert_true(addr_from_sockaddr(&addr, (struct sockaddr *)&sa));
	assert_int_equal(addr.in6.sin6_scope_id, 3);
	assert_int_equal(addr.in6.sin6_flowinfo, 0);
	assert_text(&addr, "[::1]:80");
}

static void an_ipv4_address_taken_from_the_kernel_has_its_host_and_its_port(void **state)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(80)};
	struct addr addr;

	(void)state;
	sa.sin_addr.s_addr = htonl(0xc0000201);
	memset(&addr, 0xff, sizeof(addr));
	assert_true(addr_from_sockaddr(&addr, (struct sockaddr *)&sa));
	assert_text(&addr, "192.0.2.1:80");
	assert_int_equal(addr.in6.sin6_scope_id, 0);
}

static void a_foreign_family_is_refused(void **state)
{
	struct sockaddr sa = {.sa_family = AF_UNIX};
	struct addr kept = parsed("192.0.2.9", 9), addr = kept;

	(void)state;
	assert_false(addr_from_sockaddr(&addr, &sa));
	assert_true(addr_equal(&addr, &kept));
}

enum {
	BUCKETS = 256,
	FULL = 64 /* what a bucket gets on the average */
};

/* Whether so many hashes are spread over buckets, by their low bits. */
static void assert_spread(const uint64_t *hashes)
{
	unsigned counts[BUCKETS] = {0};

	for (unsigned i = 0; i < BUCKETS * FULL; i++)
		counts[hashes[i] % BUCKETS]++;
	for (unsigned i = 0; i < BUCKETS; i++)
		assert_in_range(counts[i], FULL / 3, FULL * 3);
}

/* Addresses that differ in one part only, as those of clients of one network do, or of one host. */
static void hashes_of_similar_addresses_are_spread(void **state)
{
	static const char *const hosts[] = {"198.51.0.0", "2001:db8::", "2001:db8::"};
	static const unsigned last[] = {3, 15, 7}; /* the last byte that differs */
	static uint64_t by_port[BUCKETS * FULL], by_host[BUCKETS * FULL];

	(void)state;
	for (unsigned kind = 0; kind < 3; kind++) {
		for (unsigned i = 0; i < BUCKETS * FULL; i++) {
			struct addr addr = parsed(hosts[kind], (uint16_t)i);
			uint8_t *bytes = (uint8_t *)addr_bytes(&addr);

			by_port[i] = addr_hash(addr_hash_start(), &addr);
			addr_set_port(&addr, 53);
			bytes[last[kind]] = (uint8_t)i;
			bytes[last[kind] - 1] = (uint8_t)(i >> 8);
			by_host[i] = addr_hash(addr_hash_start(), &addr);
		}
		assert_spread(by_port);
		assert_spread(by_host);
	}
}

static void a_hash_depends_on_all_that_was_mixed_and_on_nothing_else(void **state)
{
	struct addr a = parsed("192.0.2.1", 80), b = parsed("192.0.2.2", 80);
	struct addr link = parsed("fe80::1", 80), same = link;
	uint64_t start = addr_hash_start();

	(void)state;
	same.in6.sin6_scope_id = 2;
	assert_true(addr_hash(start, &link) == addr_hash(start, &same));
	assert_true(start == addr_hash_start());
	assert_true(start != 0);
	assert_true(addr_hash(start, &a) != addr_hash(start + 1, &a));
	assert_true(addr_hash(addr_hash(start, &a), &b) != addr_hash(addr_hash(start, &b), &a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_ipv4_address_reads_back_as_it_was_written),
		cmocka_unit_test(an_ipv6_address_stands_in_brackets_before_its_port),
		cmocka_unit_test(brackets_around_an_ipv6_address_are_read),
		cmocka_unit_test(what_is_no_address_is_refused_and_changes_nothing),
		cmocka_unit_test(the_longest_address_is_read_with_and_without_brackets),
		cmocka_unit_test(ipv6_addresses_are_equal_only_with_port_host_and_scope),
		cmocka_unit_test(an_address_has_the_length_of_its_family),
		cmocka_unit_test(an_address_has_a_text_without_its_port),
		cmocka_unit_test(an_ipv4_address_taken_from_the_kernel_has_its_host_and_its_port),
		cmocka_unit_test(a_mapped_client_becomes_the_ipv4_host_it_is),
		cmocka_unit_test(an_address_that_is_not_mapped_stays),
		cmocka_unit_test(addresses_are_equal_only_with_family_port_and_host),
		cmocka_unit_test(the_wildcard_is_recognised_in_both_families),
		cmocka_unit_test(
			an_address_taken_from_the_kernel_keeps_its_scope_and_drops_its_flow_label),
		cmocka_unit_test(a_foreign_family_is_refused),
		cmocka_unit_test(hashes_of_similar_addresses_are_spread),
		cmocka_unit_test(a_hash_depends_on_all_that_was_mixed_and_on_nothing_else),
	};

	return cmocka_run_group_tests_name("addr", tests, NULL, NULL);
}
