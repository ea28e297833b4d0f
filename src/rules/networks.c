/*
 * Networks in a trie, with one path for bits that no branch needs: a node is a prefix, and either a network of the set
 * or a place where two longer prefixes part. So there are less than twice as many nodes as networks, and a search takes
 * a step for each branch on its way, not for each bit.
 *
 * The invariant: a node's prefix begins with that of the node above it, and a network has nothing below it, since it
 * contains all that could be there. Nodes are named by their place in one array, which may move while the set grows; the
 * place 0 is none.
 */
#include "tproxy/networks.h"

#include <arpa/inet.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

/* The bits of an address from the highest one on; of IPv4, the first 32. */
struct key {
	uint64_t high, low;
};

struct network_node {
	struct key key; /* bits behind the prefix may be anything */
	uint32_t children[2];
	uint8_t bits;
	bool is_network;
};

enum {
	NODES_EACH = 2, /* that a network needs at most: its own, and one where its path parts */
};

static struct key key_of(const struct addr *address)
{
	struct key key = {0, 0};
	uint32_t ipv4;

	if (addr_family(address) == AF_INET6) {
		memcpy(&key, addr_bytes(address), sizeof(key));
		return (struct key){be64toh(key.high), be64toh(key.low)};
	}
	memcpy(&ipv4, addr_bytes(address), sizeof(ipv4));
	key.high = (uint64_t)ntohl(ipv4) << 32;
	return key;
}

/* How many of the first MOST bits are equal. */
static unsigned equal_bits(const struct key *a, const struct key *b, unsigned most)
{
	unsigned equal;

	if (a->high != b->high)
		equal = (unsigned)__builtin_clzll(a->high ^ b->high);
	else if (a->low != b->low)
		equal = 64 + (unsigned)__builtin_clzll(a->low ^ b->low);
	else
		return most;
	return equal < most ? equal : most;
}

static unsigned bit_of(const struct key *key, unsigned bit)
{
	return bit < 64 ? key->high >> (63 - bit) & 1 : key->low >> (127 - bit) & 1;
}

bool networks_reserve(struct networks *networks, struct config_memory *memory, size_t count)
{
	size_t room = (networks->count == 0) + networks->count + NODES_EACH * count;
	struct network_node *nodes;

	if (room <= networks->room)
		return true;
	if (room > UINT32_MAX)
		return false;
	nodes = memory_alloc(memory, room * sizeof(*nodes));
	if (nodes == NULL)
		return false;
	if (networks->count > 0)
		memcpy(nodes, networks->nodes, networks->count * sizeof(*nodes));
	else
		networks->count = 1;
	networks->nodes = nodes;
	networks->room = (uint32_t)room;
	return true;
}

static uint32_t new_node(
	struct networks *networks, const struct key *key, unsigned bits, bool is_network)
{
	networks->nodes[networks->count] =
		(struct network_node){.key = *key, .bits = (uint8_t)bits, .is_network = is_network};
	return networks->count++;
}

/* Puts a node for the first BITS bits of KEY above the node at *PLACE, with which it shares COMMON of them. */
static void part_from(struct networks *networks, uint32_t *place, const struct key *key,
	unsigned bits, unsigned common)
{
	uint32_t below = *place, branch;

	if (common == bits) { /* it contains all that is there */
		*place = new_node(networks, key, bits, true);
		return;
	}
	branch = new_node(networks, key, common, false);
	networks->nodes[branch].children[bit_of(&networks->nodes[below].key, common)] = below;
	networks->nodes[branch].children[bit_of(key, common)] = new_node(networks, key, bits, true);
	*place = branch;
}

