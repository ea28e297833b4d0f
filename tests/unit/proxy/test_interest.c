/*
 * When a session's timer is due, and which side it is about, with the times and timeouts set by hand.
 */
#include "proxy/interest.h"
#include "rig.h"

#include <sys/time.h>
#include <unistd.h>

enum {
	CLIENT_MS = 10000,
	CLIENT_FIN_MS = 20000,
	SERVER_MS = 30000,
	SERVER_FIN_MS = 40000,
	OTHER_MS = 70000, /* of the section that is not asked */
	MARGIN = 5000,    /* ms that a test may take */
};

struct state {
	struct rig *rig;
	struct proxy backend;
	struct session *session;
	int client, server;
};

static const unsigned frontend_timeouts[] = {[TIMEOUT_CLIENT] = CLIENT_MS,
	[TIMEOUT_CLIENT_FIN] = CLIENT_FIN_MS,
	[TIMEOUT_SERVER] = OTHER_MS,
	[TIMEOUT_SERVER_FIN] = OTHER_MS};
static const unsigned backend_timeouts[] = {[TIMEOUT_CLIENT] = OTHER_MS,
	[TIMEOUT_CLIENT_FIN] = OTHER_MS,
	[TIMEOUT_SERVER] = SERVER_MS,
	[TIMEOUT_SERVER_FIN] = SERVER_FIN_MS};

static void copy_timeouts(unsigned *to, const unsigned *from, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (from[i] != 0)
			to[i] = from[i];
}

/* A session that relays, both of whose sides are waited for; its sections have timeouts of their own. */
static void begin(struct state *it, void **state)
{
	struct rig *rig = *state;

	*it = (struct state){.rig = rig};
	it->client = rig_client(rig);
	it->server = rig_accept(rig, 0);
	rig_until(rig, rig_is_relaying);
	it->session = rig_session(rig);
	it->backend = rig->section;
	it->session->backend = &it->backend;
	copy_timeouts(rig->section.timeouts, frontend_timeouts,
		sizeof(frontend_timeouts) / sizeof(frontend_timeouts[0]));
	copy_timeouts(it->backend.timeouts, backend_timeouts,
		sizeof(backend_timeouts) / sizeof(backend_timeouts[0]));
	it->session->timer_due = 0;
	evtimer_del(&it->session->timer);
}

static void end(struct state *it)
{
	session_close_all(&it->rig->sessions);
	close(it->client);
	close(it->server);
}

/* The side was active AGO ms ago, the other one just now. */
static void age(struct state *it, enum side_name side, unsigned ago)
{
	for (int i = 0; i < 2; i++)
		it->session->sides[i].activity = session_now() - (i == (int)side ? ago : 0);
}

static void assert_times_out_after(struct state *it, enum side_name side, unsigned timeout)
{
	enum side_name found;

	age(it, side, timeout);
	assert_true(interest_expired(it->session, &found));
	assert_int_equal(found, side);
	age(it, side, timeout - MARGIN);
	assert_false(interest_expired(it->session, &found));
}

static void each_side_has_the_timeout_of_its_section(void **state)
{
	struct state it;

	begin(&it, state);
	assert_times_out_after(&it, CLIENT, CLIENT_MS);
	assert_times_out_after(&it, SERVER, SERVER_MS);
	end(&it);
}

static void once_either_direction_has_ended_both_sides_have_the_fin_timeout(void **state)
{
	struct state it;

	begin(&it, state);
	for (int ended = 0; ended < 2; ended++) {
		it.session->directions[ended].eof_in = true;
		assert_times_out_after(&it, CLIENT, CLIENT_FIN_MS);
		assert_times_out_after(&it, SERVER, SERVER_FIN_MS);
		it.session->directions[ended].eof_in = false;
	}
	it.rig->section.timeouts[TIMEOUT_CLIENT_FIN] = 0;
	it.backend.timeouts[TIMEOUT_SERVER_FIN] = 0;
	it.session->directions[CLIENT].eof_in = true;
	assert_times_out_after(&it, CLIENT, CLIENT_MS);
	assert_times_out_after(&it, SERVER, SERVER_MS);
	end(&it);
}

static void a_side_that_is_not_waited_for_or_has_no_timeout_never_expires(void **state)
{
	enum side_name found;
	struct state it;

	begin(&it, state);
	it.backend.timeouts[TIMEOUT_SERVER] = 0;
	age(&it, SERVER, 10 * OTHER_MS);
	assert_false(interest_expired(it.session, &found));
	it.session->sides[CLIENT].awaited = false;
	age(&it, CLIENT, 10 * OTHER_MS);
	assert_false(interest_expired(it.session, &found));
	end(&it);
}

