/*
 * Frames made by hand, with a request of ARP or a reply, and what a capture has seen.
 */
#ifndef TESTS_FRAMES_H
#define TESTS_FRAMES_H

#include "unit.h"
#include "watch/capture.h"

#include <linux/if_ether.h>
#include <string.h>

enum {
	REQUEST = 1,
	REPLY = 2
};

static const char client4[] = "198.51.100.7", vip4[] = "192.0.2.80", other4[] = "192.0.2.81";

/* A frame from its network header on. */
struct frame {
	unsigned protocol;
	size_t length;
	unsigned char bytes[256];
};

static inline struct addr at(const char *ip, uint16_t port)
{
	struct addr addr;

	assert_true(addr_parse(&addr, ip));
	addr_set_port(&addr, port);
	return addr;
}

static inline struct captured captured(const char *ip, int protocol)
{
	return (struct captured){.address = at(ip, 80), .protocol = protocol};
}

static inline void put(struct frame *frame, const void *bytes, size_t length)
{
	assert_in_range(frame->length + length, 0, sizeof(frame->bytes));
	memcpy(frame->bytes + frame->length, bytes, length);
	frame->length += length;
}

static inline void put_ip(struct frame *frame, const char *ip)
{
	struct addr addr = at(ip, 0);

	if (addr_family(&addr) == AF_INET6)
		put(frame, &addr.in6.sin6_addr, 16);
	else
		put(frame, &addr.in4.sin_addr, 4);
}

static inline void put_number(struct frame *frame, unsigned number)
{
	put(frame, (unsigned char[]){(unsigned char)(number >> 8), (unsigned char)number}, 2);
}

static inline struct frame arp(unsigned operation, const char *sender, const char *target)
{
	struct frame frame = {.protocol = ETH_P_ARP};

	put(&frame, (unsigned char[]){0, 1, 8, 0, 6, 4}, 6);
	put_number(&frame, operation);
	put(&frame, "\2\0\0\0\0\1", 6);
	put_ip(&frame, sender);
	put(&frame, "\0\0\0\0\0\0", 6);
	put_ip(&frame, target);
	return frame;
}

static inline void assert_seen(
	const struct captured *captured, unsigned requests, unsigned replies, unsigned packets)
{
	assert_int_equal(captured->requests, requests);
	assert_int_equal(captured->replies, replies);
	assert_int_equal(captured->packets, packets);
}

#endif
