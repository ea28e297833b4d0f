/*
 * Addresses in a text that is to be shown to strangers.
 */
#include "report/redact.h"
#include "unit.h"

#include <stdlib.h>

static void assert_redacted(const char *text, const char *expected)
{
	char *made = redact_addresses(text);

	assert_string_equal(made, expected);
	free(made);
}

static void a_public_address_is_replaced_everywhere_by_the_same(void **state)
{
	(void)state;
	assert_redacted("8.8.8.8:53 and 8.8.8.8/32, then 9.9.9.9, [8.8.8.9].",
		"192.0.2.8:53 and 192.0.2.8/32, then 198.51.100.9, [192.0.2.9].");
	assert_redacted("eth0:8.8.8.8 from=8.8.8.8-8.8.8.9 :8.8.8.8 ::ffff:8.8.8.8",
		"eth0:192.0.2.8 from=192.0.2.8-192.0.2.9 :192.0.2.8 ::ffff:192.0.2.8");
	assert_redacted("-A PREROUTING -d 8.8.8.0/24 -j X", "-A PREROUTING -d 192.0.2.0/24 -j X");
}

static void addresses_that_everybody_uses_stay(void **state)
{
	static const char text[] =
		"10.1.2.3 172.16.0.1 172.31.255.255 192.168.1.1 127.0.0.1 0.0.0.0/0 169.254.1.1 "
		"100.64.0.1 224.0.0.1 255.255.255.255 192.0.2.80:80 198.51.100.1 203.0.113.5 198.18.0.1 "
		"fe80::1 ::1 ::/0 fd00::1 ff02::1 2001:db8::1 [2001:db8:f::80]:80";

	(void)state;
	assert_redacted(text, text);
}

static void ranges_that_the_text_has_are_not_given_to_others(void **state)
{
	(void)state;
	assert_redacted("192.0.2.80 203.0.113.1 8.8.8.8 9.9.9.9 1.1.1.1",
		"192.0.2.80 203.0.113.1 198.51.100.8 198.18.0.9 198.18.1.1");
}

static void ipv6_keeps_its_networks_and_short_ends(void **state)
{
	(void)state;
	assert_redacted(
		"2a00:1:2:3::10 2a00:1:2:3::/64 2a00:1:2:4::10 [2a00:1:2:3:211:22ff:fe33:4455]:443",
		"2001:db8:ff00::10 2001:db8:ff00::/64 2001:db8:ff00:1::10 [2001:db8:ff00::ffff:0]:443");
}

static void what_is_no_address_stays(void **state)
{
	static const char text[] =
		"net.ipv4.conf.all.rp_filter=1 Linux 6.1.0-9 nft v1.0.6 02:00:00:00:00:01 "
		"`-m comment --comment \"added: abc\"` 12:34:56 a.b.c.d iptables v1.8.9 300.1.1.1 "
		"handle 7.:: fade::";

	(void)state;
	assert_redacted(text, text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_public_address_is_replaced_everywhere_by_the_same),
		cmocka_unit_test(addresses_that_everybody_uses_stay),
		cmocka_unit_test(ranges_that_the_text_has_are_not_given_to_others),
		cmocka_unit_test(ipv6_keeps_its_networks_and_short_ends),
		cmocka_unit_test(what_is_no_address_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
