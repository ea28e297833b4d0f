/*
 * Hosts with very many rules, chains and set elements: work grows with their number, not with its square.
 *
 * No time is measured. The processor time of each test is bounded instead, far above what it needs and
 * below what a square of these numbers would take, so that other programs do not matter. With a sanitizer, the numbers
 * are a tenth of these.
 */
#include "firewall/ruleset.h"
#include "firewall/trace.h"
#include "setup/in_use.h"
#include "setup/our_rules.h"
#include "tproxy/text.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum {
	MANY = LARGE(100000),
	MOST = 4 * MANY, /* where each step is short */
	SECONDS_MAX = 60
};

static int bound_work(void **state)
{
	struct rlimit limit = {.rlim_max = RLIM_INFINITY};
	struct rusage used;

	(void)state;
	getrusage(RUSAGE_SELF, &used);
	limit.rlim_cur = (rlim_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + SECONDS_MAX;
	return setrlimit(RLIMIT_CPU, &limit);
}

static struct packet packet_to(const char *address)
{
	struct packet packet = {.protocol = IPPROTO_TCP, .ct = CT_NEW, .in = "eth0"};

	assert_true(addr_parse(&packet.source, "198.51.100.10"));
	assert_true(addr_parse(&packet.destination, address));
	addr_set_port(&packet.source, 40000);
	addr_set_port(&packet.destination, 80);
	return packet;
}

/* A chain for each of many services, all of them jumped to from PREROUTING; the last sets a mark. */
static char *save_with_chains(void)
{
	struct text_stream save;

	text_begin(&save);
	fputs("*mangle\n:PREROUTING ACCEPT [0:0]\n", save.out);
	for (int i = 0; i < MANY; i++)
		fprintf(save.out, ":SERVICE-%d - [0:0]\n", i);
	for (int i = 0; i < MANY; i++)
		fprintf(save.out, "-A PREROUTING -s 198.51.100.0/24 -j SERVICE-%d\n", i);
	for (int i = 0; i < MANY - 1; i++)
		fprintf(save.out, "-A SERVICE-%d -p udp -j DROP\n", i);
	fprintf(save.out, "-A SERVICE-%d -j MARK --set-mark 7\nCOMMIT\n", MANY - 1);
	return text_end(&save);
}

static void many_chains_of_iptables_are_read_and_passed(void **state)
{
	char *save = save_with_chains(), *problem = NULL;
	struct packet packet = packet_to("192.0.2.80");
	struct ruleset ruleset = {0};
	struct trace trace;

	(void)state;
	assert_int_equal(ruleset_parse_iptables(&ruleset, TOOL_LEGACY, AF_INET, save, &problem), 0);
	assert_int_equal(ruleset.tables[0].chain_count, MANY + 1);
	trace = trace_packet(&ruleset, HOOK_PREROUTING, &packet);
	assert_null(trace.unsure);
	assert_int_equal(trace.mark, 7);
	ruleset_free(&ruleset);
	free(save);
}

static void our_rules_are_found_among_many(void **state)
{
	struct text_stream save;
	char *text, *ours, *removal, *left = NULL;

	(void)state;
	text_begin(&save);
	fputs("*mangle\n:PREROUTING ACCEPT [0:0]\n:TPROXYCTL - [0:0]\n", save.out);
	for (int i = 0; i < MANY; i++)
		fprintf(save.out, "-A PREROUTING -p tcp -m tcp --dport %d -j ACCEPT\n", i % 65536);
	for (int i = 0; i < MANY; i++)
		fputs("-A TPROXYCTL -m comment --comment tproxyctl -j ACCEPT\n", save.out);
	fputs("COMMIT\n", save.out);
	text = text_end(&save);
	ours = our_rules_of_save(text);
	removal = our_rules_removal(ours, false, "ip", &left);
	assert_null(left);
	assert_non_null(strstr(removal, "-X TPROXYCTL\nCOMMIT\n"));
	free(removal);
	free(ours);
	free(text);
}

static void many_chains_of_nft_are_cleaned(void **state)
{
	json_t *before = json_array();
	struct text_stream listing;
	const char *at;
	char *text, *made;
	int fresh = 0, lines = 0;

	(void)state;
	text_begin(&listing);
	fputs("{\"nftables\":[{\"table\":{\"name\":\"mangle\"}}", listing.out);
	for (int i = 0; i < MANY; i++) {
		char *name = text_format("old%d", i);

		fprintf(listing.out, ",{\"chain\":{\"name\":\"%s\",\"policy\":\"accept\"}}", name);
		fprintf(listing.out, ",{\"chain\":{\"name\":\"fresh%d\",\"policy\":\"accept\"}}",
			i);
		json_array_append_new(before, json_string(name));
		free(name);
	}
	fputs("]}", listing.out);
	text = text_end(&listing);
	made = our_rules_cleaning(before, text, "ip");
	at = made;
	for (char *line; (line = text_line(&at)) != NULL; free(line)) {
		fresh += strncmp(line, "delete chain ip mangle fresh", 28) == 0;
		lines++;
	}
	assert_int_equal(fresh, MANY);
	assert_int_equal(lines, MANY);
	free(made);
	free(text);
	json_decref(before);
}

static void put_nft_chains(FILE *out, int count)
{
	for (int i = 0; i < count; i++)
		fprintf(out,
			",{\"chain\":{\"family\":\"ip\",\"table\":\"t\",\"name\":\"c%d\","
			"\"handle\":%d}}",
			i, i + 1);
	fputs(",{\"chain\":{\"family\":\"ip\",\"table\":\"t\",\"name\":\"base\",\"handle\":1,"
	      "\"type\":\"filter\",\"hook\":\"prerouting\",\"prio\":-150,\"policy\":\"accept\"}}",
		out);
}

static void put_nft_rule(FILE *out, const char *chain, int handle, const char *expressions)
{
	fprintf(out,
		",{\"rule\":{\"family\":\"ip\",\"table\":\"t\",\"chain\":\"%s\",\"handle\":%d,"
		"\"expr\":[%s]}}",
		chain, handle, expressions);
}

static void many_chains_of_nft_are_read_and_passed(void **state)
{
	struct packet packet = packet_to("192.0.2.80");
	char *text, *problem = NULL, name[32], jump[64];
	struct ruleset ruleset = {0};
	struct text_stream listing;
	struct trace trace;

	(void)state;
	text_begin(&listing);
	fputs("{\"nftables\":[{\"table\":{\"family\":\"ip\",\"name\":\"t\"}}", listing.out);
	put_nft_chains(listing.out, MANY);
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		snprintf(jump, sizeof(jump), "{\"jump\":{\"target\":\"c%d\"}}", i);
		put_nft_rule(listing.out, name, i + 1,
			"{\"mangle\":{\"key\":{\"meta\":{\"key\":\"mark\"}},\"value\":7}}");
		put_nft_rule(listing.out, "base", i + 1, jump);
	}
	fputs("]}", listing.out);
	text = text_end(&listing);
	assert_int_equal(ruleset_parse_nft(&ruleset, text, &problem), 0);
	trace = trace_packet(&ruleset, HOOK_PREROUTING, &packet);
	assert_null(trace.unsure);
	assert_int_equal(trace.mark, 7);
	ruleset_free(&ruleset);
	free(text);
}

