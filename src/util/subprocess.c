/*
 * Runs a program with pipes as its stdin, stdout and stderr.
 *
 * One poll loop writes stdin and reads the others, so that neither side waits for the other. The program leads a
 * process group of its own: killing the group kills what it has started, and nothing else.
 *
 * The trap: a program may end without reading its input. So SIGPIPE is ignored during the loop.
 */
#include "tproxy/subprocess.h"
#include "tproxy/array.h"
#include "tproxy/clock.h"
#include "tproxy/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	LIMIT_S = 60
};

enum pipe {
	INPUT,
	OUTPUT,
	ERRORS,
	PIPES
};

/* A program that runs, and what goes through its pipes. */
struct run {
	pid_t pid;
	int ours[PIPES];                 /* -1 once closed */
	const char *input;               /* the rest of it */
	struct text_stream texts[PIPES]; /* what OUTPUT and ERRORS brought */
	size_t taken;                    /* bytes of both */
	unsigned limit;                  /* in seconds */
	long long deadline;
	bool late;
	const char *problem; /* why its output does not count, or NULL */
};

static unsigned limit_seconds(void)
{
	const char *text = getenv(SUBPROCESS_LIMIT);
	unsigned seconds;

	if (text != NULL && text_number(text, &seconds) && seconds > 0 && seconds < 100000)
		return seconds;
	return LIMIT_S;
}

/* The path of a program, to be freed, or NULL. */
static char *find_program(const char *name)
{
	const char *places = getenv("PATH");
	char *list, *path = NULL, *rest = NULL;

	if (strchr(name, '/') != NULL)
		return access(name, X_OK) == 0 ? text_copy(name) : NULL;
	list = text_format("%s:/usr/sbin:/sbin", places != NULL ? places : "/usr/bin:/bin");
	for (char *place = strtok_r(list, ":", &rest); place != NULL && path == NULL;
		place = strtok_r(NULL, ":", &rest)) {
		path = text_format("%s/%s", place, name);
		if (access(path, X_OK) == 0)
			continue;
		free(path);
		path = NULL;
	}
	free(list);
	return path;
}

bool subprocess_exists(const char *name)
{
	char *path = find_program(name);

	free(path);
	return path != NULL;
}

static void close_pipe(struct run *run, enum pipe pipe)
{
	close(run->ours[pipe]);
	run->ours[pipe] = -1;
}

/* Reads from a pipe that is ready; closes it at its end. */
static void read_output(struct run *run, enum pipe pipe)
{
	char buffer[65536];
	ssize_t length = read(run->ours[pipe], buffer, sizeof(buffer));

	if (length > 0) {
		run->taken += (size_t)length;
		fwrite(buffer, 1, (size_t)length, run->texts[pipe].out);
	} else if (length == 0)
		close_pipe(run, pipe);
	else if (errno != EINTR)
		run->problem = strerror(errno);
	if (run->taken > SUBPROCESS_OUTPUT_MAX)
		run->problem = "it wrote more than 256 MiB and was killed";
}

/* Writes a part of the input; closes the pipe when all is written, or the program has closed its end. */
static void write_input(struct run *run)
{
	/* A pipe that is ready takes PIPE_BUF bytes without blocking. */
	ssize_t length = write(run->ours[INPUT], run->input, strnlen(run->input, PIPE_BUF));

	if (length > 0)
		run->input += length;
	if ((length == -1 && errno != EINTR) || *run->input == '\0')
		close_pipe(run, INPUT);
}

/* Waits until a pipe is ready, and reads or writes those that are. */
static void serve_pipes(struct run *run, int milliseconds)
{
	struct pollfd polled[PIPES] = {{run->ours[INPUT], POLLOUT, 0},
		{run->ours[OUTPUT], POLLIN, 0}, {run->ours[ERRORS], POLLIN, 0}};
	int ready = poll(polled, PIPES, milliseconds);

	if (ready == -1 && errno != EINTR)
		run->problem = strerror(errno);
	if (ready <= 0)
		return;
	if (polled[INPUT].revents != 0)
		write_input(run);
	for (enum pipe pipe = OUTPUT; pipe <= ERRORS; pipe++)
		if (polled[pipe].revents != 0)
			read_output(run, pipe);
}

/* Reads and writes until all pipes are closed, the deadline has come, or an error occurs. */
static void serve_until_end(struct run *run)
{
	void (*old)(int) = signal(SIGPIPE, SIG_IGN);
	long long left;

	if (*run->input == '\0')
		close_pipe(run, INPUT);
	while (run->problem == NULL &&
		(run->ours[INPUT] != -1 || run->ours[OUTPUT] != -1 || run->ours[ERRORS] != -1)) {
		left = run->deadline - clock_ms();
		run->late = left <= 0;
		if (run->late)
			break;
		serve_pipes(run, (int)left);
	}
	for (enum pipe pipe = INPUT; pipe < PIPES; pipe++)
		if (run->ours[pipe] != -1)
			close_pipe(run, pipe);
	signal(SIGPIPE, old);
}

/* The environment with LC_ALL=C in place of its own locale; the list is to be freed. */
static char **c_locale(void)
{
	char **made = NULL;
	size_t count = 0;

	made = array_room(made, count, sizeof(*made));
	made[count++] = (char *)"LC_ALL=C";
	for (char **each = environ; *each != NULL; each++)
		if (strncmp(*each, "LC_", 3) != 0 && strncmp(*each, "LANG", 4) != 0) {
			made = array_room(made, count, sizeof(*made));
			made[count++] = *each;
		}
	return array_room(made, count, sizeof(*made)); /* NULL ends it */
}

