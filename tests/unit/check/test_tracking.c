/*
 * What connection tracking makes of a connection's packets, where rules leave one side out, or single packets.
 */
#include "unit.h"

#include "check/tracking.h"

#include <netinet/in.h>

enum {
	SYN = 0x02,
	ACK = 0x10
};

static struct packet packet(bool reply, int flags)
{
	return (struct packet){
		.protocol = IPPROTO_TCP, .reply = reply, .tcp_flags = (uint8_t)flags};
}

/* The states of client's SYN, server's SYN-ACK, client's ACK, server's and client's data; LEFT_OUT says which are not tracked. */
static void assert_states(const char *left_out, bool loose, const enum ct_state expected[5])
{
	static const int flags[] = {SYN, SYN | ACK, ACK, ACK, ACK};
	static const bool replies[] = {false, true, false, true, false};
	struct tracking tracking = {0};

	for (size_t i = 0; i < 5; i++) {
		struct packet sent = packet(replies[i], flags[i]);
		enum ct_state state = tracking_state(&tracking, &sent, loose);

		if (left_out[i] == 'x') {
			tracking_note(&tracking, &sent, CT_UNTRACKED);
			continue;
		}
		assert_int_equal(state, expected[i]);
		tracking_note(&tracking, &sent, state);
	}
}

#define STATES(...)                                                                                \
	(const enum ct_state[5])                                                                   \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}

static void test_a_connection_that_is_seen_whole(void **state)
{
	(void)state;
	assert_states("-----", true,
		STATES(CT_NEW, CT_ESTABLISHED, CT_ESTABLISHED, CT_ESTABLISHED, CT_ESTABLISHED));
}

/* The SYN-ACK begins nothing, and the next packet does; without an answer it stays new. */
static void test_only_the_answers_are_seen(void **state)
{
	(void)state;
	assert_states("x-x-x", true, STATES(0, CT_INVALID, 0, CT_NEW, 0));
	assert_states("x-x-x", false, STATES(0, CT_INVALID, 0, CT_INVALID, 0));
}

static void test_only_the_clients_packets_are_seen(void **state)
{
	(void)state;
	assert_states("-x-x-", true, STATES(CT_NEW, 0, CT_INVALID, 0, CT_INVALID));
}

static void test_only_the_syn_is_not_seen(void **state)
{
	(void)state;
	assert_states("x----", true, STATES(0, CT_INVALID, CT_NEW, CT_ESTABLISHED, CT_ESTABLISHED));
	assert_states("x----", false, STATES(0, CT_INVALID, CT_INVALID, CT_INVALID, CT_INVALID));
}

static void test_datagrams_are_new_until_they_are_answered(void **state)
{
	struct packet request = {.protocol = IPPROTO_UDP};
	struct packet answer = {.protocol = IPPROTO_UDP, .reply = true};
	struct tracking tracking = {0};

	(void)state;
	assert_int_equal(tracking_state(&tracking, &request, true), CT_NEW);
	tracking_note(&tracking, &request, CT_NEW);
	assert_int_equal(tracking_state(&tracking, &request, true), CT_NEW);
	assert_int_equal(tracking_state(&tracking, &answer, true), CT_ESTABLISHED);
	tracking_note(&tracking, &answer, CT_ESTABLISHED);
	assert_int_equal(tracking_state(&tracking, &request, true), CT_ESTABLISHED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_connection_that_is_seen_whole),
		cmocka_unit_test(test_only_the_answers_are_seen),
		cmocka_unit_test(test_only_the_clients_packets_are_seen),
		cmocka_unit_test(test_only_the_syn_is_not_seen),
		cmocka_unit_test(test_datagrams_are_new_until_they_are_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
