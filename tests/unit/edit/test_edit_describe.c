/*
 * A configuration's text as listeners and farms, also with errors; and how long a large one takes.
 */
#include "unit.h"

#include "edit/edit.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* The JSON text of one part of a description: members of objects by name, of lists by number. */
static char *part(const char *text, const char *path)
{
	json_t *description = edit_describe(text, strlen(text));
	const json_t *at = description;
	char *copy = strdup(path), *next = copy, *step, *found;

	while ((step = strsep(&next, "/")) != NULL)
		at = json_is_array(at) ? json_array_get(at, (size_t)atoi(step))
				       : json_object_get(at, step);
	assert_non_null(at);
	found = json_dumps(at, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
	free(copy);
	json_decref(description);
	return found;
}

static void expect_part(const char *text, const char *path, const char *expected)
{
	char *found = part(text, path);

	assert_string_equal(found, expected);
	free(found);
}

static const char web[] =
	"defaults\n"
	"  mode tcp\n"
	"  maxconn 100\n"
	"  timeout client 1m\n"
	"frontend web\n"
	"  bind 192.0.2.80:80,[2001:db8::80]:8000-8010 transparent name a # both\n"
	"  bind :81\n"
	"  default_backend web\n"
	"  use_backend other if TRUE\n"
	"backend web\n"
	"  timeout connect 5s\n"
	"  source 0.0.0.0 usesrc clientip\n"
	"  default-server check weight 5 inter 3s\n"
	"  server a 198.51.100.10:80\n"
	"  server b www.example.org no-check weight 2 backup source 0.0.0.0 usesrc 203.0.113.9\n"
	"  server-template c 2-3 198.51.100.20:80 maxconn 7\n"
	"listen other\n"
	"  bind 127.0.0.1:82\n"
	"  option transparent\n";

static void a_listener_has_its_addresses(void **state)
{
	(void)state;
	expect_part(web, "listeners/0/name", "\"web\"");
	expect_part(web, "listeners/0/section", "\"frontend\"");
	expect_part(web, "listeners/0/line", "5");
	expect_part(web, "listeners/0/maxconn", "100");
	expect_part(web, "listeners/0/default_backend", "\"web\"");
	expect_part(web, "listeners/0/timeouts", "{\"client\":\"1m\"}");
	expect_part(web, "listeners/0/inherited", "[\"mode\",\"maxconn\",\"timeout client\"]");
	expect_part(web, "listeners/0/binds/1",
		"{\"address\":\"2001:db8::80\",\"index\":1,\"line\":6,\"port_high\":8010,\"port_low\":8000,"
		"\"shared\":2,\"transparent\":true,\"words\":\"transparent name a\","
		"\"written\":\"[2001:db8::80]:8000-8010\"}");
	expect_part(web, "listeners/0/binds/2",
		"{\"address\":\"0.0.0.0\",\"index\":2,\"line\":7,\"port_high\":81,\"port_low\":81,"
		"\"shared\":1,\"transparent\":false,\"words\":\"\",\"written\":\":81\"}");
}

static void a_farm_has_its_servers(void **state)
{
	(void)state;
	expect_part(web, "farms/0/source", "\"clientip\"");
	expect_part(web, "farms/0/balance", "\"roundrobin\"");
	expect_part(web, "farms/0/used_by", "[\"web\"]");
	expect_part(web, "farms/0/servers/0",
		"{\"address\":\"198.51.100.10\",\"backup\":false,\"check\":true,\"disabled\":false,"
		"\"inherited\":[\"weight\",\"check\",\"inter\",\"source\"],\"inter\":\"3s\",\"line\":14,"
		"\"maxconn\":0,\"name\":\"a\",\"port\":80,\"source\":\"clientip\",\"weight\":5,"
		"\"words\":\"\",\"written\":\"198.51.100.10:80\"}");
	expect_part(web, "farms/0/servers/1",
		"{\"address\":\"www.example.org\",\"backup\":true,\"check\":false,\"disabled\":false,"
		"\"inherited\":[\"inter\"],\"inter\":\"3s\",\"line\":15,"
		"\"maxconn\":0,\"name\":\"b\",\"port\":0,\"source\":\"usesrc 203.0.113.9\",\"weight\":2,"
		"\"words\":\"no-check weight 2 backup source 0.0.0.0 usesrc 203.0.113.9\","
		"\"written\":\"www.example.org\"}");
	expect_part(web, "farms/0/servers/2/name", "\"c{2-3}\"");
}

static void a_listen_section_is_both(void **state)
{
	(void)state;
	expect_part(web, "listeners/1/name", "\"other\"");
	expect_part(web, "listeners/1/default_backend", "\"other\"");
	expect_part(web, "farms/1/name", "\"other\"");
	expect_part(web, "farms/1/original", "true");
	expect_part(web, "farms/1/used_by", "[\"web\",\"other\"]");
	expect_part(web, "errors", "[]");
}

static void errors_have_their_line_and_column(void **state)
{
	static const char text[] = "listen l\n\tbind  192.0.2.1:80,192.0.2.x:81\n\tmaxcon 5\n"
				   "\tserver a 192.0.2.1 weigh 3\n\tserver 'b\n\tmode http";

	(void)state;
	expect_part(text, "errors",
		"[{\"column\":21,\"line\":2,\"message\":\"'192.0.2.x:81': not an IP address; names are looked up for servers alone, write the number\"},"
		"{\"column\":2,\"line\":3,\"message\":\"'maxcon': unknown keyword; did you mean 'maxconn'?\"},"
		"{\"column\":21,\"line\":4,\"message\":\"'weigh': unknown keyword; did you mean 'weight'?\"},"
		"{\"column\":9,\"line\":5,\"message\":\"''b': the quote is not closed on this line\"},"
		"{\"column\":7,\"line\":6,\"message\":\"'http': not supported: tproxyd reads nothing of what it relays; write 'tcp', or 'udp' for datagrams\"},"
		"{\"column\":0,\"line\":6,\"message\":\"the last line has no line feed; the file may be cut off\"}]");
	expect_part(text, "listeners/0/binds/1/address", "\"192.0.2.x:81\"");
	expect_part(text, "farms/0/servers/0/name", "\"a\"");
}

static void any_bytes_are_described(void **state)
{
	(void)state;
	expect_part("", "errors/0/line", "0");
	expect_part(
		"listen l\n bind :80 name \xff\xfe\n", "listeners/0/binds/0/words", "\"name ??\"");
	expect_part("frontend\nbackend\nserver\nbind\n listen x\nbind\nserver a\n", "farms/0/name",
		"\"x\"");
	expect_part("peers p\n bind :80\nlisten x\n", "listeners/0/binds", "[]");
}

static char *large_text(size_t *length)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, length);

	assert_non_null(out);
	fprintf(out, "defaults\n\ttimeout client 1m\n\ttimeout connect 5s\n\ttimeout server 1m\n"
		     "\tdefault-server check inter 3s\n");
	for (int i = 0; i < 200; i++) {
		fprintf(out,
			"frontend f%d\n\tbind 192.0.2.%d:%d transparent\n\tdefault_backend b%d\n",
			i, i, 1000 + i, i);
		fprintf(out, "backend b%d\n\tsource 0.0.0.0 usesrc clientip\n", i);
		for (int j = 0; j < 5; j++)
			fprintf(out, "\tserver s%d 198.51.100.%d:%d weight 10\n", j, j, 2000 + i);
	}
	fclose(out);
	return text;
}

