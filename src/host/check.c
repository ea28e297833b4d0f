/*
 * The checklist's table, and the report; see the header.
 *
 * The order of the judges matters where one finding explains another: whatever waits in vain is put down
 * to the servers' way back only when nothing on this host explains it.
 */
#include "check_report.h"
#include "tproxy/sysctls.h"
#include "tproxy/text.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const char *const check_state_names[] = {"ok", "unknown", "missing", "harmful"};
const char *const check_place_names[] = {"this host", "the proxy", "the server", "the router"};

const struct check_row check_rows[CHECK_ITEMS] = {
	[CHECK_KERNEL] = {"kernel", "kernel options",
		"Without them the kernel refuses the rules, the route or the socket option."},
	[CHECK_LISTENER] = {"listener", "the proxy listens",
		"What the rules hand over needs a socket that takes it."},
	[CHECK_CAPABILITY] = {"capability", "the proxy's privileges",
		"IP_TRANSPARENT takes CAP_NET_RAW or CAP_NET_ADMIN."},
	[CHECK_TRANSPARENT] = {"transparent", "transparent listeners",
		"A socket that is not transparent cannot answer from an address that the host does "
		"not have."},
	[CHECK_OTHER_LISTENER] = {"other-listener", "another program at the proxy's port",
		"Connections are shared out between all that listen at one address and port."},
	[CHECK_LIMITS] = {"limits", "descriptors and pipes",
		"A session takes two descriptors; without a spare one clients are turned away."},
	[CHECK_LIBEVENT] = {"libevent", "the event library", "tproxyd is built on libevent 2.1."},
	[CHECK_DIVERT] = {"divert", "packets of the proxy's sockets are caught",
		"Packets to addresses that the host does not have are forwarded or dropped unless "
		"a rule catches them."},
	[CHECK_RULE_ORDER] = {"rule-order", "no other rule comes first",
		"A rule that accepts a packet ends its chain, and what stands behind is not "
		"asked."},
	[CHECK_WILDCARD] = {"nowildcard", "listeners bound to no address",
		"`-m socket` passes over listeners on 0.0.0.0 and [::] without --nowildcard."},
	[CHECK_MARK] = {"mark", "what is caught gets the mark", "The ip rule goes by the mark."},
	[CHECK_IP_RULE] = {"ip-rule", "the mark chooses the table",
		"Without the ip rule a marked packet is routed like any other."},
	[CHECK_IP_ROUTE] = {"ip-route", "the table delivers to this host",
		"The local route of the table is what hands the packet to a socket."},
	[CHECK_MARK_SHARED] = {"mark-shared", "the mark is nobody else's",
		"Whatever bears the mark is delivered to this host, and is lost if it was for "
		"another."},
	[CHECK_FILTER] = {"filter", "no rule drops the proxy's packets",
		"A firewall that knows nothing of the proxy drops what is for foreign addresses."},
	[CHECK_NAT_DESTINATION] = {"nat-destination", "no rule changes where clients call",
		"After a DNAT or REDIRECT the packet is for somebody else."},
	[CHECK_NAT_SOURCE] = {"nat-source", "no rule changes the client's address",
		"MASQUERADE and SNAT put this host's address in its place, and the server sees "
		"that."},
	[CHECK_ICMP] = {"icmp", "ICMP errors about the client's address are caught",
		"\"Packet too big\" for a connection from the client's address would go to the "
		"client, and uploads would stall."},
	[CHECK_BACKENDS] = {"backends", "one firewall at a time",
		"Rules of iptables-legacy and of nftables work side by side, and each tool shows "
		"only its own."},
	[CHECK_IP_FORWARD] = {"ip_forward", "forwarding",
		"What is proxied needs none; answering for an address by proxy ARP or NDP does, "
		"and "
		"so does what is not proxied."},
	[CHECK_NONLOCAL_BIND] = {"ip_nonlocal_bind", "binding to foreign addresses",
		"A transparent listener does not need it, and it is no replacement for one."},
	[CHECK_SRC_VALID_MARK] = {"src_valid_mark", "sources looked up with the mark",
		"With the mark every source counts as this host's own, and such packets from "
		"outside are dropped in silence."},
	[CHECK_RP_FILTER] = {"rp_filter", "reverse path filter",
		"A strict filter drops packets that come by another link than the way back."},
	[CHECK_EARLY_DEMUX] = {"ip_early_demux", "early demultiplexing",
		"It decides how an answer that is not caught gets lost, in silence or by the "
		"client's reset; nothing else."},
	[CHECK_FWMARK_ACCEPT] = {"tcp_fwmark_accept", "answers to clients are not marked",
		"With it a connection takes over the mark of its first packet, and what the proxy "
		"sends to the client is delivered to this host."},
	[CHECK_SYNCOOKIES] = {"tcp_syncookies", "SYN cookies",
		"A SYN cookie leaves no socket behind that the client's next packet could belong "
		"to."},
	[CHECK_BRIDGE] = {"bridge-nf", "rules run on a bridge",
		"The socket that TPROXY chose on the bridge is taken off the packet when the host "
		"takes it in."},
	[CHECK_ANNOUNCE] = {"announce", "clients find the address",
		"Somebody has to answer when a link is asked who has the address, or a router has "
		"to know the way."},
	[CHECK_LOCAL_CLIENT] = {"local-client", "clients on this host",
		"What the host sends itself does not pass PREROUTING."},
	[CHECK_SERVER_ROUTE] = {"server-route", "the servers can be reached",
		"Without a route nothing gets there."},
	[CHECK_RETURN_PATH] = {"return-path", "servers answer through this host",
		"The server answers the client's address; unless that way leads through this host, "
		"the answer reaches a client that never asked."},
	[CHECK_PATH_MTU] = {"path-mtu", "large packets get through",
		"Where a hop takes smaller packets only and its word does not reach this host, "
		"uploads stall."},
	[CHECK_SOURCE_PORTS] = {"source-ports", "ports for the client's address",
		"One client can have as many connections to one server as there are ports, and "
		"fewer where the port is chosen at bind()."},
};

