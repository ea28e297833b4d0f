/*
 * Reads one captured packet: a request for an address, a reply to one, or a packet that begins something.
 *
 * The sender chooses the bytes, and a packet may be cut off anywhere. So a header is read only after its whole
 * length was found to be there, and what is left gets shorter with every step.
 *
 * The trap: a frame may be longer than its packet, because links pad short ones. The packet's own length counts.
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
	NEIGHBOUR_HEADER = 24, /* up to the target address */
	HOPS_ON_LINK = 255     /* RFC 4861, section 7.1.1: it passed no router */
};

struct bytes {
	const unsigned char *at;
	size_t left;
};

/* One packet, and the list that it is added to. */
struct packet_reader {
	struct captured *list;
	size_t count;
	const char *link;
	bool outgoing;
	struct addr from, to;
};

static bool skip_bytes(struct bytes *bytes, size_t length)
{
	if (bytes->left < length)
		return false;
	bytes->at += length;
	bytes->left -= length;
	return true;
}

static unsigned read_u16(const unsigned char *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

/* Ports do not matter, nor do scopes: a packet has none. */
static bool same_ip(const struct addr *a, const struct addr *b)
{
	return addr_compare_ip(a, b) == 0;
}

/*
 * Counts only on the link where the first one was seen, because links may be stacked. The capture may end while a packet is
 * between two of them, so the first link does not take the name back from the last.
 */
static void count_on(
	unsigned *count, char first[IF_NAMESIZE], char last[IF_NAMESIZE], const char *link)
{
	if (first[0] == '\0')
		snprintf(first, IF_NAMESIZE, "%s", link);
	if (strcmp(first, link) == 0)
		++*count;
	if (last[0] == '\0' || strcmp(first, link) != 0)
		snprintf(last, IF_NAMESIZE, "%s", link);
}

static void count_request(const struct packet_reader *packet, const struct addr *ip)
{
	for (size_t i = 0; i < packet->count; i++) {
		struct captured *each = &packet->list[i];

		if (same_ip(&each->address, ip) && !addr_is_any(ip))
			count_on(&each->requests, each->request_first_link, each->request_link,
				packet->link);
	}
}

static void count_reply(const struct packet_reader *packet, const struct addr *ip)
{
	for (size_t i = 0; i < packet->count; i++)
		if (same_ip(&packet->list[i].address, ip) && !addr_is_any(ip))
			packet->list[i].replies++;
}

static bool matches_address(const struct captured *captured, int protocol, const struct addr *to)
{
	const struct addr *address = &captured->address;

	if (captured->protocol != protocol || addr_port(address) != addr_port(to))
		return false;
	return same_ip(address, to) ||
	       (addr_is_any(address) && addr_family(address) == addr_family(to));
}

static void count_packet(const struct packet_reader *packet, int protocol)
{
	for (size_t i = 0; i < packet->count; i++) {
		struct captured *each = &packet->list[i];

		if (!matches_address(each, protocol, &packet->to))
			continue;
		count_on(&each->packets, each->packet_first_link, each->packet_link, packet->link);
		each->from = packet->from;
	}
}

static void count_answer(const struct packet_reader *packet, int protocol)
{
	for (size_t i = 0; i < packet->count; i++)
		if (matches_address(&packet->list[i], protocol, &packet->from))
			packet->list[i].answers++;
}

/* A request for the sender's own address is an announcement (gratuitous ARP), and counts as a reply. */
static void read_arp(const struct packet_reader *packet, struct bytes bytes)
{
	unsigned operation;
	size_t hardware;
	struct addr sender, target;

	if (bytes.left < ARP_HEADER || read_u16(bytes.at + 2) != ETH_P_IP || bytes.at[5] != 4)
		return;
	operation = read_u16(bytes.at + 6);
	hardware = bytes.at[4];
	skip_bytes(&bytes, ARP_HEADER);
	if (bytes.left < 2 * (hardware + 4))
		return;
	sender = addr_from_bytes(AF_INET, bytes.at + hardware);
	target = addr_from_bytes(AF_INET, bytes.at + hardware + 4 + hardware);
	if (!packet->outgoing && operation == ARPOP_REQUEST && !same_ip(&sender, &target))
		count_request(packet, &target);
	if (packet->outgoing && (operation == ARPOP_REPLY || same_ip(&sender, &target)))
		count_reply(packet, &sender);
}

static void read_neighbour(const struct packet_reader *packet, struct bytes bytes)
{
	struct addr target;

	if (bytes.left < NEIGHBOUR_HEADER || bytes.at[1] != 0)
		return;
	target = addr_from_bytes(AF_INET6, bytes.at + 8);
	if (!packet->outgoing && bytes.at[0] == ND_NEIGHBOR_SOLICIT)
		count_request(packet, &target);
	if (packet->outgoing && bytes.at[0] == ND_NEIGHBOR_ADVERT)
		count_reply(packet, &target);
}

/* Whether it begins something, or, of this host's packets, answers that. */
static bool begins_flow(int protocol, const struct bytes *bytes, bool outgoing)
{
	int flags = outgoing ? TH_SYN | TH_ACK : TH_SYN;

	if (protocol == IPPROTO_UDP)
		return bytes->left >= UDP_HEADER;
	return protocol == IPPROTO_TCP && bytes->left >= TCP_UP_TO_FLAGS &&
	       (bytes->at[13] & (TH_SYN | TH_ACK | TH_RST | TH_FIN)) == flags;
}

static void read_transport(struct packet_reader *packet, int protocol, struct bytes bytes)
{
	if (!begins_flow(protocol, &bytes, packet->outgoing))
		return;
	addr_set_port(&packet->from, (uint16_t)read_u16(bytes.at));
	addr_set_port(&packet->to, (uint16_t)read_u16(bytes.at + 2));
	if (packet->outgoing)
		count_answer(packet, protocol);
	else
		count_packet(packet, protocol);
}

static void read_ipv4(struct packet_reader *packet, struct bytes bytes)
{
	const unsigned char *header = bytes.at;
	size_t size, whole;

	if (bytes.left < IPV4_HEADER || header[0] >> 4 != 4)
		return;
	size = (header[0] & 0xfU) * 4;
	whole = read_u16(header + 2);
	if (size < IPV4_HEADER || whole < size || (read_u16(header + 6) & 0x1fff) != 0)
		return; /* malformed, or a later fragment, which has no ports */
	if (whole < bytes.left)
		bytes.left = whole;
	packet->from = addr_from_bytes(AF_INET, header + 12);
	packet->to = addr_from_bytes(AF_INET, header + 16);
	if (skip_bytes(&bytes, size))
		read_transport(packet, header[9], bytes);
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

/* False: no transport header follows. Else *TYPE is its protocol. */
static bool skip_extensions(struct bytes *bytes, int *type)
{
	for (int i = 0; i < EXTENSIONS_MAX; i++) {
		const unsigned char *at = bytes->at;

		if (*type != IPPROTO_HOPOPTS && *type != IPPROTO_ROUTING &&
			*type != IPPROTO_DSTOPTS && *type != IPPROTO_FRAGMENT &&
			*type != IPPROTO_AH)
			return true;
		if (bytes->left < 8 || !skip_bytes(bytes, extension_size(*type, at)))
			return false;
		if (*type == IPPROTO_FRAGMENT && (read_u16(at + 2) & 0xfff8) != 0)
			return false; /* a later fragment */
		*type = at[0];
	}
	return false;
}

static void read_ipv6(struct packet_reader *packet, struct bytes bytes)
{
	const unsigned char *header = bytes.at;
	size_t payload;
	int type;

	if (bytes.left < IPV6_HEADER || header[0] >> 4 != 6)
		return;
	type = header[6];
	payload = read_u16(header + 4);
	packet->from = addr_from_bytes(AF_INET6, header + 8);
	packet->to = addr_from_bytes(AF_INET6, header + 24);
	skip_bytes(&bytes, IPV6_HEADER);
	/* A jumbogram (RFC 2675) has length 0 here, and its real length in an option: all of the frame counts. */
	if (payload < bytes.left && (payload != 0 || type != IPPROTO_HOPOPTS))
		bytes.left = payload;
	if (!skip_extensions(&bytes, &type))
		return;
	if (type != IPPROTO_ICMPV6)
		read_transport(packet, type, bytes);
	else if (header[7] == HOPS_ON_LINK)
		read_neighbour(packet, bytes);
}

void capture_frame(struct captured *list, size_t count, unsigned protocol,
	const unsigned char *frame, size_t length, const char *link, bool outgoing)
{
	struct packet_reader packet = {
		.list = list, .count = count, .link = link, .outgoing = outgoing};
	struct bytes bytes = {frame, length};

	for (int i = 0; i < TAGS_MAX && (protocol == ETH_P_8021Q || protocol == ETH_P_8021AD);
		i++) {
		if (!skip_bytes(&bytes, TAG_SIZE))
			return;
		protocol = read_u16(bytes.at - 2);
	}
	if (protocol == ETH_P_ARP)
		read_arp(&packet, bytes);
	else if (protocol == ETH_P_IP)
		read_ipv4(&packet, bytes);
	else if (protocol == ETH_P_IPV6)
		read_ipv6(&packet, bytes);
}
