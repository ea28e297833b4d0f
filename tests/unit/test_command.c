/*
 * Running programs: what they write, how they end, and that neither side waits for the other.
 */
#include "tproxy/command.h"
#include "unit.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void output_and_status_are_told(void **state)
{
	struct command_result result;

	(void)state;
	assert_false(command_line("sh -c 'echo out; echo wrong >&2; exit 3'", NULL, &result));
	assert_int_equal(result.status, 3);
	assert_string_equal(result.out, "out\n");
	assert_string_equal(result.errors, "wrong\n");
	command_free(&result);
}

static void input_larger_than_a_pipe_comes_back(void **state)
{
	const char *const argv[] = {"cat", NULL};
	struct command_result result;
	size_t length = 1 << 20;
	char *input = malloc(length + 1);

	(void)state;
	assert_non_null(input);
	memset(input, 'x', length);
	input[length] = '\0';
	assert_true(command_run(argv, input, &result));
	assert_int_equal(result.length, length);
	assert_string_equal(result.out, input);
	command_free(&result);
	free(input);
}

static void a_program_that_reads_nothing_does_not_end_us(void **state)
{
	char input[1 << 17];
	struct command_result result;

	(void)state;
	memset(input, 'x', sizeof(input) - 1);
	input[sizeof(input) - 1] = '\0';
	assert_true(command_line("true", input, &result));
	command_free(&result);
}

static void a_signal_is_a_status(void **state)
{
	struct command_result result;

	(void)state;
	assert_false(command_line("sh -c 'kill -9 $$'", NULL, &result));
	assert_int_equal(result.status, 128 + 9);
	command_free(&result);
}

static void a_program_that_is_missing_is_named(void **state)
{
	struct command_result result;

	(void)state;
	assert_false(command_exists("no-such-program"));
	assert_true(command_exists("sh"));
	assert_false(command_line("no-such-program", NULL, &result));
	assert_int_equal(result.status, -1);
	assert_non_null(strstr(result.errors, "no-such-program"));
	command_free(&result);
}

/* Whoever was started has INHERITED; it comes to its end with the last of them. */
static void assert_ended(const char *line)
{
	struct command_result result;
	struct pollfd end = {.events = POLLIN};
	int inherited[2];

	assert_int_equal(pipe(inherited), 0);
	assert_false(command_line(line, NULL, &result));
	assert_true(result.late);
	assert_string_equal(result.errors, "it did not end within 1 s, and was killed");
	command_free(&result);
	close(inherited[1]);
	end.fd = inherited[0];
	assert_int_equal(poll(&end, 1, 5000), 1);
	assert_int_equal(end.revents, POLLHUP);
	close(inherited[0]);
}

static void a_program_that_does_not_end_is_ended_with_its_children(void **state)
{
	struct command_result result;

	(void)state;
	setenv(COMMAND_LIMIT, "1", 1);
	assert_ended("sleep 1000");
	assert_ended("sh -c 'sleep 1000 & wait'");
	assert_ended("sh -c 'exec >&- 2>&-; sleep 1000'");
	assert_true(command_line("true", NULL, &result));
	assert_false(result.late);
	command_free(&result);
	unsetenv(COMMAND_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(output_and_status_are_told),
		cmocka_unit_test(input_larger_than_a_pipe_comes_back),
		cmocka_unit_test(a_program_that_reads_nothing_does_not_end_us),
		cmocka_unit_test(a_signal_is_a_status),
		cmocka_unit_test(a_program_that_is_missing_is_named),
		cmocka_unit_test(a_program_that_does_not_end_is_ended_with_its_children),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
