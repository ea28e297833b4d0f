/*
 * Commands: how a line finds its own, lists that take several answers, and conversations that end in between.
 */
#include "stats/command.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

static const char text[] =
	"defaults\n timeout client 1s\n timeout server 1s\n timeout connect 1s\n"
	"listen web\n bind 127.0.0.1:1\n server a 127.0.0.1:2\n server b 127.0.0.1:3\n";

static struct config *config;
static struct stats_core core;
static struct cli cli;
static unsigned sessions;                /* that worker 0 has; their ids are 0x80, 0x100 … */
static struct session_query *unanswered; /* where the worker answers later */
static bool answers_later, is_busy;

static void answer(struct session_query *query)
{
	uint64_t first = query->after / 0x80 + 1;

	for (uint64_t i = first; query->kind == QUERY_LIST && !query->flows && i <= sessions &&
				 query->count < VIEWS_MAX;
		i++)
		query->views[query->count++] = (struct session_view){
			.id = i * 0x80, .frontend = &config->proxies[0], .expires = UINT64_MAX};
	query->more = query->count == VIEWS_MAX;
	query->found = query->kind == QUERY_END && query->after <= sessions * 0x80;
	atomic_store(&query->answered, true);
}

static enum query_fate ask(void *arg, struct session_query *query)
{
	(void)arg;
	if (is_busy)
		return QUERY_BUSY;
	if (query->worker > 0)
		return QUERY_LOST;
	if (answers_later)
		unanswered = query;
	else
		answer(query);
	return QUERY_SENT;
}

static void set_state(void *arg, const struct proxy *backend, const struct server *server,
	enum server_state state)
{
	(void)arg;
	limits_set_state(core.subject.limits, backend, server, state);
}

static void rest(void *arg)
{
	(void)arg;
}

static uint64_t lost_lines(void *arg)
{
	(void)arg;
	return 0;
}

static int set_up(void **state)
{
	struct diag *diag = diag_new();

	(void)state;
	config = config_parse("test", text, strlen(text), diag);
	diag_free(diag);
	assert_non_null(config);
	core = (struct stats_core){.host = {NULL, ask, set_state, lost_lines, rest}};
	core.subject = (struct stats_subject){.config = config,
		.limits = limits_new(config, 10),
		.tallies = tallies_new(config, 2),
		.workers = 2};
	cli = (struct cli){.core = &core, .level = STATS_ADMIN, .out = evbuffer_new()};
	sessions = 0;
	answers_later = is_busy = false;
	unanswered = NULL;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	cli_end(&cli);
	core_collect(&core);
	assert_int_equal(core.asking, 0);
	evbuffer_free(cli.out);
	tallies_free(core.subject.tallies);
	limits_free(core.subject.limits);
	config_free(config);
	return 0;
}

static void run(const char *words)
{
	char line[200];

	snprintf(line, sizeof(line), "%s", words);
	command_run(&cli, line);
}

/* What was said since it was asked last. */
static const char *said(void)
{
	static char out[1 << 20];
	int length = evbuffer_remove(cli.out, out, sizeof(out) - 1);

	out[length > 0 ? length : 0] = '\0';
	return out;
}

static unsigned lines(const char *of)
{
	unsigned count = 0;

	for (; *of != '\0'; of++)
		count += *of == '\n';
	return count;
}

static void a_command_is_found_by_all_of_its_words(void **state)
{
	(void)state;
	run("  get \t weight web/a ");
	assert_string_equal(said(), "1 (initial 1)\n");
	run("get weigh web/a");
	assert_non_null(strstr(said(), "Unknown command, but maybe"));
	run("");
	assert_non_null(
		strstr(said(), "Please enter one of the following commands only:\n  clear"));
	run("shutdown sessions");
	assert_non_null(strstr(said(), "shutdown sessions server"));
	run("shutdown sessions server web/a");
	assert_string_equal(said(), "");
}

