/*
 * Clients that come to a listener all at once, and sections that have several listeners.
 */
#ifndef TESTS_FLOODS_H
#define TESTS_FLOODS_H

#include "proxy/listener.h"
#include "rig.h"
#include "tproxy/socket.h"

#include <unistd.h>

enum {
	FLOOD = 200,
	TURN_MAX = 64 /* accepted in one turn of the loop */
};

struct flood {
	struct rig *rig;
	struct bind bind;
	struct listeners listeners;
	unsigned pauses;
	const struct listener *paused;
	int error;
	int clients[2 * FLOOD];
	unsigned count;
};

static inline void on_pause(void *arg, const struct listener *listener, int error)
{
	struct flood *flood = arg;

	flood->pauses++;
	flood->paused = listener;
	flood->error = error;
}

static inline void start(struct flood *flood, void **state)
{
	struct listener_failure failure;
	struct rig *rig = *state;

	*flood = (struct flood){.rig = rig};
	assert_true(addr_parse(&flood->bind.address, "127.0.0.1"));
	rig->section.binds = &flood->bind;
	rig->section.bind_count = 1;
	assert_int_equal(listeners_bind(&flood->listeners, &rig->config, true, &failure), 0);
	assert_int_equal(listeners_start(&flood->listeners, rig->base, &rig->sessions, on_pause,
				 flood, &failure),
		0);
	assert_true(socket_local_address(flood->listeners.list[0].fd, &flood->bind.address));
}

/* Connects clients without a turn of the loop, so that they wait in the queue. */
static inline void connect_clients(struct flood *flood, unsigned count)
{
	const struct addr *vip = &flood->bind.address;

	for (unsigned i = 0; i < count; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		assert_int_equal(connect(fd, &vip->sa, addr_length(vip)), 0);
		flood->clients[flood->count++] = fd;
	}
}

static inline void finish(struct flood *flood)
{
	for (unsigned i = 0; i < flood->count; i++)
		close(flood->clients[i]);
	listeners_close(&flood->listeners);
	listeners_free(&flood->listeners);
	flood->rig->section.bind_count = 0;
}

static inline unsigned accepted(const struct flood *flood)
{
	return flood->rig->sessions.count + flood->rig->ended;
}

static const char *const loopback[] = {"127.0.0.1", "127.0.0.2", "127.0.0.3"};

struct sections {
	struct bind binds[3];
	struct proxy proxies[2];
	struct config config;
};

/* Two frontends, the first one with two addresses. */
static inline void configure(struct sections *sections)
{
	*sections = (struct sections){.config = {.proxy_count = 2}};
	for (int i = 0; i < 3; i++)
		assert_true(addr_parse(&sections->binds[i].address, loopback[i]));
	sections->proxies[0].binds = &sections->binds[0];
	sections->proxies[0].bind_count = 2;
	sections->proxies[1].binds = &sections->binds[2];
	sections->proxies[1].bind_count = 1;
	sections->config.proxies = sections->proxies;
}

static inline int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t length = sizeof(value);

	assert_int_equal(getsockopt(fd, level, name, &value, &length), 0);
	return value;
}

#define LISTENER_TEST(test) cmocka_unit_test_setup_teardown(test, rig_set_up, rig_tear_down)

#endif
