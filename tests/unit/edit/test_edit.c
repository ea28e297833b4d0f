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
	object = json_loads(json, JSON_ALLOW_NUL, &error);
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

static void an_address_without_brackets_keeps_its_form(void **state)
{
#define UNBRACKETED HEAD "listen l\n bind 2001:db8::1:80\n server s 2001:db8:1::10:81\n"
	(void)state;
	expect_change(UNBRACKETED, "{'op': 'set-bind', 'listener': 'l', 'bind': 0, 'port': 8080}",
		HEAD "listen l\n bind 2001:db8::1:8080\n server s 2001:db8:1::10:81\n");
	expect_change(UNBRACKETED,
		"{'op': 'set-bind', 'listener': 'l', 'bind': 0, 'address': '2001:db8::2'}",
		HEAD "listen l\n bind [2001:db8::2]:80\n server s 2001:db8:1::10:81\n");
	expect_change(UNBRACKETED, "{'op': 'set-server', 'farm': 'l', 'server': 's', 'port': 0}",
		HEAD "listen l\n bind 2001:db8::1:80\n server s [2001:db8:1::10]\n");
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

static void what_defaults_give_is_changed_in_the_section(void **state)
{
	static const char text[] = "defaults\n" TIMES " maxconn 50\n balance leastconn\n"
				   " source 0.0.0.0 usesrc clientip\n default_backend b\n"
				   "frontend f\n bind :80\nbackend b\n server s 192.0.2.1:80\n";

#define GIVEN                                                                                      \
	"defaults\n" TIMES " maxconn 50\n balance leastconn\n"                                     \
	" source 0.0.0.0 usesrc clientip\n default_backend b\n"
	(void)state;
	expect_change(text, "{'op': 'set-maxconn', 'listener': 'f', 'maxconn': 0}",
		GIVEN "frontend f\n bind :80\n maxconn 0\nbackend b\n server s 192.0.2.1:80\n");
	expect_change(text, "{'op': 'set-source', 'farm': 'b', 'source': 'none'}",
		GIVEN
		"frontend f\n bind :80\nbackend b\n source 0.0.0.0\n server s 192.0.2.1:80\n");
	expect_change(text, "{'op': 'set-source', 'farm': 'b', 'server': 's', 'source': 'client'}",
		GIVEN
		"frontend f\n bind :80\nbackend b\n server s 192.0.2.1:80 source 0.0.0.0 usesrc client\n");
	expect_change(text, "{'op': 'set-balance', 'farm': 'b', 'balance': ''}", text);
	expect_change(text, "{'op': 'set-default-backend', 'listener': 'f', 'farm': ''}",
		"refused: 'defaults' give it a default_backend in line 8, which cannot be taken back here; change that line in the text");
	expect_change(text,
		"{'op': 'set-timeout', 'listener': 'f', 'timeout': 'client', 'value': '2s'}",
		GIVEN
		"frontend f\n bind :80\n timeout client 2s\nbackend b\n server s 192.0.2.1:80\n");
	expect_change(text,
		"{'op': 'add-farm', 'name': 'c', 'source': 'none', 'servers': [{'name': 'x', 'address': '192.0.2.2'}]}",
		GIVEN "frontend f\n bind :80\nbackend b\n server s 192.0.2.1:80\n\n"
		      "backend c\n source 0.0.0.0\n server x 192.0.2.2\n");
}

static void what_default_server_gives_is_changed_on_the_line(void **state)
{
#define SERVERS HEAD "listen l\n bind :80\n default-server check weight 3\n"
	static const char text[] = SERVERS " server s 192.0.2.1:80 # x\n";

	(void)state;
	expect_change(text, "{'op': 'set-server', 'farm': 'l', 'server': 's', 'check': false}",
		SERVERS " server s 192.0.2.1:80 no-check # x\n");
	expect_change(SERVERS " server s 192.0.2.1:80 no-check # x\n",
		"{'op': 'set-server', 'farm': 'l', 'server': 's', 'check': true}",
		SERVERS " server s 192.0.2.1:80 check # x\n");
	expect_change(SERVERS " server s 192.0.2.1:80 no-check # x\n",
		"{'op': 'set-server', 'farm': 'l', 'server': 's', 'check': null}", text);
	expect_change(
		text, "{'op': 'set-server', 'farm': 'l', 'server': 's', 'check': true}", text);
	expect_change(text, "{'op': 'set-server', 'farm': 'l', 'server': 's', 'weight': 5}",
		SERVERS " server s 192.0.2.1:80 weight 5 # x\n");
	expect_change(SERVERS " server s 192.0.2.1:80 weight 5 # x\n",
		"{'op': 'set-server', 'farm': 'l', 'server': 's', 'weight': null}", text);
	expect_change(text,
		"{'op': 'add-server', 'farm': 'l', 'name': 't', 'address': '192.0.2.2', 'check': false}",
		SERVERS " server s 192.0.2.1:80 # x\n server t 192.0.2.2 no-check\n");
}

static void an_argument_is_no_parameter(void **state)
{
	(void)state;
	expect_change(HEAD "listen l\n bind :80 name transparent\n",
		"{'op': 'set-transparent', 'listener': 'l', 'bind': 0, 'transparent': true}",
		HEAD "listen l\n bind :80 name transparent transparent\n");
	expect_change(HEAD "listen l\n bind :80\n server backup 192.0.2.1:80 track check\n"
			   " server check 192.0.2.2:80 check\n",
		"{'op': 'set-server', 'farm': 'l', 'server': 'check', 'check': false}",
		"refused: line 7: 'backup': 'track' leads to no server that is checked; write 'check' on the line of 'check'");
	expect_change(HEAD
		"listen l\n bind :80\n server weight 192.0.2.1:80 source 0.0.0.0 usesrc client weight 2\n",
		"{'op': 'set-server', 'farm': 'l', 'server': 'weight', 'weight': 9}",
		HEAD
		"listen l\n bind :80\n server weight 192.0.2.1:80 source 0.0.0.0 usesrc client weight 9\n");
}

static void the_source_changes_in_one_word(void **state)
{
#define FARM HEAD "backend b\n"
	(void)state;
	expect_change(FARM " source  0.0.0.0\tusesrc clientip # c\n",
		"{'op': 'set-source', 'farm': 'b', 'source': 'client'}",
		FARM " source  0.0.0.0\tusesrc client # c\n");
	expect_change(FARM " source  0.0.0.0\tusesrc clientip # c\n",
		"{'op': 'set-source', 'farm': 'b', 'source': '192.0.2.9'}",
		FARM " source  192.0.2.9 # c\n");
	expect_change(FARM " source 192.0.2.9\n",
		"{'op': 'set-source', 'farm': 'b', 'source': 'usesrc 2001:db8::9'}",
		FARM " source 0.0.0.0 usesrc [2001:db8::9]\n");
	expect_change(FARM " source 0.0.0.0 usesrc clientip\n server s 192.0.2.1\n",
		"{'op': 'set-source', 'farm': 'b', 'source': 'none'}",
		FARM " server s 192.0.2.1\n");
	expect_change(FARM " server s 192.0.2.1 source 192.0.2.9 backup\n",
		"{'op': 'set-source', 'farm': 'b', 'server': 's', 'source': ''}",
		FARM " server s 192.0.2.1 backup\n");
	expect_change(FARM " server s 192.0.2.1\n",
		"{'op': 'set-source', 'farm': 'b', 'source': 'nowhere'}",
		"refused: 'nowhere': not an IP address; names are looked up for servers alone, write the number");
}

static void what_names_a_farm_follows_it(void **state)
{
	expect_change(HEAD
		" default_backend b\nfrontend b\n bind :80\n acl b nbsrv(b) lt 1\n"
		" use_backend c if b { nbsrv(b) ge 0 }\n use_backend b if TRUE # b\n"
		"backend b\n server b 192.0.2.1:80 check\nbackend c\n server x 192.0.2.2:80 track b/b\n",
		"{'op': 'rename-farm', 'name': 'b', 'to': 'new'}",
		HEAD
		" default_backend new\nfrontend b\n bind :80\n acl b nbsrv(new) lt 1\n"
		" use_backend c if b { nbsrv(new) ge 0 }\n use_backend new if TRUE # b\n"
		"backend new\n server b 192.0.2.1:80 check\nbackend c\n server x 192.0.2.2:80 track new/b\n");
	expect_change(HEAD
		"backend b\n server b 192.0.2.1:80 check\n server c 192.0.2.1:81 track b\n"
		" use-server b if TRUE\nbackend c\n server x 192.0.2.2:80 track b/b\n server b 192.0.2.3\n",
		"{'op': 'rename-server', 'farm': 'b', 'server': 'b', 'to': 'new'}",
		HEAD
		"backend b\n server new 192.0.2.1:80 check\n server c 192.0.2.1:81 track new\n"
		" use-server new if TRUE\nbackend c\n server x 192.0.2.2:80 track b/new\n server b 192.0.2.3\n");
	(void)state;
}

static void names_that_cannot_be_are_refused(void **state)
{
	static const char text[] = HEAD
		"frontend f\n bind :80\n default_backend b\nbackend b\n server s 192.0.2.1:80\n server t 192.0.2.2:80\n";

	(void)state;
	expect_change(text, "{'op': 'rename-server', 'farm': 'b', 'server': 's', 'to': 't'}",
		"refused: line 10: 't': line 9 has a server of this name already");
	expect_change(text,
		"{'op': 'add-server', 'farm': 'b', 'name': 'a b', 'address': '192.0.2.3'}",
		"refused: line 11: 'a b': a name can hold letters, digits and . : _ - only");
	expect_change(text, "{'op': 'rename-farm', 'name': 'b', 'to': 'x\\n server y 192.0.2.9'}",
		"refused: line 8: 'x? server y 192.0.2.9': a name can hold letters, digits and . : _ - only");
	expect_change(text, "{'op': 'set-default-backend', 'listener': 'f', 'farm': 'none'}",
		"refused: line 7: 'none': the default_backend of 'f' is no backend or listen section of this file");
	expect_change(text, "{'op': 'remove-farm', 'name': 'b'}",
		"refused: line 7: 'b': the default_backend of 'f' is no backend or listen section of this file");
	expect_change(text, "{'op': 'rename-listener', 'name': 'f', 'to': ''}",
		"refused: line 5: 'frontend': the section's name is missing after it");
	expect_change(text, "{'op': 'remove-farm', 'name': 'f'}", "refused: no farm is named 'f'");
}

/* What would be more words or lines, were it written as it is. */
static void a_value_stays_one_word(void **state)
{
	static const char *const addresses[] = {"192.0.2.1 transparent", "192.0.2.1:80 #",
		"192.0.2.1:80,192.0.2.2", "192.0.2.1\\n bind 192.0.2.2", "$HOME", "'", "\\\\"};
	char change[256], *result;

	(void)state;
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		snprintf(change, sizeof(change),
			"{'op': 'add-bind', 'listener': 'l', 'address': '%s', 'port': 81}",
			strcmp(addresses[i], "'") == 0 ? "\\u0027" : addresses[i]);
		result = changed(HEAD "listen l\n bind :80\n", change);
		assert_non_null(strstr(result, "refused: "));
		assert_null(strstr(result, "something else"));
		free(result);
	}
}

