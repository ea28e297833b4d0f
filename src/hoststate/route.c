/*
 * One question and one answer for each route, or neighbour (RTM_GETNEIGH for a single entry, Linux 5.0); see netlink.c for the exchange.
 *
 * The answer is a single RTM_NEWROUTE, or the kernel's error: ENETUNREACH without a route, EXDEV where the
 * check of the source (rp_filter) fails. The kernel adds no text of its own (NLMSGERR_ATTR_MSG) to these.
 */
#include "route.h"
#include "netlink.h"
#include "tproxy/array.h"
#include "tproxy/names.h"
#include "tproxy/text.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int read_ip(const struct nlattr *attribute, struct addr *address)
{
	size_t size = family_bits(addr_family(address)) / 8;

	if (mnl_attr_get_payload_len(attribute) != size)
		return netlink_refuse(EPROTO);
	*address = addr_from_bytes(addr_family(address), mnl_attr_get_payload(attribute));
	return MNL_CB_OK;
}

static int read_attribute(const struct nlattr *attribute, void *context)
{
	struct route_answer *answer = context;

	switch (mnl_attr_get_type(attribute)) {
	case RTA_GATEWAY:
		return read_ip(attribute, &answer->gateway);
	case RTA_PREFSRC:
		return read_ip(attribute, &answer->source);
	case RTA_OIF:
		if (mnl_attr_validate(attribute, MNL_TYPE_U32) == -1)
			return netlink_refuse(EPROTO);
		if_indextoname(mnl_attr_get_u32(attribute), answer->link);
		return MNL_CB_OK;
	default:
		return MNL_CB_OK;
	}
}

static int read_route(const struct nlmsghdr *message, void *context)
{
	struct route_answer *answer = context;
	const struct rtmsg *route = mnl_nlmsg_get_payload(message);

	if (message->nlmsg_type != RTM_NEWROUTE ||
		mnl_nlmsg_get_payload_len(message) < sizeof(*route) ||
		route->rtm_family != addr_family(&answer->gateway))
		return netlink_refuse(EPROTO);
	if (netlink_attributes(message, sizeof(*route), read_attribute, answer) == MNL_CB_ERROR)
		return MNL_CB_ERROR;
	answer->local = route->rtm_type == RTN_LOCAL;
	answer->found = true;
	return MNL_CB_STOP;
}

static void begin_answer(struct route_answer *answer, int family)
{
	*answer = (struct route_answer){.gateway = addr_any(family), .source = addr_any(family)};
}

/* RESULT is that of the exchange. What was read of an answer that is refused does not count. */
static bool end_answer(struct route_answer *answer, int family, int result)
{
	int error = result == MNL_CB_ERROR ? errno : EPROTO;

	if (result == MNL_CB_STOP && answer->found)
		return true;
	begin_answer(answer, family);
	snprintf(answer->error, sizeof(answer->error), "%s", strerror(error));
	return false;
}

bool route_parse_answer(struct route_answer *answer, int family, const void *data, size_t length)
{
	begin_answer(answer, family);
	return end_answer(answer, family, netlink_parse(data, length, 0, read_route, answer));
}

/* *LENGTH: the length of the prefix that the address is, in bits. */
static void put_ip(
	struct nlmsghdr *message, uint16_t type, const struct addr *address, unsigned char *length)
{
	*length = (unsigned char)family_bits(addr_family(address));
	mnl_attr_put(message, type, *length / 8, addr_bytes(address));
}

/* For rules that select by protocol and port (Linux 4.17 and later). */
static void put_ports(struct nlmsghdr *message, const struct route_question *question)
{
	/* Without one the kernel takes UDP, and rules for UDP would decide (inet_rtm_getroute()). */
	mnl_attr_put_u8(message, RTA_IP_PROTO,
		(uint8_t)(question->protocol != 0 ? question->protocol : IPPROTO_TCP));
	if (question->protocol == 0)
		return;
	if (question->from != NULL && addr_port(question->from) != 0)
		mnl_attr_put_u16(message, RTA_SPORT, htons(addr_port(question->from)));
	if (addr_port(&question->to) != 0)
		mnl_attr_put_u16(message, RTA_DPORT, htons(addr_port(&question->to)));
}

