/*
 * A capture of real packets on the loopback link: what ends it, and when.
 */
#include "frames.h"

#include <cap-ng.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	LIMIT_MS = 20000,
	STEP_MS = 10
};

/* A thread that does the same again and again until the capture ends. */
struct other_side {
	pthread_t thread;
	atomic_bool over;
	void (*act)(const struct captured *captured);
	const struct captured *captured; /* a copy: its address and protocol */
	size_t count;
};

static void *keep_acting(void *context)
{
	struct other_side *side = context;

	while (!side->over) {
		for (size_t i = 0; i < side->count; i++)
			side->act(&side->captured[i]);
		poll(NULL, 0, STEP_MS);
	}
	return NULL;
}

static long long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* Watches while the other side acts; how long it took. */
static long long watch_beside(
	struct captured *list, size_t count, void (*act)(const struct captured *captured))
{
	struct captured copy[4];
	struct other_side side = {.act = act, .captured = copy, .count = count};
	long long begin = now_ms();
	char *problem = NULL;
	bool well;

	assert_in_range(count, 1, 4);
	memcpy(copy, list, count * sizeof(*list));
	assert_int_equal(pthread_create(&side.thread, NULL, keep_acting, &side), 0);
	well = capture_run(list, count, LIMIT_MS, NULL, &problem) != -1;
	side.over = true;
	pthread_join(side.thread, NULL);
	if (!well)
		fail_msg("%s", problem);
	return now_ms() - begin;
}

/* Without CAP_NET_RAW the watch has to say so; then the rest of a test cannot be done. */
static void skip_without_packets(void)
{
	struct captured vip = captured("127.0.0.1", IPPROTO_TCP);
	char *problem = NULL;
	int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd != -1) {
		close(fd);
		return;
	}
	assert_int_equal(errno, EPERM);
	assert_int_equal(capture_run(&vip, 1, LIMIT_MS, NULL, &problem), -1);
	assert_non_null(problem);
	free(problem);
	skip();
}

/* A connection request to a port without a listener, or a datagram. */
static void send_request(const struct captured *captured)
{
	const struct addr *to = &captured->address;
	int type = captured->protocol == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM;
	int fd = socket(addr_family(to), type | SOCK_CLOEXEC, 0);

	if (fd != -1 && connect(fd, &to->sa, addr_length(to)) == 0)
		(void)!write(fd, "x", 1);
	if (fd != -1)
		close(fd);
}

/* A port that stays free of listeners meanwhile: it is bound. */
static int reserve(struct captured *captured)
{
	int type = captured->protocol == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM;
	int fd = socket(addr_family(&captured->address), type | SOCK_CLOEXEC, 0);
	socklen_t length = addr_length(&captured->address);

	addr_set_port(&captured->address, 0);
	assert_return_code(bind(fd, &captured->address.sa, length), errno);
	assert_return_code(getsockname(fd, &captured->address.sa, &length), errno);
	return fd;
}

static void assert_came_by_lo(const struct captured *captured, const char *from)
{
	char text[ADDR_TEXT_MAX];

	assert_in_range(captured->packets, 1, LIMIT_MS / STEP_MS);
	assert_string_equal(addr_format_ip(&captured->from, text), from);
	assert_string_equal(captured->packet_link, "lo");
	assert_int_equal(captured->requests, 0);
}

static void requests_on_loopback_end_the_capture(void **state)
{
	struct captured list[] = {
		captured("127.0.0.1", IPPROTO_TCP), captured("127.0.0.1", IPPROTO_UDP)};
	int fds[2];

	(void)state;
	skip_without_packets();
	for (int i = 0; i < 2; i++)
		fds[i] = reserve(&list[i]);
	assert_in_range(watch_beside(list, 2, send_request), 0, LIMIT_MS / 2);
	for (int i = 0; i < 2; i++) {
		assert_came_by_lo(&list[i], "127.0.0.1");
		close(fds[i]);
	}
}

static void requests_of_ipv6_end_the_capture(void **state)
{
	struct captured six = captured("::1", IPPROTO_TCP);
	struct addr own = at("::1", 0);
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool can = fd != -1 && bind(fd, &own.sa, addr_length(&own)) == 0;

	(void)state;
	if (fd != -1)
		close(fd);
	if (!can)
		skip();
	skip_without_packets();
	fd = reserve(&six);
	assert_in_range(watch_beside(&six, 1, send_request), 0, LIMIT_MS / 2);
	assert_came_by_lo(&six, "::1");
	close(fd);
}

/* The loopback link returns what is sent on it, requests for addresses, too, and never replies. */
static void ask_on_lo(const struct captured *captured)
{
	char ip[ADDR_TEXT_MAX];
	struct frame frame = arp(REQUEST, client4, addr_format_ip(&captured->address, ip));
	struct sockaddr_ll lo = {.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ARP),
		.sll_ifindex = (int)if_nametoindex("lo"),
		.sll_halen = ETH_ALEN};
	int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)!sendto(fd, frame.bytes, frame.length, 0, (struct sockaddr *)&lo, sizeof(lo));
	close(fd);
}

static void requests_without_a_reply_end_the_capture_after_a_second(void **state)
{
	struct captured vip = captured(vip4, IPPROTO_TCP);

	(void)state;
	skip_without_packets();
	assert_in_range(watch_beside(&vip, 1, ask_on_lo), 1000, LIMIT_MS / 2);
	assert_in_range(vip.requests, 3, LIMIT_MS / STEP_MS);
	assert_string_equal(vip.request_link, "lo");
	assert_int_equal(vip.replies + vip.packets, 0);
}

static void a_capture_of_nothing_ends_in_time(void **state)
{
	/* No packet has this address, not even in another run of these tests. */
	struct captured vip = captured(other4, IPPROTO_TCP);
	long long begin = now_ms();
	char *problem = NULL;

	(void)state;
	skip_without_packets();
	assert_int_equal(capture_run(&vip, 1, 50, NULL, &problem), 0);
	assert_in_range(now_ms() - begin, 50, LIMIT_MS / 2);
	assert_seen(&vip, 0, 0, 0);
	assert_int_equal(capture_run(NULL, 0, LIMIT_MS, NULL, &problem), 0);
	assert_in_range(now_ms() - begin, 50, LIMIT_MS / 2);
	assert_null(problem);
}

static void without_the_capability_the_capture_says_so(void **state)
{
	struct captured vip = captured(vip4, IPPROTO_TCP);
	char *problem = NULL;

	(void)state;
	skip_without_packets();
	capng_get_caps_process();
	capng_update(CAPNG_DROP, CAPNG_EFFECTIVE, CAP_NET_RAW);
	assert_int_equal(capng_apply(CAPNG_SELECT_CAPS), 0);
	assert_int_equal(capture_run(&vip, 1, LIMIT_MS, NULL, &problem), -1);
	assert_non_null(strstr(problem, "CAP_NET_RAW"));
	free(problem);
	capng_update(CAPNG_ADD, CAPNG_EFFECTIVE, CAP_NET_RAW);
	assert_int_equal(capng_apply(CAPNG_SELECT_CAPS), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_on_loopback_end_the_capture),
		cmocka_unit_test(requests_of_ipv6_end_the_capture),
		cmocka_unit_test(requests_without_a_reply_end_the_capture_after_a_second),
		cmocka_unit_test(a_capture_of_nothing_ends_in_time),
		cmocka_unit_test(without_the_capability_the_capture_says_so),
	};

	return cmocka_run_group_tests_name("capture_loopback", tests, NULL, NULL);
}