static void a_change_has_its_members_and_no_others(void **state)
{
	static const char text[] = HEAD "listen l\n bind :80\n";

	(void)state;
	expect_change(text, "{'op': 'nothing'}", "refused: 'nothing' is no operation");
	expect_change(text, "{}", "refused: '' is no operation");
	expect_change(text, "[1]", "refused: '' is no operation");
	expect_change(text, "{'op': 'remove-farm'}", "refused: remove-farm: 'name' is missing");
	expect_change(text, "{'op': 'remove-farm', 'name': 'l', 'all': true}",
		"refused: remove-farm has no member 'all'");
	expect_change(text, "{'op': 'set-maxconn', 'listener': 'l', 'maxconn': '5'}",
		"refused: set-maxconn: 'maxconn' is a whole number");
	expect_change(text, "{'op': 'remove-farm', 'name': 'l\\u0000'}",
		"refused: remove-farm: 'name' is a text");
	expect_change(text, "{'op': 'add-listener', 'name': 'x', 'binds': [1]}",
		"refused: binds is no object");
	expect_change(text, "{'op': 'add-farm', 'name': 'x', 'section': 'frontend'}",
		"refused: 'frontend' is no section for it; there are 'backend' and 'listen'");
}

static void a_text_with_errors_is_not_changed(void **state)
{
	(void)state;
	expect_change("listen l\n bind :80\n bnd :81\n",
		"{'op': 'set-transparent', 'listener': 'l', 'bind': 0, 'transparent': true}",
		"refused: correct the text first: line 3: 'bnd': unknown keyword; did you mean 'bind'?");
}