/* A set of every second address from 192.0.2.0 on. */
static void put_set(FILE *out, int count)
{
	fputs(",{\"set\":{\"family\":\"ip\",\"table\":\"t\",\"name\":\"s\",\"elem\":[", out);
	for (int i = 0; i < count; i++) {
		uint32_t address = htonl(0xc0000200 + 2 * (uint32_t)i);
		const uint8_t *byte = (const uint8_t *)&address;

		fprintf(out, "%s\"%u.%u.%u.%u\"", i > 0 ? "," : "", byte[0], byte[1], byte[2],
			byte[3]);
	}
	fputs("]}}", out);
}

static void a_large_set_is_read_once_and_searched_by_halves(void **state)
{
	static const char rule[] = "{\"match\":{\"op\":\"==\",\"left\":{\"payload\":"
				   "{\"protocol\":\"ip\",\"field\":\"daddr\"}},\"right\":\"@s\"}},"
				   "{\"drop\":null}";
	struct packet in = packet_to("192.0.2.80"), out = packet_to("192.0.2.81");
	char *text, *problem = NULL;
	struct ruleset ruleset = {0};
	struct text_stream listing;
	const struct chain *chain;
	struct trace trace;

	(void)state;
	text_begin(&listing);
	fputs("{\"nftables\":[{\"table\":{\"family\":\"ip\",\"name\":\"t\"}}", listing.out);
	put_set(listing.out, MANY);
	put_nft_chains(listing.out, 0);
	for (int i = 0; i < MANY; i++)
		put_nft_rule(listing.out, "base", i + 1, rule);
	fputs("]}", listing.out);
	text = text_end(&listing);
	assert_int_equal(ruleset_parse_nft(&ruleset, text, &problem), 0);
	chain = ruleset_chain(&ruleset.tables[0], "base");
	assert_ptr_equal(chain->rules[0].matches[0].ranges, chain->rules[1].matches[0].ranges);
	trace = trace_packet(&ruleset, HOOK_PREROUTING, &in);
	assert_true(trace.dropped);
	trace = trace_packet(&ruleset, HOOK_PREROUTING, &out);
	assert_false(trace.dropped);
	assert_null(trace.unsure);
	ruleset_free(&ruleset);
	free(text);
}

