/*
 * The host's sockets, asked of the kernel by sock_diag(7); see the header.
 *
 * One question a family and protocol, each on a netlink socket of its own, so that what is left of an
 * answer that was interrupted is never taken for the next one's. Asking needs no privileges.
 *
 * The trap: the kernel uses fields twice. Of a listener, what is "unacked" is its accept queue; and
 * idiag_retrans counts keep-alives and probes, too. So the counters are read only where the state says
 * what they are. The second trap: an error may come as the end of an answer, which libmnl does not read.
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
	RETRANSMISSION = 1,   /* what idiag_timer says is running */
	REQUEST_RECEIVED = 12 /* TCP_NEW_SYN_RECV, which no header of user space has */
};

/* All of TCP's states but closed; UDP knows closed for "not connected". */
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

static void take_identity(struct host_socket *made, const struct inet_diag_msg *told)
{
	const struct inet_diag_sockid *id = &told->id;
	int family = told->idiag_family;

	made->state = state_of(made->protocol, told->idiag_state);
	made->local = address_of(family, id->idiag_src, id->idiag_sport, id->idiag_if);
	made->remote = address_of(family, id->idiag_dst, id->idiag_dport, id->idiag_if);
	/* The wildcard is not mapped where the local address is. */
	if (addr_family(&made->local) != addr_family(&made->remote) && addr_is_any(&made->remote))
		made->remote = addr_any(addr_family(&made->local));
	made->uid = told->idiag_uid;
	made->inode = told->idiag_inode;
	made->cookie = (unsigned long long)id->idiag_cookie[1] << 32 | id->idiag_cookie[0];
	if (told->idiag_timer == RETRANSMISSION)
		made->retransmits = told->idiag_retrans;
}

static void take_options(struct host_socket *made, const struct nlattr *attribute)
{
	struct inet_diag_sockopt told;

	if (mnl_attr_get_payload_len(attribute) < sizeof(told))
		return;
	memcpy(&told, mnl_attr_get_payload(attribute), sizeof(told));
	made->options_known = true;
	made->transparent = told.transparent;
	made->freebind = told.freebind;
	made->bind_no_port = told.bind_address_no_port;
}

/* Kernels add to the end of this structure; an old one gives less of it than there is here. */
static void take_counters(struct host_socket *made, const struct nlattr *attribute)
{
	struct tcp_info told = {0};
	size_t length = mnl_attr_get_payload_len(attribute);

	if (made->protocol != IPPROTO_TCP || made->state == SOCKET_STATE_LISTENING)
		return;
	memcpy(&told, mnl_attr_get_payload(attribute),
		length < sizeof(told) ? length : sizeof(told));
	made->retransmits = told.tcpi_retransmits;
	made->unacked = told.tcpi_unacked;
	made->mss = told.tcpi_snd_mss;
}

static int take_attribute(const struct nlattr *attribute, void *context)
{
	struct host_socket *made = context;

	switch (mnl_attr_get_type(attribute)) {
	case INET_DIAG_SOCKOPT:
		take_options(made, attribute);
		break;
	case INET_DIAG_INFO:
		take_counters(made, attribute);
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

static int take_socket(const struct nlmsghdr *message, void *context)
{
	const struct dump *dump = context;
	const struct inet_diag_msg *told = mnl_nlmsg_get_payload(message);
	struct host_sockets *sockets = dump->sockets;
	struct host_socket *made;

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*told))
		return netlink_refuse(EPROTO);
	sockets->list = array_room(sockets->list, sockets->count, sizeof(*sockets->list));
	made = &sockets->list[sockets->count++];
	made->protocol = dump->protocol;
	take_identity(made, told);
	return mnl_attr_parse(message, sizeof(*told), take_attribute, made);
}

int sockets_parse(struct host_sockets *sockets, int protocol, unsigned port, const void *answer,
	size_t length)
{
	return netlink_parse(answer, length, port, take_socket, &(struct dump){sockets, protocol});
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
	return netlink_request(NETLINK_SOCK_DIAG, message, take_socket, &dump);
}

static int ask_until_whole(struct host_sockets *sockets, int family, int protocol)
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

/* Whether the answer will do. ENOENT is a kernel that has no words for such sockets. */
static bool is_answered(struct host_sockets *sockets, int family, int protocol, char **problem)
{
	if (ask_until_whole(sockets, family, protocol) == 0)
		return true;
	if (errno == ENOENT && family == AF_INET6)
		return true; /* it has IPv4's: it was asked for them first */
	if (errno == ENOENT && protocol == IPPROTO_UDP) {
		sockets->udp_known = false;
		return true;
	}
	*problem = text_format("cannot list %s/IPv%d sockets (sock_diag): %s",
		protocol == IPPROTO_TCP ? "TCP" : "UDP", family == AF_INET6 ? 6 : 4,
		strerror(errno));
	return false;
}

bool sockets_read(struct host_sockets *sockets, char **problem)
{
	static const int families[] = {AF_INET, AF_INET6}, protocols[] = {IPPROTO_TCP, IPPROTO_UDP};

	*sockets = (struct host_sockets){.udp_known = true};
	socket_owners_forget();
	for (size_t i = 0; i < 4; i++)
		if (!is_answered(sockets, families[i / 2], protocols[i % 2], problem)) {
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
