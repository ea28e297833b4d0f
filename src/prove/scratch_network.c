/*
 * Makes three scratch hosts in a row.
 *
 * Everything of a host is one run of `ip -batch`: on an emulated kernel, starting a program takes most of the
 * time. Only if a run fails, each of its parts is tried by itself.
 *
 * The trap: if both ends of a veth link have the same index, the kernel takes the link for one without a peer
 * and needs up to a second until it is up (link watch). So the ends get different indexes.
 */
#include "scratch_network.h"
#include "scratch.h"
#include "socket_probes.h"
#include "tproxy/subprocess.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum {
	LIMIT_MS = 5000
};

const char *const scratch_network_client[2] = {"198.51.100.10", "2001:db8:c::10"};
const char *const scratch_network_server[2] = {"203.0.113.20", "2001:db8:5::20"};
const char *const scratch_network_vip[2] = {"192.0.2.80", "2001:db8:f::80"};
const char *const scratch_network_elsewhere[2] = {"192.0.2.99", "2001:db8:f::99"};
const char *const scratch_network_local[2] = {"192.0.2.200", "2001:db8:e::c8"};

/* Lines of each host by family; its links come before them. */
static const char *const proxy_lines[2] = {
	"addr add 198.51.100.1/24 dev client0\n"
	"addr add 203.0.113.1/24 dev server0\n",
	"addr add 2001:db8:c::1/64 dev client0 nodad\n"
	"addr add 2001:db8:5::1/64 dev server0 nodad\n",
};
static const char *const client_lines[2] = {
	"addr add 198.51.100.10/24 dev eth0\n"
	"route add default via 198.51.100.1\n",
	"addr add 2001:db8:c::10/64 dev eth0 nodad\n"
	"route add default via 2001:db8:c::1\n",
};
static const char *const server_lines[2] = {
	"addr add 203.0.113.20/24 dev eth0\n"
	"route add default via 203.0.113.1\n",
	"addr add 2001:db8:5::20/64 dev eth0 nodad\n"
	"route add default via 2001:db8:5::1\n",
};
static const char rule_line[] = "rule add fwmark 1 lookup 100\n";
static const char *const route_lines[2] = {
	"route add local 0.0.0.0/0 dev lo table 100\n"
	"route add local 192.0.2.192/26 dev lo\n",
	"route add local ::/0 dev lo table 100\n"
	"route add local 2001:db8:e::/64 dev lo\n",
};

/* What a new namespace may inherit from its host, and what would delay IPv6 for a second. */
static const char *const sysctls[][2] = {
	{"net/ipv4/conf/all/rp_filter", "0"},
	{"net/ipv4/conf/default/rp_filter", "0"},
	{"net/ipv4/conf/all/src_valid_mark", "0"},
	{"net/ipv4/ip_forward", "0"},
	{"net/ipv6/conf/all/forwarding", "0"},
	{"net/ipv6/conf/all/disable_ipv6", "0"},
	{"net/ipv6/conf/default/disable_ipv6", "0"},
	{"net/ipv6/conf/default/accept_dad", "0"},
};

/* A host that has the defaults; what can't be written shows later, if it matters. */
static int make_host(void)
{
	int host = scratch_host();

	for (size_t i = 0; host != -1 && i < sizeof(sysctls) / sizeof(sysctls[0]); i++)
		scratch_sysctl(sysctls[i][0], sysctls[i][1]);
	return host;
}

/* FLAG is "-4", "-6", or NULL where the lines themselves say which family they are of. */
static bool ip_batch(const char *flag, const char *lines, char *message, size_t size)
{
	const char *const argv[] = {"ip", "-batch", "-", flag, NULL};
	struct subprocess_result result;
	bool well = subprocess_run(argv, lines, &result);

	if (!well)
		tool_message(result.errors, message, size);
	subprocess_free(&result);
	return well;
}

/* The lines of both families, or of IPv4 alone where there is no other. */
static bool lay_out(int host, const char *links, const char *const lines[2],
	const struct findings *findings, char *message, size_t size)
{
	bool both = findings_can(findings, CAPABILITY_IPV6, AF_INET6);
	char text[2048];

	snprintf(text, sizeof(text), "link set lo up\n%s%s%s", links, lines[0],
		both ? lines[1] : "");
	if (scratch_enter(host) == -1) {
		snprintf(message, size, "%s", strerror(errno));
		return false;
	}
	return ip_batch(NULL, text, message, size);
}

