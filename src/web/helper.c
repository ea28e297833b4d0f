/*
 * The privileged side's loop.
 *
 * It takes sockets from the control socket and forks for each, so that a verb that takes long, as `prove` does, keeps
 * no other one waiting, and whatever a verb leaves ends with its process. An alarm ends what takes too long.
 * A caller that sends more than HELPER_CALLS_MAX waits until one is done.
 */
#include "helper.h"
#include "verb_base.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* The socket of the next call, or -1 at the end. */
static int receive_call(int control)
{
	char byte;
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} space;
	struct iovec vector = {&byte, 1};
	struct msghdr message = {.msg_iov = &vector,
		.msg_iovlen = 1,
		.msg_control = space.bytes,
		.msg_controllen = sizeof(space.bytes)};
	const struct cmsghdr *header;
	int call = -1;

	errno = 0;
	if (recvmsg(control, &message, MSG_CMSG_CLOEXEC) <= 0)
		return -1;
	header = CMSG_FIRSTHDR(&message);
	if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
		memcpy(&call, CMSG_DATA(header), sizeof(call));
	else
		errno = EINTR; /* a message without a socket is none */
	return call;
}

struct incoming {
	int call;
	size_t left; /* bytes that it may still send */
};

/* A json_load_callback_t. */
static size_t read_some(void *buffer, size_t length, void *arg)
{
	struct incoming *incoming = arg;
	ssize_t got = incoming->left > 0
			      ? read(incoming->call, buffer,
					length < incoming->left ? length : incoming->left)
			      : -1;

	if (got <= 0)
		return got == 0 ? 0 : (size_t)-1;
	incoming->left -= (size_t)got;
	return (size_t)got;
}

static json_t *read_request(int call)
{
	struct incoming incoming = {call, HELPER_MESSAGE_MAX};

	return json_load_callback(read_some, &incoming, 0, NULL);
}

static void write_answer(int call, const json_t *answer)
{
	char *text = answer != NULL ? json_dumps(answer, JSON_COMPACT) : NULL;
	size_t length = text != NULL ? strlen(text) : 0, written = 0;

	while (written < length) {
		ssize_t some = send(call, text + written, length - written, MSG_NOSIGNAL);

		if (some <= 0)
			break;
		written += (size_t)some;
	}
	free(text);
}

/* In a process of its own. */
static void serve_call(int call, const struct helper_settings *settings)
{
	json_t *request, *answer;

	signal(SIGCHLD, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_IGN); /* of the terminal: what was begun is finished */
	alarm(HELPER_SECONDS_MAX);
	request = read_request(call);
	answer = json_is_object(request) ? helper_verb(settings, request)
					 : helper_refusal(400, "the call is no JSON object");
	write_answer(call, answer);
	json_decref(answer);
	json_decref(request);
}

static void await_place(unsigned *running)
{
	while (*running > 0 && waitpid(-1, NULL, *running < HELPER_CALLS_MAX ? WNOHANG : 0) > 0)
		--*running;
}

void helper_serve(int control, const struct helper_settings *settings)
{
	unsigned running = 0;

	for (;;) {
		int call = receive_call(control);
		pid_t child;

		if (call == -1 && errno == EINTR)
			continue;
		if (call == -1)
			break;
		await_place(&running);
		child = fork();
		if (child == 0) {
			close(control);
			serve_call(call, settings);
			_exit(0);
		}
		running += child > 0;
		close(call);
	}
}