static struct check_finding *find(const struct check_report *report, enum check_item item,
	enum check_state state, const char *subject, const char *read)
{
	for (size_t i = 0; i < report->count; i++) {
		struct check_finding *each = &report->findings[i];

		if (each->item == item && each->state == state &&
			strcmp(each->subject, subject) == 0 && strcmp(each->read, read) == 0)
			return each;
	}
	return NULL;
}

struct check_finding *check_add(struct check *check, enum check_item item, enum check_state state,
	const char *subject, const char *format, ...)
{
	struct check_report *report = check->report;
	struct check_finding *finding;
	va_list arguments;
	char *read;

	va_start(arguments, format);
	if (vasprintf(&read, format, arguments) == -1)
		abort(); /* out of memory */
	va_end(arguments);
	finding = find(report, item, state, subject, read);
	if (finding != NULL) {
		free(read);
		return finding;
	}
	report->findings =
		reallocarray(report->findings, report->count + 1, sizeof(*report->findings));
	if (report->findings == NULL)
		abort(); /* out of memory */
	finding = &report->findings[report->count++];
	*finding = (struct check_finding){
		.item = item, .state = state, .subject = text_format("%s", subject), .read = read};
	return finding;
}

void check_mend(struct check_finding *finding, enum check_place place, char *run, char *undo)
{
	for (size_t i = 0; i < finding->command_count; i++)
		if (strcmp(finding->commands[i].run, run) == 0)
			goto unused;
	if (finding->command_count == CHECK_COMMANDS_MAX)
		goto unused;
	finding->commands[finding->command_count++] = (struct check_command){place, run, undo};
	return;
unused:
	free(run);
	free(undo);
}

static char *sysctl_line(const char *path, const char *value)
{
	char *name = sysctl_name(path);
	char *line =
		text_format(strpbrk(value, " \t") != NULL ? "sysctl -w '%s=%s'" : "sysctl -w %s=%s",
			name, value);

	free(name);
	return line;
}

void check_sysctl(
	struct check *check, struct check_finding *finding, const char *path, const char *value)
{
	char *was = check->at->sysctl(path);

	check_mend(finding, ON_HOST, sysctl_line(path, value),
		was != NULL ? sysctl_line(path, was) : NULL);
	free(was);
}

enum check_state check_worst(const struct check_report *report, enum check_item item)
{
	enum check_state worst = CHECK_OK;

	for (size_t i = 0; i < report->count; i++)
		if (report->findings[i].item == item && report->findings[i].state > worst)
			worst = report->findings[i].state;
	return worst;
}

bool check_failed(const struct check *check, enum check_item item)
{
	return check_worst(check->report, item) >= CHECK_MISSING;
}

bool check_is_well(const struct check_report *report)
{
	for (int item = 0; item < report->items; item++)
		if (check_worst(report, (enum check_item)item) >= CHECK_MISSING)
			return false;
	return true;
}

static void unknown(
	struct check *check, const enum check_item *items, size_t count, const char *problem)
{
	for (size_t i = 0; problem != NULL && i < count; i++)
		check_add(check, items[i], CHECK_UNKNOWN, "", "%s", problem);
}

