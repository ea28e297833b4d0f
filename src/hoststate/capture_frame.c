/*
 * One packet for the watch: whether it asks for an address, answers, or begins something there.
 *
 * Whoever sends a packet chooses its bytes, and it may be cut off anywhere. So a header is looked at
 * only after its whole length was found to be there, and what is left gets shorter with every step. The
 * trap: a frame may be longer than the packet, where a link pads short ones; the packet's own length
 * counts.
 */
#include "capture.h"

#include <linux/if_ether.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

enum {
	TAGS_MAX = 2,
	EXTENSIONS_MAX = 8,
	TAG_SIZE = 4,
	ARP_HEADER = 8,
	IPV4_HEADER = 20,
	IPV6_HEADER = 40,
	TCP_UP_TO_FLAGS = 14,
	UDP_HEADER = 8,
	NEIGHBOUR_HEADER = 24, /* up to the address asked for */
	HOPS_ON_LINK = 255     /* RFC 4861, section 7.1.1: it passed no router */
};

struct bytes {
	const unsigned char *at;
	size_t left;
};

/* A packet on its way to the list. */
struct sight {
	struct captured *list;
	size_t count;
	const char *link;
	bool outgoing;
	struct addr from, to;
};

static bool skip(struct bytes *bytes, size_t length)
{
	if (bytes->left < length)
		return false;
	bytes->at += length;
	bytes->left -= length;
	return true;
}