static void of_two_sides_the_one_that_was_due_first_counts(void **state)
{
	enum side_name found;
	struct state it;

	begin(&it, state);
	it.session->sides[CLIENT].activity = session_now() - CLIENT_MS - 2;
	it.session->sides[SERVER].activity = session_now() - SERVER_MS - 1000;
	assert_true(interest_expired(it.session, &found));
	assert_int_equal(found, SERVER);
	it.session->sides[CLIENT].activity = session_now() - CLIENT_MS - 2000;
	assert_true(interest_expired(it.session, &found));
	assert_int_equal(found, CLIENT);
	end(&it);
}

/* --- when the timer is due --- */

static uint64_t due_after_update(struct state *it)
{
	it->session->timer_due = 0;
	assert_true(interest_update(it->session));
	return it->session->timer_due;
}

static void a_session_that_relays_is_due_with_its_earlier_side(void **state)
{
	struct state it;

	begin(&it, state);
	assert_int_equal(due_after_update(&it), it.session->sides[CLIENT].activity + CLIENT_MS);
	it.session->sides[SERVER].activity -= SERVER_MS - MARGIN;
	assert_int_equal(due_after_update(&it), it.session->sides[SERVER].activity + SERVER_MS);
	it.rig->section.timeouts[TIMEOUT_CLIENT] = 0;
	it.backend.timeouts[TIMEOUT_SERVER] = 0;
	evtimer_del(&it.session->timer);
	assert_int_equal(due_after_update(&it), 0);
	assert_false(evtimer_pending(&it.session->timer, NULL));
	end(&it);
}

/* A side that is neither read nor written is watched for its reset, a little later. */
static void a_quiet_side_is_due_to_be_watched(void **state)
{
	struct state it;

	begin(&it, state);
	for (int quiet = 0; quiet < 2; quiet++) {
		struct side *side = &it.session->sides[quiet];

		it.session->directions[quiet].eof_in = true;
		assert_true(interest_update(it.session));
		side->activity = session_now() + MARGIN;
		assert_int_equal(due_after_update(&it), side->activity + 20);
		assert_false(side->awaited);
		assert_false(event_pending(&it.session->hangup, EV_READ, NULL));
		side->activity = session_now() - 20;
		assert_int_not_equal(due_after_update(&it), side->activity + 20);
		assert_true(event_pending(&it.session->hangup, EV_READ, NULL));
		assert_int_equal(event_get_fd(&it.session->hangup), side->fd);
		assert_int_equal(
			event_get_events(&it.session->hangup), EV_READ | EV_ET | EV_PERSIST);
		it.session->directions[quiet].eof_in = false;
		assert_true(interest_update(it.session));
		assert_false(event_pending(&it.session->hangup, EV_READ, NULL));
		assert_true(side->awaited);
	}
	end(&it);
}

static void while_connecting_the_attempt_and_the_quiet_client_are_due(void **state)
{
	struct state it;

	begin(&it, state);
	it.session->state = SESSION_CONNECTING;
	assert_true(interest_update(it.session));
	it.session->sides[CLIENT].activity = session_now() + MARGIN;
	it.session->wait_due = session_now() + 60000;
	assert_int_equal(due_after_update(&it), it.session->sides[CLIENT].activity + 20);
	it.session->wait_due = session_now() + 100;
	assert_int_equal(due_after_update(&it), it.session->wait_due);
	assert_true(it.session->sides[SERVER].awaited);
	assert_false(it.session->sides[CLIENT].awaited);
	it.session->state = SESSION_RELAYING;
	end(&it);
}

