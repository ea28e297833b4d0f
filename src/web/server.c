/*
 * The process that talks to browsers.
 *
 * A request passes judge_head(), which looks at its head alone and finds its route, then the session, then the body; the
 * handler gets a request that may be answered. One that needs the helper is answered later: its place is held by a struct
 * pending, which the connection's end tells to forget the request. Each connection has one request, so that
 * one callback a connection is enough.
 */
#include "server.h"
#include "page.h"
#include "tproxy/exit_status.h"
#include "tproxy/json.h"
#include "tproxy/text.h"

#include <event2/buffer.h>
#include <event2/keyvalq_struct.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

/* An answer that the helper is asked for. */
struct pending {
	struct reply reply;
	converter *convert;
};

static void on_browser_left(struct evhttp_connection *connection, void *arg)
{
	struct pending *pending = arg;

	(void)connection;
	pending->reply.request = NULL;
}

static void on_helper_answer(void *arg, const json_t *answer)
{
	struct pending *pending = arg;
	int status = (int)json_integer_value(json_object_get(answer, "status"));
	json_t *body = NULL;

	if (pending->reply.request != NULL) {
		evhttp_connection_set_closecb(
			evhttp_request_get_connection(pending->reply.request), NULL, NULL);
		if (status == 200 && pending->convert != NULL)
			body = pending->convert(answer, &status);
		else
			body = json_deep_copy(answer);
		json_object_del(body, "status");
		reply_json(&pending->reply, status, body);
	}
	free(pending);
}

void server_call(struct request *request, json_t *call, converter *convert)
{
	struct pending *pending = calloc(1, sizeof(*pending));
	struct evhttp_connection *connection =
		evhttp_request_get_connection(request->reply.request);

	if (pending != NULL)
		*pending = (struct pending){request->reply, convert};
	else
		json_decref(call);
	if (pending != NULL &&
		helper_call(&request->server->helper, call, on_helper_answer, pending))
		evhttp_connection_set_closecb(connection, on_browser_left, pending);
	else {
		free(pending);
		reply_message(&request->reply, 503, "too much is asked for at a time; try again");
	}
}

/* --- judging --- */

/* The header NAME; NULL: it is missing. *TWICE is set where it is there more than once. */
static const char *header_of(struct evhttp_request *request, const char *name, bool *twice)
{
	const struct evkeyvalq *headers = evhttp_request_get_input_headers(request);
	const struct evkeyval *header;
	const char *found = NULL;

	TAILQ_FOREACH (header, headers, next)
		if (strcasecmp(header->key, name) == 0) {
			*twice = *twice || found != NULL;
			found = header->value;
		}
	return found;
}

static void refuse_method(struct reply *reply, const char *method)
{
	reply_header(reply, "Allow", method);
	reply_message(reply, 405, "this address takes %s", method);
}

/* What is wrong with where a request comes from: a status, or 0. */
static int judge_origin(struct evhttp_request *request, bool posts)
{
	bool twice = false;
	const char *host = header_of(request, "Host", &twice);
	const char *origin = header_of(request, "Origin", &twice);
	const char *site = header_of(request, "Sec-Fetch-Site", &twice);

	if (twice)
		return 400;
	if (!guard_host(host))
		return 421;
	if ((posts || origin != NULL) && !guard_origin(origin, host))
		return 403;
	return guard_fetch_site(site) ? 0 : 403;
}

static const char *origin_messages(int status)
{
	return status == 400 ? "Host, Origin or Sec-Fetch-Site is there twice"
	       : status == 421
		       ? "Host is no address of loopback: open the page at the address that was printed"
		       : "the request comes from another page";
}

/* The route of a request whose origin and target are good; NULL where it was answered. */
static const struct route *choose_route(struct evhttp_request *request, route_finder *find_route,
	struct reply *reply, const char *path)
{
	enum evhttp_cmd_type method = evhttp_request_get_command(request);
	const struct route *reads = find_route(path, false), *posts = find_route(path, true);
	const struct page_file *file = page_find(path);

	if (method == EVHTTP_REQ_POST && posts != NULL)
		return posts;
	if (method == EVHTTP_REQ_GET && reads != NULL)
		return reads;
	if (method == EVHTTP_REQ_GET && file != NULL)
		reply_bytes(reply, file->type, file->begin, (size_t)(file->end - file->begin));
	else if (posts != NULL || reads != NULL || file != NULL)
		refuse_method(reply, posts != NULL ? "POST" : "GET");
	else
		reply_message(reply, 404, "there is nothing at this address");
	return NULL;
}

/* The route of a request; NULL where it was answered. */
static const struct route *judge_head(struct evhttp_request *request, route_finder *find_route,
	struct reply *reply, struct guard_target *target)
{
	int status = judge_origin(request, evhttp_request_get_command(request) == EVHTTP_REQ_POST);

	if (status != 0)
		reply_message(reply, status, "%s", origin_messages(status));
	else if (!guard_target(evhttp_request_get_uri(request), target))
		reply_message(reply, 400, "the address is not one of this page's");
	else
		return choose_route(request, find_route, reply, target->path);
	return NULL;
}

