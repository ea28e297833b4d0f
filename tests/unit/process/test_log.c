/*
 * What reaches the log: the targets, the levels, the tcplog line, the counters' sentence.
 */
#include "process/log.h"
#include "process/tcplog.h"
#include "proxy/counters.h"
#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char folder[] = "/tmp/tproxyd-log-XXXXXX";
static char path[64];

static int make_folder(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/target", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	return rmdir(folder);
}

static struct log_target file_target(enum log_format format, int max_level)
{
	return (struct log_target){.kind = LOG_TO_FILE,
		.path = path,
		.format = format,
		.facility = LOG_LOCAL0,
		.max_level = max_level};
}

static void assert_file_holds(const char *expected)
{
	char text[512] = "";
	int fd = open(path, O_RDONLY);
	ssize_t length = read(fd, text, sizeof(text) - 1);

	assert_true(length >= 0);
	assert_string_equal(text, expected);
	close(fd);
	unlink(path);
}

static void a_file_gets_one_line_for_each_message_of_its_level(void **state)
{
	struct log_target target = file_target(LOG_RAW, LOG_NOTICE);
	struct config config = {.global.logs = {&target, 1}};
	struct log *log = log_new(&config, NULL);

	(void)state;
	log_line(log, NULL, LOG_ERR, "first %d", 1);
	log_line(log, NULL, LOG_INFO, "too much detail");
	log_line(log, NULL, LOG_NOTICE, "second");
	assert_false(log_wants(log, NULL, LOG_INFO));
	assert_int_equal(log_lost(log), 0);
	log_free(log);
	assert_file_holds("first 1\nsecond\n");
}

static void a_section_with_targets_of_its_own_leaves_those_of_global_alone(void **state)
{
	struct log_target own = file_target(LOG_RAW, LOG_DEBUG);
	struct proxy section = {.name = "web", .logs = {&own, 1}};
	struct config config = {.proxies = &section, .proxy_count = 1};
	struct log *log = log_new(&config, NULL);

	(void)state;
	log_line(log, &section, LOG_INFO, "mine");
	assert_false(log_wants(log, NULL, LOG_INFO));
	log_free(log);
	assert_file_holds("mine\n");
}

static void two_targets_at_one_place_are_opened_once(void **state)
{
	struct log_target two[] = {file_target(LOG_RAW, LOG_INFO), file_target(LOG_RAW, LOG_ERR)};
	struct config config = {.global.logs = {two, 2}};
	struct log *log = log_new(&config, NULL);

	(void)state;
	log_line(log, NULL, LOG_INFO, "once");
	log_line(log, NULL, LOG_ERR, "for each target");
	log_free(log);
	assert_file_holds("once\nfor each target\nfor each target\n");
}

static void an_overlong_line_is_cut_and_still_ends(void **state)
{
	struct log_target target = file_target(LOG_RAW, LOG_INFO);
	struct config config = {.global.logs = {&target, 1}};
	struct log *log = log_new(&config, NULL);
	char longer[2 * LOG_LINE_MAX];
	struct stat file;

	(void)state;
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	log_line(log, NULL, LOG_INFO, "%s", longer);
	log_free(log);
	assert_int_equal(stat(path, &file), 0);
	assert_int_equal(file.st_size, LOG_LINE_MAX);
	unlink(path);
}

