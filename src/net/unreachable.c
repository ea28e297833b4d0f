/*
 * The report quotes the datagram's headers as far as they are known: addresses and ports. These are what the client's
 * kernel finds its socket by.
 *
 * A raw socket is opened for each report. It takes in every ICMP message of the host while it is open, so none is kept.
 *
 * The trap: of IPv6 the kernel computes the checksum, of IPv4 it does not.
 */
#include "tproxy/unreachable.h"

#include "datagram_message.h"
#include "tproxy/socket.h"

#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <string.h>
#include <unistd.h>

enum {
	QUOTED_TTL = 64 /* what it was is not known */
};

struct report4 {
	struct icmphdr icmp;
	struct iphdr ip;
	struct udphdr udp;
};

struct report6 {
	struct icmp6_hdr icmp;
	struct ip6_hdr ip;
	struct udphdr udp;
};

static const struct {
	uint8_t of_icmp, of_icmpv6;
} codes[] = {
	[UNREACHABLE_NETWORK] = {ICMP_NET_UNREACH, ICMP6_DST_UNREACH_NOROUTE},
	[UNREACHABLE_HOST] = {ICMP_HOST_UNREACH, ICMP6_DST_UNREACH_ADDR},
	[UNREACHABLE_PORT] = {ICMP_PORT_UNREACH, ICMP6_DST_UNREACH_NOPORT},
};

/* RFC 1071; LENGTH is even. */
static uint16_t checksum(const void *data, size_t length)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < length; i += 2) {
		uint16_t word;

		memcpy(&word, (const char *)data + i, sizeof(word));
		sum += word;
	}
	sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t) ~(sum + (sum >> 16));
}

static struct udphdr quoted_ports(const struct addr *client, const struct addr *destination)
{
	return (struct udphdr){.source = htons(addr_port(client)),
		.dest = htons(addr_port(destination)),
		.len = htons(sizeof(struct udphdr))};
}

static size_t write_report4(struct report4 *report, enum unreachable what,
	const struct addr *client, const struct addr *destination)
{
	*report = (struct report4){
		.icmp = {.type = ICMP_DEST_UNREACH, .code = codes[what].of_icmp},
		.ip = {.version = 4,
			.ihl = sizeof(report->ip) / 4,
			.tot_len = htons(sizeof(report->ip) + sizeof(report->udp)),
			.ttl = QUOTED_TTL,
			.protocol = IPPROTO_UDP,
			.saddr = client->in4.sin_addr.s_addr,
			.daddr = destination->in4.sin_addr.s_addr},
		.udp = quoted_ports(client, destination),
	};
	report->ip.check = checksum(&report->ip, sizeof(report->ip));
	report->icmp.checksum = checksum(report, sizeof(*report));
	return sizeof(*report);
}

static size_t write_report6(struct report6 *report, enum unreachable what,
	const struct addr *client, const struct addr *destination)
{
	*report = (struct report6){
		.icmp = {.icmp6_type = ICMP6_DST_UNREACH, .icmp6_code = codes[what].of_icmpv6},
		.ip = {.ip6_src = client->in6.sin6_addr, .ip6_dst = destination->in6.sin6_addr},
		.udp = quoted_ports(client, destination),
	};
	report->ip.ip6_vfc = 6 << 4;
	report->ip.ip6_plen = htons(sizeof(report->udp));
	report->ip.ip6_nxt = IPPROTO_UDP;
	report->ip.ip6_hlim = QUOTED_TTL;
	return sizeof(*report);
}

static int send_report(int fd, const void *report, size_t length, const struct addr *client,
	const struct addr *destination)
{
	union datagram_control control;
	struct addr to = *client;
	struct iovec part = {(void *)report, length};
	struct msghdr message = {.msg_name = &to.sa,
		.msg_namelen = addr_length(&to),
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};

	addr_set_port(&to, 0); /* of a raw socket, it would be the protocol's number */
	datagram_write_source(&message, addr_family(client), destination);
	return sendmsg(fd, &message, MSG_DONTWAIT) == -1 ? -1 : 0;
}

int unreachable_report(
	enum unreachable what, const struct addr *client, const struct addr *destination)
{
	int family = addr_family(client), least = 0, sent = -1, error;
	int fd = socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
		family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	union {
		struct report4 of_ipv4;
		struct report6 of_ipv6;
	} report;
	size_t length;

	if (fd == -1)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &least, sizeof(least));
	length = family == AF_INET ? write_report4(&report.of_ipv4, what, client, destination)
				   : write_report6(&report.of_ipv6, what, client, destination);
	if (socket_set_transparent(fd, family) == 0)
		sent = send_report(fd, &report, length, client, destination);
	error = errno;
	close(fd);
	errno = error;
	return sent;
}