static unsigned number(const unsigned char *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

/* Without ports and scopes: packets know no scope. */
static bool same_ip(const struct addr *a, const struct addr *b)
{
	return addr_compare_ip(a, b) == 0;
}

/* Counts on the link where it was seen first, since links lie on top of each other. */
static void count_on(
	unsigned *count, char first[IF_NAMESIZE], char last[IF_NAMESIZE], const char *link)
{
	if (first[0] == '\0')
		snprintf(first, IF_NAMESIZE, "%s", link);
	if (strcmp(first, link) == 0)
		++*count;
	snprintf(last, IF_NAMESIZE, "%s", link);
}

static void asked_for(const struct sight *sight, const struct addr *ip)
{
	for (size_t i = 0; i < sight->count; i++) {
		struct captured *each = &sight->list[i];

		if (same_ip(&each->address, ip) && !addr_is_any(ip))
			count_on(&each->requests, each->request_first_link, each->request_link,
				sight->link);
	}
}

static void answered_for(const struct sight *sight, const struct addr *ip)
{
	for (size_t i = 0; i < sight->count; i++)
		if (same_ip(&sight->list[i].address, ip) && !addr_is_any(ip))
			sight->list[i].replies++;
}

static bool is_for(const struct captured *captured, int protocol, const struct addr *to)
{
	const struct addr *address = &captured->address;

	if (captured->protocol != protocol || addr_port(address) != addr_port(to))
		return false;
	return same_ip(address, to) ||
	       (addr_is_any(address) && addr_family(address) == addr_family(to));
}

static void came(const struct sight *sight, int protocol)
{
	for (size_t i = 0; i < sight->count; i++) {
		struct captured *each = &sight->list[i];

		if (!is_for(each, protocol, &sight->to))
			continue;
		count_on(&each->packets, each->packet_first_link, each->packet_link, sight->link);
		each->from = sight->from;
	}
}

/* A sender that asks for its own address tells everybody that it has it. */
static void take_arp(const struct sight *sight, struct bytes bytes)
{
	unsigned operation;
	size_t hardware;
	struct addr sender, target;

	if (bytes.left < ARP_HEADER || number(bytes.at + 2) != ETH_P_IP || bytes.at[5] != 4)
		return;
	operation = number(bytes.at + 6);
	hardware = bytes.at[4];
	skip(&bytes, ARP_HEADER);
	if (bytes.left < 2 * (hardware + 4))
		return;
	sender = addr_from_bytes(AF_INET, bytes.at + hardware);
	target = addr_from_bytes(AF_INET, bytes.at + hardware + 4 + hardware);
	if (!sight->outgoing && operation == ARPOP_REQUEST && !same_ip(&sender, &target))
		asked_for(sight, &target);
	if (sight->outgoing && (operation == ARPOP_REPLY || same_ip(&sender, &target)))
		answered_for(sight, &sender);
}

static void take_neighbour(const struct sight *sight, struct bytes bytes)
{
	struct addr target;

	if (bytes.left < NEIGHBOUR_HEADER || bytes.at[1] != 0)
		return;
	target = addr_from_bytes(AF_INET6, bytes.at + 8);
	if (!sight->outgoing && bytes.at[0] == ND_NEIGHBOR_SOLICIT)
		asked_for(sight, &target);
	if (sight->outgoing && bytes.at[0] == ND_NEIGHBOR_ADVERT)
		answered_for(sight, &target);
}

static bool begins(int protocol, const struct bytes *bytes)
{
	if (protocol == IPPROTO_UDP)
		return bytes->left >= UDP_HEADER;
	return protocol == IPPROTO_TCP && bytes->left >= TCP_UP_TO_FLAGS &&
	       (bytes->at[13] & (TH_SYN | TH_ACK | TH_RST | TH_FIN)) == TH_SYN;
}

static void take_transport(struct sight *sight, int protocol, struct bytes bytes)
{
	if (sight->outgoing || !begins(protocol, &bytes))
		return;
	addr_set_port(&sight->from, (uint16_t)number(bytes.at));
	addr_set_port(&sight->to, (uint16_t)number(bytes.at + 2));
	came(sight, protocol);
}

static void take_ipv4(struct sight *sight, struct bytes bytes)
{
	const unsigned char *header = bytes.at;
	size_t size, whole;

	if (bytes.left < IPV4_HEADER || header[0] >> 4 != 4)
		return;
	size = (header[0] & 0xfU) * 4;
	whole = number(header + 2);
	if (size < IPV4_HEADER || whole < size || (number(header + 6) & 0x1fff) != 0)
		return; /* or a later fragment, which has no ports */
	if (whole < bytes.left)
		bytes.left = whole;
	sight->from = addr_from_bytes(AF_INET, header + 12);
	sight->to = addr_from_bytes(AF_INET, header + 16);
	if (skip(&bytes, size))
		take_transport(sight, header[9], bytes);
}

static size_t extension_size(int type, const unsigned char *at)
{
	switch (type) {
	case IPPROTO_FRAGMENT:
		return 8;
	case IPPROTO_AH:
		return (at[1] + 2U) * 4;
	default:
		return (at[1] + 1U) * 8;
	}
}

/* Whether a transport header is next; *TYPE is its number then. */
static bool skip_extensions(struct bytes *bytes, int *type)
{
	for (int i = 0; i < EXTENSIONS_MAX; i++) {
		const unsigned char *at = bytes->at;

		if (*type != IPPROTO_HOPOPTS && *type != IPPROTO_ROUTING &&
			*type != IPPROTO_DSTOPTS && *type != IPPROTO_FRAGMENT &&
			*type != IPPROTO_AH)
			return true;
		if (bytes->left < 8 || !skip(bytes, extension_size(*type, at)))
			return false;
		if (*type == IPPROTO_FRAGMENT && (number(at + 2) & 0xfff8) != 0)
			return false; /* a later one */
		*type = at[0];
	}
	return false;
}

static void take_ipv6(struct sight *sight, struct bytes bytes)
{
	const unsigned char *header = bytes.at;
	size_t payload;
	int type;

	if (bytes.left < IPV6_HEADER || header[0] >> 4 != 6)
		return;
	type = header[6];
	payload = number(header + 4);
	sight->from = addr_from_bytes(AF_INET6, header + 8);
	sight->to = addr_from_bytes(AF_INET6, header + 24);
	skip(&bytes, IPV6_HEADER);
	/* A jumbogram (RFC 2675) says 0, and its length in a hop-by-hop option: it takes all of the frame. */
	if (payload < bytes.left && (payload != 0 || type != IPPROTO_HOPOPTS))
		bytes.left = payload;
	if (!skip_extensions(&bytes, &type))
		return;
	if (type != IPPROTO_ICMPV6)
		take_transport(sight, type, bytes);
	else if (header[7] == HOPS_ON_LINK)
		take_neighbour(sight, bytes);
}

void capture_frame(struct captured *list, size_t count, unsigned protocol,
	const unsigned char *frame, size_t length, const char *link, bool outgoing)
{
	struct sight sight = {.list = list, .count = count, .link = link, .outgoing = outgoing};
	struct bytes bytes = {frame, length};

	for (int i = 0; i < TAGS_MAX && (protocol == ETH_P_8021Q || protocol == ETH_P_8021AD);
		i++) {
		if (!skip(&bytes, TAG_SIZE))
			return;
		protocol = number(bytes.at - 2);
	}
	if (protocol == ETH_P_ARP)
		take_arp(&sight, bytes);
	else if (protocol == ETH_P_IP)
		take_ipv4(&sight, bytes);
	else if (protocol == ETH_P_IPV6)
		take_ipv6(&sight, bytes);
}
