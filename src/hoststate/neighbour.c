/*
 * One question to the kernel's table of neighbours: RTM_GETNEIGH of rtnetlink(7), for a single entry (Linux 5.0).
 */
#include "neighbour.h"
#include "netlink.h"

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

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
