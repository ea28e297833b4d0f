/*
 * The kernel's answer about a route: messages made here, complete, cut off and wrong; and answers of the running kernel.
 */
#include "hoststate/route.h"
#include "unit.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct route_answer answer;

/* One message, built in place; the attributes are added behind it. */
static struct {
	_Alignas(struct nlmsghdr) char bytes[512];
	struct nlmsghdr *header;
} made;

static struct addr at(const char *ip)
{
	struct addr addr;

	assert_true(addr_parse(&addr, ip));
	return addr;
}

static void begin(uint16_t kind, int family, unsigned char type)
{
	struct rtmsg *route;

	memset(made.bytes, 0, sizeof(made.bytes));
	made.header = mnl_nlmsg_put_header(made.bytes);
	made.header->nlmsg_type = kind;
	route = mnl_nlmsg_put_extra_header(made.header, sizeof(*route));
	route->rtm_family = (unsigned char)family;
	route->rtm_type = type;
}

static void put_ip(uint16_t type, const char *ip)
{
	struct addr addr = at(ip);

	mnl_attr_put(made.header, type, family_bits(addr_family(&addr)) / 8, addr_bytes(&addr));
}

static bool parse(int family)
{
	return route_parse_answer(&answer, family, made.bytes, made.header->nlmsg_len);
}

static void assert_ip(const struct addr *addr, const char *expected)
{
	char text[ADDR_TEXT_MAX];

	assert_string_equal(addr_format_ip(addr, text), expected);
}

static void assert_refused(int error)
{
	assert_false(answer.found);
	assert_string_equal(answer.error, strerror(error));
	assert_string_equal(answer.link, "");
	assert_true(addr_is_any(&answer.gateway) && addr_is_any(&answer.source));
}

static void an_answer_has_link_source_and_gateway(void **state)
{
	(void)state;
	begin(RTM_NEWROUTE, AF_INET, RTN_UNICAST);
	put_ip(RTA_DST, "192.0.2.1");
	mnl_attr_put_u32(made.header, RTA_OIF, 1);
	put_ip(RTA_GATEWAY, "203.0.113.254");
	put_ip(RTA_PREFSRC, "203.0.113.1");
	assert_true(parse(AF_INET));
	assert_true(answer.found && !answer.local);
	assert_string_equal(answer.link, "lo");
	assert_ip(&answer.gateway, "203.0.113.254");
	assert_ip(&answer.source, "203.0.113.1");
	assert_string_equal(answer.error, "");
}

static void an_answer_of_ipv6_has_them_too(void **state)
{
	(void)state;
	begin(RTM_NEWROUTE, AF_INET6, RTN_UNICAST);
	put_ip(RTA_GATEWAY, "2001:db8:5::fe");
	put_ip(RTA_PREFSRC, "2001:db8:5::1");
	assert_true(parse(AF_INET6));
	assert_ip(&answer.gateway, "2001:db8:5::fe");
	assert_ip(&answer.source, "2001:db8:5::1");
}

static void what_an_answer_leaves_out_is_the_wildcard(void **state)
{
	(void)state;
	begin(RTM_NEWROUTE, AF_INET6, RTN_LOCAL);
	assert_true(parse(AF_INET6));
	assert_true(answer.found && answer.local);
	assert_string_equal(answer.link, "");
	assert_int_equal(addr_family(&answer.gateway), AF_INET6);
	assert_true(addr_is_any(&answer.gateway) && addr_is_any(&answer.source));
}

static void the_kernels_error_is_the_reason(void **state)
{
	struct nlmsgerr *refusal;

	(void)state;
	memset(made.bytes, 0, sizeof(made.bytes));
	made.header = mnl_nlmsg_put_header(made.bytes);
	made.header->nlmsg_type = NLMSG_ERROR;
	refusal = mnl_nlmsg_put_extra_header(made.header, sizeof(*refusal));
	refusal->error = -ENETUNREACH;
	assert_false(parse(AF_INET));
	assert_refused(ENETUNREACH);
	refusal->error = 0; /* an acknowledgement has no route in it */
	assert_false(parse(AF_INET));
	assert_refused(EPROTO);
}

static void what_is_cut_off_anywhere_is_refused(void **state)
{
	(void)state;
	begin(RTM_NEWROUTE, AF_INET, RTN_UNICAST);
	put_ip(RTA_PREFSRC, "203.0.113.1");
	for (uint32_t length = 0; length < made.header->nlmsg_len; length++) {
		char *part = malloc(length + 1);

		assert_non_null(part);
		memcpy(part, made.bytes, length);
		assert_false(route_parse_answer(&answer, AF_INET, part, length));
		assert_refused(EPROTO);
		free(part);
	}
}