static void syslog_gets_a_datagram_with_priority_and_program(void **state)
{
	struct log_target target = {
		.kind = LOG_TO_UNIX, .path = path, .facility = LOG_LOCAL3, .max_level = LOG_DEBUG};
	struct config config = {.global.logs = {&target, 1}};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int receiver = socket(AF_UNIX, SOCK_DGRAM, 0);
	struct log *log = log_new(&config, NULL);
	char text[256] = "", prefix[32];

	(void)state;
	strcpy(un.sun_path, path);
	assert_int_equal(bind(receiver, (struct sockaddr *)&un, sizeof(un)), 0);
	log_line(log, NULL, LOG_WARNING, "careful");
	assert_true(recv(receiver, text, sizeof(text) - 1, 0) > 0);
	snprintf(prefix, sizeof(prefix), "<%d>", LOG_LOCAL3 | LOG_WARNING);
	assert_memory_equal(text, prefix, strlen(prefix));
	assert_non_null(strstr(text, " tproxyd["));
	assert_string_equal(text + strlen(text) - strlen(": careful"), ": careful");
	close(receiver);
	unlink(path);
	log_line(log, NULL, LOG_WARNING, "no socket is there");
	assert_int_equal(log_lost(log), 1);
	log_free(log);
}

static void the_line_of_a_session_has_haproxys_fields(void **state)
{
	struct server server = {.name = "srv1"};
	struct proxy sections[] = {{.name = "fnt", .index = 0},
		{.name = "bck", .index = 1, .servers = &server, .server_count = 1}};
	struct config config = {.proxies = sections, .proxy_count = 2, .server_count = 1};
	struct session_set set = {.config = &config, .limits = limits_new(&config, 10)};
	struct session session = {.set = &set,
		.frontend = &sections[0],
		.backend = &sections[1],
		.server = &server,
		.reason = REASON_SERVER_TIMEOUT,
		.accepted = 1000,
		.connected = 1007,
		.closed = 6014,
		.accepted_at = {.tv_sec = 1233922331, .tv_nsec = 443000000}};
	char line[LOG_LINE_MAX];

	(void)state;
	setenv("TZ", "UTC", 1);
	assert_true(addr_parse(&session.client, "192.0.2.2"));
	addr_set_port(&session.client, 33313);
	session.directions[SERVER].bytes = 212;
	tcplog_format(&session, line, sizeof(line));
	assert_string_equal(line, "192.0.2.2:33313 [06/Feb/2009:12:12:11.443] fnt bck/srv1 "
				  "0/7/5014 212 sD 1/1/0/0/0 0/0");
	limits_free(set.limits);
}

/* The fields from the state on: the counts, retries, queues. */
static void assert_counts(const struct session *session, const char *expected)
{
	char line[LOG_LINE_MAX];
	const char *end;

	tcplog_format(session, line, sizeof(line));
	end = line + strlen(line) - strlen(expected);
	assert_string_equal(end, expected);
}

/* HAProxy 2.6 wrote these: three sessions end one after the other, each with its server. */
static void counts_are_those_of_haproxy_when_a_session_ends(void **state)
{
	struct server server = {.name = "s"};
	struct proxy sections[] = {{.name = "f", .index = 0},
		{.name = "b", .index = 1, .servers = &server, .server_count = 1}};
	struct config config = {.proxies = sections, .proxy_count = 2, .server_count = 1};
	struct session_set set = {.config = &config, .limits = limits_new(&config, 10)};
	struct session session = {
		.set = &set, .frontend = &sections[0], .backend = &sections[1], .server = &server};
	static const char *const expected[] = {
		" 3/3/2/2/0 0/0", " 2/2/1/1/0 0/0", " 1/1/0/0/0 0/0"};

	(void)state;
	assert_true(addr_parse(&session.client, "192.0.2.2"));
	for (int i = 0; i < 3; i++) {
		assert_true(limits_enter(set.limits, &sections[0]));
		limits_use(set.limits, &sections[1], &server);
	}
	for (int i = 0; i < 3; i++) {
		limits_unuse(set.limits, &sections[1], &server);
		limits_leave(set.limits, &sections[0]);
		assert_counts(&session, expected[i]);
	}
	limits_free(set.limits);
}

