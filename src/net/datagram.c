/*
 * Datagram sockets, and the control message with a datagram's original destination.
 *
 * TPROXY does not change the packet, but the socket that receives it is bound to another address. So the kernel reads
 * the destination from the packet and passes it beside the data. SO_REUSEADDR lets another socket send the reply from
 * an address that a listener is bound to.
 *
 * The trap: the address in a control message has the length of its family, not that of a struct addr. So it is copied
 * with that length into a zeroed one first.
 */
#include "tproxy/datagram.h"

#include "datagram_message.h"
#include "tproxy/socket.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <string.h>
#include <unistd.h>

enum {
	DISCARDED_MAX = 8
};

int datagram_open(int family)
{
	int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);
	int on = 1;

	if (fd != -1)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	return fd;
}

int datagram_report_destination(int fd, int family)
{
	int on = 1;

	/* A socket of IPv6 that takes IPv4, too, has the destination of that in a message of IPv4. */
	if (family == AF_INET6 &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVORIGDSTADDR, &on, sizeof(on)) == -1)
		return -1;
	return setsockopt(fd, IPPROTO_IP, IP_RECVORIGDSTADDR, &on, sizeof(on));
}

int datagram_report_interface(int fd, int family)
{
	int on = 1;

	/* A socket of IPv6 that takes IPv4, too, has the interface of that in a message of IPv6. */
	if (family == AF_INET6)
		return setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
	return setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
}

int datagram_report_errors(int fd, int family)
{
	int on = 1;

	/* One of IPv6 may have peers of IPv4, too. */
	if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof(on)) == -1)
		return -1;
	return setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
}

/* The kernel takes back a port that it has chosen itself (udp_disconnect()), so it is bound anew. */
int datagram_disconnect(int fd)
{
	static const struct sockaddr no_peer = {.sa_family = AF_UNSPEC};
	struct addr local;

	if (!socket_local_address(fd, &local) || connect(fd, &no_peer, sizeof(no_peer)) == -1)
		return -1;
	return bind(fd, &local.sa, addr_length(&local));
}

void datagram_discard(int fd)
{
	char nothing;

	for (int i = 0; i < DISCARDED_MAX; i++)
		if (recv(fd, &nothing, 0, MSG_DONTWAIT | MSG_TRUNC) == -1)
			return;
}

void datagram_discard_errors(int fd)
{
	struct msghdr nothing = {0};

	for (int i = 0; i < DISCARDED_MAX; i++)
		if (recvmsg(fd, &nothing, MSG_ERRQUEUE | MSG_DONTWAIT) == -1)
			return;
}

static bool is_error(const struct cmsghdr *part)
{
	return (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_RECVERR) ||
	       (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_RECVERR);
}

int datagram_take_error(int fd, struct addr *peer, struct addr *local)
{
	union {
		char room[256];
		struct cmsghdr aligned;
	} control;
	struct sockaddr_storage to = {0};
	struct msghdr message = {.msg_name = &to,
		.msg_namelen = sizeof(to),
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	struct sock_extended_err error = {0};

	if (recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) == -1 ||
		!addr_from_sockaddr(peer, (struct sockaddr *)&to))
		return 0;
	*local = addr_any(AF_UNSPEC);
	datagram_read_destination(&message, local);
	for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part != NULL;
		part = CMSG_NXTHDR(&message, part))
		if (is_error(part))
			memcpy(&error, CMSG_DATA(part), sizeof(error));
	return (int)error.ee_errno;
}

static bool is_destination(const struct cmsghdr *part)
{
	return (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_ORIGDSTADDR) ||
	       (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_ORIGDSTADDR);
}

void datagram_read_destination(struct msghdr *message, struct addr *destination)
{
	struct addr original;

	for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL;
		part = CMSG_NXTHDR(message, part)) {
		size_t length = part->cmsg_len - CMSG_LEN(0);

		if (!is_destination(part) || length > sizeof(original))
			continue;
		memset(&original, 0, sizeof(original));
		memcpy(&original, CMSG_DATA(part), length);
		addr_from_sockaddr(destination, &original.sa);
	}
}

unsigned datagram_read_interface(struct msghdr *message)
{
	for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL;
		part = CMSG_NXTHDR(message, part)) {
		struct in_pktinfo info;
		struct in6_pktinfo info6;

		if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_PKTINFO) {
			memcpy(&info, CMSG_DATA(part), sizeof(info));
			return (unsigned)info.ipi_ifindex;
		}
		if (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_PKTINFO) {
			memcpy(&info6, CMSG_DATA(part), sizeof(info6));
			return info6.ipi6_ifindex;
		}
	}
	return 0;
}

ssize_t datagram_receive(
	int fd, void *data, size_t size, struct addr *from, struct addr *destination)
{
	union datagram_control control;
	struct sockaddr_storage source = {0};
	struct iovec part = {data, size};
	struct msghdr message = {.msg_name = &source,
		.msg_namelen = sizeof(source),
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	ssize_t length = recvmsg(fd, &message, 0);

	*destination = addr_any(AF_UNSPEC);
	if (length == -1)
		return -1;
	if (!addr_from_sockaddr(from, (struct sockaddr *)&source)) {
		errno = EPROTO;
		return -1;
	}
	datagram_read_destination(&message, destination);
	return length;
}

void datagram_write_source(struct msghdr *message, int family, const struct addr *from)
{
	struct cmsghdr *part = CMSG_FIRSTHDR(message);

	/* So that equal addresses are equal bytes. */
	memset(part, 0, CMSG_SPACE(sizeof(struct in6_pktinfo)));
	if (family == AF_INET) {
		struct in_pktinfo info = {.ipi_spec_dst = from->in4.sin_addr};

		part->cmsg_level = IPPROTO_IP;
		part->cmsg_type = IP_PKTINFO;
		part->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(part), &info, sizeof(info));
	} else {
		struct in6_pktinfo info = {.ipi6_addr = from->in6.sin6_addr};

		if (addr_family(from) == AF_INET) {
			info.ipi6_addr = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff}};
			memcpy(&info.ipi6_addr.s6_addr[12], &from->in4.sin_addr, 4);
		}
		part->cmsg_level = IPPROTO_IPV6;
		part->cmsg_type = IPV6_PKTINFO;
		part->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(part), &info, sizeof(info));
	}
	message->msg_controllen = CMSG_SPACE(part->cmsg_len - CMSG_LEN(0));
}
