/*
 * A line has commands, parted by semicolons. Each is answered with its text and an empty line, or, for one who asked for a prompt, with
 * the prompt. Without a prompt the connection ends with the last line that came, as HAProxy's does.
 *
 * There is one function that goes on, whatever has happened; from what is left to do it computes which events are wanted.
 * The trap: what it does may end the client, so nothing follows it.
 */
#include "client.h"

#include "command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	LINE_MAX_BYTES = 4096,
	SKIPPED_MAX = 64 * 1024 /* of a line that is too long */
};

struct stats_client {
	TAILQ_ENTRY(stats_client) link;
	struct stats_clients *clients;
	int fd;
	struct event read, write;
	bool has_ended; /* sends no more */
	bool closes;    /* once it has all that was said */
	char line[LINE_MAX_BYTES];
	size_t begin, end; /* what is not handled yet */
	size_t skipped;    /* of a line that is too long; 0: there is none */
	struct cli cli;
};

static void client_end(struct stats_client *client)
{
	struct stats_clients *clients = client->clients;

	event_del(&client->read);
	event_del(&client->write);
	cli_end(&client->cli);
	if (client->cli.out != NULL)
		evbuffer_free(client->cli.out);
	close(client->fd);
	TAILQ_REMOVE(&clients->list, client, link);
	clients->count--;
	free(client);
	clients->left(clients->arg);
}

/* --- commands --- */

static char *end_of_line(struct stats_client *client)
{
	return memchr(client->line + client->begin, '\n', client->end - client->begin);
}

/* The text of the next command; NULL: no whole line is there. */
static char *take_command(struct stats_client *client)
{
	char *line_end = end_of_line(client), *text = client->line + client->begin, *end;

	if (line_end == NULL)
		return NULL;
	end = memchr(text, ';', (size_t)(line_end - text));
	if (end == NULL)
		end = line_end;
	for (char *at = text; at < end; at++)
		if (*at == '\0')
			*at = ' ';
	client->begin = (size_t)(end - client->line) + 1;
	client->closes = end == line_end && !client->cli.prompts && end_of_line(client) == NULL;
	*end = '\0';
	return text;
}

static void finish_command(struct stats_client *client)
{
	struct cli *cli = &client->cli;

	client->closes |= cli->quits;
	client->closes &= cli->quits || !cli->prompts;
	if (!cli->quits)
		evbuffer_add_printf(cli->out, cli->prompts ? "\n> " : "\n");
}

/* Until there is nothing to do, or something has to be awaited. */
static void run_commands(struct stats_client *client)
{
	struct cli *cli = &client->cli;
	char *text;

	while (evbuffer_get_length(cli->out) < CLI_OUTPUT_MAX) {
		if (cli->go_on != NULL) {
			if (!cli_go_on(cli))
				return;
			finish_command(client);
			continue;
		}
		if (client->closes || (text = take_command(client)) == NULL)
			return;
		command_run(cli, text);
		if (cli->go_on == NULL)
			finish_command(client);
	}
}

/* --- reading and writing --- */

/* False: the connection has broken. */
static bool write_out(struct stats_client *client)
{
	struct evbuffer *out = client->cli.out;

	while (evbuffer_get_length(out) > 0)
		if (evbuffer_write(out, client->fd) == -1)
			return errno == EAGAIN || errno == EINTR;
	return true;
}

static bool is_done(const struct stats_client *client)
{
	return evbuffer_get_length(client->cli.out) == 0 && client->cli.go_on == NULL &&
	       (client->closes || client->has_ended);
}

static void watch(struct event *event, bool wanted, unsigned milliseconds)
{
	struct timeval timeout = {milliseconds / 1000, milliseconds % 1000 * 1000};

	if (wanted)
		event_add(event, &timeout);
	else
		event_del(event);
}

static void go_on(struct stats_client *client)
{
	struct cli *cli = &client->cli;
	size_t before;

	do {
		run_commands(client);
		before = evbuffer_get_length(cli->out);
		if (!write_out(client)) {
			client_end(client);
			return;
		}
	} while (before > 0 && evbuffer_get_length(cli->out) == 0);
	if (is_done(client)) {
		client_end(client);
		return;
	}
	watch(&client->write, evbuffer_get_length(cli->out) > 0, cli->timeout);
	watch(&client->read,
		evbuffer_get_length(cli->out) == 0 && cli->go_on == NULL && !client->has_ended,
		cli->timeout);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	if (what & EV_TIMEOUT)
		client_end(arg);
	else
		go_on(arg);
}

/* What was handled makes room for what comes. */
static void make_room(struct stats_client *client)
{
	memmove(client->line, client->line + client->begin, client->end - client->begin);
	client->end -= client->begin;
	client->begin = 0;
}

/* The rest of a line that is too long is read, too: else closing would be a reset, and the message lost. */
static void skip_long_line(struct stats_client *client)
{
	char *line_end = end_of_line(client);
	bool is_too_long = client->end - client->begin == sizeof(client->line);

	if (client->skipped == 0 && (line_end != NULL || !is_too_long))
		return;
	client->skipped += client->end - client->begin;
	client->begin = client->end;
	if (line_end == NULL && client->skipped < SKIPPED_MAX)
		return;
	evbuffer_add_printf(client->cli.out, "The line is too long: it can have %d bytes.\n",
		LINE_MAX_BYTES - 1);
	client->closes = true;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct stats_client *client = arg;
	ssize_t length;

	if (what & EV_TIMEOUT) {
		client_end(client);
		return;
	}
	make_room(client);
	length = read(fd, client->line + client->end, sizeof(client->line) - client->end);
	if (length == -1 && errno != EAGAIN && errno != EINTR) {
		client_end(client);
		return;
	}
	client->has_ended = length == 0;
	client->end += length > 0 ? (size_t)length : 0;
	skip_long_line(client);
	go_on(client);
}

/* --- beginning and end --- */

void client_begin(struct stats_clients *clients, int fd, enum stats_level level)
{
	struct stats_client *client = calloc(1, sizeof(*client));

	if (client == NULL) {
		close(fd);
		return;
	}
	client->clients = clients;
	client->fd = fd;
	client->cli = (struct cli){.core = clients->core,
		.level = level,
		.timeout = clients->timeout,
		.out = evbuffer_new()};
	event_assign(&client->read, clients->base, fd, EV_READ | EV_PERSIST, on_readable, client);
	event_assign(&client->write, clients->base, fd, EV_WRITE | EV_PERSIST, on_writable, client);
	TAILQ_INSERT_TAIL(&clients->list, client, link);
	clients->count++;
	if (client->cli.out == NULL)
		client_end(client);
	else
		go_on(client);
}

void clients_go_on(struct stats_clients *clients)
{
	struct stats_client *client = TAILQ_FIRST(&clients->list), *next;

	for (; client != NULL; client = next) {
		next = TAILQ_NEXT(client, link);
		if (client->cli.go_on != NULL)
			go_on(client);
	}
	core_collect(clients->core);
}

void clients_end(struct stats_clients *clients)
{
	struct stats_client *client = TAILQ_FIRST(&clients->list), *next;

	for (; client != NULL; client = next) {
		next = TAILQ_NEXT(client, link);
		client_end(client);
	}
}
