/*
 * The process that talks to browsers: its state, and what handlers of requests get.
 */
#ifndef TPROXY_WEB_SERVER_H
#define TPROXY_WEB_SERVER_H

#include "helper_client.h"
#include "live.h"
#include "reply.h"
#include "sessions.h"
#include "web.h"

enum {
	SERVER_BODY_MAX = 2 << 20, /* bytes */
	SERVER_HEADERS_MAX = 16 << 10,
	SERVER_COOKIE_MAX = 32
};

struct server;

/* A request that may be answered. The session is the server's, and good until the next login. */
struct request {
	struct server *server;
	struct session *session; /* NULL: it needed none */
	const char *query;
	const json_t *body; /* of POST, an object; else NULL */
	struct reply reply;
};

/* Answers REQUEST, or hands its reply on to server_call(). */
typedef void handler(struct request *request);

/*
 * Makes the answer of the helper's ANSWER, which has status 200; to be freed. It may set *STATUS, which is 200, to another one.
 */
typedef json_t *converter(const json_t *answer, int *status);

struct route {
	const char *path;
	bool posts;  /* POST, which may change something; else GET, which changes nothing */
	bool public; /* no session is needed */
	handler *handle;
};

/* The route of a path and a method; NULL: none. */
typedef const struct route *route_finder(const char *path, bool posts);

struct server {
	const struct web_options *options;
	struct event_base *base;
	struct evhttp *http;
	struct connections *connections;
	struct sessions sessions;
	struct helper_client helper;
	struct live *live;
	route_finder *find_route;
	char cookie[SERVER_COOKIE_MAX]; /* the cookie's name */
};

/*
 * Calls the helper's verb in CALL, which is freed, and answers with what it says, through CONVERT if that is not NULL. Where
 * the browser leaves meanwhile, the helper's answer is discarded.
 */
void server_call(struct request *request, json_t *call, converter *convert);

/*
 * Serves LISTENER, a listening socket, with CONTROL to the helper, until a signal or until the helper ends. SESSIONS
 * becomes the server's. Returns the exit status.
 */
int server_run(const struct web_options *options, int listener, int control,
	const struct sessions *sessions, const char *cookie, route_finder *find_route);

#endif