static void retries_are_attempts_after_the_first_one(void **state)
{
	struct proxy section = {.name = "f"};
	struct config config = {.proxies = &section, .proxy_count = 1};
	struct session_set set = {.config = &config, .limits = limits_new(&config, 10)};
	struct session session = {.set = &set, .frontend = &section, .failures = 2};

	(void)state;
	assert_true(addr_parse(&session.client, "192.0.2.2"));
	session.reason = REASON_CONNECT_REFUSED;
	assert_counts(&session, "/1 0/0");
	session.reason = REASON_DONE;
	assert_counts(&session, "/2 0/0");
	session.reason = REASON_NO_SERVER;
	session.failures = 0;
	assert_counts(&session, "/0 0/0");
	limits_free(set.limits);
}

static void a_session_that_reached_no_server_says_so(void **state)
{
	struct proxy section = {.name = "fnt"};
	struct config config = {.proxies = &section, .proxy_count = 1};
	struct session_set set = {.config = &config, .limits = limits_new(&config, 10)};
	struct session session = {.set = &set,
		.frontend = &section,
		.reason = REASON_NO_SERVER,
		.accepted = 5,
		.closed = 5};
	char line[LOG_LINE_MAX];

	(void)state;
	assert_true(addr_parse(&session.client, "2001:db8::2"));
	tcplog_format(&session, line, sizeof(line));
	assert_non_null(strstr(line, "2001:db8::2:0 ["));
	assert_non_null(strstr(line, "] fnt fnt/<NOSRV> -1/-1/0 0 SC 1/1/0/0/0 0/0"));
	limits_free(set.limits);
}

/* --- a reload --- */

static void a_place_that_stays_is_open_once_and_outlives_either_log(void **state)
{
	struct log_target targets[2] = {
		file_target(LOG_RAW, LOG_INFO), file_target(LOG_RAW, LOG_INFO)};
	struct config older = {.global.logs = {&targets[0], 1}};
	struct config newer = {.global.logs = {&targets[1], 1}};
	char own_path[64];
	struct log *before, *log;
	int next_free = dup(STDERR_FILENO), still_free;

	(void)state;
	close(next_free);
	memcpy(own_path, path, sizeof(own_path));
	targets[0].path = own_path;
	before = log_new(&older, NULL);
	log = log_renew(before, &newer);
	memset(own_path, 'x',
		sizeof(own_path) - 1); /* as the older configuration's memory may be */
	assert_int_equal(log_places(log), 2);
	log_line(log, NULL, LOG_INFO, "newer");
	log_free(before);
	log_line(log, NULL, LOG_INFO, "after");
	log_free(log);
	still_free = dup(STDERR_FILENO);
	close(still_free);
	assert_int_equal(still_free, next_free);
	assert_file_holds("newer\nafter\n");
}

static void what_cannot_be_opened_is_reported_in_the_log_before(void **state)
{
	struct log_target target = file_target(LOG_RAW, LOG_ERR), none = target;
	struct config older = {.global.logs = {&target, 1}};
	struct config newer = {.global.logs = {&none, 1}};
	struct log *before = log_new(&older, NULL);

	(void)state;
	none.path = "/none/log";
	log_started(before);
	assert_null(log_renew(before, &newer));
	log_line(before, NULL, LOG_ERR, "goes on");
	log_free(before);
	assert_file_holds("cannot open the log /none/log: No such file or directory\ngoes on\n");
}

static void complaints_go_to_the_targets_once_it_is_started(void **state)
{
	struct log_target target = file_target(LOG_RAW, LOG_ERR);
	struct config config = {.global.logs = {&target, 1}};
	struct log *log = log_new(&config, NULL), *next;

	(void)state;
	log_started(log);
	log_complain(log, "number %d", 1);
	next = log_renew(log, &config);
	log_free(log);
	log_complain(next, "number %d", 2);
	log_free(next);
	assert_file_holds("number 1\nnumber 2\n");
}

