/*
 * Watching the links by one packet socket; see the header.
 *
 * It is opened for no protocol, and is bound to all of them only when its filter is there, so that
 * nothing is queued that was not filtered. The kernel leaves out segments of TCP without SYN, which are
 * most of what a busy host sees; all else is judged by capture_frame().
 *
 * The trap: what goes out on the loopback link is seen twice, going out and coming in, and what a link
 * hands over that is for another host (a bridge's port, or another program made it promiscuous) never
 * reaches this one. The packet's type tells them apart.
 */
#include "capture.h"
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
#include <time.h>
#include <unistd.h>

enum {
	QUEUE_SIZE = 4 << 20, /* bytes of packets that wait for us; what is over is lost */
	FRAME_MAX = 512,      /* as much as is looked at of one */
	ASKED_ENOUGH = 3,     /* as often as Linux asks (mcast_solicit), once a second */
	ANSWER_MS = 1000,     /* proxy_arp answers after up to 0.8 seconds (proxy_delay) */
	PASSAGE_MS = 20       /* from a bridge's port to the bridge, whose name is wanted */
};

/* When to end: at the latest, and GRACE after what has been seen was enough. */
struct patience {
	long long end;
	int grace; /* 0: it is not enough yet */
	long long grace_began;
};

static long long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* Offsets are from the network header on; numbers at the end of a jump are how many to leave out. */
static int leave_out_later_segments(int fd)
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
	/* More than the host's limit takes CAP_NET_ADMIN; where it is not there, less has to do. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) == -1)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (leave_out_later_segments(fd) == 0 &&
		bind(fd, (struct sockaddr *)&all, sizeof(all)) == 0)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

static bool all_came(const struct captured *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (list[i].packets == 0)
			return false;
	return true;
}

static bool any_in_vain(const struct captured *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (list[i].requests >= ASKED_ENOUGH && list[i].replies == 0 &&
			list[i].packets == 0)
			return true;
	return false;
}

static int grace_of(const struct captured *list, size_t count)
{
	if (all_came(list, count))
		return PASSAGE_MS;
	return any_in_vain(list, count) ? ANSWER_MS : 0;
}

/* How many milliseconds to go on for; 0: it is over. */
static int left_ms(struct patience *patience, const struct captured *list, size_t count)
{
	long long now = now_ms(), end = patience->end;
	int grace = grace_of(list, count);

	if (patience->grace != grace) {
		patience->grace = grace;
		patience->grace_began = now;
	}
	if (grace != 0 && patience->grace_began + grace < end)
		end = patience->grace_began + grace;
	if (end <= now)
		return 0;
	return end - now < INT_MAX ? (int)(end - now) : INT_MAX;
}

static bool is_of_this_host(const struct sockaddr_ll *from)
{
	return from->sll_pkttype == PACKET_HOST || from->sll_pkttype == PACKET_BROADCAST ||
	       from->sll_pkttype == PACKET_MULTICAST || from->sll_pkttype == PACKET_OUTGOING;
}

/* -1 with errno where no more will come. */
static int take_next(int fd, struct captured *list, size_t count)
{
	unsigned char frame[FRAME_MAX];
	struct sockaddr_ll from = {0};
	socklen_t size = sizeof(from);
	char link[IF_NAMESIZE];
	ssize_t length = recvfrom(fd, frame, sizeof(frame), 0, (struct sockaddr *)&from, &size);

	if (length == -1) /* a link that went down is no reason to end: there are others */
		return errno == EAGAIN || errno == EINTR || errno == ENETDOWN ? 0 : -1;
	if (!is_of_this_host(&from))
		return 0;
	if (if_indextoname((unsigned)from.sll_ifindex, link) == NULL)
		strcpy(link, "?"); /* it is gone meanwhile */
	capture_frame(list, count, ntohs(from.sll_protocol), frame, (size_t)length, link,
		from.sll_pkttype == PACKET_OUTGOING);
	return 0;
}

static int take_all(int fd, struct captured *list, size_t count, struct patience *patience)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};

	for (int left; (left = left_ms(patience, list, count)) > 0;) {
		int events = poll(&ready, 1, left);

		if (events == -1 && errno != EINTR)
			return -1;
		if (events > 0 && take_next(fd, list, count) == -1)
			return -1;
	}
	return 0;
}

bool capture_run(struct captured *list, size_t count, unsigned milliseconds, char **problem)
{
	struct patience patience = {.end = now_ms() + milliseconds};
	int fd = open_packets();
	int result = fd == -1 ? -1 : take_all(fd, list, count, &patience);

	if (result == -1)
		*problem = text_format("cannot capture packets%s: %s",
			errno == EPERM ? " without CAP_NET_RAW" : "", strerror(errno));
	if (fd != -1)
		close(fd);
	return result == 0;
}
