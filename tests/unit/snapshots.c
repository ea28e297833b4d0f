/*
 * The host that tests of the checklist judge.
 *
 * The trap: findings point into the host, so they are valid only until host_gone().
 */
#include "snapshots.h"
#include "hoststate/policy.h"
#include "tproxy/text.h"

#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>

struct host host;

static const char links[] =
	"[{\"ifname\":\"lo\",\"flags\":[\"UP\"],\"address\":\"00:00:00:00:00:00\",\"addr_info\":["
	"{\"family\":\"inet\",\"local\":\"127.0.0.1\",\"prefixlen\":8},"
	"{\"family\":\"inet6\",\"local\":\"::1\",\"prefixlen\":128}]},"
	"{\"ifname\":\"client0\",\"flags\":[\"UP\"],\"address\":\"02:00:00:00:00:01\","
	"\"addr_info\":[{\"family\":\"inet\",\"local\":\"198.51.100.1\",\"prefixlen\":24},"
	"{\"family\":\"inet6\",\"local\":\"2001:db8:c::1\",\"prefixlen\":64}]},"
	"{\"ifname\":\"server0\",\"flags\":[\"UP\"],\"address\":\"02:00:00:00:00:02\","
	"\"addr_info\":[{\"family\":\"inet\",\"local\":\"203.0.113.1\",\"prefixlen\":24},"
	"{\"family\":\"inet6\",\"local\":\"2001:db8:5::1\",\"prefixlen\":64}]}]";

static const char policy[] = "[{\"priority\":0,\"src\":\"all\",\"table\":\"255\"},"
			     "{\"priority\":100,\"fwmark\":\"0x1\",\"table\":\"100\"},"
			     "{\"priority\":32766,\"src\":\"all\",\"table\":\"254\"}]";

static const char *const routes[] = {
	"[{\"type\":\"2\",\"dst\":\"default\",\"dev\":\"lo\",\"table\":\"100\"},"
	"{\"dst\":\"198.51.100.0/24\",\"dev\":\"client0\"},"
	"{\"dst\":\"203.0.113.0/24\",\"dev\":\"server0\"},"
	"{\"type\":\"2\",\"dst\":\"198.51.100.1\",\"dev\":\"client0\",\"table\":\"255\"},"
	"{\"type\":\"2\",\"dst\":\"203.0.113.1\",\"dev\":\"server0\",\"table\":\"255\"}]",
	"[{\"type\":\"2\",\"dst\":\"default\",\"dev\":\"lo\",\"table\":\"100\"},"
	"{\"dst\":\"2001:db8:c::/64\",\"dev\":\"client0\"},"
	"{\"dst\":\"2001:db8:5::/64\",\"dev\":\"server0\"},"
	"{\"type\":\"2\",\"dst\":\"2001:db8:c::1\",\"dev\":\"client0\",\"table\":\"255\"},"
	"{\"type\":\"2\",\"dst\":\"2001:db8:5::1\",\"dev\":\"server0\",\"table\":\"255\"}]"};

/* --- what is read later --- */

static char *sysctl(const char *path)
{
	for (size_t i = host.sysctl_count; i > 0; i--)
		if (strcmp(host.sysctls[i - 1].path, path) == 0)
			return host.sysctls[i - 1].value != NULL
				       ? text_format("%s", host.sysctls[i - 1].value)
				       : NULL;
	return text_format("0");
}

static bool silent(const struct addr *neighbour, const char *link)
{
	(void)neighbour;
	(void)link;
	return host.neighbours_silent;
}

static size_t owners(const struct host_socket *socket, struct socket_owner *list, size_t room)
{
	size_t count = 0;

	for (size_t i = 0; i < host.owner_count; i++)
		if (host.owners[i].inode == socket->inode) {
			if (count < room)
				list[count] = host.owners[i].owner;
			count++;
		}
	return count;
}

static struct addr source_on(const char *link, int family)
{
	const struct network *network = &host.snapshot.network;

	for (size_t i = 0; i < network->address_count; i++)
		if (strcmp(network->addresses[i].link, link) == 0 &&
			addr_family(&network->addresses[i].address) == family)
			return network->addresses[i].address;
	return addr_any(family);
}

