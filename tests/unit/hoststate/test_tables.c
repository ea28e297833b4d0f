/*
 * The kernel's answer about its tables: messages made by hand, whole and cut off anywhere.
 */
#include "hoststate/netlink.h"
#include "hoststate/tables.h"
#include "unit.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>

struct answer {
	_Alignas(struct nlmsghdr) char bytes[1024];
	size_t length;
};

static struct nlmsghdr *add_message(struct answer *answer, uint16_t type)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(answer->bytes + answer->length);

	message->nlmsg_type = type;
	message->nlmsg_flags = NLM_F_MULTI;
	return message;
}

static void add_table(struct answer *answer, unsigned char family, const char *name)
{
	struct nlmsghdr *message =
		add_message(answer, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE);
	struct nfgenmsg *header = mnl_nlmsg_put_extra_header(message, sizeof(*header));

	header->nfgen_family = family;
	mnl_attr_put_strz(message, NFTA_TABLE_NAME, name);
	mnl_attr_put_u32(message, NFTA_TABLE_USE, 0);
	answer->length += message->nlmsg_len;
}

static void add_end(struct answer *answer)
{
	struct nlmsghdr *message = add_message(answer, NLMSG_DONE);

	*(int *)mnl_nlmsg_put_extra_header(message, sizeof(int)) = 0;
	answer->length += message->nlmsg_len;
}

static struct tables read_one(unsigned char family, const char *name)
{
	struct answer answer = {0};
	struct tables tables = {.known = true};

	add_table(&answer, family, name);
	add_end(&answer);
	assert_int_equal(tables_parse(&tables, answer.bytes, answer.length), MNL_CB_STOP);
	return tables;
}

static void assert_asked(const struct tables *tables, bool four, bool six, bool nft)
{
	assert_int_equal(tables_may_have(tables, TOOL_IPTABLES, AF_INET), four);
	assert_int_equal(tables_may_have(tables, TOOL_IPTABLES, AF_INET6), six);
	assert_int_equal(tables_may_have(tables, TOOL_NFT, AF_UNSPEC), nft);
}

static void where_there_is_no_table_no_program_is_asked(void **state)
{
	struct answer answer = {0};
	struct tables tables = {.known = true};

	(void)state;
	add_end(&answer);
	assert_int_equal(tables_parse(&tables, answer.bytes, answer.length), MNL_CB_STOP);
	assert_asked(&tables, false, false, false);
}

static void where_the_kernel_does_not_tell_all_are_asked(void **state)
{
	struct tables tables = {0};

	(void)state;
	assert_asked(&tables, true, true, true);
}

static void iptables_lists_the_names_of_its_own(void **state)
{
	static const char *const names[] = {"filter", "nat", "mangle", "raw", "security"};
	struct tables tables;

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		tables = read_one(NFPROTO_IPV4, names[i]);
		assert_asked(&tables, true, false, true);
		assert_false(tables.others);
		tables = read_one(NFPROTO_IPV6, names[i]);
		assert_asked(&tables, false, true, true);
	}
}

static void nft_alone_lists_all_others(void **state)
{
	static const struct {
		unsigned char family;
		const char *name;
	} others[] = {{NFPROTO_INET, "filter"}, {NFPROTO_NETDEV, "filter"},
		{NFPROTO_BRIDGE, "filter"}, {NFPROTO_ARP, "filter"}, {NFPROTO_IPV4, "filters"},
		{NFPROTO_IPV6, "tproxy"}, {NFPROTO_IPV4, ""}};
	struct tables tables;

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		tables = read_one(others[i].family, others[i].name);
		assert_asked(&tables, false, false, true);
		assert_true(tables.others);
	}
}

static void each_of_several_counts(void **state)
{
	struct answer answer = {0};
	struct tables tables = {.known = true};

	(void)state;
	add_table(&answer, NFPROTO_INET, "firewalld");
	add_table(&answer, NFPROTO_IPV6, "mangle");
	add_table(&answer, NFPROTO_IPV4, "mangle");
	assert_int_equal(tables_parse(&tables, answer.bytes, answer.length), MNL_CB_OK);
	assert_true(tables.iptables[0] && tables.iptables[1] && tables.others);
}

/* No answer that is cut off reads as its end. */
static void an_answer_that_is_cut_off_has_no_end(void **state)
{
	struct answer answer = {0};

	(void)state;
	add_table(&answer, NFPROTO_IPV4, "mangle");
	add_end(&answer);
	for (size_t length = 0; length < answer.length; length++) {
		struct tables tables = {0};
		char *part = malloc(length != 0 ? length : 1);

		assert_non_null(part);
		memcpy(part, answer.bytes, length);
		assert_int_not_equal(tables_parse(&tables, part, length), MNL_CB_STOP);
		free(part);
	}
}

static void messages_of_another_kind_are_refused(void **state)
{
	static const uint16_t types[] = {NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN,
		NFNL_SUBSYS_IPSET << 8 | NFT_MSG_NEWTABLE};
	struct tables tables = {0};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct answer answer = {0};

		add_table(&answer, NFPROTO_IPV4, "mangle");
		((struct nlmsghdr *)answer.bytes)->nlmsg_type = types[i];
		assert_int_equal(tables_parse(&tables, answer.bytes, answer.length), MNL_CB_ERROR);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(where_there_is_no_table_no_program_is_asked),
		cmocka_unit_test(where_the_kernel_does_not_tell_all_are_asked),
		cmocka_unit_test(iptables_lists_the_names_of_its_own),
		cmocka_unit_test(nft_alone_lists_all_others),
		cmocka_unit_test(each_of_several_counts),
		cmocka_unit_test(an_answer_that_is_cut_off_has_no_end),
		cmocka_unit_test(messages_of_another_kind_are_refused),
	};

	return cmocka_run_group_tests_name("tables", tests, NULL, NULL);
}
