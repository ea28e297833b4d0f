/*
 * Running programs: their output, their end, and that neither side waits for the other.
 */
#include "tproxy/subprocess.h"
#include "tproxy/text.h"
#include "unit.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void output_and_status_are_returned(void **state)
{
	struct subprocess_result result;

	(void)state;
	assert_false(
		subprocess_run_line("sh -c 'echo out; echo wrong >&2; exit 3'", NULL, &result));
	assert_int_equal(result.status, 3);
	assert_string_equal(result.out, "out\n");
	assert_string_equal(result.errors, "wrong\n");
	subprocess_free(&result);
}

static void input_larger_than_a_pipe_comes_back(void **state)
{
	const char *const argv[] = {"cat", NULL};
	struct subprocess_result result;
	size_t length = 1 << 20;
	char *input = malloc(length + 1);

	(void)state;
	assert_non_null(input);
	memset(input, 'x', length);
	input[length] = '\0';
	assert_true(subprocess_run(argv, input, &result));
	assert_int_equal(result.length, length);
	assert_string_equal(result.out, input);
	subprocess_free(&result);
	free(input);
}

static void a_program_that_reads_nothing_does_not_end_us(void **state)
{
	char input[1 << 17];
	struct subprocess_result result;

	(void)state;
	memset(input, 'x', sizeof(input) - 1);
	input[sizeof(input) - 1] = '\0';
	assert_true(subprocess_run_line("true", input, &result));
	subprocess_free(&result);
}

static void a_signal_is_a_status(void **state)
{
	struct subprocess_result result;

	(void)state;
	assert_false(subprocess_run_line("sh -c 'kill -9 $$'", NULL, &result));
	assert_int_equal(result.status, 128 + 9);
	subprocess_free(&result);
}

static void a_program_that_is_missing_is_named(void **state)
{
	struct subprocess_result result;

	(void)state;
	assert_false(subprocess_exists("no-such-program"));
	assert_true(subprocess_exists("sh"));
	assert_false(subprocess_run_line("no-such-program", NULL, &result));
	assert_int_equal(result.status, -1);
	assert_non_null(strstr(result.errors, "no-such-program"));
	subprocess_free(&result);
}

/* Every started process has INHERITED; it ends when the last of them has ended. */
static void assert_ended(const char *line)
{
	struct subprocess_result result;
	struct pollfd end = {.events = POLLIN};
	int inherited[2];

	assert_int_equal(pipe(inherited), 0);
	assert_false(subprocess_run_line(line, NULL, &result));
	assert_true(result.timed_out);
	assert_string_equal(result.errors, "it did not end within 1 s, and was killed");
	subprocess_free(&result);
	close(inherited[1]);
	end.fd = inherited[0];
	assert_int_equal(poll(&end, 1, 5000), 1);
	assert_int_equal(end.revents, POLLHUP);
	close(inherited[0]);
}

static void a_program_that_does_not_end_is_killed_with_its_children(void **state)
{
	struct subprocess_result result;

	(void)state;
	setenv(SUBPROCESS_LIMIT, "1", 1);
	assert_ended("sleep 1000");
	assert_ended("sh -c 'sleep 1000 & wait'");
	assert_ended("sh -c 'exec >&- 2>&-; sleep 1000'");
	assert_true(subprocess_run_line("true", NULL, &result));
	assert_false(result.timed_out);
	subprocess_free(&result);
	unsetenv(SUBPROCESS_LIMIT);
}

static void a_child_that_keeps_the_output_open_is_waited_for_and_its_answer_does_not_count(
	void **state)
{
	struct subprocess_result result;

	(void)state;
	setenv(SUBPROCESS_LIMIT, "1", 1);
	assert_false(subprocess_run_line("sh -c 'echo half; sleep 1000 & exit 0'", NULL, &result));
	assert_true(result.timed_out);
	assert_string_equal(result.out, "half\n");
	subprocess_free(&result);
	unsetenv(SUBPROCESS_LIMIT);
}

