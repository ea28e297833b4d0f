/*
 * The verb about the proxy: what its stats socket says. This process has an alarm, so a proxy that does not answer ends the
 * call alone.
 */
#include "stats_socket.h"
#include "verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	SECONDS_MAX = 10
};

/* What the socket answers, as a JSON string; NULL with errno. */
static json_t *ask(const char *path, const char *command)
{
	char *text = stats_socket_ask(path, command);
	json_t *made = text != NULL ? json_string(text) : NULL;

	if (text != NULL && made == NULL)
		errno = EPROTO;
	free(text);
	return made;
}

/* Ends by reason, a command that HAProxy does not have: null there. */
static json_t *ask_reasons(const char *path)
{
	json_t *answer = ask(path, "show reasons");

	if (answer != NULL && strncmp(json_string_value(answer), "# pxname,", 9) == 0)
		return answer;
	json_decref(answer);
	return json_null();
}

static json_t *answer_sessions(json_t *info, const char *path)
{
	return json_pack(
		"{s:i, s:o, s:o?}", "status", 200, "info", info, "sess", ask(path, "show sess"));
}

json_t *verb_stats(const struct helper_settings *settings, const json_t *call)
{
	const char *path = settings->stats_socket;
	json_t *info, *stat;

	if (path == NULL)
		return helper_refusal(404,
			"no stats socket is known: start `tproxyctl web` with --stats-socket PATH");
	alarm(SECONDS_MAX);
	info = ask(path, "show info");
	if (info != NULL && json_is_true(json_object_get(call, "sessions")))
		return answer_sessions(info, path);
	stat = info != NULL ? ask(path, "show stat") : NULL;
	if (stat == NULL) {
		json_decref(info);
		return helper_refusal(502, "%s: %s", path, strerror(errno));
	}
	return json_pack("{s:i, s:o, s:o, s:o}", "status", 200, "info", info, "stat", stat,
		"reasons", ask_reasons(path));
}