/*
 * False: the request has no session, or no CSRF token of it, and was answered. Reading needs the token, too: a browser
 * sends the cookie to every port of this host, so another user's server there may know it.
 */
static bool judge_session(
	const struct route *route, struct evhttp_request *raw, struct request *request)
{
	struct server *server = request->server;
	bool twice = false;
	const char *header = header_of(raw, "Cookie", &twice);
	const char *csrf = header_of(raw, "X-CSRF-Token", &twice);
	char cookie[GUARD_SECRET_TEXT];

	if (route->public)
		return true;
	if (!twice && guard_cookie(header, server->cookie, cookie))
		request->session = sessions_find(&server->sessions, cookie, time(NULL));
	if (request->session == NULL)
		reply_message(&request->reply, 401, "log in first");
	else if (csrf != NULL && !twice && guard_same_secret(csrf, request->session->csrf))
		return true;
	else if (route->posts)
		reply_message(&request->reply, 403,
			"the CSRF token is missing or wrong: load the page again");
	else
		reply_message(&request->reply, 401, "log in again: this page has no CSRF token");
	return false;
}

/* The body of a POST, to be freed; NULL where it was answered. */
static json_t *read_body(struct evhttp_request *raw, struct reply *reply)
{
	struct evbuffer *input = evhttp_request_get_input_buffer(raw);
	size_t length = evbuffer_get_length(input);
	const char *text = (const char *)evbuffer_pullup(input, -1);
	bool twice = false;
	json_error_t error;
	json_t *body;

	if (!guard_is_json(header_of(raw, "Content-Type", &twice)) || twice) {
		reply_message(reply, 415, "the body has to be application/json");
		return NULL;
	}
	body = json_loadb(text != NULL ? text : "", length, JSON_REJECT_DUPLICATES, &error);
	if (json_is_object(body))
		return body;
	json_decref(body);
	reply_message(reply, 400, "the body is no JSON object");
	return NULL;
}

static void on_request(struct evhttp_request *raw, void *arg)
{
	struct server *server = arg;
	struct request request = {.server = server, .reply = {server->connections, raw}};
	struct guard_target target;
	const struct route *route;
	json_t *body = NULL;

	connections_working(server->connections, raw);
	route = judge_head(raw, server->find_route, &request.reply, &target);
	if (route == NULL || !judge_session(route, raw, &request))
		return;
	if (route->posts) {
		body = read_body(raw, &request.reply);
		if (body == NULL)
			return;
	}
	request.query = target.query;
	request.body = body;
	route->handle(&request);
	json_decref(body);
}

/* --- running --- */

static void on_stop(evutil_socket_t socket, short what, void *arg)
{
	(void)socket;
	(void)what;
	event_base_loopbreak(arg);
}

static bool open_server(struct server *server, int listener)
{
	server->base = event_base_new();
	server->http = server->base != NULL ? evhttp_new(server->base) : NULL;
	if (server->http == NULL)
		return false;
	evhttp_set_max_headers_size(server->http, SERVER_HEADERS_MAX);
	evhttp_set_max_body_size(server->http, SERVER_BODY_MAX);
	evhttp_set_allowed_methods(
		server->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT |
				      EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE |
				      EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
	evhttp_set_gencb(server->http, on_request, server);
	server->connections = connections_new(
		server->base, server->http, server->options->read_s, server->options->write_s);
	server->helper.base = server->base;
	return server->connections != NULL && evhttp_accept_socket(server->http, listener) == 0;
}

static void close_server(struct server *server)
{
	live_free(server->live);
	if (server->http != NULL)
		evhttp_free(server->http);
	connections_free(server->connections);
	sessions_free(&server->sessions);
	if (server->base != NULL)
		event_base_free(server->base);
}

int server_run(const struct web_options *options, int listener, int control,
	const struct sessions *sessions, const char *cookie, route_finder *find_route)
{
	static const int signals[] = {SIGINT, SIGTERM};
	struct server server = {.options = options,
		.sessions = *sessions,
		.helper = {.control = control},
		.find_route = find_route};
	struct event *ends[3] = {NULL};
	int status = STATUS_PROBLEM;

	snprintf(server.cookie, sizeof(server.cookie), "%s", cookie);
	if (!open_server(&server, listener))
		fputs("tproxyctl: web: the server cannot be started: out of memory\n", stderr);
	else {
		for (size_t i = 0; i < 2; i++)
			ends[i] = evsignal_new(server.base, signals[i], on_stop, server.base);
		/* The helper never writes there; it becomes readable when the helper has ended. */
		ends[2] = event_new(server.base, control, EV_READ, on_stop, server.base);
		for (size_t i = 0; i < 3; i++)
			event_add(ends[i], NULL);
		server.live =
			options->helper.stats_socket != NULL ? live_new(&server.helper) : NULL;
		status = event_base_dispatch(server.base) == -1 ? STATUS_PROBLEM : STATUS_OK;
	}
	for (size_t i = 0; i < 3; i++)
		if (ends[i] != NULL)
			event_free(ends[i]);
	close_server(&server);
	return status;
}