static void many_base_chains_are_passed_in_their_order(void **state)
{
	struct packet packet = packet_to("192.0.2.80");
	char *text, *problem = NULL, name[32];
	struct ruleset ruleset = {0};
	struct text_stream listing;
	struct trace trace;

	(void)state;
	text_begin(&listing);
	fputs("{\"nftables\":[{\"table\":{\"family\":\"ip\",\"name\":\"t\"}}", listing.out);
	for (int i = 0; i < MOST; i++)
		fprintf(listing.out,
			",{\"chain\":{\"family\":\"ip\",\"table\":\"t\",\"name\":\"c%d\","
			"\"type\":\"filter\",\"hook\":\"prerouting\",\"prio\":%d,"
			"\"policy\":\"accept\"}}",
			i, -i);
	for (int i = 0; i < MOST; i++) {
		char *mark = text_format(
			"{\"mangle\":{\"key\":{\"meta\":{\"key\":\"mark\"}},\"value\":%d}}", i);

		snprintf(name, sizeof(name), "c%d", i);
		put_nft_rule(listing.out, name, 1, mark);
		free(mark);
	}
	fputs("]}", listing.out);
	text = text_end(&listing);
	assert_int_equal(ruleset_parse_nft(&ruleset, text, &problem), 0);
	trace = trace_packet(&ruleset, HOOK_PREROUTING, &packet);
	assert_int_equal(trace.mark, 0);
	ruleset_free(&ruleset);
	free(text);
}

static void what_is_free_is_found_behind_many_that_are_in_use(void **state)
{
	struct text_stream rules;
	struct network network = {0};
	struct in_use in_use = {0};
	char *text;

	(void)state;
	text_begin(&rules);
	fputc('[', rules.out);
	for (int i = 0; i < MOST; i++)
		fprintf(rules.out,
			"%s{\"priority\":%d,\"fwmark\":\"0x%x\",\"fwmask\":\"0xffffffff\","
			"\"table\":\"%d\"}",
			i > 0 ? "," : "", i, i + 1, i + 100);
	fputc(']', rules.out);
	text = text_end(&rules);
	assert_true(network_parse_family(&network, AF_INET, text));
	in_use_add_network(&in_use, &network);
	network_free(&network);
	assert_int_equal(in_use_free_mark(&in_use), MOST + 1);
	assert_int_equal(in_use_free_table(&in_use), MOST + 100);
	in_use_free(&in_use);
	free(text);
}

#define WITH(name) cmocka_unit_test_setup(name, bound_work)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(many_chains_of_iptables_are_read_and_passed),
		WITH(our_rules_are_found_among_many),
		WITH(many_chains_of_nft_are_cleaned),
		WITH(many_chains_of_nft_are_read_and_passed),
		WITH(a_large_set_is_read_once_and_searched_by_halves),
		WITH(many_base_chains_are_passed_in_their_order),
		WITH(what_is_free_is_found_behind_many_that_are_in_use),
	};

	return cmocka_run_group_tests_name("large hosts", tests, NULL, NULL);
}
