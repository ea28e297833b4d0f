/*
 * The verb about the proxy: what its stats socket says.
 *
 * Each command has a connection of its own, which the proxy closes behind the answer. This process has an alarm, so a
 * proxy that does not answer ends the call alone.
 */
#include "tproxy/text.h"
#include "verbs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	SECONDS_MAX = 10
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

/* What the socket answers to a line, as a JSON string; NULL with errno. */
static json_t *ask(const char *path, const char *line)
{
	int proxy = connect_to(path);
	struct text_stream answer;
	char buffer[65536], *text;
	ssize_t length;
	json_t *made;

	if (proxy == -1)
		return NULL;
	text_begin(&answer);
	if (send(proxy, line, strlen(line), MSG_NOSIGNAL) == (ssize_t)strlen(line))
		while ((length = read(proxy, buffer, sizeof(buffer))) > 0 &&
			ftell(answer.out) < HELPER_MESSAGE_MAX / 4)
			fwrite(buffer, 1, (size_t)length, answer.out);
	close(proxy);
	text = text_end(&answer);
	made = json_string(text);
	free(text);
	errno = EPROTO;
	return made;
}

/* Ends by reason, a command that HAProxy does not have: null there. */
static json_t *ask_reasons(const char *path)
{
	json_t *answer = ask(path, "show reasons\n");

	if (answer != NULL && strncmp(json_string_value(answer), "# pxname,", 9) == 0)
		return answer;
	json_decref(answer);
	return json_null();
}

static json_t *answer_sessions(json_t *info, const char *path)
{
	return json_pack(
		"{s:i, s:o, s:o?}", "status", 200, "info", info, "sess", ask(path, "show sess\n"));
}

json_t *verb_stats(const struct helper_settings *settings, const json_t *call)
{
	const char *path = settings->stats_socket;
	json_t *info, *stat;

	if (path == NULL)
		return helper_refusal(404,
			"no stats socket is known: start `tproxyctl web` with --stats-socket PATH");
	alarm(SECONDS_MAX);
	info = ask(path, "show info\n");
	if (info != NULL && json_is_true(json_object_get(call, "sessions")))
		return answer_sessions(info, path);
	stat = info != NULL ? ask(path, "show stat\n") : NULL;
	if (stat == NULL) {
		json_decref(info);
		return helper_refusal(502, "%s: %s", path, strerror(errno));
	}
	return json_pack("{s:i, s:o, s:o, s:o}", "status", 200, "info", info, "stat", stat,
		"reasons", ask_reasons(path));
}