static void an_address_or_a_link_of_another_size_is_refused(void **state)
{
	(void)state;
	begin(RTM_NEWROUTE, AF_INET, RTN_UNICAST);
	put_ip(RTA_PREFSRC, "203.0.113.1");
	put_ip(RTA_GATEWAY, "2001:db8::1");
	assert_false(parse(AF_INET));
	assert_refused(EPROTO);
	begin(RTM_NEWROUTE, AF_INET, RTN_UNICAST);
	mnl_attr_put_u8(made.header, RTA_OIF, 1);
	assert_false(parse(AF_INET));
	assert_refused(EPROTO);
}

static void a_message_of_another_kind_is_refused(void **state)
{
	(void)state;
	begin(RTM_NEWADDR, AF_INET, RTN_UNICAST);
	assert_false(parse(AF_INET));
	assert_refused(EPROTO);
	begin(RTM_NEWROUTE, AF_INET6, RTN_UNICAST);
	assert_false(parse(AF_INET));
	assert_refused(EPROTO);
}

/* --- the running kernel's own answers --- */

static struct route_answer get(const struct route_question *question)
{
	struct route_answer got;

	route_get(question, &got);
	return got;
}

static void the_kernel_delivers_its_loopback_address_here(void **state)
{
	struct route_question question = {.to = at("127.0.0.1")};
	struct route_answer got;

	(void)state;
	got = get(&question);
	assert_true(got.found && got.local);
	assert_string_equal(got.link, "lo");
	assert_ip(&got.source, "127.0.0.1");
}

static void a_link_that_is_not_there_has_no_route(void **state)
{
	struct addr from = at("198.51.100.10");
	struct route_question question = {at("192.0.2.80"), &from, "no-such-link", 1, 0};

	(void)state;
	assert_string_equal(get(&question).error, strerror(ENODEV));
}

/* In an empty network namespace; a status of 0 is a success. */
static int ask_without_network(void)
{
	struct route_question question = {.to = at("203.0.113.20")};
	struct route_question marked = {.to = at("203.0.113.20"), .mark = 1};
	struct addr from = at("198.51.100.10");
	struct route_question comes_in = {at("192.0.2.80"), &from, "lo", 0, 0};

	if (strcmp(get(&question).error, strerror(ENETUNREACH)) != 0)
		return 1;
	if (strcmp(get(&marked).error, strerror(ENETUNREACH)) != 0)
		return 2;
	return get(&comes_in).found ? 3 : 0;
}

static void a_host_without_routes_says_so(void **state)
{
	const int skipped = 77;
	int status;
	pid_t child = fork();

	(void)state;
	assert_return_code(child, errno);
	if (child == 0) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNET) == -1 && unshare(CLONE_NEWNET) == -1)
			_exit(skipped);
		_exit(ask_without_network());
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == skipped)
		skip();
	assert_int_equal(status, 0);
}

/* Each part has memory of its own size, so that AddressSanitizer shows a read behind it. */
static void an_attribute_that_the_message_ends_in_is_not_read(void **state)
{
	const size_t before = sizeof(struct nlmsghdr) + sizeof(struct rtmsg);

	(void)state;
	begin(RTM_NEWROUTE, AF_INET6, RTN_UNICAST);
	put_ip(RTA_GATEWAY, "2001:db8:5::fe");
	for (uint32_t length = (uint32_t)before; length < before + 20; length++) {
		char *part = malloc(length);

		assert_non_null(part);
		made.header->nlmsg_len = length;
		memcpy(part, made.bytes, length);
		assert_true(route_parse_answer(&answer, AF_INET6, part, length));
		assert_true(addr_is_any(&answer.gateway));
		free(part);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_has_link_source_and_gateway),
		cmocka_unit_test(an_answer_of_ipv6_has_them_too),
		cmocka_unit_test(what_an_answer_leaves_out_is_the_wildcard),
		cmocka_unit_test(the_kernels_error_is_the_reason),
		cmocka_unit_test(what_is_cut_off_anywhere_is_refused),
		cmocka_unit_test(an_attribute_that_the_message_ends_in_is_not_read),
		cmocka_unit_test(an_address_or_a_link_of_another_size_is_refused),
		cmocka_unit_test(a_message_of_another_kind_is_refused),
		cmocka_unit_test(the_kernel_delivers_its_loopback_address_here),
		cmocka_unit_test(a_link_that_is_not_there_has_no_route),
		cmocka_unit_test(a_host_without_routes_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