static double milliseconds_since(clock_t start)
{
	return (double)(clock() - start) * 1000 / CLOCKS_PER_SEC;
}

/* No limit is asked for: the figures are for the reader. */
static void two_hundred_listeners_and_a_thousand_servers(void **state)
{
	size_t length, changed_length;
	char *text = large_text(&length), *changed, *problem, *dump;
	json_t *change = json_pack("{s:s, s:s, s:s, s:i}", "op", "set-server", "farm", "b199",
		"server", "s4", "weight", 7);
	clock_t start = clock();
	json_t *description = edit_describe(text, length);

	(void)state;
	print_message("described in %.1f ms", milliseconds_since(start));
	dump = json_dumps(description, JSON_COMPACT);
	print_message(", %zu bytes of text, %zu of JSON\n", length, strlen(dump));
	assert_int_equal(json_array_size(json_object_get(description, "listeners")), 200);
	assert_int_equal(json_array_size(json_object_get(description, "farms")), 200);
	start = clock();
	changed = edit_change(text, length, change, &changed_length, &problem);
	print_message("changed in %.1f ms\n", milliseconds_since(start));
	assert_non_null(changed);
	assert_int_equal(changed_length, length - 1);
	free(changed);
	free(dump);
	free(text);
	json_decref(change);
	json_decref(description);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_listener_has_its_addresses),
		cmocka_unit_test(a_farm_has_its_servers),
		cmocka_unit_test(a_listen_section_is_both),
		cmocka_unit_test(errors_have_their_line_and_column),
		cmocka_unit_test(any_bytes_are_described),
		cmocka_unit_test(two_hundred_listeners_and_a_thousand_servers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
