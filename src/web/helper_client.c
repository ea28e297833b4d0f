/*
 * Calls of the helper.
 *
 * Each call has a pair of sockets: one end is sent to the helper, the other one is a bufferevent here, which writes the
 * request and collects the answer until the helper closes. The length of an answer is limited, and so is the time.
 */
#include "helper_client.h"
#include "helper.h"
#include "verb_base.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct call {
	struct helper_client *client;
	struct bufferevent *stream;
	helper_answer *done;
	void *arg;
};

static void finish(struct call *call, const char *problem)
{
	struct evbuffer *input = bufferevent_get_input(call->stream);
	size_t length = evbuffer_get_length(input);
	const char *text = (const char *)evbuffer_pullup(input, -1);
	json_t *answer = problem == NULL && text != NULL ? json_loadb(text, length, 0, NULL) : NULL;

	if (!json_is_object(answer)) {
		json_decref(answer);
		answer = helper_refusal(502, "%s",
			problem != NULL
				? problem
				: "the helper ended without an answer; see the terminal that it runs in");
	}
	call->client->calling--;
	call->done(call->arg, answer);
	json_decref(answer);
	bufferevent_free(call->stream);
	free(call);
}

static void on_read(struct bufferevent *stream, void *arg)
{
	if (evbuffer_get_length(bufferevent_get_input(stream)) > HELPER_MESSAGE_MAX)
		finish(arg, "the helper's answer is too long");
}

/* All of the request is written. */
static void on_write(struct bufferevent *stream, void *arg)
{
	(void)arg;
	shutdown(bufferevent_getfd(stream), SHUT_WR);
	bufferevent_disable(stream, EV_WRITE);
}

static void on_event(struct bufferevent *stream, short what, void *arg)
{
	(void)stream;
	finish(arg, (what & BEV_EVENT_TIMEOUT) != 0 ? "the helper takes too long" : NULL);
}

static bool send_socket(int control, int socket)
{
	char byte = 0;
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} space = {.bytes = {0}};
	struct iovec vector = {&byte, 1};
	struct msghdr message = {.msg_iov = &vector,
		.msg_iovlen = 1,
		.msg_control = space.bytes,
		.msg_controllen = sizeof(space.bytes)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(socket));
	memcpy(CMSG_DATA(header), &socket, sizeof(socket));
	return sendmsg(control, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
}

/* The stream of a new call, or NULL. */
static struct bufferevent *open_call(struct helper_client *client)
{
	struct bufferevent *stream;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == -1)
		return NULL;
	evutil_make_socket_nonblocking(pair[0]);
	stream = bufferevent_socket_new(client->base, pair[0], BEV_OPT_CLOSE_ON_FREE);
	if (stream == NULL)
		close(pair[0]);
	else if (!send_socket(client->control, pair[1])) {
		bufferevent_free(stream);
		stream = NULL;
	}
	close(pair[1]);
	return stream;
}

bool helper_call(struct helper_client *client, json_t *request, helper_answer *done, void *arg)
{
	static const struct timeval limit = {HELPER_SECONDS_MAX + 5, 0};
	char *text = request != NULL ? json_dumps(request, JSON_COMPACT) : NULL;
	struct call *call = calloc(1, sizeof(*call));

	json_decref(request);
	if (text == NULL || call == NULL || client->calling >= HELPER_CALLS_MAX)
		goto fail;
	*call = (struct call){client, open_call(client), done, arg};
	if (call->stream == NULL)
		goto fail;
	client->calling++;
	bufferevent_setcb(call->stream, on_read, on_write, on_event, call);
	bufferevent_set_timeouts(call->stream, &limit, &limit);
	bufferevent_enable(call->stream, EV_READ | EV_WRITE);
	bufferevent_write(call->stream, text, strlen(text));
	free(text);
	return true;
fail:
	free(text);
	free(call);
	return false;
}
