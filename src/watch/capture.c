/*
 * Captures packets on all links with one packet socket.
 *
 * The socket is opened for no protocol. It is bound to all of them only after its filter is set, so no unfiltered
 * packet is queued. The kernel drops TCP segments without SYN, which are most of the traffic of a busy host;
 * capture_frame() judges all others.
 *
 * When it ends, capture_time.h says. What is queued by then still counts: on a busy machine this process may get to read
 * an answer long after it was sent.
 *
 * The trap: the loopback link shows an outgoing packet twice, going out and coming in; and a link may show packets
 * for other hosts (a port of a bridge, or a promiscuous link), which never reach this one. The type of the packet
 * tells which is which.
 */
#include "capture.h"
#include "capture_time.h"
#include "tproxy/clock.h"
#include "tproxy/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum {
	QUEUE_SIZE = 4 << 20, /* bytes of packets in the queue; more are lost */
	FRAME_MAX = 512,      /* bytes of a packet that are read */
	LATE_MAX = 65536      /* packets that are read behind the end */
};

/* Offsets count from the network header. The last numbers of a jump say how many steps to skip. */
static int filter_later_segments(int fd)
{
	static const struct sock_filter steps[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (__u32)(SKF_AD_OFF + SKF_AD_PROTOCOL)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 4),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 0, 8),
		BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
		BPF_JUMP(BPF_JMP | BPF_JA, 4, 0, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IPV6, 0, 5),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 6),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 0, 3),
		BPF_STMT(BPF_LDX | BPF_IMM, 40),
		BPF_STMT(BPF_LD | BPF_B | BPF_IND, 13),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, TH_SYN, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, FRAME_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog filter = {sizeof(steps) / sizeof(steps[0]), (struct sock_filter *)steps};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter));
}

static int open_packets(void)
{
	struct sockaddr_ll all = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int size = QUEUE_SIZE, error;

	if (fd == -1)
		return -1;
	/* More than the host's limit takes CAP_NET_ADMIN; without it, the limit is used. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) == -1)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (filter_later_segments(fd) == 0 && bind(fd, (struct sockaddr *)&all, sizeof(all)) == 0)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

static bool is_of_this_host(const struct sockaddr_ll *from)
{
	return from->sll_pkttype == PACKET_HOST || from->sll_pkttype == PACKET_BROADCAST ||
	       from->sll_pkttype == PACKET_MULTICAST || from->sll_pkttype == PACKET_OUTGOING;
}

/* -1 with errno where no more will come. */
static int read_packet(int fd, struct captured *list, size_t count)
{
	unsigned char frame[FRAME_MAX];
	struct sockaddr_ll from = {0};
	socklen_t size = sizeof(from);
	char link[IF_NAMESIZE];
	ssize_t length = recvfrom(fd, frame, sizeof(frame), 0, (struct sockaddr *)&from, &size);

	if (length == -1) /* a link that goes down does not end the capture of the others */
		return errno == EAGAIN || errno == EINTR || errno == ENETDOWN ? 0 : -1;
	if (!is_of_this_host(&from))
		return 0;
	if (if_indextoname((unsigned)from.sll_ifindex, link) == NULL)
		strcpy(link, "?"); /* the link was removed meanwhile */
	capture_frame(list, count, ntohs(from.sll_protocol), frame, (size_t)length, link,
		from.sll_pkttype == PACKET_OUTGOING);
	return 0;
}

static int read_packets(
	int fd, struct captured *list, size_t count, struct capture_time *time, struct drops *drops)
{
	struct pollfd ready[] = {
		{.fd = fd, .events = POLLIN}, {.fd = drops_descriptor(drops), .events = POLLIN}};

	for (unsigned late = 0; late < LATE_MAX;) {
		int left = capture_left(time, list, count, clock_ms());
		int events = poll(ready, 2, left);

		if (events == -1 && errno != EINTR)
			return -1;
		if (events > 0 && ready[1].revents != 0)
			drops_read(drops);
		if (events > 0 && ready[0].revents != 0 && read_packet(fd, list, count) == -1)
			return -1;
		if (left == 0 && events == 0)
			return 0;
		late += left == 0;
	}
	return 0;
}

/* Packets that the queue had no room for; -1 with errno: unknown. */
static int count_lost(int fd)
{
	struct tpacket_stats stats;
	socklen_t size = sizeof(stats);

	if (getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size) == -1)
		return -1;
	return stats.tp_drops < INT_MAX ? (int)stats.tp_drops : INT_MAX;
}

int capture_run(struct captured *list, size_t count, unsigned milliseconds, struct drops *drops,
	char **problem)
{
	struct capture_time time = {.end = clock_ms() + milliseconds};
	int fd = open_packets();
	int result = fd == -1 ? -1 : read_packets(fd, list, count, &time, drops);

	if (result == 0)
		result = count_lost(fd);
	if (result == -1)
		*problem = text_format("cannot capture packets: %s%s", strerror(errno),
			errno == EPERM ? "; run as root (CAP_NET_RAW)" : "");
	if (fd != -1)
		close(fd);
	return result;
}