static void a_line_without_a_command_fails(void **state)
{
	static const char *const lines[] = {"", " ", "'", "sh 'a", "ip 'a' 'b"};
	struct subprocess_result result;

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		memset(&result, 0x5a, sizeof(result));
		assert_false(subprocess_run_line(lines[i], NULL, &result));
		assert_int_equal(result.status, -1);
		assert_false(result.timed_out);
		assert_string_equal(result.out, "");
		assert_int_equal(result.length, 0);
		assert_non_null(strstr(result.errors, "is not a command line"));
		subprocess_free(&result);
	}
}

static void a_line_may_have_any_number_of_words(void **state)
{
	struct subprocess_result result;
	size_t words = 5000;
	char *line = malloc(8 + 2 * words);

	(void)state;
	assert_non_null(line);
	strcpy(line, "echo ''");
	for (size_t i = 0; i < words; i++)
		strcat(line + i, " x");
	assert_true(subprocess_run_line(line, NULL, &result));
	assert_int_equal(result.length, 2 * words + 1);
	subprocess_free(&result);
	free(line);
}

static void a_program_that_writes_without_end_is_killed(void **state)
{
	struct subprocess_result result;

	(void)state;
	assert_false(subprocess_run_line("yes", NULL, &result));
	assert_false(result.timed_out);
	assert_string_equal(result.errors, "it wrote more than 256 MiB and was killed");
	subprocess_free(&result);
}

static void an_answer_with_a_nul_does_not_count(void **state)
{
	struct subprocess_result result;

	(void)state;
	assert_false(subprocess_run_line("printf '[]\\0[]'", NULL, &result));
	assert_int_equal(result.status, 0);
	assert_string_equal(result.errors, "its output has a NUL byte, so it is not text");
	subprocess_free(&result);
}

static void the_status_is_known_though_sigchld_is_ignored(void **state)
{
	struct subprocess_result result;

	(void)state;
	signal(SIGCHLD, SIG_IGN);
	assert_true(subprocess_run_line("true", NULL, &result));
	subprocess_free(&result);
	assert_false(subprocess_run_line("false", NULL, &result));
	assert_int_equal(result.status, 1);
	subprocess_free(&result);
	assert_ptr_equal(signal(SIGCHLD, SIG_DFL), SIG_IGN);
}

static void the_environment_and_the_path_have_no_limit(void **state)
{
	const char *path_before = getenv("PATH");
	char *old = text_copy(path_before != NULL ? path_before : "/usr/bin:/bin");
	char *path = malloc(strlen(old) + 20000), name[32];
	struct subprocess_result result;

	(void)state;
	assert_non_null(path);
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "TEST_VARIABLE_%d", i);
		setenv(name, "x", 1);
		sprintf(path + 16 * i, "/no/such/folder%s", ":");
	}
	strcat(path, old);
	setenv("PATH", path, 1);
	assert_true(subprocess_run_line(
		"sh -c 'echo $TEST_VARIABLE_0 $TEST_VARIABLE_999 $LC_ALL'", NULL, &result));
	assert_string_equal(result.out, "x x C\n");
	subprocess_free(&result);
	setenv("PATH", old, 1);
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "TEST_VARIABLE_%d", i);
		unsetenv(name);
	}
	free(path);
	free(old);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(output_and_status_are_returned),
		cmocka_unit_test(input_larger_than_a_pipe_comes_back),
		cmocka_unit_test(a_program_that_reads_nothing_does_not_end_us),
		cmocka_unit_test(a_signal_is_a_status),
		cmocka_unit_test(a_program_that_is_missing_is_named),
		cmocka_unit_test(a_program_that_does_not_end_is_killed_with_its_children),
		cmocka_unit_test(
			a_child_that_keeps_the_output_open_is_waited_for_and_its_answer_does_not_count),
		cmocka_unit_test(a_line_without_a_command_fails),
		cmocka_unit_test(a_line_may_have_any_number_of_words),
		cmocka_unit_test(a_program_that_writes_without_end_is_killed),
		cmocka_unit_test(an_answer_with_a_nul_does_not_count),
		cmocka_unit_test(the_status_is_known_though_sigchld_is_ignored),
		cmocka_unit_test(the_environment_and_the_path_have_no_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
