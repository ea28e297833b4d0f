/*
 * Addresses as values: from text and back, parts and comparisons.
 *
 * Every field of a struct addr that is not set is zero, so two equal addresses are equal field by field.
 *
 * The trap is what sockaddr_in6 has beside the address: flow labels are dropped; the scope is kept, because without
 * it no packet reaches a link-local client.
 */
#include "tproxy/addr.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>

struct addr addr_any(int family)
{
	struct addr addr;

	memset(&addr, 0, sizeof(addr));
	addr.sa.sa_family = (sa_family_t)family;
	return addr;
}

/* Copies TEXT to OUT without the brackets around it. False: one bracket is missing, or the text is too long. */
static bool strip_brackets(const char *text, char *out, size_t room)
{
	size_t length = strlen(text);

	if (text[0] == '[') {
		if (length < 2 || text[length - 1] != ']')
			return false;
		text++;
		length -= 2;
	}
	if (length >= room)
		return false;
	memcpy(out, text, length);
	out[length] = '\0';
	return true;
}

bool addr_parse(struct addr *addr, const char *text)
{
	struct addr in4 = addr_any(AF_INET), in6 = addr_any(AF_INET6);
	char bare[INET6_ADDRSTRLEN];

	if (inet_pton(AF_INET, text, &in4.in4.sin_addr) == 1) {
		*addr = in4;
		return true;
	}
	if (!strip_brackets(text, bare, sizeof(bare)))
		return false;
	if (inet_pton(AF_INET6, bare, &in6.in6.sin6_addr) != 1)
		return false;
	*addr = in6;
	return true;
}

bool addr_from_sockaddr(struct addr *addr, const struct sockaddr *sa)
{
	struct addr copy = addr_any(sa->sa_family);

	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in4 = (const void *)sa;

		copy.in4.sin_addr = in4->sin_addr;
		copy.in4.sin_port = in4->sin_port;
	} else if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)sa;

		copy.in6.sin6_addr = in6->sin6_addr;
		copy.in6.sin6_port = in6->sin6_port;
		copy.in6.sin6_scope_id = in6->sin6_scope_id;
	} else {
		return false;
	}
	*addr = copy;
	return true;
}

const uint8_t *addr_bytes(const struct addr *addr)
{
	return addr_family(addr) == AF_INET6 ? addr->in6.sin6_addr.s6_addr
					     : (const uint8_t *)&addr->in4.sin_addr;
}

struct addr addr_from_bytes(int family, const void *bytes)
{
	struct addr addr = addr_any(family);

	memcpy((uint8_t *)addr_bytes(&addr), bytes, family_bits(family) / 8);
	return addr;
}

const char *addr_format_ip(const struct addr *addr, char text[ADDR_TEXT_MAX])
{
	if (inet_ntop(addr_family(addr), addr_bytes(addr), text, ADDR_TEXT_MAX) == NULL)
		text[0] = '\0';
	return text;
}

const char *addr_format(const struct addr *addr, char text[ADDR_TEXT_MAX])
{
	char ip[ADDR_TEXT_MAX];
	bool brackets = addr_family(addr) == AF_INET6;

	addr_format_ip(addr, ip);
	snprintf(text, ADDR_TEXT_MAX, "%s%.*s%s:%u", brackets ? "[" : "", INET6_ADDRSTRLEN, ip,
		brackets ? "]" : "", addr_port(addr));
	return text;
}

int addr_family(const struct addr *addr)
{
	return addr->sa.sa_family;
}

socklen_t addr_length(const struct addr *addr)
{
	return addr_family(addr) == AF_INET6 ? sizeof(addr->in6) : sizeof(addr->in4);
}

uint16_t addr_port(const struct addr *addr)
{
	/* sin_port and sin6_port stand at the same place in both structures. */
	static_assert(
		offsetof(struct sockaddr_in, sin_port) == offsetof(struct sockaddr_in6, sin6_port),
		"ports of both families overlap");
	return ntohs(addr->in4.sin_port);
}

void addr_set_port(struct addr *addr, uint16_t port)
{
	addr->in4.sin_port = htons(port);
}

bool addr_is_any(const struct addr *addr)
{
	if (addr_family(addr) == AF_INET6)
		return IN6_IS_ADDR_UNSPECIFIED(&addr->in6.sin6_addr);
	return addr->in4.sin_addr.s_addr == htonl(INADDR_ANY);
}

bool addr_is_unicast(const struct addr *addr)
{
	uint32_t ipv4;

	if (addr_family(addr) == AF_INET6)
		return !addr_is_any(addr) && !IN6_IS_ADDR_LOOPBACK(&addr->in6.sin6_addr) &&
		       !IN6_IS_ADDR_MULTICAST(&addr->in6.sin6_addr);
	ipv4 = ntohl(addr->in4.sin_addr.s_addr);
	return ipv4 >> 24 != 0 && ipv4 >> 24 != IN_LOOPBACKNET && !IN_MULTICAST(ipv4) &&
	       ipv4 != INADDR_BROADCAST;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	if (addr_family(a) != addr_family(b) || addr_port(a) != addr_port(b))
		return false;
	if (addr_family(a) == AF_INET6)
		return IN6_ARE_ADDR_EQUAL(&a->in6.sin6_addr, &b->in6.sin6_addr) &&
		       a->in6.sin6_scope_id == b->in6.sin6_scope_id;
	return a->in4.sin_addr.s_addr == b->in4.sin_addr.s_addr;
}

int addr_compare_ip(const struct addr *a, const struct addr *b)
{
	int family = addr_family(a);

	if (family != addr_family(b))
		return family < addr_family(b) ? -1 : 1;
	if (family == AF_UNSPEC)
		return 0;
	return memcmp(addr_bytes(a), addr_bytes(b), family_bits(family) / 8);
}

void addr_unmap(struct addr *addr)
{
	struct addr in4 = addr_any(AF_INET);

	if (addr_family(addr) != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&addr->in6.sin6_addr))
		return;
	memcpy(&in4.in4.sin_addr, &addr->in6.sin6_addr.s6_addr[12], sizeof(in4.in4.sin_addr));
	in4.in4.sin_port = addr->in6.sin6_port;
	*addr = in4;
}

uint64_t addr_hash_start(void)
{
	uint64_t start;

	/* The kernel gives every process 16 random bytes (getauxval(3)). */
	memcpy(&start, (const void *)getauxval(AT_RANDOM), sizeof(start));
	return start;
}

/* Multiplying carries bits upwards, and a shift brings them down again; twice, so that all depend on all. */
static uint64_t mix(uint64_t hash, uint64_t value)
{
	const uint64_t golden = 0x9e3779b97f4a7c15; /* 2^64, divided by the golden ratio */

	hash = (hash ^ value) * golden;
	hash = (hash ^ hash >> 32) * golden;
	return hash ^ hash >> 32;
}

uint64_t addr_hash(uint64_t hash, const struct addr *addr)
{
	const uint8_t *bytes = addr_bytes(addr);
	uint32_t word;

	for (unsigned i = 0; i < family_bits(addr_family(addr)) / 8; i += sizeof(word)) {
		memcpy(&word, bytes + i, sizeof(word));
		hash = mix(hash, word);
	}
	return mix(hash, addr_port(addr));
}
