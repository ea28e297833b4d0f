/*
 * How many connections browsers may have, and for how long.
 *
 * Every connection has one request. It has READ_S to arrive as a whole; an answer has WRITE_S to be taken. What is
 * late is closed, a late request with status 408. While the request is worked on there is no limit here: the
 * call of the helper has one. Where all places are taken, the connection whose request has been
 * incomplete for the longest time gives way (503), then the slowest reader.
 */
#ifndef TPROXY_WEB_CONNECTIONS_H
#define TPROXY_WEB_CONNECTIONS_H

#include <event2/event.h>
#include <event2/http.h>

enum {
	CONNECTIONS_MAX = 128
};

struct connections;

/* Begins to count those that HTTP accepts from now on; READ_S and WRITE_S are seconds. NULL without memory. */
struct connections *connections_new(
	struct event_base *base, struct evhttp *http, unsigned read_s, unsigned write_s);

/* A request has arrived as a whole and is worked on. */
void connections_working(struct connections *connections, struct evhttp_request *request);

/* Its answer is being sent. Call it before evhttp_send_reply(). */
void connections_answering(struct connections *connections, struct evhttp_request *request);

/* After evhttp_free(). */
void connections_free(struct connections *connections);

#endif
