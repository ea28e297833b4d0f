/*
 * Running a program with its input and output in pipes.
 *
 * One poll loop feeds stdin and collects stdout and stderr, so neither side can wait for the other.
 * The trap: a program that ends without reading its input must not end us, hence SIGPIPE is ignored
 * around the loop. A program leads a process group of its own, so that killing it is killing what it has
 * started, too, and nobody else.
 */
#include "tproxy/command.h"
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
	WORDS_MAX = 128,
	LIMIT_S = 60
};

static unsigned limit_seconds(void)
{
	const char *text = getenv(COMMAND_LIMIT);
	unsigned seconds;

	if (text != NULL && text_number(text, &seconds) && seconds > 0 && seconds < 100000)
		return seconds;
	return LIMIT_S;
}

static bool find(const char *name, char path[256])
{
	const char *places = getenv("PATH");
	char list[4096];
	char *rest = NULL;

	if (strchr(name, '/') != NULL)
		return snprintf(path, 256, "%s", name) < 256 && access(path, X_OK) == 0;
	snprintf(list, sizeof(list), "%s:/usr/sbin:/sbin",
		places != NULL ? places : "/usr/bin:/bin");
	for (char *place = strtok_r(list, ":", &rest); place != NULL;
		place = strtok_r(NULL, ":", &rest))
		if (snprintf(path, 256, "%s/%s", place, name) < 256 && access(path, X_OK) == 0)
			return true;
	return false;
}

bool command_exists(const char *name)
{
	char path[256];

	return find(name, path);
}

/* Takes what there is to read from *FD into OUT; at its end closes it. */
static void collect(int *fd, FILE *out)
{
	char buffer[65536];
	ssize_t length = read(*fd, buffer, sizeof(buffer));

	if (length > 0)
		fwrite(buffer, 1, (size_t)length, out);
	else if (length == 0 || errno != EINTR) {
		close(*fd);
		*fd = -1;
	}
}

/* Writes some of the input to *FD; closes it when all of it is written, or nobody reads any more. */
static void feed(int *fd, const char **input)
{
	/* No more than what a pipe that is ready takes without waiting. */
	ssize_t length = write(*fd, *input, strnlen(*input, PIPE_BUF));

	if (length > 0)
		*input += length;
	if ((length == -1 && errno != EINTR) || **input == '\0') {
		close(*fd);
		*fd = -1;
	}
}

/* Until all pipes have come to their end, or the deadline; then those that are left are closed. */
static void exchange(
	const int ours[3], const char *input, FILE *text, FILE *complaints, long long deadline)
{
	struct pollfd polled[3] = {
		{ours[0], POLLOUT, 0}, {ours[1], POLLIN, 0}, {ours[2], POLLIN, 0}};
	void (*old)(int) = signal(SIGPIPE, SIG_IGN);
	long long left;

	if (*input == '\0') {
		close(polled[0].fd);
		polled[0].fd = -1;
	}
	while ((polled[0].fd != -1 || polled[1].fd != -1 || polled[2].fd != -1) &&
		(left = deadline - clock_ms()) > 0) {
		if (poll(polled, 3, (int)left) <= 0)
			continue;
		if (polled[0].fd != -1 && polled[0].revents != 0)
			feed(&polled[0].fd, &input);
		if (polled[1].fd != -1 && polled[1].revents != 0)
			collect(&polled[1].fd, text);
		if (polled[2].fd != -1 && polled[2].revents != 0)
			collect(&polled[2].fd, complaints);
	}
	for (int i = 0; i < 3; i++)
		if (polled[i].fd != -1)
			close(polled[i].fd);
	signal(SIGPIPE, old);
}

/* The environment with LC_ALL=C in front, in static storage. */
static char **c_locale(void)
{
	static char *made[512];
	size_t count = 0;

	made[count++] = (char *)"LC_ALL=C";
	for (char **each = environ; *each != NULL && count < 511; each++)
		if (strncmp(*each, "LC_", 3) != 0 && strncmp(*each, "LANG", 4) != 0)
			made[count++] = *each;
	made[count] = NULL;
	return made;
}

/* Starts it with pipes in place of its standard descriptors; our ends go into OURS. */
static int start(const char *path, const char *const argv[], int ours[3], pid_t *pid)
{
	int pipes[3][2];
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int error = 0, made = 0;

	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
	for (; made < 3 && error == 0; made++) {
		if (pipe2(pipes[made], O_CLOEXEC) == -1) {
			error = errno;
			break;
		}
		posix_spawn_file_actions_adddup2(&actions, pipes[made][made == 0 ? 0 : 1], made);
	}
	if (error == 0)
		error = posix_spawn(
			pid, path, &actions, &attributes, (char *const *)argv, c_locale());
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	for (int i = 0; i < made; i++) {
		close(pipes[i][i == 0 ? 0 : 1]);
		ours[i] = pipes[i][i == 0 ? 1 : 0];
		if (error != 0)
			close(ours[i]);
	}
	return error;
}

/* Waits for its end, and at the deadline brings it about. */
static int wait_for(pid_t pid, long long deadline, bool *late)
{
	pid_t ended;
	int status = 0;

	while ((ended = waitpid(pid, &status, *late ? 0 : WNOHANG)) != pid) {
		if (ended == -1 && errno != EINTR)
			return -1;
		if (!*late && clock_ms() >= deadline) {
			kill(-pid, SIGKILL);
			*late = true;
		} else if (!*late)
			poll(NULL, 0, 1);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* From its start to its end. */
static void attend(pid_t pid, const int ours[3], const char *input, struct command_result *result,
	FILE *text, FILE *complaints)
{
	unsigned limit = limit_seconds();
	long long deadline = clock_ms() + limit * 1000LL;

	exchange(ours, input != NULL ? input : "", text, complaints, deadline);
	result->status = wait_for(pid, deadline, &result->late);
	if (result->late)
		fprintf(complaints, "it did not end within %u s, and was killed", limit);
}

bool command_run(const char *const argv[], const char *input, struct command_result *result)
{
	size_t errors_length = 0;
	FILE *text, *complaints;
	char path[256];
	int ours[3] = {-1, -1, -1}, error = ENOENT;
	pid_t pid = -1;

	*result = (struct command_result){.status = -1};
	text = open_memstream(&result->out, &result->length);
	complaints = open_memstream(&result->errors, &errors_length);
	if (text == NULL || complaints == NULL)
		abort(); /* out of memory */
	if (find(argv[0], path))
		error = start(path, argv, ours, &pid);
	if (error == 0)
		attend(pid, ours, input, result, text, complaints);
	else if (error == ENOENT)
		fprintf(complaints, "there is no program '%s' on this host", argv[0]);
	else
		fprintf(complaints, "%s cannot be started: %s", argv[0], strerror(error));
	fclose(text);
	fclose(complaints);
	return result->status == 0;
}

bool command_line(const char *line, const char *input, struct command_result *result)
{
	const char *argv[WORDS_MAX + 1];
	char *copy = strdup(line), *at = copy;
	size_t count = 0;
	bool well;

	while (copy != NULL && *at != '\0' && count < WORDS_MAX) {
		char end = ' ';

		at += strspn(at, " ");
		if (*at == '\'')
			end = *at++;
		if (*at != '\0')
			argv[count++] = at;
		at = strchrnul(at, end);
		if (*at != '\0')
			*at++ = '\0';
	}
	argv[count] = NULL;
	well = count > 0 && command_run(argv, input, result);
	free(copy);
	return well;
}

void command_free(struct command_result *result)
{
	free(result->out);
	free(result->errors);
	*result = (struct command_result){0};
}
