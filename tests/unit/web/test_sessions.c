/*
 * Sessions of browsers: the secret, wrong ones, and how sessions end.
 */
#include "unit.h"

#include "web/sessions.h"

static int begin(void **state)
{
	static struct sessions sessions;

	sessions_begin(&sessions);
	*state = &sessions;
	return 0;
}

static int end(void **state)
{
	sessions_free(*state);
	return 0;
}

static const struct session *log_in(struct sessions *sessions, time_t now)
{
	const struct session *made = NULL;

	assert_int_equal(sessions_login(sessions, sessions->secret, now, &made), LOGIN_DONE);
	return made;
}

static void the_token_lets_in_and_nothing_else(void **state)
{
	struct sessions *sessions = *state;
	const struct session *made = NULL;

	assert_int_equal(strlen(sessions->secret), GUARD_SECRET_TEXT - 1);
	assert_int_equal(sessions_login(sessions, "", 1, &made), LOGIN_WRONG);
	assert_null(made);
	made = log_in(sessions, 1);
	assert_ptr_equal(sessions_find(sessions, made->cookie, 2), made);
	assert_string_not_equal(made->cookie, made->csrf);
	assert_null(sessions_find(sessions, made->csrf, 2));
	assert_null(sessions_find(sessions, "", 2));
}

static void a_session_ends_when_it_is_idle(void **state)
{
	struct sessions *sessions = *state;
	const struct session *made = log_in(sessions, 1);
	char cookie[GUARD_SECRET_TEXT];

	copy_bytes(cookie, made->cookie, sizeof(cookie));
	assert_non_null(sessions_find(sessions, cookie, SESSION_IDLE_S));
	assert_non_null(sessions_find(sessions, cookie, 2 * SESSION_IDLE_S - 1));
	assert_null(sessions_find(sessions, cookie, 3 * SESSION_IDLE_S));
	assert_null(sessions_find(sessions, cookie, 3 * SESSION_IDLE_S));
}

static void the_one_that_was_idle_longest_gives_way(void **state)
{
	struct sessions *sessions = *state;
	char first[GUARD_SECRET_TEXT], second[GUARD_SECRET_TEXT];

	copy_bytes(first, log_in(sessions, 1)->cookie, sizeof(first));
	copy_bytes(second, log_in(sessions, 2)->cookie, sizeof(second));
	assert_non_null(sessions_find(sessions, first, 3));
	for (time_t i = 0; i < SESSIONS_MAX - 1; i++)
		log_in(sessions, 4 + i);
	assert_null(sessions_find(sessions, second, 100));
	assert_non_null(sessions_find(sessions, first, 100));
}

static void wrong_passwords_make_a_pause(void **state)
{
	struct sessions *sessions = *state;
	const struct session *made = NULL;

	sessions->is_password = true;
	for (int i = 0; i < LOGIN_FAILURES_MAX; i++)
		assert_int_equal(sessions_login(sessions, "wrong", 100, &made), LOGIN_WRONG);
	assert_int_equal(sessions_login(sessions, sessions->secret, 101, &made), LOGIN_PAUSED);
	assert_int_equal(
		sessions_login(sessions, sessions->secret, 100 + LOGIN_PAUSE_S, &made), LOGIN_DONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_token_lets_in_and_nothing_else, begin, end),
		cmocka_unit_test_setup_teardown(a_session_ends_when_it_is_idle, begin, end),
		cmocka_unit_test_setup_teardown(
			the_one_that_was_idle_longest_gives_way, begin, end),
		cmocka_unit_test_setup_teardown(wrong_passwords_make_a_pause, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
