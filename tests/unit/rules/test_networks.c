/*
 * Sets of networks: what they contain by HAProxy's rules, and the same answers as a plain list for made-up ones.
 */
#include "tproxy/networks.h"
#include "unit.h"

#include <stdlib.h>

enum {
	MADE_UP = 3000,
	ASKED = 30000
};

struct list {
	struct addr address[MADE_UP];
	unsigned bits[MADE_UP];
	size_t count;
};

static struct config_memory *memory;

static int set_up(void **state)
{
	(void)state;
	memory = memory_new((size_t)64 << 20);
	return memory == NULL;
}

static int tear_down(void **state)
{
	(void)state;
	memory_free(memory);
	return 0;
}

static void add(struct networks *networks, const char *text)
{
	struct addr address;
	unsigned bits;

	assert_null(network_parse(text, &address, &bits));
	assert_true(networks_add(networks, memory, &address, bits));
}

static bool contain(const struct networks *networks, const char *text)
{
	struct addr address;

	assert_true(addr_parse(&address, text));
	return networks_contain(networks, &address);
}

static void the_empty_set_contains_nothing(void **state)
{
	struct networks networks = {0};

	(void)state;
	assert_false(contain(&networks, "0.0.0.0"));
	assert_false(contain(&networks, "::"));
}

static void a_network_contains_its_addresses_and_no_others(void **state)
{
	struct networks networks = {0};

	(void)state;
	add(&networks, "192.0.2.128/25");
	add(&networks, "203.0.113.9");
	add(&networks, "2001:db8:1::/48");
	add(&networks, "198.51.100.77/255.255.255.0");
	assert_true(contain(&networks, "192.0.2.128"));
	assert_true(contain(&networks, "192.0.2.255"));
	assert_false(contain(&networks, "192.0.2.127"));
	assert_false(contain(&networks, "192.0.3.128"));
	assert_true(contain(&networks, "203.0.113.9"));
	assert_false(contain(&networks, "203.0.113.8"));
	assert_true(contain(&networks, "198.51.100.0"));
	assert_true(contain(&networks, "2001:db8:1:ffff::1"));
	assert_false(contain(&networks, "2001:db8:2::1"));
	assert_false(contain(&networks, "2001:db8::1"));
}

static void a_network_of_length_0_contains_its_whole_family(void **state)
{
	struct networks ipv4 = {0}, ipv6 = {0};

	(void)state;
	add(&ipv4, "192.0.2.1");
	add(&ipv4, "10.0.0.0/0");
	assert_true(contain(&ipv4, "255.255.255.255"));
	assert_false(contain(&ipv4, "2001:db8::1"));
	add(&ipv6, "::/0");
	assert_true(contain(&ipv6, "2001:db8::1"));
	assert_true(contain(&ipv6, "192.0.2.1"));
}

static void networks_may_contain_each_other_in_either_order(void **state)
{
	struct networks networks = {0};

	(void)state;
	add(&networks, "192.0.2.0/24");
	add(&networks, "192.0.2.7");
	add(&networks, "198.51.100.7");
	add(&networks, "198.51.100.9");
	add(&networks, "198.51.100.0/24");
	add(&networks, "198.51.100.0/24");
	assert_true(contain(&networks, "192.0.2.200"));
	assert_true(contain(&networks, "198.51.100.200"));
	assert_false(contain(&networks, "198.51.101.7"));
}

/* HAProxy's manual, section 7.1.6. */
static void an_address_of_the_other_family_is_looked_for_in_its_other_form(void **state)
{
	struct networks ipv4 = {0}, ipv6 = {0};

	(void)state;
	add(&ipv4, "192.0.2.0/24");
	assert_true(contain(&ipv4, "::ffff:192.0.2.1"));
	assert_true(contain(&ipv4, "::192.0.2.1"));
	assert_true(contain(&ipv4, "2002:c000:0201::5"));
	assert_false(contain(&ipv4, "2002:c000:0301::5"));
	assert_false(contain(&ipv4, "64:ff9b::192.0.2.1"));
	assert_false(contain(&ipv4, "::fffe:192.0.2.1"));
	add(&ipv6, "::ffff:192.0.2.0/120");
	assert_true(contain(&ipv6, "192.0.2.1"));
	assert_false(contain(&ipv6, "192.0.3.1"));
	assert_false(contain(&ipv6, "2002:c000:0201::5"));
}

static void assert_wrong(const char *text, const char *error)
{
	struct addr address;
	unsigned bits;

	assert_string_equal(network_parse(text, &address, &bits), error);
}