/* An item that nobody could judge is not well. */
static void unjudged(struct check *check)
{
	static const enum check_item by_rules[] = {CHECK_DIVERT, CHECK_RULE_ORDER, CHECK_WILDCARD,
		CHECK_MARK, CHECK_IP_RULE, CHECK_IP_ROUTE, CHECK_MARK_SHARED, CHECK_FILTER,
		CHECK_NAT_DESTINATION, CHECK_NAT_SOURCE, CHECK_ICMP, CHECK_BRIDGE,
		CHECK_FWMARK_ACCEPT, CHECK_SYNCOOKIES};
	static const enum check_item by_network[] = {CHECK_SRC_VALID_MARK, CHECK_RP_FILTER,
		CHECK_ANNOUNCE, CHECK_LOCAL_CLIENT, CHECK_SERVER_ROUTE, CHECK_IP_FORWARD};
	static const enum check_item by_sockets[] = {CHECK_OTHER_LISTENER, CHECK_LIMITS,
		CHECK_CAPABILITY, CHECK_PATH_MTU, CHECK_SOURCE_PORTS};
	static const enum check_item by_servers[] = {CHECK_NAT_SOURCE, CHECK_ICMP,
		CHECK_SERVER_ROUTE, CHECK_RETURN_PATH, CHECK_PATH_MTU, CHECK_SOURCE_PORTS};
	const struct situation *at = check->at;
	const char *network = at->network_known ? NULL : at->network_problem;

	unknown(check, by_network, sizeof(by_network) / sizeof(by_network[0]), network);
	unknown(check, by_rules, sizeof(by_rules) / sizeof(by_rules[0]),
		at->rules_known ? network : at->rules_problem);
	if (at->needs->spoofs && at->needs->server_count == 0)
		unknown(check, by_servers, sizeof(by_servers) / sizeof(by_servers[0]),
			"no server is known; --server names one");
	unknown(check, by_sockets, sizeof(by_sockets) / sizeof(by_sockets[0]),
		at->sockets_known ? NULL : at->sockets_problem);
}

static void tell_addresses(
	char **text, const char *what, const struct addr *list, size_t count, bool ports)
{
	char each[ADDR_TEXT_MAX];

	for (size_t i = 0; i < count; i++)
		text_add(text, "%s%s", i == 0 ? what : ", ",
			ports && addr_port(&list[i]) != 0 ? addr_format(&list[i], each)
							  : addr_format_ip(&list[i], each));
	if (count > 0)
		text_add(text, "\n");
}

/* What was thought of: a guess among it should be seen as one. */
static char *about(const struct check *check)
{
	const struct needs *needs = check->at->needs;
	struct addr listeners[NEEDS_MAX], clients[2 * CLIENTS_MAX];
	char *text = text_format("%s", "");
	size_t count;

	for (size_t i = 0; i < needs->listener_count; i++)
		listeners[i] = needs->listeners[i].address;
	count = needs_family(needs, AF_INET) ? check_clients(check, AF_INET, clients) : 0;
	if (needs_family(needs, AF_INET6))
		count += check_clients(check, AF_INET6, clients + count);
	tell_addresses(&text,
		needs->example ? "listeners (the walk-through's example): " : "listeners: ",
		listeners, needs->listener_count, true);
	tell_addresses(&text,
		needs->spoofs ? "servers, called from the client's address: " : "servers: ",
		needs->servers, needs->server_count, true);
	tell_addresses(&text,
		needs->client_count > 0
			? "clients: "
			: "clients (one for each link that may have some; --client names others): ",
		clients, count, false);
	return text;
}

void check_run(struct check_report *report, const struct situation *situation)
{
	struct check check = {.at = situation, .report = report};

	*report = (struct check_report){
		.items = situation->kernel_alone ? CHECK_KERNEL + 1 : CHECK_ITEMS};
	report->about = situation->kernel_alone ? text_format("%s", "") : about(&check);
	check_kernel(&check);
	if (situation->kernel_alone)
		return;
	check_proxy(&check);
	check_flows(&check);
	check_links(&check);
	check_answers(&check);
	unjudged(&check);
}

void check_free(struct check_report *report)
{
	for (size_t i = 0; i < report->count; i++) {
		struct check_finding *finding = &report->findings[i];

		for (size_t j = 0; j < finding->command_count; j++) {
			free(finding->commands[j].run);
			free(finding->commands[j].undo);
		}
		free(finding->subject);
		free(finding->read);
	}
	free(report->findings);
	free(report->about);
	*report = (struct check_report){0};
}
