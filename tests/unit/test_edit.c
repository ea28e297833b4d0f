/*
 * Changes of a configuration's text: what each operation does to single words, and what it refuses.
 */
#include "unit.h"

#include "edit/edit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Makes the change, written as JSON with ' in place of ". Returns the new text, or the problem behind "refused: ". */
static char *changed(const char *text, const char *change)
{
	char *json = strdup(change), *result, *problem = NULL, *refused;
	json_error_t error;
	json_t *object;
	size_t length;

	for (char *at = json; *at != '\0'; at++)
		if (*at == '\'')
			*at = '"';
	object = json_loads(json, 0, &error);
	assert_non_null(object);
	result = edit_change(text, strlen(text), object, &length, &problem);
	json_decref(object);
	free(json);
	if (result != NULL) {
		assert_null(problem);
		assert_int_equal(length, strlen(result));
		return result;
	}
	assert_non_null(problem);
	assert_true(asprintf(&refused, "refused: %s", problem) > 0);
	free(problem);
	return refused;
}

static void expect_change(const char *text, const char *change, const char *expected)
{
	char *result = changed(text, change);

	assert_string_equal(result, expected);
	free(result);
}

#define TIMES " timeout connect 1s\n timeout client 1s\n timeout server 1s\n"
#define HEAD  "defaults\n" TIMES

static void a_bind_becomes_transparent_and_back(void **state)
{
	static const char opaque[] =
		HEAD "frontend f # the front\n\tbind\t:80  name a#c\n\n# end\n";
	static const char transparent[] =
		HEAD "frontend f # the front\n\tbind\t:80  name a transparent#c\n\n# end\n";

	(void)state;
	expect_change(opaque,
		"{'op': 'set-transparent', 'listener': 'f', 'bind': 0, 'transparent': true}",
		transparent);
	expect_change(transparent,
		"{'op': 'set-transparent', 'listener': 'f', 'bind': 0, 'transparent': false}",
		opaque);
	expect_change(opaque,
		"{'op': 'set-transparent', 'listener': 'f', 'bind': 0, 'transparent': false}",
		opaque);
	expect_change(opaque,
		"{'op': 'set-transparent', 'listener': 'f', 'bind': 1, 'transparent': true}",
		"refused: 'f' has no such address");
}

static void one_address_of_several_is_changed_and_removed(void **state)
{
	static const char text[] =
		HEAD "listen l\n bind 192.0.2.1:80,192.0.2.2:80 # x\n bind :81\n";

	(void)state;
	expect_change(text,
		"{'op': 'set-bind', 'listener': 'l', 'bind': 1, 'address': '192.0.2.3'}",
		HEAD "listen l\n bind 192.0.2.1:80,192.0.2.3:80 # x\n bind :81\n");
	expect_change(text, "{'op': 'set-bind', 'listener': 'l', 'bind': 0, 'port': '90-92'}",
		HEAD "listen l\n bind 192.0.2.1:90-92,192.0.2.2:80 # x\n bind :81\n");
	expect_change(text,
		"{'op': 'set-bind', 'listener': 'l', 'bind': 2, 'address': '2001:db8::1'}",
		HEAD "listen l\n bind 192.0.2.1:80,192.0.2.2:80 # x\n bind [2001:db8::1]:81\n");
	expect_change(text, "{'op': 'remove-bind', 'listener': 'l', 'bind': 0}",
		HEAD "listen l\n bind 192.0.2.2:80 # x\n bind :81\n");
	expect_change(text, "{'op': 'remove-bind', 'listener': 'l', 'bind': 1}",
		HEAD "listen l\n bind 192.0.2.1:80 # x\n bind :81\n");
	expect_change(text, "{'op': 'remove-bind', 'listener': 'l', 'bind': 2}",
		HEAD "listen l\n bind 192.0.2.1:80,192.0.2.2:80 # x\n");
}

static void an_address_in_use_is_refused(void **state)
{
	static const char text[] = HEAD "listen l\n bind :80\n bind :81\n";

	(void)state;
	expect_change(text, "{'op': 'set-bind', 'listener': 'l', 'bind': 1, 'port': 80}",
		"refused: line 7: '0.0.0.0:80': line 6 listens on this address already");
	expect_change(text, "{'op': 'add-bind', 'listener': 'l', 'address': '*', 'port': 81}",
		"refused: line 8: '0.0.0.0:81': line 7 listens on this address already");
}

static void the_walkthrough_is_made_of_nothing(void **state)
{
	static const char *const steps[] = {
		"{'op': 'add-listener', 'name': 'web'}",
		"{'op': 'add-bind', 'listener': 'web', 'address': '192.0.2.80', 'port': 80}",
		"{'op': 'set-transparent', 'listener': 'web', 'bind': 0, 'transparent': true}",
		"{'op': 'add-farm', 'name': 'web'}",
		"{'op': 'add-server', 'farm': 'web', 'name': 'a', 'address': '198.51.100.10', 'port': 80, 'check': true}",
		"{'op': 'set-source', 'farm': 'web', 'source': 'clientip'}",
		"{'op': 'set-default-backend', 'listener': 'web', 'farm': 'web'}",
		"{'op': 'set-timeout', 'listener': 'web', 'timeout': 'client', 'value': '1m'}",
	};
	char *text = strdup(""), *next;

	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		next = changed(text, steps[i]);
		free(text);
		text = next;
	}
	assert_string_equal(text, "frontend web\n"
				  "    bind 192.0.2.80:80 transparent\n"
				  "    default_backend web\n"
				  "    timeout client 1m\n"
				  "\n"
				  "backend web\n"
				  "    source 0.0.0.0 usesrc clientip\n"
				  "    server a 198.51.100.10:80 check\n");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bind_becomes_transparent_and_back),
		cmocka_unit_test(one_address_of_several_is_changed_and_removed),
		cmocka_unit_test(an_address_in_use_is_refused),
		cmocka_unit_test(the_walkthrough_is_made_of_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
