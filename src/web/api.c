/*
 * Answers about sessions, the proxy and the host.
 *
 * Logging in is the one request that changes something without a session; its Origin was judged as every POST's. What
 * the host is asked is passed on to the helper as it is.
 */
#include "routes.h"
#include "tproxy/json.h"
#include "tproxy/text.h"
#include "tproxy/version.h"

#include <stdlib.h>
#include <string.h>

/* A path that is one word of the configuration as it stands. */
static bool is_plain(const char *path)
{
	return path != NULL && strcspn(path, " \t\\\"'#$") == strlen(path);
}

/* What a file that is not there yet begins with: the page's own pidfile and stats socket, so that it can reload the proxy and ask it. */
static json_t *describe_beginning(const struct helper_settings *helper)
{
	bool has_pidfile = is_plain(helper->pidfile), has_socket = is_plain(helper->stats_socket);
	char *text = text_copy(has_pidfile || has_socket ? "global\n" : "");
	json_t *made;

	if (has_pidfile)
		text_add(&text, "    pidfile %s\n", helper->pidfile);
	if (has_socket)
		text_add(&text, "    stats socket %s mode 600 level admin\n", helper->stats_socket);
	text_add(&text,
		"%sdefaults\n    timeout connect 5s\n    timeout client 1m\n    timeout server 1m\n",
		*text != '\0' ? "\n" : "");
	made = json_string(text);
	free(text);
	return made;
}

static json_t *describe_session(const struct server *server)
{
	const struct helper_settings *helper = &server->options->helper;

	return json_pack("{s:b, s:b, s:b, s:s?, s:s, s:o}", "allow_apply", helper->allow_apply,
		"reloads", helper->reload != NULL || helper->pidfile != NULL, "stats",
		helper->stats_socket != NULL, "config", helper->config, "version", TPROXYD_VERSION,
		"beginning", describe_beginning(helper));
}

/* The CSRF token is said at the login alone: who has no more than the cookie does not learn it. */
static json_t *describe_new_session(const struct server *server, const struct session *session)
{
	json_t *made = describe_session(server);

	json_object_set_new(made, "csrf", json_string(session->csrf));
	return made;
}

void api_login(struct request *request)
{
	struct server *server = request->server;
	const struct session *session = NULL;
	char *cookie;

	switch (sessions_login(
		&server->sessions, json_text(request->body, "secret"), time(NULL), &session)) {
	case LOGIN_WRONG:
		reply_message(&request->reply, 401, "that is not the %s",
			server->sessions.is_password ? "password" : "token that tproxyctl printed");
		break;
	case LOGIN_PAUSED:
		reply_message(&request->reply, 429, "too many wrong passwords: wait a minute");
		break;
	case LOGIN_DONE:
		cookie = text_format("%s=%s; Path=/; HttpOnly; SameSite=Strict", server->cookie,
			session->cookie);
		reply_header(&request->reply, "Set-Cookie", cookie);
		free(cookie);
		reply_json(&request->reply, 200, describe_new_session(server, session));
	}
}

void api_logout(struct request *request)
{
	session_end(request->session);
	reply_json(&request->reply, 200, json_object());
}

void api_session(struct request *request)
{
	reply_json(&request->reply, 200, describe_session(request->server));
}

void api_live(struct request *request)
{
	if (request->server->live != NULL)
		reply_json(&request->reply, 200, live_report(request->server->live));
	else
		reply_message(&request->reply, 404,
			"no stats socket is known: start `tproxyctl web` with --stats-socket PATH");
}

void api_live_sessions(struct request *request)
{
	server_call(request, json_pack("{s:s, s:b}", "verb", "stats", "sessions", 1), NULL);
}

static void call_verb(struct request *request, const char *verb)
{
	server_call(request, json_pack("{s:s}", "verb", verb), NULL);
}

void api_host_check(struct request *request)
{
	call_verb(request, "check");
}

void api_host_plan(struct request *request)
{
	call_verb(request, "plan");
}

void api_host_prove(struct request *request)
{
	call_verb(request, "prove");
}

void api_host_apply(struct request *request)
{
	call_verb(request, "apply");
}

void api_host_revert(struct request *request)
{
	call_verb(request, "revert");
}

void api_host_fix(struct request *request)
{
	server_call(request,
		json_pack("{s:s, s:s}", "verb", "fix", "run", json_text(request->body, "run")),
		NULL);
}