static void route(const struct route_question *question, struct route_answer *answer)
{
	int family = addr_family(&question->to);
	const struct network *network = &host.snapshot.network;
	const struct network_route *way;
	struct policy_flow flow = {.to = question->to,
		.from = question->from != NULL ? *question->from : addr_any(family),
		.iif = question->iif,
		.mark = question->mark,
		.protocol = question->protocol};
	struct policy_answer decided;

	*answer = (struct route_answer){.gateway = addr_any(family), .source = addr_any(family)};
	decided = policy_decide(network, &flow);
	way = decided.result == POLICY_REFUSED ? NULL : decided.route;
	if (way == NULL || (question->iif != NULL && host.refuses_sources)) {
		snprintf(answer->error, sizeof(answer->error), "Network is unreachable");
		return;
	}
	answer->found = true;
	answer->local = way->local;
	snprintf(answer->link, sizeof(answer->link), "%s", way->local ? "lo" : way->link);
	answer->source = source_on(way->link, family);
	if (way->length == 0 && addr_family(&host.gateway) == family)
		answer->gateway = host.gateway;
}

/* --- making it --- */

struct addr host_address(const char *ip, uint16_t port)
{
	struct addr addr;

	assert_true(addr_parse(&addr, ip));
	addr_set_port(&addr, port);
	return addr;
}

void host_sysctl(const char *path, const char *value)
{
	host.sysctls[host.sysctl_count].path = path;
	host.sysctls[host.sysctl_count++].value = value;
}

void host_more_rules(enum firewall_tool tool, int family, const char *text)
{
	host.saved[host.saved_count].tool = tool;
	host.saved[host.saved_count].family = family;
	host.saved[host.saved_count++].text = text;
}

void host_rules(enum firewall_tool tool, int family, const char *text)
{
	host.saved_count = 0;
	host_more_rules(tool, family, text);
}

void host_serves(const char *listener, const char *server)
{
	host.service.listener_count = host.service.server_count = 0;
	assert_int_equal(service_add_listener(&host.service, listener), 0);
	host.service.spoofs = server != NULL;
	if (server != NULL)
		assert_int_equal(service_add_server(&host.service, server), 0);
}

void host_serves_ipv6(void)
{
	host_serves("[" VIP6 "]:80", "[" SERVER6 "]:80");
	host.socket_count = 0;
	host_owned(host_listens(VIP6, 80, IPPROTO_TCP), 7, "proxy", UINT64_C(1) << CAP_NET_RAW);
}

static struct host_socket *add_socket(struct host_socket socket)
{
	socket.inode = 100 + host.socket_count;
	socket.options_known = socket.transparent = true;
	host.sockets[host.socket_count] = socket;
	return &host.sockets[host.socket_count++];
}

struct host_socket *host_listens(const char *ip, uint16_t port, int protocol)
{
	struct addr local = host_address(ip, port);

	return add_socket((struct host_socket){.protocol = protocol,
		.state = SOCKET_STATE_LISTENING,
		.local = local,
		.remote = addr_any(addr_family(&local))});
}

struct host_socket *host_connects(const char *client, uint16_t port, const char *server)
{
	return add_socket((struct host_socket){.protocol = IPPROTO_TCP,
		.state = SOCKET_STATE_CONNECTING,
		.local = host_address(client, port),
		.remote = host_address(server, 80),
		.bind_no_port = true});
}

void host_owned(struct host_socket *socket, pid_t pid, const char *name, uint64_t may)
{
	struct socket_owner *owner = &host.owners[host.owner_count].owner;

	host.owners[host.owner_count++].inode = socket->inode;
	*owner = (struct socket_owner){.pid = pid, .capabilities = may, .descriptors = 4096};
	snprintf(owner->name, sizeof(owner->name), "%s", name);
	snprintf(owner->command, sizeof(owner->command), "/usr/sbin/%s", name);
}