static void the_ends_of_lines_stay(void **state)
{
	(void)state;
	expect_change("listen l\r\n\tbind :80\r\n",
		"{'op': 'add-server', 'farm': 'l', 'name': 's', 'address': '192.0.2.1'}",
		"listen l\r\n\tbind :80\r\n\tserver s 192.0.2.1\r\n");
	expect_change("listen l\n\tbind :80",
		"{'op': 'add-server', 'farm': 'l', 'name': 's', 'address': '192.0.2.1'}",
		"listen l\n\tbind :80\n\tserver s 192.0.2.1");
	expect_change("listen l\r\n\tbind :80\r",
		"{'op': 'add-server', 'farm': 'l', 'name': 's', 'address': '192.0.2.1'}",
		"listen l\r\n\tbind :80\r\n\tserver s 192.0.2.1\r");
	expect_change("listen l\n\tbind :80", "{'op': 'add-farm', 'name': 'b'}",
		"listen l\n\tbind :80\n\nbackend b");
}

static void a_section_goes_from_its_first_line_to_its_last(void **state)
{
	(void)state;
	expect_change(HEAD
		"# of f\nfrontend f\n # inside\n bind :80\n # behind\n\n# of g\nlisten g\n bind :81\n",
		"{'op': 'remove-listener', 'name': 'f'}",
		HEAD "# of f\n # behind\n\n# of g\nlisten g\n bind :81\n");
	expect_change(
		"# only\nlisten g\n bind :81\n", "{'op': 'remove-farm', 'name': 'g'}", "# only\n");
}

