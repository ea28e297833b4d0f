/*
 * The tracepoint of dropped packets: its file, as Linux writes it.
 */
#include "unit.h"
#include "watch/drops.h"

#include <stdlib.h>

static const char format[] =
	"name: kfree_skb\nID: 2310\nformat:\n"
	"\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\n"
	"\tfield:void * rx_sk;\toffset:24;\tsize:8;\tsigned:0;\n"
	"\tfield:unsigned short protocol;\toffset:32;\tsize:2;\tsigned:0;\n"
	"\tfield:enum skb_drop_reason reason;\toffset:36;\tsize:4;\tsigned:0;\n\n"
	"print fmt: \"reason: %s\", __print_symbolic(REC->reason, { 2, \"NOT_SPECIFIED\" }, "
	"{ 12, \"NETFILTER_DROP\" }, { 16, \"IP_RPFILTER\" })\n";

static void its_number_and_the_reasons_place_are_read(void **state)
{
	unsigned id;
	size_t at;

	(void)state;
	assert_true(drops_read_format(format, &id, &at));
	assert_int_equal(id, 2310);
	assert_int_equal(at, 36);
}

static void a_kernel_without_reasons_has_none(void **state)
{
	unsigned id;
	size_t at;

	(void)state;
	assert_false(drops_read_format("", &id, &at));
	assert_false(drops_read_format(
		"name: kfree_skb\nID: 1000\nformat:\n\tfield:unsigned short protocol;\toffset:24;\n",
		&id, &at));
}

static void reasons_have_names(void **state)
{
	char *name = drops_reason(format, 16);

	(void)state;
	assert_string_equal(name, "IP_RPFILTER");
	free(name);
	assert_null(drops_reason(format, 1));
	assert_null(drops_reason(format, 6));
}

/* 2 since Linux 6.2, and 1 before, where 2 is a reason. */
static void reasons_are_behind_the_unspecified_one(void **state)
{
	(void)state;
	assert_int_equal(drops_unspecified(format), 2);
	assert_int_equal(drops_unspecified("{ 1, \"NOT_SPECIFIED\" }, { 2, \"NO_SOCKET\" })"), 1);
	assert_int_equal(drops_unspecified("{ 0, \"NOT_SPECIFIED\" }, { 1, \"NO_SOCKET\" })"), 0);
	assert_int_equal(drops_unspecified(""), 2);
}

static void an_end_without_a_begin_is_nothing(void **state)
{
	(void)state;
	assert_null(drops_end(NULL));
	free(drops_end(drops_begin())); /* with or without the right to */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(its_number_and_the_reasons_place_are_read),
		cmocka_unit_test(a_kernel_without_reasons_has_none),
		cmocka_unit_test(reasons_have_names),
		cmocka_unit_test(reasons_are_behind_the_unspecified_one),
		cmocka_unit_test(an_end_without_a_begin_is_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