bool networks_add(struct networks *networks, struct config_memory *memory,
	const struct addr *address, unsigned bits)
{
	uint32_t *place = &networks->roots[addr_family(address) == AF_INET6];
	struct key key = key_of(address);

	/* Doubling where it is full; a caller that knows how many come has reserved. */
	if (networks->room - networks->count < NODES_EACH &&
		!networks_reserve(networks, memory, networks->count / NODES_EACH + 1))
		return false;
	while (*place != 0) {
		struct network_node *node = &networks->nodes[*place];
		unsigned common =
			equal_bits(&node->key, &key, node->bits < bits ? node->bits : bits);

		if (common == node->bits && node->is_network)
			return true;
		if (common < node->bits || common == bits) {
			part_from(networks, place, &key, bits, common);
			return true;
		}
		place = &node->children[bit_of(&key, node->bits)];
	}
	*place = new_node(networks, &key, bits, true);
	return true;
}

static bool contains(const struct networks *networks, int family, const struct key *key)
{
	uint32_t at = networks->roots[family == AF_INET6];

	while (at != 0) {
		const struct network_node *node = &networks->nodes[at];

		if (equal_bits(&node->key, key, node->bits) < node->bits)
			return false;
		if (node->is_network)
			return true;
		at = node->children[bit_of(key, node->bits)];
	}
	return false;
}

/* The IPv4 address that an IPv6 address contains: ::ffff:ADDRESS, ::ADDRESS or 2002:ADDRESS::. */
static bool take_ipv4(const struct key *key, struct key *ipv4)
{
	uint64_t upper = key->low >> 32;

	if (key->high == 0 && (upper == 0 || upper == 0xffff))
		*ipv4 = (struct key){key->low << 32, 0};
	else if (key->high >> 48 == 0x2002)
		*ipv4 = (struct key){key->high << 16 & ~(uint64_t)UINT32_MAX, 0};
	else
		return false;
	return true;
}

bool networks_contain(const struct networks *networks, const struct addr *address)
{
	struct key key = key_of(address), other;

	if (addr_family(address) == AF_INET) {
		other = (struct key){0, (uint64_t)0xffff << 32 | key.high >> 32};
		return contains(networks, AF_INET, &key) || contains(networks, AF_INET6, &other);
	}
	return contains(networks, AF_INET6, &key) ||
	       (take_ipv4(&key, &other) && contains(networks, AF_INET, &other));
}

/* The length of an IPv4 mask such as 255.255.255.0; false where its ones do not come first. */
static bool mask_bits(const char *text, unsigned *bits)
{
	struct in_addr mask;
	uint32_t zeros;

	if (inet_pton(AF_INET, text, &mask) != 1)
		return false;
	zeros = ~ntohl(mask.s_addr);
	*bits = zeros == 0 ? 32 : (unsigned)__builtin_clz(zeros);
	return (zeros & (zeros + 1)) == 0;
}

static bool count_bits(const char *text, int family, unsigned *bits)
{
	unsigned long number = strtoul(text, NULL, 10);

	if (*text == '\0' || text[strspn(text, "0123456789")] != '\0' || strlen(text) > 3)
		return family == AF_INET && mask_bits(text, bits);
	*bits = (unsigned)number;
	return number <= family_bits(family);
}

const char *network_parse(const char *text, struct addr *address, unsigned *bits)
{
	const char *slash = strchrnul(text, '/');
	char copy[INET6_ADDRSTRLEN];

	if ((size_t)(slash - text) >= sizeof(copy) || *text == '[')
		return "not an address or a network, as in 192.0.2.0/24 or 2001:db8::/32";
	memcpy(copy, text, (size_t)(slash - text));
	copy[slash - text] = '\0';
	if (!addr_parse(address, copy))
		return "not an address or a network, as in 192.0.2.0/24 or 2001:db8::/32";
	*bits = family_bits(addr_family(address));
	if (*slash != '\0' && !count_bits(slash + 1, addr_family(address), bits))
		return addr_family(address) == AF_INET
			       ? "its length is not 0 to 32, or a mask such as 255.255.255.0"
			       : "its length is not 0 to 128";
	return NULL;
}
