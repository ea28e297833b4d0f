/*
 * What `ip -j` prints of links, rules, routes and the way to an address, and the questions that are
 * asked of it later. The first byte says which of them the text is.
 */
#include "fuzz.h"
#include "hoststate/network.h"

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

static void read_text(struct network *network, uint8_t which, const char *text)
{
	int family = which & 8 ? AF_INET6 : AF_INET;
	struct route_answer answer = {0};

	switch (which & 7) {
	case 0:
		network_parse_links(network, text);
		break;
	case 1:
		network_parse_proxied(network, text);
		break;
	case 2:
		network_parse_rules(network, family, text);
		break;
	case 3:
		network_parse_routes(network, family, text);
		break;
	default:
		network_parse_answer(&answer, family, text);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct network network = {0};
	char *text;

	if (size == 0)
		return 0;
	text = fuzz_text(data + 1, size - 1);
	read_text(&network, data[0], text);
	use(&network);
	network_free(&network);
	free(text);
	return 0;
}