int host_fresh(void **state)
{
	(void)state;
	host = (struct host){.links = links,
		.policy = {policy, policy},
		.routes = {routes[FOUR], routes[SIX]},
		.proxied = "",
		.gateway = addr_any(AF_INET)};
	host.snapshot = (struct snapshot){.service = &host.service,
		.network_known = true,
		.rules_known = true,
		.sockets_known = true,
		.boot = {.known = true, .service = true},
		.sysctl = sysctl,
		.silent = silent,
		.route = route,
		.owners = owners};
	snprintf(host.snapshot.kernel_problem, sizeof(host.snapshot.kernel_problem),
		"no configuration");
	host_sysctl("net/ipv4/ip_local_port_range", "32768\t60999");
	host_serves(VIP4 ":80", SERVER4 ":80");
	host_owned(host_listens(VIP4, 80, IPPROTO_TCP), 7, "proxy", UINT64_C(1) << CAP_NET_RAW);
	host_rules(TOOL_IPTABLES, AF_INET, MANGLE(DIVERT));
	host_more_rules(TOOL_IPTABLES, AF_INET6, MANGLE(DIVERT6));
	return 0;
}

static void forget(void)
{
	check_free(&host.report);
	network_free(&host.snapshot.network);
	ruleset_free(&host.snapshot.rules);
}

int host_gone(void **state)
{
	(void)state;
	forget();
	kernel_config_free(host.snapshot.kernel);
	service_free(&host.service);
	return 0;
}

/* --- judging it --- */

static void read_network(void)
{
	struct network *network = &host.snapshot.network;

	if (!host.snapshot.network_known)
		return;
	assert_true(network_parse_links(network, host.links));
	assert_true(network_parse_family(
		network, strstr(host.proxied, "::") != NULL ? AF_INET6 : AF_INET, host.proxied));
	for (int i = FOUR; i <= SIX; i++) {
		int family = i == SIX ? AF_INET6 : AF_INET;

		assert_true(network_parse_family(network, family, host.policy[i]));
		assert_true(network_parse_family(network, family, host.routes[i]));
	}
}

static void read_rules(void)
{
	for (size_t i = 0; host.snapshot.rules_known && i < host.saved_count; i++) {
		enum firewall_tool tool = host.saved[i].tool;
		const char *text = host.saved[i].text;
		char *problem = NULL;
		int result = tool == TOOL_NFT
				     ? ruleset_parse_nft(&host.snapshot.rules, text, &problem)
				     : ruleset_parse_iptables(&host.snapshot.rules, tool,
					       host.saved[i].family, text, &problem);

		if (result == -1)
			fail_msg("%s", problem);
	}
}

void host_judged(void)
{
	forget();
	read_network();
	read_rules();
	host.snapshot.sockets = (struct host_sockets){0};
	if (host.snapshot.sockets_known)
		host.snapshot.sockets =
			(struct host_sockets){host.sockets, host.socket_count, !host.udp_unlisted};
	check_run(&host.report, &host.snapshot);
}

void host_judged_with(const char *text)
{
	host_rules(TOOL_IPTABLES, AF_INET, MANGLE(DIVERT));
	host_more_rules(TOOL_IPTABLES, AF_INET, text);
	host_judged();
}

/* --- its kernel --- */

static bool is_in(const char *const *list, const char *option)
{
	for (; list != NULL && *list != NULL; list++)
		if (strcmp(*list, option) == 0)
			return true;
	return false;
}

static void add_option(char **made, const char *option, const char *const *off)
{
	text_add(made, is_in(off, option) ? "# %s is not set\n" : "%s=y\n", option);
}

void host_built_with(const char *heading, const char *const *off, const char *const *open)
{
	const char *options[512];
	char error[KERNEL_CONFIG_ERROR_MAX], *made = text_format("%s", heading);
	size_t count = 0;

	for (int i = 0; i < CAPABILITIES; i++)
		for (int f = 0; f < 2; f++)
			for (size_t o = 0; o < CAPABILITY_OPTIONS_MAX; o++)
				if (capabilities[i].options[f][o] != NULL)
					count = capability_add_option(
						options, count, 512, capabilities[i].options[f][o]);
	for (size_t i = 0; i < count; i++)
		if (!is_in(open, options[i]))
			add_option(&made, options[i], off);
	kernel_config_free(host.snapshot.kernel);
	host.snapshot.kernel = kernel_config_parse(made, strlen(made), "its configuration", error);
	if (host.snapshot.kernel == NULL)
		fail_msg("%s", error);
	free(made);
	host_judged();
}

/* --- what was found --- */

size_t found_count(enum check_item item, enum check_state state)
{
	size_t count = 0;

	for (size_t i = 0; i < host.report.count; i++)
		count += host.report.findings[i].item == item &&
			 host.report.findings[i].state == state;
	return count;
}

