/*
 * The least of HTTP that Prometheus needs (RFC 9112), in a connection that ends with the answer. A client that is too slow, or has
 * too much to say, is closed. Where all places are taken, the slowest one gives way, so that no other client is kept out.
 */
#include "http.h"

#include "metrics.h"
#include "tproxy/socket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	REQUEST_MAX = 8192,
	CLIENTS_MAX = 10,
	BACKLOG = 10
};

static const struct timeval patience = {10, 0};

struct http_client {
	TAILQ_ENTRY(http_client) link;
	struct http_server *server;
	int fd;
	struct event read, write;
	char request[REQUEST_MAX + 1];
	size_t length;
	struct evbuffer *out;
};

static void client_end(struct http_client *client)
{
	struct http_server *server = client->server;

	event_del(&client->read);
	event_del(&client->write);
	if (client->out != NULL)
		evbuffer_free(client->out);
	close(client->fd);
	TAILQ_REMOVE(&server->clients, client, link);
	server->count--;
	free(client);
}

/* --- the answer --- */

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct http_client *client = arg;

	if (what & EV_TIMEOUT || (evbuffer_write(client->out, fd) == -1 && errno != EAGAIN) ||
		evbuffer_get_length(client->out) == 0)
		client_end(client);
}

static void put_answer(struct http_client *client, const char *status, const char *type,
	struct evbuffer *body, bool has_body)
{
	evbuffer_add_printf(client->out,
		"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\nCache-Control: no-store\r\n\r\n",
		status, type, evbuffer_get_length(body));
	if (has_body)
		evbuffer_add_buffer(client->out, body);
}

/* Whether the request line is METHOD, a space, PATH, and a space or a question mark. */
static bool is_for(const char *request, const char *method, const char *path)
{
	size_t length = strlen(method);

	if (strncmp(request, method, length) != 0 || request[length] != ' ')
		return false;
	request += length + 1;
	length = strlen(path);
	return strncmp(request, path, length) == 0 &&
	       (request[length] == ' ' || request[length] == '?');
}

static void answer(struct http_client *client)
{
	static const char plain[] = "text/plain; charset=utf-8";
	struct evbuffer *body = evbuffer_new();
	bool is_head = strncmp(client->request, "HEAD ", 5) == 0;
	bool is_get = strncmp(client->request, "GET ", 4) == 0;

	if (body == NULL) {
		client_end(client);
		return;
	}
	if (!is_get && !is_head) {
		evbuffer_add_printf(body, "Only GET and HEAD are known here.\n");
		put_answer(client, "405 Method Not Allowed", plain, body, true);
	} else if (!is_for(client->request, is_head ? "HEAD" : "GET", "/metrics")) {
		evbuffer_add_printf(body, "There is /metrics only.\n");
		put_answer(client, "404 Not Found", plain, body, is_get);
	} else if (!metrics_write(client->server->core, body)) {
		put_answer(client, "503 Service Unavailable", plain, body, false);
	} else {
		put_answer(
			client, "200 OK", "text/plain; version=0.0.4; charset=utf-8", body, is_get);
	}
	evbuffer_free(body);
	event_del(&client->read);
	event_add(&client->write, &patience);
}

/* --- the request --- */

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct http_client *client = arg;
	ssize_t length;

	if (what & EV_TIMEOUT) {
		client_end(client);
		return;
	}
	length = read(fd, client->request + client->length, REQUEST_MAX - client->length);
	if (length == 0 || (length == -1 && errno != EAGAIN && errno != EINTR)) {
		client_end(client);
		return;
	}
	client->length += length > 0 ? (size_t)length : 0;
	client->request[client->length] = '\0';
	if (strstr(client->request, "\r\n\r\n") != NULL || strstr(client->request, "\n\n") != NULL)
		answer(client);
	else if (client->length == REQUEST_MAX || memchr(client->request, '\0', client->length))
		client_end(client);
}

static void client_begin(struct http_server *server, int fd)
{
	struct http_client *client = calloc(1, sizeof(*client));

	if (client == NULL) {
		close(fd);
		return;
	}
	client->server = server;
	client->fd = fd;
	client->out = evbuffer_new();
	event_assign(&client->read, server->base, fd, EV_READ | EV_PERSIST, on_readable, client);
	event_assign(&client->write, server->base, fd, EV_WRITE | EV_PERSIST, on_writable, client);
	TAILQ_INSERT_TAIL(&server->clients, client, link);
	server->count++;
	if (client->out == NULL || event_add(&client->read, &patience) == -1)
		client_end(client);
}

/* Who gives way: the oldest one whose request is not whole, or else the oldest one. */
static struct http_client *slowest(const struct http_server *server)
{
	struct http_client *client;

	TAILQ_FOREACH (client, &server->clients, link)
		if (evbuffer_get_length(client->out) == 0)
			return client;
	return TAILQ_FIRST(&server->clients);
}

static void on_client(evutil_socket_t fd, short what, void *arg)
{
	struct http_server *server = arg;
	struct addr peer;
	int client = socket_accept(fd, &peer);

	(void)what;
	if (client == -1)
		return;
	if (server->count == CLIENTS_MAX)
		client_end(slowest(server));
	client_begin(server, client);
}

/* --- the socket --- */

void http_init(struct http_server *server, struct event_base *base, const struct stats_core *core)
{
	*server = (struct http_server){.base = base, .core = core, .fd = -1, .next_fd = -1};
	TAILQ_INIT(&server->clients);
}

int http_prepare(struct http_server *server, const struct addr *address)
{
	const struct socket_listener place = {.address = *address};

	server->next = *address;
	server->keeps = server->fd != -1 && addr_family(address) != AF_UNSPEC &&
			addr_equal(address, &server->address);
	if (server->keeps || addr_family(address) == AF_UNSPEC)
		return 0;
	server->next_fd = socket_bind_listener(&place, true);
	if (server->next_fd == -1)
		return errno;
	if (listen(server->next_fd, BACKLOG) == -1) {
		int error = errno;

		http_abandon(server);
		return error;
	}
	return 0;
}

void http_abandon(struct http_server *server)
{
	if (server->next_fd != -1)
		close(server->next_fd);
	server->next_fd = -1;
	server->next = server->address;
	server->keeps = true;
}

void http_use(struct http_server *server)
{
	if (server->keeps)
		return;
	if (server->fd != -1) {
		event_del(&server->event);
		close(server->fd);
	}
	server->fd = server->next_fd;
	server->next_fd = -1;
	server->address = server->next;
	server->keeps = true;
	if (server->fd == -1)
		return;
	event_assign(
		&server->event, server->base, server->fd, EV_READ | EV_PERSIST, on_client, server);
	event_add(&server->event, NULL);
}

bool http_is_open(const struct http_server *server)
{
	return server->fd != -1;
}

void http_end(struct http_server *server)
{
	struct http_client *client = TAILQ_FIRST(&server->clients), *next;

	for (; client != NULL; client = next) {
		next = TAILQ_NEXT(client, link);
		client_end(client);
	}
	http_abandon(server);
	if (server->fd != -1) {
		event_del(&server->event);
		close(server->fd);
	}
	server->fd = -1;
}
