/*
 * Which address and port a check comes from that stands for a client's.
 *
 * On the server's side, a check looks like a connection of a client. So it must not have the address and port of one: the
 * client's own would be refused (source-in-use) as long as the check lasts, with `usesrc client`. Clients' systems choose ports
 * from 32768 (Linux) or 49152 on (RFC 6335, section 6), some from 10000. So checks have ports from 1024 to 9999, another one
 * each time, since a server may still remember the connection before; for a network, the address is another one each time, too.
 */
#include "way_back.h"

#include <stdio.h>
#include <string.h>

enum {
	PORT_FIRST = 1024,
	PORT_COUNT = 10000 - PORT_FIRST
};

bool way_back_is_checked(const struct server *server)
{
	return addr_family(&server->check.usesrc) != AF_UNSPEC;
}

/* FNV-1a. */
static uint32_t hash(const char *name, unsigned count)
{
	uint32_t value = 2166136261U;

	for (; *name != '\0'; name++)
		value = (value ^ (unsigned char)*name) * 16777619U;
	for (unsigned i = 0; i < sizeof(count); i++)
		value = (value ^ (count >> 8 * i & 0xff)) * 16777619U;
	return value;
}

/* The address of NUMBER in the network, its first and last ones left out: those are no host's. */
static struct addr host_of(const struct server_check *check, uint32_t number)
{
	unsigned bits = family_bits(addr_family(&check->usesrc)), hosts = bits - check->usesrc_bits;
	uint8_t bytes[16];

	if (hosts == 0)
		return check->usesrc;
	if (hosts < 32)
		number %= 1U << hosts;
	if (hosts > 1 && number == 0)
		number = 1;
	if (hosts > 1 && hosts <= 32 && number == (uint32_t)((1ULL << hosts) - 1))
		number--;
	memcpy(bytes, addr_bytes(&check->usesrc), bits / 8);
	for (unsigned i = check->usesrc_bits; i < bits; i++)
		bytes[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
	for (unsigned i = 0; i < 4; i++)
		bytes[bits / 8 - 1 - i] |= (uint8_t)(number >> 8 * i);
	return addr_from_bytes(addr_family(&check->usesrc), bytes);
}

struct source way_back_source(const struct server *server, unsigned count)
{
	struct source source = {.mode = SOURCE_FOREIGN,
		.address = host_of(&server->check, hash(server->name, count))};
	/* One after the other, so that none comes again before all others did. */
	uint32_t port = (hash(server->name, 0) + count) % PORT_COUNT;

	addr_set_port(&source.address, (uint16_t)(PORT_FIRST + port));
	return source;
}

void way_back_explain(struct health_verdict *verdict, const struct source *source)
{
	char address[ADDR_TEXT_MAX];

	snprintf(verdict->info, sizeof(verdict->info),
		"answers this host, but not client %s: its way back does not lead through this host",
		addr_format_ip(&source->address, address));
}