/* Starts the program with pipes as its standard descriptors. Returns 0 or an errno. */
static int start_program(struct run *run, const char *path, const char *const argv[])
{
	int pipes[PIPES][2], error = 0, made = 0;
	char **environment = c_locale();
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;

	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
	for (; made < PIPES && error == 0; made++) {
		if (pipe2(pipes[made], O_CLOEXEC) == -1) {
			error = errno;
			break;
		}
		posix_spawn_file_actions_adddup2(
			&actions, pipes[made][made == INPUT ? 0 : 1], made);
	}
	if (error == 0)
		error = posix_spawn(
			&run->pid, path, &actions, &attributes, (char *const *)argv, environment);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	free(environment);
	for (int i = 0; i < made; i++) {
		close(pipes[i][i == INPUT ? 0 : 1]);
		run->ours[i] = pipes[i][i == INPUT ? 1 : 0];
		if (error != 0)
			close(run->ours[i]);
	}
	return error;
}

/* Waits for the end of the program; kills it at the deadline, or if its output does not count. */
static int wait_for_end(struct run *run)
{
	bool killed = run->late || run->problem != NULL;
	pid_t ended;
	int status = 0;

	if (killed)
		kill(-run->pid, SIGKILL);
	while ((ended = waitpid(run->pid, &status, killed ? 0 : WNOHANG)) != run->pid) {
		if (ended == -1 && errno != EINTR) {
			run->problem = strerror(errno);
			return -1;
		}
		if (!killed && clock_ms() >= run->deadline) {
			kill(-run->pid, SIGKILL);
			run->late = killed = true;
		} else if (!killed)
			poll(NULL, 0, 1);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Adds what went wrong to ERRORS. ERROR is that of starting PATH; PATH is NULL without a program NAME. */
static void report_problem(struct run *run, const char *name, const char *path, int error)
{
	FILE *errors = run->texts[ERRORS].out;

	if (path == NULL)
		fprintf(errors, "there is no program '%s' on this host", name);
	else if (error != 0)
		fprintf(errors, "%s cannot be started: %s", path, strerror(error));
	else if (run->late)
		fprintf(errors, "it did not end within %u s, and was killed", run->limit);
	else if (run->problem != NULL)
		fputs(run->problem, errors);
}

bool subprocess_run(const char *const argv[], const char *input, struct subprocess_result *result)
{
	struct run run = {.pid = -1, .input = input != NULL ? input : "", .limit = limit_seconds()};
	void (*old)(int) = signal(SIGCHLD, SIG_DFL); /* if it is ignored, waitpid() has no status */
	char *path = find_program(argv[0]);
	int error = ENOENT;

	*result = (struct subprocess_result){.status = -1};
	text_begin(&run.texts[OUTPUT]);
	text_begin(&run.texts[ERRORS]);
	if (path != NULL)
		error = start_program(&run, path, argv);
	if (error == 0) {
		run.deadline = clock_ms() + run.limit * 1000LL;
		serve_until_end(&run);
		result->status = wait_for_end(&run);
	}
	result->timed_out = run.late;
	result->out = text_end(&run.texts[OUTPUT]);
	result->length = run.texts[OUTPUT].length;
	if (run.problem == NULL && strlen(result->out) != result->length)
		run.problem = "its output has a NUL byte, so it is not text";
	report_problem(&run, argv[0], path, error);
	result->errors = text_end(&run.texts[ERRORS]);
	free(path);
	signal(SIGCHLD, old);
	return result->status == 0 && !result->timed_out && run.problem == NULL;
}

/* Splits a line, which is changed, into words, with NULL behind the last. False: a quote is not closed. */
static bool split_line(char *at, const char ***words, size_t *count)
{
	bool closed = true;

	*words = NULL;
	for (*count = 0; *(at += strspn(at, " ")) != '\0'; ++*count) {
		char end = *at == '\'' ? '\'' : ' ';

		at += end == '\'';
		*words = array_room(*words, *count, sizeof(**words));
		(*words)[*count] = at;
		at = strchrnul(at, end);
		closed = closed && (end == ' ' || *at == end);
		if (*at != '\0')
			*at++ = '\0';
	}
	*words = array_room(*words, *count, sizeof(**words));
	return closed;
}

bool subprocess_run_line(const char *line, const char *input, struct subprocess_result *result)
{
	char *copy = text_copy(line);
	const char **words;
	size_t count;
	bool well = split_line(copy, &words, &count) && count > 0;

	if (well)
		well = subprocess_run(words, input, result);
	else
		*result = (struct subprocess_result){.status = -1,
			.out = text_copy(""),
			.errors = text_format("`%s` is not a command line", line)};
	free(words);
	free(copy);
	return well;
}

char *subprocess_problem(const char *line, const struct subprocess_result *result)
{
	return text_format("`%s`: %.*s", line, (int)strcspn(result->errors, "\n"), result->errors);
}

void subprocess_free(struct subprocess_result *result)
{
	free(result->out);
	free(result->errors);
	*result = (struct subprocess_result){0};
}
