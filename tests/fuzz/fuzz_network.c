/*
 * What `ip -j` prints of links, rules and routes, and the lookups in it; and the kernel's answers about a route and about a
 * table of nf_tables, one netlink message each. The first byte says which of them the rest is.
 */
#include "fuzz.h"
#include "hoststate/network.h"
#include "hoststate/route.h"
#include "hoststate/tables.h"

#include <linux/netlink.h>
#include <netinet/in.h>

static void use(const struct network *network)
{
	struct addr address;

	if (!addr_parse(&address, "192.0.2.80"))
		abort();
	network_find_address(network, &address);
	network_find_link(network, "eth0");
	network_find_local_route(network, 100, &address);
}

/* As in fuzz_netlink.c, the header says the length that the message has. */
static void read_message(bool about_route, int family, char *message, size_t size)
{
	struct route_answer answer;
	struct tables tables = {0};

	if (size >= sizeof(struct nlmsghdr))
		((struct nlmsghdr *)message)->nlmsg_len = (uint32_t)size;
	if (about_route)
		route_parse_answer(&answer, family, message, size);
	else
		tables_parse(&tables, message, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct network network = {0};
	int family;
	char *text;

	if (size == 0)
		return 0;
	family = data[0] & 8 ? AF_INET6 : AF_INET;
	text = fuzz_text(data + 1, size - 1);
	switch (data[0] & 3) {
	case 0:
		network_parse_links(&network, text);
		break;
	case 1:
		network_parse_family(&network, family, text);
		break;
	default:
		read_message(data[0] & 1, family, text, size - 1);
		break;
	}
	use(&network);
	network_free(&network);
	free(text);
	return 0;
}