/* A session of one section that ends in order; options and end are the test's. */
static struct session logged_session(
	struct proxy *section, struct log_target *target, unsigned options)
{
	*section = (struct proxy){
		.name = "f", .logs = {target, 1}, .options = OPTION_TCPLOG | options};
	return (struct session){.frontend = section,
		.state = SESSION_CLOSING,
		.connected = 7,
		.directions[CLIENT].bytes = 1};
}

static void a_session_has_its_line_at_the_end(void **state)
{
	struct log_target target = {.kind = LOG_TO_STDERR};
	struct proxy section;
	struct session session = logged_session(&section, &target, 0);

	(void)state;
	assert_true(tcplog_is_due(&session));
	assert_int_equal(tcplog_level(&session), LOG_INFO);
	session.directions[CLIENT].bytes = 0;
	session.connected = 0;
	assert_true(tcplog_is_due(&session));
	session.state = SESSION_RELAYING;
	assert_false(tcplog_is_due(&session));
	session.state = SESSION_CLOSING;
	section.options = 0;
	assert_false(tcplog_is_due(&session));
	section.options = OPTION_TCPLOG;
	section.logs.count = 0;
	assert_false(tcplog_is_due(&session));
}

static void a_rejected_client_has_the_line_of_its_refusal_alone(void **state)
{
	struct log_target target = {.kind = LOG_TO_STDERR};
	struct proxy section;
	struct session session = logged_session(&section, &target, 0);

	(void)state;
	session.reason = REASON_REJECTED;
	assert_false(tcplog_is_due(&session));
}

static void dontlognull_leaves_out_clients_that_sent_nothing(void **state)
{
	struct log_target target = {.kind = LOG_TO_STDERR};
	struct proxy section;
	struct session session = logged_session(&section, &target, OPTION_DONTLOGNULL);

	(void)state;
	assert_true(tcplog_is_due(&session));
	session.directions[CLIENT].bytes = 0;
	session.directions[SERVER].bytes = 5;
	assert_false(tcplog_is_due(&session));
}

static void dontlog_normal_leaves_out_what_ended_in_order_and_at_once(void **state)
{
	struct log_target target = {.kind = LOG_TO_STDERR};
	struct proxy section;
	struct session session = logged_session(&section, &target, OPTION_DONTLOG_NORMAL);

	(void)state;
	assert_false(tcplog_is_due(&session));
	session.failures = 1;
	assert_true(tcplog_is_due(&session));
	session.failures = 0;
	session.reason = REASON_CLIENT_TIMEOUT;
	assert_true(tcplog_is_due(&session));
}

static void log_separate_errors_raises_the_level_of_failures(void **state)
{
	struct log_target target = {.kind = LOG_TO_STDERR};
	struct proxy section;
	struct session session = logged_session(&section, &target, OPTION_LOG_SEPARATE_ERRORS);

	(void)state;
	assert_int_equal(tcplog_level(&session), LOG_INFO);
	session.failures = 1;
	assert_int_equal(tcplog_level(&session), LOG_ERR);
	session.failures = 0;
	session.reason = REASON_SERVER_RESET;
	assert_int_equal(tcplog_level(&session), LOG_ERR);
	section.options &= ~(unsigned)OPTION_LOG_SEPARATE_ERRORS;
	assert_int_equal(tcplog_level(&session), LOG_INFO);
}

static void logasap_has_one_line_as_soon_as_the_server_is_reached(void **state)
{
	struct log_target target = {.kind = LOG_TO_STDERR};
	struct proxy section;
	struct session session =
		logged_session(&section, &target, OPTION_LOGASAP | OPTION_DONTLOGNULL);

	(void)state;
	session.directions[CLIENT].bytes = 0;
	session.state = SESSION_RELAYING;
	assert_true(tcplog_is_due(&session));
	session.state = SESSION_CLOSING;
	assert_false(tcplog_is_due(&session));
	session.connected = 0;
	assert_true(tcplog_is_due(&session));
}

