/*
 * Reads the host's sockets from the kernel with sock_diag(7), one request for each family and protocol.
 *
 * The trap: the kernel uses fields twice. For a listener, "unacked" is the length of its accept queue, and
 * idiag_retrans also counts keep-alives and window probes. So counters are read only in states where their
 * meaning is clear.
 */
#include "sockets.h"
#include "netlink.h"
#include "tproxy/array.h"
#include "tproxy/text.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

enum {
	ATTEMPTS = 10,
	RETRANSMISSION = 1,   /* idiag_timer: the retransmission timer runs */
	REQUEST_RECEIVED = 12 /* TCP_NEW_SYN_RECV; no header of user space has it */
};

/* All states of TCP but closed. For UDP, closed means "not connected". */
static const uint32_t tcp_states =
	((1U << (REQUEST_RECEIVED + 1)) - 1) & ~(1U << 0) & ~(1U << TCP_CLOSE);
static const uint32_t udp_states = 1U << TCP_ESTABLISHED | 1U << TCP_CLOSE;

struct dump {
	struct host_sockets *sockets;
	int protocol;
};

static struct addr address_of(int family, const __be32 *ip, __be16 port, unsigned link)
{
	struct addr addr = addr_from_bytes(family, ip);

	if (family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&addr.in6.sin6_addr))
		addr.in6.sin6_scope_id = link;
	addr_set_port(&addr, ntohs(port));
	addr_unmap(&addr);
	return addr;
}

static enum host_socket_state state_of(int protocol, int state)
{
	if (state == TCP_ESTABLISHED)
		return SOCKET_STATE_CONNECTED;
	if (protocol == IPPROTO_UDP || state == TCP_LISTEN)
		return SOCKET_STATE_LISTENING;
	return state == TCP_SYN_SENT ? SOCKET_STATE_CONNECTING : SOCKET_STATE_OTHER;
}

static void read_identity(struct host_socket *made, const struct inet_diag_msg *message)
{
	const struct inet_diag_sockid *id = &message->id;
	int family = message->idiag_family;

	made->state = state_of(made->protocol, message->idiag_state);
	made->local = address_of(family, id->idiag_src, id->idiag_sport, id->idiag_if);
	made->remote = address_of(family, id->idiag_dst, id->idiag_dport, id->idiag_if);
	/* For a mapped local address, the kernel reports the wildcard of IPv6 as the remote one. */
	if (addr_family(&made->local) != addr_family(&made->remote) && addr_is_any(&made->remote))
		made->remote = addr_any(addr_family(&made->local));
	made->uid = message->idiag_uid;
	made->inode = message->idiag_inode;
	made->cookie = (unsigned long long)id->idiag_cookie[1] << 32 | id->idiag_cookie[0];
	if (message->idiag_timer == RETRANSMISSION)
		made->retransmits = message->idiag_retrans;
}

static void read_options(struct host_socket *made, const struct nlattr *attribute)
{
	struct inet_diag_sockopt options;

	if (mnl_attr_get_payload_len(attribute) < sizeof(options))
		return;
	memcpy(&options, mnl_attr_get_payload(attribute), sizeof(options));
	made->options_known = true;
	made->transparent = options.transparent;
	made->freebind = options.freebind;
	made->bind_no_port = options.bind_address_no_port;
}

/* Newer kernels add fields at the end of struct tcp_info; an older one sends fewer than are known here. */
static void read_counters(struct host_socket *made, const struct nlattr *attribute)
{
	struct tcp_info info = {0};
	size_t length = mnl_attr_get_payload_len(attribute);

	if (made->protocol != IPPROTO_TCP || made->state == SOCKET_STATE_LISTENING)
		return;
	memcpy(&info, mnl_attr_get_payload(attribute),
		length < sizeof(info) ? length : sizeof(info));
	made->retransmits = info.tcpi_retransmits;
	made->unacked = info.tcpi_unacked;
	made->mss = info.tcpi_snd_mss;
}