static void while_draining_the_next_question_is_due(void **state)
{
	struct state it;

	begin(&it, state);
	it.session->state = SESSION_DRAINING;
	it.session->gone = CLIENT;
	it.session->directions[CLIENT].eof_in = it.session->directions[SERVER].eof_in = true;
	it.session->drain_due = session_now() + 1000;
	assert_int_equal(due_after_update(&it), it.session->drain_due);
	assert_true(it.session->sides[SERVER].awaited);
	assert_false(it.session->sides[CLIENT].awaited);
	it.session->drain_due = session_now() + OTHER_MS;
	assert_int_equal(due_after_update(&it), it.session->sides[SERVER].activity + SERVER_FIN_MS);
	/* A side that has broken is read to its end, and needs no watching for that. */
	it.session->directions[CLIENT].eof_in = false;
	it.session->directions[CLIENT].held = 1;
	assert_true(interest_update(it.session));
	it.session->sides[CLIENT].activity -= 1000;
	assert_true(interest_update(it.session));
	assert_false(event_pending(&it.session->hangup, EV_READ, NULL));
	it.session->directions[CLIENT].held = 0;
	it.session->state = SESSION_RELAYING;
	end(&it);
}

static void time_begins_anew_where_a_side_is_waited_for_again(void **state)
{
	struct state it;
	uint64_t before;

	begin(&it, state);
	before = it.session->sides[CLIENT].activity -= 1000;
	assert_true(interest_update(it.session));
	assert_int_equal(it.session->sides[CLIENT].activity, before);
	it.session->directions[CLIENT].eof_in = true;
	assert_true(interest_update(it.session));
	assert_true(it.session->sides[CLIENT].activity > before);
	end(&it);
}

/* The clock of libevent and the session's may be read a little apart. */
static void assert_fires_in(struct state *it, unsigned ms)
{
	struct timeval at, now;
	long wait;

	assert_true(evtimer_pending(&it->session->timer, &at));
	gettimeofday(&now, NULL);
	wait = (at.tv_sec - now.tv_sec) * 1000 + (at.tv_usec - now.tv_usec) / 1000;
	assert_in_range(wait + MARGIN, ms, ms + MARGIN + 50);
}

static void the_timer_is_moved_only_where_it_would_fire_too_late(void **state)
{
	struct state it;
	uint64_t due;

	begin(&it, state);
	it.session->sides[CLIENT].activity = session_now() + 500;
	due = due_after_update(&it);
	assert_fires_in(&it, CLIENT_MS + 500);
	it.session->sides[CLIENT].activity += 1000;
	assert_true(interest_update(it.session));
	assert_int_equal(it.session->timer_due, due);
	it.session->sides[CLIENT].activity -= 8000;
	assert_true(interest_update(it.session));
	assert_int_equal(it.session->timer_due, due - 7000);
	it.session->sides[CLIENT].activity -= 100000;
	assert_true(interest_update(it.session));
	assert_fires_in(&it, 0);
	end(&it);
}

/* --- events --- */

static void a_side_is_watched_for_writing_only_while_bytes_are_held(void **state)
{
	struct state it;

	begin(&it, state);
	for (int source = 0; source < 2; source++) {
		struct direction *direction = &it.session->directions[source];
		struct side *from = &it.session->sides[source],
			    *to = &it.session->sides[1 - source];

		direction->held = 1;
		assert_true(interest_update(it.session));
		assert_true(event_pending(&to->write, EV_WRITE, NULL));
		assert_false(event_pending(&from->read, EV_READ, NULL));
		assert_true(event_pending(&to->read, EV_READ, NULL));
		direction->held = 0;
		assert_true(interest_update(it.session));
		assert_false(event_pending(&to->write, EV_WRITE, NULL));
		assert_true(event_pending(&from->read, EV_READ, NULL));
	}
	end(&it);
}

#define INTEREST_TEST(test) cmocka_unit_test_setup_teardown(test, rig_set_up, rig_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		INTEREST_TEST(each_side_has_the_timeout_of_its_section),
		INTEREST_TEST(once_either_direction_has_ended_both_sides_have_the_fin_timeout),
		INTEREST_TEST(a_side_that_is_not_waited_for_or_has_no_timeout_never_expires),
		INTEREST_TEST(of_two_sides_the_one_that_was_due_first_counts),
		INTEREST_TEST(a_session_that_relays_is_due_with_its_earlier_side),
		INTEREST_TEST(a_quiet_side_is_due_to_be_watched),
		INTEREST_TEST(while_connecting_the_attempt_and_the_quiet_client_are_due),
		INTEREST_TEST(while_draining_the_next_question_is_due),
		INTEREST_TEST(time_begins_anew_where_a_side_is_waited_for_again),
		INTEREST_TEST(the_timer_is_moved_only_where_it_would_fire_too_late),
		INTEREST_TEST(a_side_is_watched_for_writing_only_while_bytes_are_held),
	};

	return cmocka_run_group_tests_name("interest", tests, NULL, NULL);
}
