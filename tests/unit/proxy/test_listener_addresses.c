/*
 * The addresses of listeners: each has its socket, with the options of its line, and what cannot be bound is named.
 */
#include "floods.h"

#include <errno.h>
#include <malloc.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void each_address_has_its_listener(void **state)
{
	struct listener_failure failure;
	struct sections sections;
	struct listeners set;
	unsigned before = descriptors_open();

	(void)state;
	configure(&sections);
	assert_int_equal(listeners_count(&sections.config), 3);
	assert_int_equal(listeners_bind(&set, &sections.config, true, &failure), 0);
	assert_int_equal(set.count, 3);
	for (int i = 0; i < 3; i++) {
		struct addr local;

		assert_ptr_equal(set.list[i].bind, &sections.binds[i]);
		assert_ptr_equal(set.list[i].frontend, &sections.proxies[i / 2]);
		assert_true(socket_local_address(set.list[i].fd, &local));
		addr_set_port(&local, 0);
		assert_true(addr_equal(&local, &sections.binds[i].address));
	}
	assert_false(listeners_are_open(&set));
	listeners_free(&set);
	assert_int_equal(set.count, 0);
	assert_int_equal(descriptors_open(), before);
}

static void an_address_that_is_taken_is_named(void **state)
{
	struct listener_failure failure = {0};
	struct sections sections;
	struct listeners set;
	struct rig *rig = *state;
	unsigned before = descriptors_open();

	configure(&sections);
	assert_true(socket_local_address(rig->vip, &sections.binds[1].address));
	assert_int_equal(listeners_bind(&set, &sections.config, true, &failure), -1);
	assert_ptr_equal(failure.frontend, &sections.proxies[0]);
	assert_ptr_equal(failure.bind, &sections.binds[1]);
	assert_int_equal(failure.error, EADDRINUSE);
	assert_int_not_equal(set.list[0].fd, -1);
	assert_int_equal(set.list[1].fd, -1);
	listeners_free(&set);
	assert_int_equal(descriptors_open(), before);
}

/* Another worker's listeners share the addresses. */
static void later_listeners_share_the_addresses_of_the_first(void **state)
{
	struct listener_failure failure;
	struct listeners again;
	struct flood flood;

	start(&flood, state);
	assert_int_equal(listeners_bind(&again, &flood.rig->config, true, &failure), -1);
	listeners_free(&again);
	assert_int_equal(listeners_bind(&again, &flood.rig->config, false, &failure), 0);
	listeners_free(&again);
	finish(&flood);
}

/* The event loop must not know the listeners before it any more when they are freed. */
static void a_socket_that_cannot_listen_is_named(void **state)
{
	struct listener_failure failure = {0};
	struct sections sections;
	struct listeners set;
	struct rig *rig = *state;
	int file = eventfd(0, EFD_CLOEXEC);

	configure(&sections);
	assert_int_equal(listeners_bind(&set, &sections.config, true, &failure), 0);
	assert_int_equal(dup2(file, set.list[1].fd), set.list[1].fd);
	assert_int_equal(
		listeners_start(&set, rig->base, &rig->sessions, on_pause, NULL, &failure), -1);
	assert_ptr_equal(failure.frontend, &sections.proxies[0]);
	assert_ptr_equal(failure.bind, &sections.binds[1]);
	assert_int_equal(failure.error, ENOTSOCK);
	assert_int_equal(set.open_count, 1);
	listeners_free(&set);
	assert_int_equal(event_base_get_num_events(rig->base, EVENT_BASE_COUNT_ADDED), 0);
	close(file);
}

static void a_listener_has_the_options_of_its_line(void **state)
{
	struct sections sections;
	struct listener_failure failure;
	struct listeners set;
	char name[16] = "";
	socklen_t length = sizeof(name);

	(void)state;
	configure(&sections);
	sections.binds[0].interface = "lo";
	sections.binds[1].transparent = socket_may_be_transparent();
	assert_int_equal(listeners_bind(&set, &sections.config, true, &failure), 0);
	assert_int_equal(getsockopt(set.list[0].fd, SOL_SOCKET, SO_BINDTODEVICE, name, &length), 0);
	assert_string_equal(name, "lo");
	assert_int_equal(option(set.list[0].fd, IPPROTO_IP, IP_TRANSPARENT), 0);
	assert_int_equal(
		option(set.list[1].fd, IPPROTO_IP, IP_TRANSPARENT), sections.binds[1].transparent);
	listeners_free(&set);
}

