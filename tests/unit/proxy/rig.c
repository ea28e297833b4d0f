#include "rig.h"

#include "tproxy/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	TURNS_MAX = 20000
};

static unsigned warnings; /* of libevent, since the rig was set up */

static void on_event_log(int severity, const char *message)
{
	if (severity >= EVENT_LOG_WARN) {
		warnings++;
		print_error("libevent: %s\n", message);
	}
}

static int listen_on_loopback(struct addr *address)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(addr_parse(address, "127.0.0.1"));
	assert_int_equal(bind(fd, &address->sa, addr_length(address)), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_true(socket_local_address(fd, address));
	return fd;
}

static void on_changed(void *arg, const struct session *session, enum session_state from)
{
	struct rig *rig = arg;

	(void)from;
	assert_true(rig->state_count < RIG_STATES);
	rig->states[rig->state_count++] = session->state;
	if (session->state == SESSION_CLOSING) {
		rig->ended++;
		rig->last = *session;
	}
}

int rig_set_up(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	struct addr vip;

	signal(SIGPIPE, SIG_IGN);
	event_set_log_callback(on_event_log);
	warnings = 0;
	assert_non_null(rig);
	rig->base = event_base_new();
	rig->section = (struct proxy){.name = "web", .role = ROLE_LISTEN, .servers = rig->servers};
	rig->section.server_count = RIG_SERVERS;
	rig->section.queues = true; /* a test may give servers a maxconn */
	rig->section.default_backend = &rig->section;
	rig->config = (struct config){.proxies = &rig->section, .proxy_count = 1};
	rig->config.server_count = RIG_SERVERS;
	for (unsigned i = 0; i < RIG_SERVERS; i++) {
		rig->servers[i] = (struct server){.name = "s", .index = i};
		rig->server_listeners[i] = listen_on_loopback(&rig->servers[i].address);
	}
	rig->vip = listen_on_loopback(&vip);
	rig->limits = limits_new(&rig->config, 100);
	assert_int_equal(session_loop_init(&rig->loop, rig->base, limits_process(rig->limits)), 0);
	session_set_init(&rig->sessions, &rig->loop, &rig->config, rig->limits,
		(struct session_observer){on_changed, rig, NULL});
	*state = rig;
	return 0;
}

/* Lets what ends rig_turn() pass: then no event is left. */
static void assert_no_event_is_left(struct rig *rig)
{
	for (int i = 0; i < 1000; i++) {
		if (event_base_get_num_events(rig->base, EVENT_BASE_COUNT_ADDED) == 0)
			return;
		usleep(1000);
		event_base_loop(rig->base, EVLOOP_NONBLOCK);
	}
	fail_msg("an event of a session that ended is left");
}

int rig_tear_down(void **state)
{
	struct rig *rig = *state;

	session_close_all(&rig->sessions);
	assert_no_event_is_left(rig);
	assert_true(warnings == 0 || rig->may_warn);
	session_loop_free(&rig->loop);
	event_base_free(rig->base);
	limits_free(rig->limits);
	for (unsigned i = 0; i < RIG_SERVERS; i++)
		close(rig->server_listeners[i]);
	close(rig->vip);
	free(rig);
	return 0;
}

static int connect_client(struct rig *rig, int client)
{
	struct addr vip, peer;
	int accepted;

	assert_true(socket_local_address(rig->vip, &vip));
	assert_int_equal(connect(client, &vip.sa, addr_length(&vip)), 0);
	assert_int_equal(fcntl(client, F_SETFL, O_NONBLOCK), 0);
	accepted = socket_accept(rig->vip, &peer);
	assert_int_not_equal(accepted, -1);
	assert_true(limits_enter(rig->limits, &rig->section));
	assert_true(session_begin(&rig->sessions, &rig->section, &rig->bind, accepted, &peer));
	return client;
}

int rig_client(struct rig *rig)
{
	return connect_client(rig, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

int rig_slow_client(struct rig *rig)
{
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), least = 1;

	assert_int_equal(setsockopt(client, SOL_SOCKET, SO_RCVBUF, &least, sizeof(least)), 0);
	return connect_client(rig, client);
}

struct session *rig_session(struct rig *rig)
{
	struct session *session = TAILQ_LAST(&rig->sessions.live, session_list);

	assert_non_null(session);
	return session;
}

void rig_turn(struct rig *rig)
{
	static const struct timeval tick = {.tv_usec = 1000};

	event_base_loopexit(rig->base, &tick);
	event_base_loop(rig->base, EVLOOP_ONCE);
	if (rig->loop.serves)
		session_loop_serve(&rig->loop);
	session_loop_reap(&rig->loop);
}

int rig_accept(struct rig *rig, unsigned server)
{
	int fd = -1;

	for (int i = 0; i < TURNS_MAX && fd == -1; i++) {
		fd = accept4(
			rig->server_listeners[server], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		rig_turn(rig);
	}
	assert_int_not_equal(fd, -1);
	return fd;
}

void rig_until(struct rig *rig, bool (*condition)(struct rig *))
{
	for (int i = 0; i < TURNS_MAX && !condition(rig); i++)
		rig_turn(rig);
	assert_true(condition(rig));
}

bool rig_has_ended(struct rig *rig)
{
	return rig->ended > 0;
}

bool rig_is_relaying(struct rig *rig)
{
	return rig_session(rig)->state == SESSION_RELAYING;
}

ssize_t rig_read(struct rig *rig, int fd, char *out, size_t room)
{
	ssize_t got = -1;

	for (int i = 0; i < TURNS_MAX; i++) {
		got = recv(fd, out, room, 0);
		if (got != -1 || errno != EAGAIN)
			return got;
		rig_turn(rig);
	}
	fail_msg("nothing arrived");
	return -1;
}

void rig_assert_reads(struct rig *rig, int fd, const char *text)
{
	size_t length = strlen(text), have = 0;
	char got[1024];

	while (have < length) {
		ssize_t part = rig_read(rig, fd, got + have, length - have);

		assert_true(part > 0);
		have += (size_t)part;
	}
	assert_memory_equal(got, text, length);
}

void rig_write(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

void rig_reset(int fd)
{
	socket_reset_on_close(fd);
	close(fd);
}
