/*
 * What the descriptor limit has room for. Limits are lowered in children, since only root raises them.
 */
#include "process/descriptors.h"

#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	LISTENERS = 3
};

static struct bind binds[LISTENERS];
static struct proxy section = {.name = "web", .binds = binds, .bind_count = LISTENERS};
static struct config config = {.proxies = &section, .proxy_count = 1};

/* What is planned for, and the outcome: the result and what stderr got. */
struct planned {
	unsigned limit, workers, maxconn, ulimit_n;
	int result;
	unsigned sessions;
	char text[1024];
};

static void plan_and_answer(const struct planned *asked, int answer)
{
	struct rlimit limit = {.rlim_cur = asked->limit, .rlim_max = asked->limit};
	struct planned made = {0};
	int ends[2];
	struct descriptors descriptors;
	struct log *log;

	if (pipe2(ends, O_NONBLOCK) == -1)
		_exit(1);
	dup2(ends[1], STDERR_FILENO);
	log = log_new(&config, NULL);
	if (log == NULL || setrlimit(RLIMIT_NOFILE, &limit) == -1)
		_exit(2);
	config.global.maxconn = asked->maxconn;
	config.global.ulimit_n = asked->ulimit_n;
	descriptors = descriptors_measure(&config.global, asked->workers, log);
	made.result = descriptors_plan(&descriptors, &config, log_places(log), log, &made.sessions);
	if (read(ends[0], made.text, sizeof(made.text) - 1) == -1)
		made.text[0] = '\0';
	_exit(write(answer, &made, sizeof(made)) == sizeof(made) ? 0 : 3);
}

static struct planned plan_in_child(struct planned asked)
{
	struct planned made;
	int ends[2], status;
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	if (child == 0)
		plan_and_answer(&asked, ends[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(read(ends[0], &made, sizeof(made)), sizeof(made));
	close(ends[0]);
	close(ends[1]);
	return made;
}

static void each_worker_takes_what_it_takes(void **state)
{
	struct planned one = plan_in_child((struct planned){.limit = 4096, .workers = 1});
	struct planned more = plan_in_child((struct planned){.limit = 4096, .workers = 41});
	unsigned long taken = 40 * (DESCRIPTORS_OF_WORKER + LISTENERS);

	(void)state;
	assert_int_equal(one.result, 0);
	assert_int_equal(more.result, 0);
	assert_true(descriptors_of_sessions(one.sessions - more.sessions) <= taken + 2);
	assert_true(descriptors_of_sessions(one.sessions - more.sessions) + 2 >= taken);
	assert_string_equal(one.text, "");
}

static void a_small_limit_is_used_as_far_as_it_goes_and_warned_of(void **state)
{
	struct planned made = plan_in_child((struct planned){.limit = 64, .workers = 1});

	(void)state;
	assert_int_equal(made.result, 0);
	assert_true(made.sessions >= 8);
	assert_true(descriptors_of_sessions(made.sessions) < 64);
	assert_non_null(strstr(made.text, "the descriptor limit of 64 has room for"));
	assert_non_null(strstr(made.text, "ulimit -n"));
}

static void without_room_for_a_session_it_says_what_to_raise(void **state)
{
	struct planned made = plan_in_child((struct planned){.limit = 64, .workers = 20});

	(void)state;
	assert_int_equal(made.result, -1);
	assert_non_null(strstr(made.text, "the descriptor limit of 64 is too low: 20 threads"));
	assert_non_null(strstr(made.text, "ulimit -n"));
	assert_non_null(strstr(made.text, "nbthread"));
}

static void a_maxconn_that_may_not_fit_is_kept_and_warned_of(void **state)
{
	struct planned made =
		plan_in_child((struct planned){.limit = 1024, .workers = 1, .maxconn = 5000});

	(void)state;
	assert_int_equal(made.result, 0);
	assert_int_equal(made.sessions, 5000);
	assert_non_null(strstr(made.text, "maxconn 5000 may need"));
	made = plan_in_child((struct planned){.limit = 1024, .workers = 1, .maxconn = 300});
	assert_int_equal(made.sessions, 300);
	assert_string_equal(made.text, "");
}

static void the_configured_limit_holds(void **state)
{
	struct planned low =
		plan_in_child((struct planned){.limit = 4096, .workers = 1, .ulimit_n = 64});
	struct planned same = plan_in_child((struct planned){.limit = 64, .workers = 1});

	(void)state;
	assert_int_equal(low.result, 0);
	assert_int_equal(low.sessions, same.sessions);
}

/* No process can have so many: fs.nr_open is less. */
static void a_limit_that_cannot_be_set_is_an_error(void **state)
{
	struct planned made = plan_in_child(
		(struct planned){.limit = 4096, .workers = 1, .ulimit_n = 2000000000});

	(void)state;
	assert_int_equal(made.result, -1);
	assert_non_null(
		strstr(made.text, "cannot set the descriptor limit to 2000000000 (ulimit-n)"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_worker_takes_what_it_takes),
		cmocka_unit_test(a_small_limit_is_used_as_far_as_it_goes_and_warned_of),
		cmocka_unit_test(without_room_for_a_session_it_says_what_to_raise),
		cmocka_unit_test(the_configured_limit_holds),
		cmocka_unit_test(a_limit_that_cannot_be_set_is_an_error),
		cmocka_unit_test(a_maxconn_that_may_not_fit_is_kept_and_warned_of),
	};

	return cmocka_run_group_tests_name("descriptors", tests, NULL, NULL);
}
