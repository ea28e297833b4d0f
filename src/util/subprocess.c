/*
 * Running a program with its input and output in pipes.
 *
 * One poll loop feeds stdin and collects stdout and stderr, so neither side can wait for the other.
 * The trap: a program that ends without reading its input must not end us, hence SIGPIPE is ignored
 * around the loop. A program leads a process group of its own, so that killing it is killing what it has
 * started, too, and nobody else.
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
	int ours[PIPES];    /* -1 once closed */
	const char *input;  /* what is left of it */
	FILE *texts[PIPES]; /* of its output and errors */
	size_t taken;
	long long deadline;
	bool late;
	const char *problem; /* why its answer does not count, or NULL */
};

static unsigned limit_seconds(void)
{
	const char *text = getenv(SUBPROCESS_LIMIT);
	unsigned seconds;

	if (text != NULL && text_number(text, &seconds) && seconds > 0 && seconds < 100000)
		return seconds;
	return LIMIT_S;
}

/* The path of a program, to be freed; NULL where there is none. */
static char *find(const char *name)
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
	char *path = find(name);

	free(path);
	return path != NULL;
}

static void close_pipe(struct run *run, enum pipe pipe)
{
	close(run->ours[pipe]);
	run->ours[pipe] = -1;
}

/* Takes what there is to read; at its end closes the pipe. */
static void collect(struct run *run, enum pipe pipe)
{
	char buffer[65536];
	ssize_t length = read(run->ours[pipe], buffer, sizeof(buffer));

	if (length > 0) {
		run->taken += (size_t)length;
		fwrite(buffer, 1, (size_t)length, run->texts[pipe]);
	} else if (length == 0)
		close_pipe(run, pipe);
	else if (errno != EINTR)
		run->problem = strerror(errno);
	if (run->taken > SUBPROCESS_OUTPUT_MAX)
		run->problem = "it wrote more than 256 MiB and was killed";
}

/* Writes some of the input; closes the pipe when all of it is written, or is not read any more. */
static void feed(struct run *run)
{
	/* No more than what a pipe that is ready takes without waiting. */
	ssize_t length = write(run->ours[INPUT], run->input, strnlen(run->input, PIPE_BUF));

	if (length > 0)
		run->input += length;
	if ((length == -1 && errno != EINTR) || *run->input == '\0')
		close_pipe(run, INPUT);
}

/* Waits for a pipe to be ready, and serves those that are. */
static void serve(struct run *run, int milliseconds)
{
	struct pollfd polled[PIPES] = {{run->ours[INPUT], POLLOUT, 0},
		{run->ours[OUTPUT], POLLIN, 0}, {run->ours[ERRORS], POLLIN, 0}};
	int ready = poll(polled, PIPES, milliseconds);

	if (ready == -1 && errno != EINTR)
		run->problem = strerror(errno);
	if (ready <= 0)
		return;
	if (polled[INPUT].revents != 0)
		feed(run);
	for (enum pipe pipe = OUTPUT; pipe <= ERRORS; pipe++)
		if (polled[pipe].revents != 0)
			collect(run, pipe);
}

/* Until all pipes have come to their end, or the deadline, or something is wrong. */
static void exchange(struct run *run)
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
		serve(run, (int)left);
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

/* Starts it with pipes in place of its standard descriptors. 0, or an errno. */
static int start(struct run *run, const char *path, const char *const argv[])
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

/* Waits for its end, which is brought about at the deadline, or where its answer does not count. */
static int wait_for(struct run *run)
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

/* From its start to its end. */
static void attend(struct run *run, struct subprocess_result *result)
{
	unsigned limit = limit_seconds();

	run->deadline = clock_ms() + limit * 1000LL;
	exchange(run);
	result->status = wait_for(run);
	result->timed_out = run->late;
	if (run->late)
		fprintf(run->texts[ERRORS], "it did not end within %u s, and was killed", limit);
	else if (run->problem != NULL)
		fputs(run->problem, run->texts[ERRORS]);
	else if (fflush(run->texts[OUTPUT]) == 0 && strlen(result->out) != result->length) {
		run->problem = "its output has a NUL byte, so it is not text";
		fputs(run->problem, run->texts[ERRORS]);
	}
}

/* A stream in memory fails where there is no more of it. */
static void close_text(FILE *text)
{
	if (ferror(text) || fclose(text) != 0)
		abort(); /* out of memory */
}

bool subprocess_run(const char *const argv[], const char *input, struct subprocess_result *result)
{
	struct run run = {.pid = -1, .input = input != NULL ? input : ""};
	void (*old)(int) = signal(SIGCHLD, SIG_DFL); /* ignored, it would take the status away */
	size_t errors_length = 0;
	char *path = find(argv[0]);
	int error = ENOENT;

	*result = (struct subprocess_result){.status = -1};
	run.texts[OUTPUT] = open_memstream(&result->out, &result->length);
	run.texts[ERRORS] = open_memstream(&result->errors, &errors_length);
	if (run.texts[OUTPUT] == NULL || run.texts[ERRORS] == NULL)
		abort(); /* out of memory */
	if (path != NULL)
		error = start(&run, path, argv);
	if (error == 0)
		attend(&run, result);
	else if (path == NULL)
		fprintf(run.texts[ERRORS], "there is no program '%s' on this host", argv[0]);
	else
		fprintf(run.texts[ERRORS], "%s cannot be started: %s", path, strerror(error));
	close_text(run.texts[OUTPUT]);
	close_text(run.texts[ERRORS]);
	free(path);
	signal(SIGCHLD, old);
	return result->status == 0 && !result->timed_out && run.problem == NULL;
}

/* The words of a line, which is taken apart, with NULL behind the last; false: a quote is not closed. */
static bool split(char *at, const char ***words, size_t *count)
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
	bool well = split(copy, &words, &count) && count > 0;

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
