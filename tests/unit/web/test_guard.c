/*
 * Which requests are let in: Host, Origin, targets, queries and cookies.
 */
#include "unit.h"

#include "web/guard.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void loopback_alone_is_a_host(void **state)
{
	static const char *const good[] = {"localhost", "LocalHost:8404", "127.0.0.1",
		"127.0.0.1:1", "127.255.0.9:65535", "[::1]", "[::1]:80"};
	static const char *const bad[] = {"", "evil.example", "localhost.evil.example",
		"127.0.0.1.evil.example", "localhost:", "localhost:x", "localhost:123456",
		"127.0.0.1:80:80", "128.0.0.1", "127.1", "0.0.0.0", "[::2]", "::1", "[::1",
		"localhost ", " localhost", "user@localhost", "1111111111111111111111111111111"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(guard_host(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(guard_host(bad[i]));
	assert_false(guard_host(NULL));
}

static void an_origin_is_scheme_and_host(void **state)
{
	(void)state;
	assert_true(guard_origin("http://127.0.0.1:8404", "127.0.0.1:8404"));
	assert_true(guard_origin("http://localhost", "Localhost"));
	assert_false(guard_origin("http://127.0.0.1:8405", "127.0.0.1:8404"));
	assert_false(guard_origin("https://127.0.0.1:8404", "127.0.0.1:8404"));
	assert_false(guard_origin("http://127.0.0.1:8404/", "127.0.0.1:8404"));
	assert_false(guard_origin("null", "127.0.0.1"));
	assert_false(guard_origin("", ""));
	assert_false(guard_origin(NULL, "127.0.0.1"));
	assert_false(guard_origin("http://127.0.0.1", NULL));
}

static void a_browser_may_say_nothing_of_the_site(void **state)
{
	(void)state;
	assert_true(guard_fetch_site(NULL));
	assert_true(guard_fetch_site("same-origin"));
	assert_true(guard_fetch_site("none"));
	assert_false(guard_fetch_site("same-site"));
	assert_false(guard_fetch_site("cross-site"));
	assert_false(guard_fetch_site(""));
}

static void a_target_is_taken_apart(void **state)
{
	struct guard_target parts;
	char longest[GUARD_PATH_MAX + 1];

	(void)state;
	assert_true(guard_target("/api/live?since=3", &parts));
	assert_string_equal(parts.path, "/api/live");
	assert_string_equal(parts.query, "since=3");
	assert_true(guard_target("/", &parts));
	assert_string_equal(parts.query, "");
	assert_false(guard_target("", &parts));
	assert_false(guard_target("*", &parts));
	assert_false(guard_target("http://127.0.0.1/", &parts));
	assert_false(guard_target("/%2e%2e/", &parts));
	assert_false(guard_target("/a b", &parts));
	memset(longest, '/', sizeof(longest));
	longest[GUARD_PATH_MAX] = '\0';
	assert_false(guard_target(longest, &parts));
	longest[GUARD_PATH_MAX - 1] = '\0';
	assert_true(guard_target(longest, &parts));
}

static void a_query_has_plain_values(void **state)
{
	char value[8];

	(void)state;
	assert_true(guard_query("from=a&to=b-1.2_C", "to", value, sizeof(value)));
	assert_string_equal(value, "b-1.2_C");
	assert_true(guard_query("from=a&to=b", "from", value, sizeof(value)));
	assert_string_equal(value, "a");
	assert_false(guard_query("from=a", "to", value, sizeof(value)));
	assert_false(guard_query("to", "to", value, sizeof(value)));
	assert_false(guard_query("to=", "to", value, sizeof(value)));
	assert_false(guard_query("too=a", "to", value, sizeof(value)));
	assert_false(guard_query("to=a/b", "to", value, sizeof(value)));
	assert_false(guard_query("to=%41", "to", value, sizeof(value)));
	assert_false(guard_query("to=12345678", "to", value, sizeof(value)));
	assert_false(guard_query("&&", "to", value, sizeof(value)));
}

static void one_whole_cookie_counts(void **state)
{
	char value[GUARD_SECRET_TEXT];

	(void)state;
	assert_true(guard_cookie("a=" HEX64, "a", value));
	assert_string_equal(value, HEX64);
	assert_true(guard_cookie("b=1; a=" HEX64 ";c", "a", value));
	assert_false(guard_cookie("a=" HEX64 "0", "a", value));
	assert_false(guard_cookie("a=\"" HEX64 "\"", "a", value));
	assert_false(guard_cookie("a=123", "a", value));
	assert_false(guard_cookie("aa=" HEX64, "a", value));
	assert_false(guard_cookie("a=" HEX64 "; a=" HEX64, "a", value));
	assert_false(guard_cookie(";; ;", "a", value));
	assert_false(guard_cookie(NULL, "a", value));
}

static void json_may_have_parameters(void **state)
{
	(void)state;
	assert_true(guard_is_json("application/json"));
	assert_true(guard_is_json("Application/JSON; charset=utf-8"));
	assert_false(guard_is_json("application/json5"));
	assert_false(guard_is_json("text/plain"));
	assert_false(guard_is_json(NULL));
}

static void secrets_are_the_same_as_a_whole(void **state)
{
	(void)state;
	assert_true(guard_same_secret("abc", "abc"));
	assert_false(guard_same_secret("abd", "abc"));
	assert_false(guard_same_secret("ab", "abc"));
	assert_false(guard_same_secret("abcabc", "abc"));
	assert_false(guard_same_secret("", "abc"));
	assert_false(guard_same_secret("abc", ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loopback_alone_is_a_host),
		cmocka_unit_test(an_origin_is_scheme_and_host),
		cmocka_unit_test(a_browser_may_say_nothing_of_the_site),
		cmocka_unit_test(a_target_is_taken_apart),
		cmocka_unit_test(a_query_has_plain_values),
		cmocka_unit_test(one_whole_cookie_counts),
		cmocka_unit_test(json_may_have_parameters),
		cmocka_unit_test(secrets_are_the_same_as_a_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