/* HAProxy 2.6 wrote the fields of this line. */
static void an_early_line_has_a_plus_before_what_may_grow(void **state)
{
	struct server server = {.name = "s"};
	struct proxy sections[] = {
		{.name = "l", .options = OPTION_LOGASAP, .servers = &server, .server_count = 1}};
	struct config config = {.proxies = sections, .proxy_count = 1, .server_count = 1};
	struct session_set set = {.config = &config, .limits = limits_new(&config, 10)};
	struct session session = {.set = &set,
		.state = SESSION_RELAYING,
		.frontend = &sections[0],
		.backend = &sections[0],
		.server = &server,
		.accepted = 1000,
		.connected = 1003};

	(void)state;
	assert_true(addr_parse(&session.client, "192.0.2.2"));
	assert_true(limits_enter(set.limits, &sections[0]));
	limits_use(set.limits, &sections[0], &server);
	assert_counts(&session, " l l/s 0/3/+3 +0 -- 1/1/1/1/0 0/0");
	limits_unuse(set.limits, &sections[0], &server);
	limits_leave(set.limits, &sections[0]);
	session.state = SESSION_CLOSING;
	session.reason = REASON_CONNECT_REFUSED;
	session.connected = 0;
	session.closed = 2000;
	session.failures = 1;
	assert_counts(&session, " l l/s 0/-1/+1000 +0 SC 1/1/0/0/0 0/0");
	limits_free(set.limits);
}

static void counters_are_summed_and_said_in_a_sentence(void **state)
{
	struct counters sum = {.accepted = 1},
			more = {.accepted = 2, .to_servers = 10, .pauses = 1};
	char text[LOG_LINE_MAX];

	(void)state;
	more.ended[REASON_DONE] = 1;
	more.ended[REASON_SOURCE_IN_USE] = 1;
	counters_add(&sum, &more);
	counters_format(&sum, text, sizeof(text));
	assert_string_equal(text,
		"3 sessions: done 1, source-in-use 1; 10 bytes to servers, 0 to clients; 0 copied, "
		"0 spliced; accepting paused 1 times");
	counters_format(&sum, text, 8);
	assert_string_equal(text, "3 sessi");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_gets_one_line_for_each_message_of_its_level),
		cmocka_unit_test(a_section_with_targets_of_its_own_leaves_those_of_global_alone),
		cmocka_unit_test(two_targets_at_one_place_are_opened_once),
		cmocka_unit_test(an_overlong_line_is_cut_and_still_ends),
		cmocka_unit_test(syslog_gets_a_datagram_with_priority_and_program),
		cmocka_unit_test(the_line_of_a_session_has_haproxys_fields),
		cmocka_unit_test(counts_are_those_of_haproxy_when_a_session_ends),
		cmocka_unit_test(retries_are_attempts_after_the_first_one),
		cmocka_unit_test(a_session_that_reached_no_server_says_so),
		cmocka_unit_test(a_place_that_stays_is_open_once_and_outlives_either_log),
		cmocka_unit_test(what_cannot_be_opened_is_reported_in_the_log_before),
		cmocka_unit_test(complaints_go_to_the_targets_once_it_is_started),
		cmocka_unit_test(a_session_has_its_line_at_the_end),
		cmocka_unit_test(a_rejected_client_has_the_line_of_its_refusal_alone),
		cmocka_unit_test(dontlognull_leaves_out_clients_that_sent_nothing),
		cmocka_unit_test(dontlog_normal_leaves_out_what_ended_in_order_and_at_once),
		cmocka_unit_test(log_separate_errors_raises_the_level_of_failures),
		cmocka_unit_test(logasap_has_one_line_as_soon_as_the_server_is_reached),
		cmocka_unit_test(an_early_line_has_a_plus_before_what_may_grow),
		cmocka_unit_test(counters_are_summed_and_said_in_a_sentence),
	};

	return cmocka_run_group_tests_name("log", tests, make_folder, remove_folder);
}