static void what_is_no_network_is_refused(void **state)
{
	static const char *const none[] = {"", "/", "/24", "192.0.2", "192.0.2/24", "010.0.0.1",
		"localhost", "192.0.2.1:80", "[2001:db8::1]", "2001:db8::g", "192.0.2.1,192.0.2.2",
		"-", "2001:0db8:0000:0000:0000:0000:0000:0001:0000:0000:0000"};
	static const char *const ipv4[] = {"192.0.2.0/33", "192.0.2.0/", "192.0.2.0/-1",
		"192.0.2.0/2x", "192.0.2.0/255.0.255.0", "192.0.2.0/24/24", "192.0.2.0/0.0.0.255",
		"192.0.2.0/0000024"};
	static const char *const ipv6[] = {
		"2001:db8::/129", "2001:db8::/", "2001:db8::/ffff::", "::/255.0.0.0"};

	(void)state;
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		assert_wrong(none[i],
			"not an address or a network, as in 192.0.2.0/24 or 2001:db8::/32");
	for (size_t i = 0; i < sizeof(ipv4) / sizeof(ipv4[0]); i++)
		assert_wrong(ipv4[i], "its length is not 0 to 32, or a mask such as 255.255.255.0");
	for (size_t i = 0; i < sizeof(ipv6) / sizeof(ipv6[0]); i++)
		assert_wrong(ipv6[i], "its length is not 0 to 128");
}

/* Addresses of few different values, so that networks meet, contain each other, and contain what is asked. */
static struct addr made_up(unsigned *seed)
{
	int family = rand_r(seed) % 2 ? AF_INET : AF_INET6;
	uint8_t bytes[16];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] =
			(uint8_t)(rand_r(seed) % 3 == 0 ? rand_r(seed) : rand_r(seed) % 2 * 0x81);
	return addr_from_bytes(family, bytes);
}

static bool shares(const struct addr *a, const struct addr *b, unsigned bits)
{
	const uint8_t *left = addr_bytes(a), *right = addr_bytes(b);

	if (addr_family(a) != addr_family(b) || memcmp(left, right, bits / 8) != 0)
		return false;
	return bits % 8 == 0 || (left[bits / 8] ^ right[bits / 8]) >> (8 - bits % 8) == 0;
}

static bool list_contains(const struct list *list, const struct addr *address)
{
	for (size_t i = 0; i < list->count; i++)
		if (shares(&list->address[i], address, list->bits[i]))
			return true;
	return false;
}

/* Whether the answer may come from the address's other form; those have a test of their own. */
static bool has_another_form(const struct addr *address)
{
	static const uint8_t zeros[10];
	const uint8_t *bytes = addr_bytes(address);

	return addr_family(address) == AF_INET6 &&
	       (memcmp(bytes, zeros, sizeof(zeros)) == 0 || (bytes[0] == 0x20 && bytes[1] == 0x02));
}

static void made_up_networks_contain_what_a_list_of_them_contains(void **state)
{
	static struct list list;
	struct networks networks = {0};
	unsigned seed = 1;
	size_t inside = 0;

	(void)state;
	for (; list.count < MADE_UP; list.count++) {
		struct addr address = made_up(&seed);
		unsigned most = family_bits(addr_family(&address));
		unsigned bits = most / 2 + (unsigned)rand_r(&seed) % (most / 2 + 1);

		list.address[list.count] = address;
		list.bits[list.count] = bits;
		assert_true(networks_add(&networks, memory, &address, bits));
	}
	for (size_t i = 0; i < ASKED; i++) {
		struct addr address = made_up(&seed);
		bool expected = list_contains(&list, &address);

		if (has_another_form(&address))
			continue;
		inside += expected;
		assert_int_equal(networks_contain(&networks, &address), expected);
	}
	assert_in_range(inside, ASKED / 20, ASKED - ASKED / 20);
}

static void too_little_memory_is_noticed(void **state)
{
	struct config_memory *little = memory_new(100);
	struct networks networks = {0};
	struct addr address;
	bool added = true;

	(void)state;
	for (unsigned i = 0; added && i < 10; i++) {
		address = addr_any(AF_INET);
		address.in4.sin_addr.s_addr = htonl(i << 8);
		added = networks_add(&networks, little, &address, 32);
	}
	assert_false(added);
	assert_false(networks_reserve(&networks, little, SIZE_MAX / 4));
	memory_free(little);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_empty_set_contains_nothing),
		cmocka_unit_test(a_network_contains_its_addresses_and_no_others),
		cmocka_unit_test(a_network_of_length_0_contains_its_whole_family),
		cmocka_unit_test(networks_may_contain_each_other_in_either_order),
		cmocka_unit_test(an_address_of_the_other_family_is_looked_for_in_its_other_form),
		cmocka_unit_test(what_is_no_network_is_refused),
		cmocka_unit_test(made_up_networks_contain_what_a_list_of_them_contains),
		cmocka_unit_test(too_little_memory_is_noticed),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
