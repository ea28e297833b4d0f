/*
 * Which capabilities a configuration needs, and what is left after the others were dropped.
 */
#include "process/privileges.h"

#include "unit.h"

#include <cap-ng.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static struct server servers[2];
static struct proxy section = {.name = "web", .servers = servers, .server_count = 2};
static struct config config = {.proxies = &section, .proxy_count = 1};

/* What the second of two servers needs; the first one has no source. */
static unsigned needed(enum source_mode mode, unsigned port)
{
	memset(servers, 0, sizeof(servers));
	servers[1].source.mode = mode;
	assert_true(addr_parse(&servers[1].source.address, "192.0.2.1"));
	addr_set_port(&servers[1].source.address, (uint16_t)port);
	return privileges_needed(&config);
}

static void a_source_with_a_low_port_needs_the_right_to_it(void **state)
{
	unsigned first = privileges_first_port();

	(void)state;
	assert_true(first > 25);
	assert_int_equal(needed(SOURCE_ADDRESS, 25), PRIVILEGE_LOW_PORTS);
	assert_ptr_equal(privileges_low_source(&config), &servers[1]);
	assert_int_equal(needed(SOURCE_ADDRESS, first - 1), PRIVILEGE_LOW_PORTS);
	assert_int_equal(needed(SOURCE_FOREIGN, 25), PRIVILEGE_LOW_PORTS | PRIVILEGE_TRANSPARENT);
	assert_ptr_equal(privileges_low_source(&config), &servers[1]);
}

static void any_other_port_needs_none(void **state)
{
	(void)state;
	assert_int_equal(needed(SOURCE_ROUTED, 0), 0);
	assert_int_equal(needed(SOURCE_ADDRESS, 0), 0);
	assert_int_equal(needed(SOURCE_ADDRESS, privileges_first_port()), 0);
	assert_int_equal(needed(SOURCE_CLIENTIP, 0), PRIVILEGE_TRANSPARENT);
	assert_null(privileges_low_source(&config));
}

static void the_port_of_a_client_may_be_a_low_one(void **state)
{
	(void)state;
	assert_int_equal(needed(SOURCE_CLIENT, 0), PRIVILEGE_TRANSPARENT | PRIVILEGE_LOW_PORTS);
	assert_null(privileges_low_source(&config));
}

/* A reload may add a listener with another low port. */
static void for_a_listener_with_a_low_port_the_right_to_it_is_kept(void **state)
{
	struct bind bind = {0};

	(void)state;
	assert_int_equal(needed(SOURCE_ROUTED, 0), 0);
	assert_true(addr_parse(&bind.address, "192.0.2.80"));
	section.binds = &bind;
	section.bind_count = 1;
	addr_set_port(&bind.address, (uint16_t)privileges_first_port());
	assert_int_equal(privileges_kept(&config), 0);
	addr_set_port(&bind.address, 80);
	assert_int_equal(privileges_kept(&config), PRIVILEGE_LOW_PORTS);
	assert_int_equal(privileges_needed(&config), 0);
	section.bind_count = 0;
}

