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
#include <sys/un.h>
#include <unistd.h>

enum {
	ANSWER_MAX = 8 << 20 /* bytes */
};

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int proxy;

	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	proxy = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (proxy != -1 &&
		connect(proxy, (const struct sockaddr *)&address, sizeof(address)) == -1) {
		int problem = errno;

		close(proxy);
		errno = problem;
		proxy = -1;
	}
	return proxy;
}

char *stats_socket_ask(const char *path, const char *command)
{
	int proxy = connect_to(path);
	struct text_stream answer;
	char buffer[65536];
	ssize_t length;

	if (proxy == -1)
		return NULL;
	text_begin(&answer);
	if (send(proxy, command, strlen(command), MSG_NOSIGNAL) == (ssize_t)strlen(command) &&
		send(proxy, "\n", 1, MSG_NOSIGNAL) == 1)
		while ((length = read(proxy, buffer, sizeof(buffer))) > 0 &&
			ftell(answer.out) < ANSWER_MAX)
			fwrite(buffer, 1, (size_t)length, answer.out);
	close(proxy);
	return text_end(&answer);
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
