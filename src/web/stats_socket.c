/*
 * Asks the stats socket of a proxy.
 *
 * Each command has a connection of its own, which the proxy closes behind the answer.
 */
#include "stats_socket.h"
#include "tproxy/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	ANSWER_MAX = 64 << 20, /* bytes */
	ANSWER_SECONDS = 30
};

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const struct timeval wait = {ANSWER_SECONDS, 0};
	int proxy;

	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	proxy = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (proxy == -1)
		return -1;
	setsockopt(proxy, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (connect(proxy, (const struct sockaddr *)&address, sizeof(address)) == -1) {
		int problem = errno;

		close(proxy);
		errno = problem;
		return -1;
	}
	return proxy;
}

/* NULL with errno: an answer that is not whole is none. */
static char *read_answer(int proxy)
{
	struct text_stream answer;
	char buffer[65536], *text;
	ssize_t length;
	int problem;

	text_begin(&answer);
	while ((length = read(proxy, buffer, sizeof(buffer))) > 0 && ftell(answer.out) < ANSWER_MAX)
		fwrite(buffer, 1, (size_t)length, answer.out);
	problem = length > 0 ? EFBIG : errno;
	text = text_end(&answer);
	if (length == 0)
		return text;
	free(text);
	errno = problem;
	return NULL;
}

char *stats_socket_ask(const char *path, const char *command)
{
	int proxy = connect_to(path), problem;
	char *line = text_format("%s\n", command), *answer = NULL;

	if (proxy != -1 && send(proxy, line, strlen(line), MSG_NOSIGNAL) == (ssize_t)strlen(line))
		answer = read_answer(proxy);
	problem = errno;
	if (proxy != -1)
		close(proxy);
	free(line);
	errno = problem;
	return answer;
}

bool stats_socket_reloads(const char *path, struct stats_reloads *reloads)
{
	char *text = stats_socket_ask(path, "show proc");
	const char *line = text != NULL ? strchr(text, '\n') : NULL;
	bool known = line != NULL && sscanf(line, "%u master %u [failed: %u]", &reloads->process,
					     &reloads->done, &reloads->failed) == 3;

	free(text);
	return known;
}