static void help_has_what_the_level_allows(void **state)
{
	(void)state;
	cli.level = STATS_USER;
	run("help");
	assert_null(strstr(said(), "set server"));
	run("help show");
	assert_non_null(strstr(said(), "show stat"));
	run("operator");
	assert_string_equal(said(), "Permission denied\n");
}

static void levels_only_fall(void **state)
{
	(void)state;
	run("operator");
	run("set weight web/a 3");
	assert_string_equal(said(), "Permission denied\n");
	run("show errors");
	assert_int_equal(strncmp(said(), "Total events captured on [", 26), 0);
	run("user");
	run("show sess");
	assert_string_equal(said(), "Permission denied\n");
}

static void a_list_takes_as_many_answers_as_it_needs(void **state)
{
	(void)state;
	sessions = 600;
	run("show sess");
	assert_true(cli_go_on(&cli));
	assert_int_equal(lines(said()), 600);
}

static void a_list_waits_for_room(void **state)
{
	unsigned count = 0, pieces = 0;

	(void)state;
	sessions = 5000;
	run("show sess");
	while (cli.go_on != NULL) {
		assert_in_range(evbuffer_get_length(cli.out), 1, 2 * CLI_OUTPUT_MAX);
		count += lines(said());
		pieces++;
		cli_go_on(&cli);
	}
	assert_int_equal(count + lines(said()), 5000);
	assert_in_range(pieces, 3, 50);
}

static void a_list_waits_for_a_worker(void **state)
{
	(void)state;
	sessions = 3;
	is_busy = true;
	run("show sess");
	assert_false(cli_go_on(&cli));
	is_busy = false;
	answers_later = true;
	assert_false(cli_go_on(&cli));
	assert_int_equal(core.asking, 1);
	answers_later = false;
	answer(unanswered);
	assert_true(cli_go_on(&cli));
	assert_int_equal(lines(said()), 3);
}

static void a_question_stays_until_it_is_answered(void **state)
{
	(void)state;
	answers_later = true;
	run("show sess");
	cli_end(&cli);
	core_collect(&core);
	assert_int_equal(core.asking, 1);
	answer(unanswered);
	core_collect(&core);
	assert_int_equal(core.asking, 0);
}

static void one_session_is_found_by_its_id(void **state)
{
	(void)state;
	sessions = 3;
	run("show sess 0x100");
	assert_int_equal(strncmp(said(), "0x100: proto=tcp", 16), 0);
	run("show sess 0x1000");
	assert_string_equal(said(), "Session not found.\n");
	run("show sess 0x106"); /* of a worker that there is not */
	assert_string_equal(said(), "Session not found.\n");
	run("shutdown session 0x100");
	assert_string_equal(said(), "");
	run("shutdown session 0x1000");
	assert_string_equal(said(), "No such session (use 'show sess').\n");
	run("shutdown session zero");
	assert_string_equal(said(), "Session pointer expected (use 'show sess').\n");
}

static void a_filter_leaves_the_rows_that_it_names(void **state)
{
	(void)state;
	run("show stat");
	assert_int_equal(lines(said()), 5);
	run("show stat web 4 -1");
	assert_int_equal(lines(said()), 3);
	run("show stat 2 4 2");
	assert_int_equal(lines(said()), 2);
	run("show stat none 4 2");
	assert_string_equal(said(), "No such proxy.\n");
	run("set server web/a state maint");
	run("show stat no-maint");
	assert_int_equal(lines(said()), 4);
}

#define COMMAND_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		COMMAND_TEST(a_command_is_found_by_all_of_its_words),
		COMMAND_TEST(help_has_what_the_level_allows),
		COMMAND_TEST(levels_only_fall),
		COMMAND_TEST(a_list_takes_as_many_answers_as_it_needs),
		COMMAND_TEST(a_list_waits_for_room),
		COMMAND_TEST(a_list_waits_for_a_worker),
		COMMAND_TEST(a_question_stays_until_it_is_answered),
		COMMAND_TEST(one_session_is_found_by_its_id),
		COMMAND_TEST(a_filter_leaves_the_rows_that_it_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
