/*
 * How many connections browsers may have, and for how long.
 *
 * evhttp asks on_accept() for a bufferevent each time that it accepts a client. That is where connections are counted; a
 * reference keeps the bufferevent's memory. evhttp says nothing when it frees a connection, but its bufferevent has no
 * callback any more then. is_over() asks for that before each new connection and once a second.
 *
 * The trap: evhttp closes the descriptor of a connection that it frees, so nothing here may touch a
 * descriptor without having asked is_over() in the same turn of the loop. Connections that give way are shut down, never
 * freed: evhttp sees the end and frees them itself.
 */
#include "connections.h"
#include "tproxy/clock.h"

#include <event2/bufferevent.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum phase {
	UNUSED,
	READING,
	WORKING,
	WRITING,
	SHUT /* waits for evhttp to see it */
};

struct connection {
	struct bufferevent *stream;
	enum phase phase;
	long long since; /* milliseconds */
};

struct connections {
	struct event_base *base;
	struct event *clock;
	unsigned limits[SHUT + 1]; /* milliseconds in a phase; 0: any time */
	struct connection list[CONNECTIONS_MAX];
};

static const char late[] =
	"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
static const char full[] =
	"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

static bool is_over(const struct connection *connection)
{
	bufferevent_data_cb read = NULL, write = NULL;
	bufferevent_event_cb event = NULL;

	bufferevent_getcb(connection->stream, &read, &write, &event, NULL);
	return read == NULL && write == NULL && event == NULL && connection->phase != UNUSED;
}

static void forget(struct connection *connection)
{
	bufferevent_decref(connection->stream);
	*connection = (struct connection){0};
}

/* ANSWER: what a client whose request is incomplete gets. */
static void shut_down(struct connection *connection, const char *answer)
{
	evutil_socket_t socket = bufferevent_getfd(connection->stream);

	if (connection->phase == READING)
		send(socket, answer, strlen(answer), MSG_DONTWAIT | MSG_NOSIGNAL);
	shutdown(socket, SHUT_RDWR);
	connection->phase = SHUT;
}

static void forget_those_that_are_over(struct connections *connections)
{
	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		if (connections->list[i].phase != UNUSED && is_over(&connections->list[i]))
			forget(&connections->list[i]);
}

static void on_clock(evutil_socket_t none, short what, void *arg)
{
	struct connections *connections = arg;
	long long now = clock_ms();

	(void)none;
	(void)what;
	forget_those_that_are_over(connections);
	for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
		struct connection *connection = &connections->list[i];
		unsigned limit = connections->limits[connection->phase];

		if (limit > 0 && now - connection->since >= limit)
			shut_down(connection, late);
	}
}

static struct connection *oldest(struct connections *connections, enum phase phase)
{
	struct connection *found = NULL;

	for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
		struct connection *each = &connections->list[i];

		if (each->phase == phase && (found == NULL || each->since < found->since))
			found = each;
	}
	return found;
}

/* A place for a new connection; NULL: none is free. */
static struct connection *find_place(struct connections *connections)
{
	struct connection *place, *victim;

	forget_those_that_are_over(connections);
	place = oldest(connections, UNUSED);
	if (place != NULL)
		return place;
	victim = oldest(connections, READING);
	if (victim == NULL)
		victim = oldest(connections, WRITING);
	if (victim == NULL)
		return NULL;
	shut_down(victim, full);
	forget(victim); /* evhttp has a reference of its own */
	return victim;
}

/* evhttp gives the stream its descriptor afterwards. NULL would make evhttp take a stream that is not counted. */
static struct bufferevent *on_accept(struct event_base *base, void *arg)
{
	struct connection *place = find_place(arg);
	struct bufferevent *stream = bufferevent_socket_new(base, -1, 0);

	if (place == NULL || stream == NULL)
		return stream;
	bufferevent_incref(stream);
	*place = (struct connection){stream, READING, clock_ms()};
	return stream;
}

struct connections *connections_new(
	struct event_base *base, struct evhttp *http, unsigned read_s, unsigned write_s)
{
	static const struct timeval second = {1, 0};
	struct connections *connections = calloc(1, sizeof(*connections));

	if (connections == NULL)
		return NULL;
	connections->base = base;
	connections->limits[READING] = read_s * 1000;
	connections->limits[WRITING] = write_s * 1000;
	connections->clock = event_new(base, -1, EV_PERSIST, on_clock, connections);
	if (connections->clock == NULL || event_add(connections->clock, &second) == -1) {
		connections_free(connections);
		return NULL;
	}
	evhttp_set_bevcb(http, on_accept, connections);
	return connections;
}

static void enter(struct connections *connections, struct evhttp_request *request, enum phase phase)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(request);
	struct bufferevent *stream =
		connection != NULL ? evhttp_connection_get_bufferevent(connection) : NULL;

	for (size_t i = 0; stream != NULL && i < CONNECTIONS_MAX; i++)
		if (connections->list[i].stream == stream) {
			connections->list[i].phase = phase;
			connections->list[i].since = clock_ms();
		}
}

void connections_working(struct connections *connections, struct evhttp_request *request)
{
	enter(connections, request, WORKING);
}

void connections_answering(struct connections *connections, struct evhttp_request *request)
{
	enter(connections, request, WRITING);
}

void connections_free(struct connections *connections)
{
	if (connections == NULL)
		return;
	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		if (connections->list[i].phase != UNUSED)
			forget(&connections->list[i]);
	if (connections->clock != NULL)
		event_free(connections->clock);
	free(connections);
}
