/*
 * A pipe tells the parent that the daemon serves: one byte, or the end where the child has gone.
 *
 * The messages of the start still go to the terminal, since it is left only when all is done. The trap: a program that reads
 * the command's output waits for its end, so the standard descriptors must not stay open in the background, nor those
 * that the log has made of them.
 */
#include "background.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void end_with_child(int ready, pid_t child)
{
	int status = 0;
	ssize_t got;
	char byte;

	do
		got = read(ready, &byte, 1);
	while (got == -1 && errno == EINTR);
	if (got == 1)
		_exit(EXIT_SUCCESS);
	while (waitpid(child, &status, 0) == -1)
		if (errno != EINTR)
			_exit(EXIT_FAILURE);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE);
}

int background_begin(struct background *background)
{
	int ends[2] = {-1, -1}, error;
	pid_t child = -1;

	background->nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (background->nowhere == -1 || pipe2(ends, O_CLOEXEC) == -1)
		goto fail;
	child = fork();
	if (child == -1)
		goto fail;
	if (child != 0) {
		close(ends[1]);
		end_with_child(ends[0], child);
	}
	close(ends[0]);
	setsid();
	background->ready = ends[1];
	return 0;
fail:
	error = errno;
	for (int i = 0; i < 2; i++)
		if (ends[i] != -1)
			close(ends[i]);
	if (background->nowhere != -1)
		close(background->nowhere);
	errno = error;
	return -1;
}

static bool is_logged_to(const struct log_targets *targets, enum log_kind kind)
{
	for (size_t i = 0; i < targets->count; i++)
		if (targets->list[i].kind == kind)
			return true;
	return false;
}

static bool has_log(const struct config *config, enum log_kind kind)
{
	for (size_t i = 0; i < config->proxy_count; i++)
		if (is_logged_to(&config->proxies[i].logs, kind))
			return true;
	return is_logged_to(&config->global.logs, kind);
}

void background_ready(
	const struct background *background, const struct config *config, struct log *log)
{
	int nowhere = background->nowhere;

	dup2(nowhere, STDIN_FILENO);
	if (!has_log(config, LOG_TO_STDOUT))
		dup2(nowhere, STDOUT_FILENO);
	if (!has_log(config, LOG_TO_STDERR)) {
		dup2(nowhere, STDERR_FILENO);
		log_leave_stderr(log, nowhere);
	}
	if (write(background->ready, "", 1) == -1)
		errno = 0; /* the parent was killed */
	close(nowhere);
	close(background->ready);
}