/* In a child without capabilities: the result, and what stderr got. */
static int check_without_any(bool reload, char *text, size_t room)
{
	struct identity self = {.uid = geteuid(), .gid = getegid()};
	int ends[2], status;
	ssize_t length;
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	if (child == 0) {
		struct log *log;

		dup2(ends[1], STDERR_FILENO);
		log = log_new(&config, NULL);
		if (privileges_drop(&self, 0) == -1 || log == NULL)
			_exit(3);
		_exit(privileges_check(&config, "a.cfg", privileges_held(), reload, log) == 0 ? 0
											      : 1);
	}
	close(ends[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	length = read(ends[0], text, room - 1);
	assert_true(length >= 0);
	text[length] = '\0';
	close(ends[0]);
	return WEXITSTATUS(status);
}

#define RESTART                                                                                    \
	"A reload cannot get it back, since tproxyd dropped what it did not need: restart it"

static void what_is_missing_is_named_with_where_it_comes_from(void **state)
{
	char text[2048];

	(void)state;
	needed(SOURCE_ROUTED, 0);
	assert_int_equal(check_without_any(false, text, sizeof(text)), 0);
	assert_string_equal(text, "");
	needed(SOURCE_CLIENTIP, 0);
	assert_int_equal(check_without_any(false, text, sizeof(text)), 1);
	assert_non_null(strstr(text, "CAP_NET_RAW is missing"));
	assert_non_null(strstr(text, "Start tproxyd as root"));
	assert_int_equal(check_without_any(true, text, sizeof(text)), 1);
	assert_non_null(strstr(text, RESTART));
	assert_null(strstr(text, "as root"));
	needed(SOURCE_ADDRESS, 25);
	servers[1].name = "s1";
	servers[1].line = 7;
	assert_int_equal(check_without_any(true, text, sizeof(text)), 1);
	assert_non_null(strstr(text, "a.cfg:7: CAP_NET_BIND_SERVICE is missing: server s1"));
	assert_non_null(strstr(text, RESTART));
}

static void the_words_are_those_of_capabilities_7(void **state)
{
	(void)state;
	assert_string_equal(privileges_text(0), "no capability");
	assert_string_equal(privileges_text(PRIVILEGE_TRANSPARENT), "CAP_NET_RAW");
	assert_string_equal(privileges_text(PRIVILEGE_LOW_PORTS), "CAP_NET_BIND_SERVICE");
	assert_string_equal(privileges_text(PRIVILEGE_TRANSPARENT | PRIVILEGE_LOW_PORTS),
		"CAP_NET_RAW and CAP_NET_BIND_SERVICE");
}

static bool has_groups(void)
{
	return getgroups(0, NULL) > 0;
}

/* Drops all but some; 0: nothing else is left. */
static int drop(const struct identity *identity, unsigned privileges, bool may_drop_groups)
{
	unsigned had = privileges_held(), kept = had & privileges;
	bool may_cut_bounds = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);

	if (privileges_drop(identity, privileges) == -1)
		return 1;
	if (geteuid() != identity->uid || getegid() != identity->gid)
		return 2;
	if (privileges_held() != kept)
		return 3;
	for (unsigned capability = 0; capability <= CAP_SYSLOG; capability++) {
		bool may = (capability == CAP_NET_RAW && kept & PRIVILEGE_TRANSPARENT) ||
			   (capability == CAP_NET_BIND_SERVICE && kept & PRIVILEGE_LOW_PORTS);

		if (capng_have_capability(CAPNG_PERMITTED, capability) != may)
			return 4;
		if (may_cut_bounds && prctl(PR_CAPBSET_READ, capability, 0, 0, 0) != 0)
			return 5;
	}
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return 6;
	return may_drop_groups && has_groups() ? 7 : 0;
}

/* In a child that has groups where it may; uid 0 stands for the user who runs the tests. */
static void assert_dropped(uid_t uid, unsigned privileges)
{
	static const gid_t groups[] = {0, 4};
	struct identity identity = {.uid = uid, .gid = uid};
	int status;
	pid_t child = fork();

	if (uid == 0)
		identity = (struct identity){.uid = geteuid(), .gid = getegid()};
	if (child == 0)
		_exit(drop(&identity, privileges, setgroups(2, groups) == 0));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void what_is_not_needed_is_dropped_with_groups_and_bounding_set(void **state)
{
	(void)state;
	assert_dropped(0, 0);
	assert_dropped(0, PRIVILEGE_TRANSPARENT);
	assert_dropped(0, PRIVILEGE_TRANSPARENT | PRIVILEGE_LOW_PORTS);
}

static void another_user_keeps_no_more(void **state)
{
	(void)state;
	if (geteuid() != 0 || setgroups(0, NULL) == -1)
		skip(); /* may not become another user */
	assert_dropped(65534, 0);
	assert_dropped(65534, PRIVILEGE_LOW_PORTS);
	assert_dropped(65534, PRIVILEGE_TRANSPARENT | PRIVILEGE_LOW_PORTS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_source_with_a_low_port_needs_the_right_to_it),
		cmocka_unit_test(any_other_port_needs_none),
		cmocka_unit_test(the_port_of_a_client_may_be_a_low_one),
		cmocka_unit_test(for_a_listener_with_a_low_port_the_right_to_it_is_kept),
		cmocka_unit_test(what_is_missing_is_named_with_where_it_comes_from),
		cmocka_unit_test(the_words_are_those_of_capabilities_7),
		cmocka_unit_test(what_is_not_needed_is_dropped_with_groups_and_bounding_set),
		cmocka_unit_test(another_user_keeps_no_more),
	};

	return cmocka_run_group_tests_name("privileges", tests, NULL, NULL);
}