static int ask_kernel(const struct route_question *question, struct route_answer *answer)
{
	char room[256] = {0};
	struct nlmsghdr *message = mnl_nlmsg_put_header(room);
	struct rtmsg *route = mnl_nlmsg_put_extra_header(message, sizeof(*route));
	unsigned iif = question->iif != NULL ? if_nametoindex(question->iif) : 0;

	message->nlmsg_type = RTM_GETROUTE;
	message->nlmsg_flags = NLM_F_REQUEST;
	route->rtm_family = (unsigned char)addr_family(&question->to);
	put_ip(message, RTA_DST, &question->to, &route->rtm_dst_len);
	if (question->iif != NULL) {
		if (iif == 0)
			return -1; /* there is no such link */
		put_ip(message, RTA_SRC, question->from, &route->rtm_src_len);
		mnl_attr_put_u32(message, RTA_IIF, iif);
	}
	if (question->mark != 0)
		mnl_attr_put_u32(message, RTA_MARK, question->mark);
	put_ports(message, question);
	return netlink_request(NETLINK_ROUTE, message, read_route, answer);
}

static char *question_key(const struct route_question *question)
{
	char to[ADDR_TEXT_MAX], from[ADDR_TEXT_MAX] = "";
	bool ports = question->protocol != 0;

	if (question->iif != NULL && !ports)
		addr_format_ip(question->from, from);
	else if (question->from != NULL)
		addr_format(question->from, from);
	return text_format("%s %s %s %x %u",
		ports ? addr_format(&question->to, to) : addr_format_ip(&question->to, to), from,
		question->iif != NULL ? question->iif : "", question->mark, question->protocol);
}

void route_get(const struct route_question *question, struct route_answer *answer)
{
	static struct {
		struct names keys;
		struct route_answer *list;
		size_t count;
	} known;
	int family = addr_family(&question->to);
	char *key = question_key(question);
	size_t place = known.count;

	if (names_add(&known.keys, key, place)) {
		known.list = array_room(known.list, known.count++, sizeof(*known.list));
		begin_answer(&known.list[place], family);
		end_answer(&known.list[place], family, ask_kernel(question, &known.list[place]));
	} else
		names_find(&known.keys, key, &place);
	*answer = known.list[place];
	free(key);
}

/* --- neighbours --- */

static int read_state(const struct nlmsghdr *message, void *context)
{
	const struct ndmsg *entry = mnl_nlmsg_get_payload(message);
	unsigned *state = context;

	if (message->nlmsg_type == RTM_NEWNEIGH &&
		mnl_nlmsg_get_payload_len(message) >= sizeof(*entry))
		*state = entry->ndm_state;
	return MNL_CB_STOP;
}

bool neighbour_is_silent(const struct addr *address, const char *link)
{
	char room[128] = {0};
	struct nlmsghdr *message = mnl_nlmsg_put_header(room);
	struct ndmsg *entry = mnl_nlmsg_put_extra_header(message, sizeof(*entry));
	unsigned state = 0;

	message->nlmsg_type = RTM_GETNEIGH;
	message->nlmsg_flags = NLM_F_REQUEST;
	entry->ndm_family = (unsigned char)addr_family(address);
	entry->ndm_ifindex = (int)if_nametoindex(link);
	mnl_attr_put(message, NDA_DST, family_bits(addr_family(address)) / 8, addr_bytes(address));
	netlink_request(NETLINK_ROUTE, message, read_state, &state);
	return (state & (NUD_FAILED | NUD_INCOMPLETE)) != 0;
}