static void a_template_is_changed_as_one(void **state)
{
#define TEMPLATE HEAD "backend b\n server-template s 3 192.0.2.1:80"
	(void)state;
	expect_change(TEMPLATE "\n",
		"{'op': 'set-server', 'farm': 'b', 'server': 's{1-3}', 'weight': 2, 'port': 81}",
		HEAD "backend b\n server-template s 3 192.0.2.1:81 weight 2\n");
	expect_change(TEMPLATE "\n",
		"{'op': 'rename-server', 'farm': 'b', 'server': 's{1-3}', 'to': 't'}",
		"refused: 's{1-3}' are the servers of a 'server-template' line; change their names in the text");
	expect_change(TEMPLATE "\n", "{'op': 'remove-server', 'farm': 'b', 'server': 's{1-3}'}",
		HEAD "backend b\n");
}

static void a_part_of_a_variable_is_not_changed(void **state)
{
	(void)state;
	setenv("TPROXY_TEST_ADDRESS", "192.0.2.1", 1);
	expect_change(HEAD "listen l\n bind \"${TPROXY_TEST_ADDRESS}:80\"\n",
		"{'op': 'set-bind', 'listener': 'l', 'bind': 0, 'port': 81}",
		"refused: '\"${TPROXY_TEST_ADDRESS}:80\"' is written with a variable; change it in the text");
	expect_change(HEAD "listen l\n bind \"${TPROXY_TEST_ADDRESS}:80\"\n",
		"{'op': 'set-bind', 'listener': 'l', 'bind': 0, 'address': '192.0.2.2', 'port': 81}",
		HEAD "listen l\n bind 192.0.2.2:81\n");
	expect_change(HEAD "backend b\n server s \"${TPROXY_TEST_ADDRESS}:80\"\n",
		"{'op': 'set-server', 'farm': 'b', 'server': 's', 'port': 0}",
		"refused: '\"${TPROXY_TEST_ADDRESS}:80\"' is written with a variable; change it in the text");
}

static void names_of_servers_are_not_looked_up(void **state)
{
	(void)state;
	expect_change(HEAD "backend b\n server s nowhere.invalid:80\n",
		"{'op': 'set-server', 'farm': 'b', 'server': 's', 'port': 81}",
		HEAD "backend b\n server s nowhere.invalid:81\n");
	expect_change(HEAD "backend b\n server s 192.0.2.1:80\n",
		"{'op': 'set-server', 'farm': 'b', 'server': 's', 'address': 'www.example.org'}",
		HEAD "backend b\n server s www.example.org:80\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bind_becomes_transparent_and_back),
		cmocka_unit_test(one_address_of_several_is_changed_and_removed),
		cmocka_unit_test(an_address_without_brackets_keeps_its_form),
		cmocka_unit_test(an_address_in_use_is_refused),
		cmocka_unit_test(the_walkthrough_is_made_of_nothing),
		cmocka_unit_test(what_defaults_give_is_changed_in_the_section),
		cmocka_unit_test(what_default_server_gives_is_changed_on_the_line),
		cmocka_unit_test(an_argument_is_no_parameter),
		cmocka_unit_test(the_source_changes_in_one_word),
		cmocka_unit_test(what_names_a_farm_follows_it),
		cmocka_unit_test(names_that_cannot_be_are_refused),
		cmocka_unit_test(a_value_stays_one_word),
		cmocka_unit_test(a_change_has_its_members_and_no_others),
		cmocka_unit_test(a_text_with_errors_is_not_changed),
		cmocka_unit_test(the_ends_of_lines_stay),
		cmocka_unit_test(a_section_goes_from_its_first_line_to_its_last),
		cmocka_unit_test(a_template_is_changed_as_one),
		cmocka_unit_test(a_part_of_a_variable_is_not_changed),
		cmocka_unit_test(names_of_servers_are_not_looked_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
