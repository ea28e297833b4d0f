/*
 * The tracepoint of dropped packets: its file, as Linux writes it, and its records in a ring.
 */
#include "unit.h"
#include "watch/drops.h"

#include <linux/perf_event.h>
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

static void assert_filter(const char *text, const char *wanted)
{
	char *made = drops_filter(text);

	assert_string_equal(made, wanted);
	free(made);
}

/* "Not specified" is 2 since Linux 6.2, and 1 before, where 2 is a reason. */
static void reasons_are_behind_the_unspecified_one(void **state)
{
	(void)state;
	assert_filter(format, "(protocol == 2048 || protocol == 34525) && reason > 2");
	assert_filter("{ 1, \"NOT_SPECIFIED\" }, { 2, \"NO_SOCKET\" })",
		"(protocol == 2048 || protocol == 34525) && reason > 1");
	assert_filter("{ 0, \"NOT_SPECIFIED\" }, { 1, \"NO_SOCKET\" })",
		"(protocol == 2048 || protocol == 34525) && reason > 0");
	assert_filter("", "(protocol == 2048 || protocol == 34525) && reason > 2");
}

static void packets_that_are_not_on_their_way_do_not_count(void **state)
{
	(void)state;
	assert_filter(
		"{ 2, \"NOT_SPECIFIED\" }, { 4, \"PACKET_SOCK_ERROR\" }, { 97, \"QUEUE_PURGE\" })",
		"(protocol == 2048 || protocol == 34525) && reason > 2 && reason != 97 && reason != 4");
}

enum {
	RING = 256,
	REASON_AT = 36
};

struct record {
	struct perf_event_header header;
	uint32_t size;
	struct {
		uint8_t before[REASON_AT];
		uint32_t reason;
	} raw;
};

/* Writes a record at byte number AT since the start; the number of the byte behind it. */
static uint64_t put(uint8_t *ring, uint64_t at, uint32_t type, uint32_t reason)
{
	struct record record = {.header = {.type = type, .size = sizeof(record)},
		.size = sizeof(record.raw),
		.raw = {.reason = reason}};
	uint8_t bytes[sizeof(record)];

	memcpy(bytes, &record, sizeof(record));
	for (size_t i = 0; i < sizeof(bytes); i++)
		ring[(at + i) % RING] = bytes[i];
	return at + sizeof(bytes);
}

static void records_are_counted_also_over_the_end_of_the_ring(void **state)
{
	uint8_t ring[RING];
	struct drops_counts counts = {.all = 4};
	uint64_t begin = 10 * RING - sizeof(struct record) - 6, at = begin;
	char *text;

	(void)state;
	at = put(ring, at, PERF_RECORD_SAMPLE, 16);
	at = put(ring, at, PERF_RECORD_SAMPLE, 16);
	at = put(ring, at, PERF_RECORD_LOST, 12);
	at = put(ring, at, PERF_RECORD_SAMPLE, 12);
	drops_count(&counts, ring, RING, begin, at, REASON_AT);
	assert_int_equal(counts.read, 3);
	text = drops_text(&counts, format);
	assert_string_equal(text,
		"NETFILTER_DROP 1, IP_RPFILTER 2, 1 more for reasons that could not be read in time");
	free(text);
}

static void without_records_there_is_no_text(void **state)
{
	struct drops_counts counts = {0};
	char *text;

	(void)state;
	assert_null(drops_text(&counts, format));
	counts.all = 5;
	text = drops_text(&counts, format);
	assert_string_equal(text, "5 more for reasons that could not be read in time");
	free(text);
}

static void an_end_without_a_begin_is_nothing(void **state)
{
	(void)state;
	assert_null(drops_end(NULL));
	assert_int_equal(drops_descriptor(NULL), -1);
	free(drops_end(drops_begin())); /* with or without the right to */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(its_number_and_the_reasons_place_are_read),
		cmocka_unit_test(a_kernel_without_reasons_has_none),
		cmocka_unit_test(reasons_are_behind_the_unspecified_one),
		cmocka_unit_test(packets_that_are_not_on_their_way_do_not_count),
		cmocka_unit_test(records_are_counted_also_over_the_end_of_the_ring),
		cmocka_unit_test(without_records_there_is_no_text),
		cmocka_unit_test(an_end_without_a_begin_is_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