static void print_findings(void)
{
	for (size_t i = 0; i < host.report.count; i++) {
		const struct check_finding *each = &host.report.findings[i];

		print_message("%s %s | %s | %s\n", check_rows[each->item].id,
			check_state_names[each->state], each->subject, each->read);
	}
}

const struct check_finding *found_about(
	enum check_item item, enum check_state state, const char *subject)
{
	for (size_t i = 0; i < host.report.count; i++) {
		const struct check_finding *each = &host.report.findings[i];

		if (each->item == item && each->state == state &&
			(subject == NULL || strcmp(each->subject, subject) == 0))
			return each;
	}
	print_findings();
	fail_msg("%s is not %s%s%s", check_rows[item].id, check_state_names[state],
		subject != NULL ? " of " : "", subject != NULL ? subject : "");
	return NULL;
}

const struct check_finding *found(enum check_item item, enum check_state state)
{
	return found_about(item, state, NULL);
}

void assert_state(enum check_item item, enum check_state state)
{
	if (check_worst(&host.report, item) != state) {
		print_findings();
		fail_msg("%s is not %s", check_rows[item].id, check_state_names[state]);
	}
}

void assert_alone(enum check_item item, enum check_state state)
{
	assert_state(item, state);
	for (int each = 0; each < CHECK_ITEMS; each++)
		if (each != (int)item &&
			check_worst(&host.report, (enum check_item)each) >= CHECK_MISSING) {
			print_findings();
			fail_msg("%s is wrong, too", check_rows[each].id);
		}
	assert_int_equal(check_verdict(&host.report), CHECK_WRONG);
}

void assert_well(void)
{
	for (int each = 0; each < CHECK_ITEMS; each++)
		if (check_worst(&host.report, (enum check_item)each) >= CHECK_MISSING) {
			print_findings();
			fail_msg("%s is wrong", check_rows[each].id);
		}
	assert_int_not_equal(check_verdict(&host.report), CHECK_WRONG);
}

void assert_reads(const struct check_finding *finding, const char *read)
{
	assert_string_equal(finding->read, read);
}

void assert_fix(const struct check_finding *finding, size_t number, enum check_place place,
	const char *run, const char *undo)
{
	const struct check_command *command = &finding->commands[number];

	assert_true(number < finding->command_count);
	assert_int_equal(command->place, place);
	assert_string_equal(command->run, run);
	if (undo == NULL)
		assert_null(command->undo);
	else {
		assert_non_null(command->undo);
		assert_string_equal(command->undo, undo);
	}
}

void assert_fixed_by(const struct check_finding *finding, const char *run, const char *undo)
{
	assert_int_equal(finding->command_count, 1);
	assert_fix(finding, 0, ON_HOST, run, undo);
}

void assert_fixed_by_iptables(const struct check_finding *finding, enum check_place place,
	size_t number, const char *program, const char *chain, char verb, const char *rule)
{
	char *run = text_format("%s -D %s %s 2>/dev/null; %s -%c %s %s", program, chain, rule,
		program, verb, chain, rule);
	char *undo = text_format("%s -D %s %s", program, chain, rule);

	assert_fix(finding, number, place, run, undo);
	free(undo);
	free(run);
}

void assert_fixed_by_rule(const struct check_finding *finding, const char *program,
	const char *chain, const char *rule)
{
	assert_int_equal(finding->command_count, 1);
	assert_fixed_by_iptables(finding, ON_HOST, 0, program, chain, 'I', rule);
}

void assert_fixed_by_nft(const struct check_finding *finding, const char *verb, const char *chain,
	const char *rule, const char *comment)
{
	char *undo = text_format("nft -a list chain %s | grep -F '\"%s\"' | "
				 "sed 's/.*#/delete rule %s/' | nft -f -",
		chain, comment, chain);
	char *run =
		text_format("%s; nft %s rule %s %s comment %s", undo, verb, chain, rule, comment);

	assert_fixed_by(finding, run, undo);
	free(run);
	free(undo);
}

void assert_fixed_by_ip_rule(const struct check_finding *finding, int version, const char *rule)
{
	char *run = text_format("[ -n \"$(ip -%d rule show %s)\" ] || ip -%d rule add %s", version,
		rule, version, rule);
	char *undo = text_format("ip -%d rule del %s", version, rule);

	assert_fixed_by(finding, run, undo);
	free(undo);
	free(run);
}