static bool lay_out_all(const struct scratch_network *network, const struct findings *findings,
	char *message, size_t size)
{
	static const char pair[] =
		"link add %s index %d type veth peer name eth0 index %d netns /proc/self/fd/%d\n"
		"link set %s up\n";
	char links[512];
	int length;

	length =
		snprintf(links, sizeof(links), pair, "client0", 3, 103, network->client, "client0");
	snprintf(links + length, sizeof(links) - (size_t)length, pair, "server0", 4, 104,
		network->server, "server0");
	return lay_out(network->proxy, links, proxy_lines, findings, message, size) &&
	       lay_out(network->client, "link set eth0 up\n", client_lines, findings, message,
		       size) &&
	       lay_out(network->server, "link set eth0 up\n", server_lines, findings, message,
		       size);
}

static void note_link(struct findings *findings, bool well, const char *message)
{
	if (well && (!scratch_await_link("client0", LIMIT_MS) ||
			    !scratch_await_link("server0", LIMIT_MS)))
		findings_set(findings, CAPABILITY_VETH, AF_INET, CAPABILITY_MISSING,
			"the links did not come up within %d s", LIMIT_MS / 1000);
	else if (well)
		findings_set_result(findings, CAPABILITY_VETH, AF_INET, 0);
	else
		findings_set_message(findings, CAPABILITY_VETH, AF_INET, message);
}

/* One part of the routing by itself. The batch that failed may have done it already. */
static bool try_part(
	struct findings *findings, enum capability_name name, int family, const char *lines)
{
	char message[256];

	if (ip_batch(family == AF_INET6 ? "-6" : "-4", lines, message, sizeof(message)) ||
		strstr(message, "File exists") != NULL) {
		findings_set_result(findings, name, family, 0);
		return true;
	}
	findings_set_message(findings, name, family, message);
	return false;
}

/* The rule exists. If a marked socket can show it, the rule has to lead to the table, too. */
static void note_rule(struct findings *findings, int family, bool routes)
{
	bool can_show = routes && findings_can(findings, CAPABILITY_SO_MARK, family);

	if (!can_show || probe_marked_route(family) == 0)
		findings_set_result(findings, CAPABILITY_POLICY_RULE, family, 0);
	else
		findings_set(findings, CAPABILITY_POLICY_RULE, family, CAPABILITY_MISSING,
			"the rule exists, but a marked packet is not routed by it: %s",
			strerror(errno));
}

/* A kernel with one table accepts a route for another one, and puts it where no mark is needed. */
static void note_routes(struct findings *findings, int family, bool rule)
{
	if (rule || probe_unmarked_route(family) == -1)
		findings_set_result(findings, CAPABILITY_LOCAL_ROUTE, family, 0);
	else
		findings_set(findings, CAPABILITY_LOCAL_ROUTE, family, CAPABILITY_MISSING,
			"the route for table 100 is in the main table: the kernel has no other table");
}

static void set_routing(struct findings *findings, int family)
{
	int place = family == AF_INET6;
	char all[256], message[256];
	bool rule = true, routes = true;

	snprintf(all, sizeof(all), "%s%s", rule_line, route_lines[place]);
	if (!ip_batch(place ? "-6" : "-4", all, message, sizeof(message))) {
		rule = try_part(findings, CAPABILITY_POLICY_RULE, family, rule_line);
		routes = try_part(findings, CAPABILITY_LOCAL_ROUTE, family, route_lines[place]);
	}
	if (routes)
		note_routes(findings, family, rule);
	if (rule)
		note_rule(findings, family, routes);
}

static void no_ip(struct findings *findings)
{
	static const enum capability_name needing[] = {
		CAPABILITY_VETH, CAPABILITY_POLICY_RULE, CAPABILITY_LOCAL_ROUTE};

	for (size_t i = 0; i < sizeof(needing) / sizeof(needing[0]); i++) {
		findings_set_no_program(findings, needing[i], AF_INET, "ip", "iproute2");
		findings_set_no_program(findings, needing[i], AF_INET6, "ip", "iproute2");
	}
}

bool scratch_network_build(struct scratch_network *network, struct findings *findings)
{
	char message[256] = "";

	if (!subprocess_exists("ip")) {
		no_ip(findings);
		return false;
	}
	network->client = make_host();
	network->server = make_host();
	network->proxy = make_host();
	if (network->client == -1 || network->server == -1 || network->proxy == -1) {
		findings_set_result(findings, CAPABILITY_NET_NAMESPACES, AF_INET, -1);
		return false;
	}
	if (lay_out_all(network, findings, message, sizeof(message)))
		message[0] = '\0';
	if (scratch_enter(network->proxy) == -1)
		return false;
	note_link(findings, message[0] == '\0', message);
	set_routing(findings, AF_INET);
	if (findings_can(findings, CAPABILITY_IPV6, AF_INET6))
		set_routing(findings, AF_INET6);
	return findings_can(findings, CAPABILITY_VETH, AF_INET);
}