static void an_ipv6_listener_takes_ipv4_as_its_line_says(void **state)
{
	struct sections sections;
	struct listener_failure failure;
	struct listeners set;

	(void)state;
	configure(&sections);
	for (int i = 0; i < 2; i++)
		sections.binds[i].address = addr_any(AF_INET6);
	sections.binds[0].v6_mode = V6_ONLY;
	sections.binds[1].v6_mode = V6_AND_V4;
	if (listeners_bind(&set, &sections.config, true, &failure) == -1) {
		listeners_free(&set);
		skip(); /* no IPv6 here */
	}
	assert_int_equal(option(set.list[0].fd, IPPROTO_IPV6, IPV6_V6ONLY), 1);
	assert_int_equal(option(set.list[1].fd, IPPROTO_IPV6, IPV6_V6ONLY), 0);
	listeners_free(&set);
}

/* For a listener, tcpi_sacked is how long its queue may become (tcp_get_info() in the kernel). */
static unsigned backlog_of(void **state, unsigned bind, unsigned frontend, unsigned maxconn)
{
	struct tcp_info info = {0};
	socklen_t length = sizeof(info);
	struct flood flood;
	struct rig *rig = *state;
	struct listener_failure failure;

	flood = (struct flood){.rig = rig, .bind = {.backlog = bind}};
	assert_true(addr_parse(&flood.bind.address, "127.0.0.1"));
	rig->section.binds = &flood.bind;
	rig->section.bind_count = 1;
	rig->section.backlog = frontend;
	rig->section.maxconn = maxconn;
	assert_int_equal(listeners_bind(&flood.listeners, &rig->config, true, &failure), 0);
	assert_int_equal(listeners_start(&flood.listeners, rig->base, &rig->sessions, on_pause,
				 &flood, &failure),
		0);
	assert_int_equal(
		getsockopt(flood.listeners.list[0].fd, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
	finish(&flood);
	return info.tcpi_sacked;
}

static unsigned somaxconn(void)
{
	FILE *file = fopen("/proc/sys/net/core/somaxconn", "re");
	unsigned most = 0;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%u", &most), 1);
	fclose(file);
	return most;
}

static void the_backlog_is_the_lines_the_sections_or_its_maxconn(void **state)
{
	unsigned most = somaxconn();

	assert_int_equal(backlog_of(state, 5, 6, 7), 5);
	assert_int_equal(backlog_of(state, 0, 6, 7), 6);
	assert_int_equal(backlog_of(state, 0, 0, 7), 7);
	assert_int_equal(backlog_of(state, 0, 0, 0), most < 4096 ? most : 4096);
}

enum {
	MANY = 100
};

static void freeing_leaves_no_memory(void **state)
{
	struct bind *binds = calloc(MANY, sizeof(*binds));
	struct listener_failure failure;
	struct listeners set;
	struct proxy section = {.binds = binds, .bind_count = MANY};
	struct config config = {.proxies = &section, .proxy_count = 1};
	size_t before = mallinfo2().uordblks;

	(void)state;
	assert_non_null(binds);
	for (int i = 0; i < MANY; i++)
		assert_true(addr_parse(&binds[i].address, "127.0.0.1"));
	assert_int_equal(listeners_bind(&set, &config, true, &failure), 0);
	listeners_free(&set);
	assert_in_range(mallinfo2().uordblks, 0, before + 4096);
	free(binds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LISTENER_TEST(each_address_has_its_listener),
		LISTENER_TEST(an_address_that_is_taken_is_named),
		LISTENER_TEST(later_listeners_share_the_addresses_of_the_first),
		LISTENER_TEST(a_socket_that_cannot_listen_is_named),
		LISTENER_TEST(a_listener_has_the_options_of_its_line),
		LISTENER_TEST(an_ipv6_listener_takes_ipv4_as_its_line_says),
		LISTENER_TEST(the_backlog_is_the_lines_the_sections_or_its_maxconn),
		LISTENER_TEST(freeing_leaves_no_memory),
	};

	return cmocka_run_group_tests_name("listener_addresses", tests, NULL, NULL);
}