static int read_attribute(const struct nlattr *attribute, void *context)
{
	struct host_socket *made = context;

	switch (mnl_attr_get_type(attribute)) {
	case INET_DIAG_SOCKOPT:
		read_options(made, attribute);
		break;
	case INET_DIAG_INFO:
		read_counters(made, attribute);
		break;
	case INET_DIAG_SKV6ONLY:
		if (mnl_attr_get_payload_len(attribute) >= sizeof(uint8_t))
			made->v6only = mnl_attr_get_u8(attribute) != 0;
		break;
	default:
		break;
	}
	return MNL_CB_OK;
}

static int read_socket(const struct nlmsghdr *message, void *context)
{
	const struct dump *dump = context;
	const struct inet_diag_msg *reported = mnl_nlmsg_get_payload(message);
	struct host_sockets *sockets = dump->sockets;
	struct host_socket *made;

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*reported))
		return netlink_refuse(EPROTO);
	sockets->list = array_room(sockets->list, sockets->count, sizeof(*sockets->list));
	made = &sockets->list[sockets->count++];
	made->protocol = dump->protocol;
	read_identity(made, reported);
	return netlink_attributes(message, sizeof(*reported), read_attribute, made);
}

int sockets_parse(struct host_sockets *sockets, int protocol, unsigned port, const void *answer,
	size_t length)
{
	return netlink_parse(answer, length, port, read_socket, &(struct dump){sockets, protocol});
}

/* Reads the sockets once. -1 with errno: EINTR where they changed too much during the answer. */
static int request_sockets(struct host_sockets *sockets, int family, int protocol)
{
	struct dump dump = {sockets, protocol};
	char room[256] = {0};
	struct nlmsghdr *message = mnl_nlmsg_put_header(room);
	struct inet_diag_req_v2 *question;

	message->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	question = mnl_nlmsg_put_extra_header(message, sizeof(*question));
	question->sdiag_family = (__u8)family;
	question->sdiag_protocol = (__u8)protocol;
	question->idiag_ext = 1U << (INET_DIAG_INFO - 1);
	question->idiag_states = protocol == IPPROTO_TCP ? tcp_states : udp_states;
	return netlink_request(NETLINK_SOCK_DIAG, message, read_socket, &dump);
}

static int request_until_whole(struct host_sockets *sockets, int family, int protocol)
{
	size_t before = sockets->count;

	for (int i = 0; i < ATTEMPTS; i++) {
		if (request_sockets(sockets, family, protocol) == 0)
			return 0;
		sockets->count = before;
		if (errno != EINTR)
			break;
	}
	return -1;
}

/* ENOENT: the kernel has no sock_diag module for such sockets. UDP may be missing; TCP may not. */
static bool read_family(struct host_sockets *sockets, int family, int protocol, char **problem)
{
	if (request_until_whole(sockets, family, protocol) == 0)
		return true;
	if (errno == ENOENT && family == AF_INET6)
		return true; /* a kernel without IPv6; IPv4 was read before */
	if (errno == ENOENT && protocol == IPPROTO_UDP) {
		sockets->udp_known = false;
		return true;
	}
	*problem = text_format("cannot list %s/IPv%d sockets (sock_diag): %s",
		protocol == IPPROTO_TCP ? "TCP" : "UDP", family_version(family), strerror(errno));
	return false;
}

bool sockets_read(struct host_sockets *sockets, char **problem)
{
	static const int families[] = {AF_INET, AF_INET6}, protocols[] = {IPPROTO_TCP, IPPROTO_UDP};

	*sockets = (struct host_sockets){.udp_known = true};
	socket_owners_forget();
	for (size_t i = 0; i < 4; i++)
		if (!read_family(sockets, families[i / 2], protocols[i % 2], problem)) {
			sockets_free(sockets);
			return false;
		}
	return true;
}

void sockets_free(struct host_sockets *sockets)
{
	free(sockets->list);
	*sockets = (struct host_sockets){0};
}
