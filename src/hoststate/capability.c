/*
 * The table of capabilities, and the results of trying them.
 *
 * The options are those of the kernel's Kconfig files. With both iptables, packet rules of IPv6 need
 * CONFIG_IP6_NF_IPTABLES: without it xt_socket, xt_TPROXY and, in newer kernels, xt_mark have no IPv6.
 */
#include "capability.h"
#include "tproxy/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define NFT_4    "CONFIG_NF_TABLES", "CONFIG_NF_TABLES_IPV4"
#define NFT_6    "CONFIG_NF_TABLES", "CONFIG_NF_TABLES_IPV6"
#define COMPAT_4 NFT_4, "CONFIG_NETFILTER_XTABLES", "CONFIG_NFT_COMPAT"
#define COMPAT_6 NFT_6, "CONFIG_NETFILTER_XTABLES", "CONFIG_NFT_COMPAT"
#define LEGACY_4 "CONFIG_IP_NF_IPTABLES", "CONFIG_IP_NF_IPTABLES_LEGACY", "CONFIG_IP_NF_MANGLE"
#define LEGACY_6 "CONFIG_IP6_NF_IPTABLES", "CONFIG_IP6_NF_IPTABLES_LEGACY", "CONFIG_IP6_NF_MANGLE"
#define SOCKET   "CONFIG_NETFILTER_ADVANCED", "CONFIG_NETFILTER_XT_MATCH_SOCKET"
#define TPROXY   "CONFIG_NETFILTER_ADVANCED", "CONFIG_NETFILTER_XT_TARGET_TPROXY"
#define MARK     "CONFIG_NETFILTER_XT_MARK"
#define XT_6     "CONFIG_IP6_NF_IPTABLES"

#define RULES(tool, feature) [CAPABILITY_RULES + (tool)*RULES_FEATURES + (feature)]

const struct capability capabilities[CAPABILITIES] = {
	[CAPABILITY_NET_NAMESPACES] = {"net-namespaces", "network namespaces", false, false,
		{{"CONFIG_NET_NS"}}},
	[CAPABILITY_USER_NAMESPACES] = {"user-namespaces", "user namespaces", false, true,
		{{"CONFIG_USER_NS"}}},
	[CAPABILITY_VETH] = {"veth", "a pair of links between two namespaces", false, false,
		{{"CONFIG_VETH"}}},
	[CAPABILITY_IPV6] = {"ipv6", "an IPv6 socket bound to ::1", false, false,
		{{"CONFIG_IPV6"}}},
	[CAPABILITY_TRANSPARENT] = {"transparent", "listen on an address that is not the host's",
		true, false, {{"CONFIG_INET"}, {"CONFIG_IPV6"}}},
	[CAPABILITY_SO_MARK] = {"so-mark", "set and read a socket's mark", false, false,
		{{"CONFIG_NET"}}},
	[CAPABILITY_BIND_NO_PORT] = {"bind-address-no-port",
		"bind an address, and the port at connect()", false, false, {{"CONFIG_INET"}}},
	[CAPABILITY_SPLICE] = {"splice", "move bytes from socket to pipe to socket", false, false,
		{{"CONFIG_INET"}}},
	[CAPABILITY_POLICY_RULE] = {"policy-rule", "a mark chooses the routing table", true, false,
		{{"CONFIG_IP_ADVANCED_ROUTER", "CONFIG_IP_MULTIPLE_TABLES"},
			{"CONFIG_IPV6", "CONFIG_IPV6_MULTIPLE_TABLES"}}},
	[CAPABILITY_LOCAL_ROUTE] = {"local-route", "a route makes every address local in table 100",
		true, false,
		{{"CONFIG_IP_ADVANCED_ROUTER", "CONFIG_IP_MULTIPLE_TABLES"},
			{"CONFIG_IPV6", "CONFIG_IPV6_MULTIPLE_TABLES"}}},
	RULES(TOOL_IPTABLES, RULES_TABLE) = {"iptables-mangle", "iptables: a chain in mangle", true,
		false, {{NFT_4}, {NFT_6}}},
	RULES(TOOL_IPTABLES, RULES_SOCKET) = {"iptables-socket", "iptables: match `socket`", true,
		false, {{COMPAT_4, SOCKET}, {COMPAT_6, SOCKET, XT_6}}},
	RULES(TOOL_IPTABLES, RULES_MARK) = {"iptables-mark", "iptables: target MARK", true, false,
		{{COMPAT_4, MARK}, {COMPAT_6, MARK, XT_6}}},
	RULES(TOOL_IPTABLES, RULES_TPROXY) = {"iptables-tproxy", "iptables: target TPROXY", true,
		false, {{COMPAT_4, TPROXY}, {COMPAT_6, TPROXY, XT_6}}},
	RULES(TOOL_LEGACY, RULES_TABLE) = {"iptables-legacy-mangle",
		"iptables-legacy: a chain in mangle", true, false, {{LEGACY_4}, {LEGACY_6}}},
	RULES(TOOL_LEGACY, RULES_SOCKET) = {"iptables-legacy-socket",
		"iptables-legacy: match `socket`", true, false,
		{{LEGACY_4, SOCKET}, {LEGACY_6, SOCKET}}},
	RULES(TOOL_LEGACY, RULES_MARK) = {"iptables-legacy-mark", "iptables-legacy: target MARK",
		true, false, {{LEGACY_4, MARK}, {LEGACY_6, MARK}}},
	RULES(TOOL_LEGACY, RULES_TPROXY) = {"iptables-legacy-tproxy",
		"iptables-legacy: target TPROXY", true, false,
		{{LEGACY_4, TPROXY}, {LEGACY_6, TPROXY}}},
	RULES(TOOL_NFT, RULES_TABLE) = {"nft-chain", "nft: a chain in prerouting", true, false,
		{{NFT_4}, {NFT_6}}},
	RULES(TOOL_NFT, RULES_SOCKET) = {"nft-socket", "nft: `socket transparent`", true, false,
		{{NFT_4, "CONFIG_NFT_SOCKET"}, {NFT_6, "CONFIG_NFT_SOCKET"}}},
	RULES(TOOL_NFT, RULES_MARK) = {"nft-mark", "nft: `meta mark set`", true, false,
		{{NFT_4}, {NFT_6}}},
	RULES(TOOL_NFT, RULES_TPROXY) = {"nft-tproxy", "nft: `tproxy to`", true, false,
		{{NFT_4, "CONFIG_NFT_TPROXY"}, {NFT_6, "CONFIG_NFT_TPROXY"}}},
	[CAPABILITY_ORIGINAL_DESTINATION] = {"udp-original-destination",
		"report a datagram's destination after TPROXY", true, false,
		{{"CONFIG_INET"}, {"CONFIG_IPV6"}}},
	[CAPABILITY_NFT_INET] = {"nft-inet", "nft: a table for both families", false, true,
		{{"CONFIG_NF_TABLES", "CONFIG_NF_TABLES_INET"}}},
	[CAPABILITY_NAT] = {"nat", "nft: redirect, with connection tracking", false, true,
		{{NFT_4, "CONFIG_NF_CONNTRACK", "CONFIG_NFT_NAT", "CONFIG_NFT_REDIR"}}},
};

enum capability_name capability_of_rules(enum firewall_tool tool, enum rules_feature feature)
{
	return (enum capability_name)(CAPABILITY_RULES + (int)tool * RULES_FEATURES + (int)feature);
}

bool capability_next(struct capability_key *at)
{
	if (at->family == AF_INET && capabilities[at->name].families) {
		at->family = AF_INET6;
		return true;
	}
	if (at->family != AF_UNSPEC)
		at->name = (enum capability_name)(at->name + 1);
	at->family = AF_INET;
	return at->name < CAPABILITIES;
}

static int family_index(enum capability_name name, int family)
{
	return capabilities[name].families && family == AF_INET6;
}

const char *capability_id(enum capability_name name, int family, char id[CAPABILITY_ID_MAX])
{
	const char *end = !capabilities[name].families ? "" : family == AF_INET6 ? "-6" : "-4";

	snprintf(id, CAPABILITY_ID_MAX, "%s%s", capabilities[name].name, end);
	return id;
}

const char *capability_state_name(enum capability_state state)
{
	static const char *const names[] = {"untried", "works", "missing"};

	return names[state];
}

const struct finding *findings_get(
	const struct findings *findings, enum capability_name name, int family)
{
	return &findings->found[name][family_index(name, family)];
}

bool findings_can(const struct findings *findings, enum capability_name name, int family)
{
	return findings_get(findings, name, family)->state == CAPABILITY_WORKS;
}

void findings_set(struct findings *findings, enum capability_name name, int family,
	enum capability_state state, const char *format, ...)
{
	struct finding *finding = &findings->found[name][family_index(name, family)];
	va_list arguments;

	finding->state = state;
	va_start(arguments, format);
	vsnprintf(finding->detail, sizeof(finding->detail), format, arguments);
	va_end(arguments);
}

void findings_set_result(
	struct findings *findings, enum capability_name name, int family, int result)
{
	int error = errno;

	if (result == 0)
		findings_set(findings, name, family, CAPABILITY_WORKS, "%s", "");
	else
		findings_set(findings, name, family, CAPABILITY_MISSING, "%s", strerror(error));
}

void findings_set_message(
	struct findings *findings, enum capability_name name, int family, const char *message)
{
	findings_set(findings, name, family,
		tool_is_at_fault(message) ? CAPABILITY_UNTRIED : CAPABILITY_MISSING, "%s", message);
}

void findings_set_required(struct findings *findings, enum capability_name name, int family,
	enum capability_name needed)
{
	char id[CAPABILITY_ID_MAX];

	findings_set(findings, name, family, CAPABILITY_UNTRIED, "needs %s",
		capability_id(needed, family, id));
}

void findings_set_no_ipv6(struct findings *findings)
{
	for (int name = 0; name < CAPABILITIES; name++)
		if (capabilities[name].families && findings->found[name][1].detail[0] == '\0' &&
			findings->found[name][1].state == CAPABILITY_UNTRIED)
			findings_set(findings, (enum capability_name)name, AF_INET6,
				CAPABILITY_UNTRIED, "needs ipv6");
}

void findings_set_no_program(struct findings *findings, enum capability_name name, int family,
	const char *program, const char *package)
{
	size_t room = sizeof(findings->packages) / sizeof(findings->packages[0]) - 1;
	size_t count = 0;

	while (findings->packages[count] != NULL)
		count++;
	capability_add_option(findings->packages, count, room, package);
	findings_set(findings, name, family, CAPABILITY_UNTRIED,
		"there is no program '%s': install package %s", program, package);
}

size_t capability_add_option(const char **list, size_t count, size_t room, const char *option)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(list[i], option) == 0)
			return count;
	if (count < room)
		list[count++] = option;
	return count;
}

static bool depends_on(const struct capability *capability, int place, const char *option)
{
	for (size_t i = 0; i < CAPABILITY_OPTIONS_MAX; i++)
		if (capability->options[place][i] != NULL &&
			strcmp(capability->options[place][i], option) == 0)
			return true;
	return false;
}

/* Whether the option is on, because a capability that depends on it works. */
static bool is_proven_on(const struct findings *findings, const char *option)
{
	for (int name = 0; name < CAPABILITIES; name++)
		for (int place = 0; place < 2; place++)
			if (findings->found[name][place].state == CAPABILITY_WORKS &&
				depends_on(&capabilities[name], place, option))
				return true;
	return false;
}

size_t capability_options(const struct findings *findings, enum capability_name name, int family,
	const char *options[CAPABILITY_OPTIONS_MAX])
{
	const char *const *all = capabilities[name].options[family_index(name, family)];
	size_t count = 0, length = 0;

	for (; length < CAPABILITY_OPTIONS_MAX && all[length] != NULL; length++)
		if (!is_proven_on(findings, all[length]))
			options[count++] = all[length];
	if (count == 0)
		for (; count < length; count++)
			options[count] = all[count];
	return count;
}

/* Whether a line of a program's stderr is advice, or repeats the input. */
static bool is_noise(const char *line, size_t length)
{
	static const char *const begins[] = {"Try `", "Error occurred at line", "add ", "delete "};

	if (strspn(line, " \t^~") >= length)
		return true;
	for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++)
		if (strncmp(line, begins[i], strlen(begins[i])) == 0)
			return true;
	return false;
}

/* The line in which iptables suspects the kernel, or NULL. The lines behind it only follow from that. */
static const char *find_suspicion(const char *errors)
{
	const char *at = strstr(errors, "missing kernel module?");

	while (at != NULL && at > errors && at[-1] != '\n')
		at--;
	if (at != NULL && strncmp(at, "Warning: ", 9) == 0)
		at += 9;
	return at;
}

static void join_lines(const char *errors, char *out, size_t size)
{
	size_t used = 0;

	out[0] = '\0';
	while (*errors != '\0') {
		size_t length = strcspn(errors, "\n");

		if (!is_noise(errors, length) && used < size)
			used += (size_t)snprintf(out + used, size - used, "%s%.*s",
				used > 0 ? "; " : "", (int)length, errors);
		errors += length + (errors[length] == '\n');
	}
}

void tool_message(const char *errors, char *out, size_t size)
{
	const char *suspected = find_suspicion(errors);

	if (suspected != NULL)
		snprintf(out, size, "%.*s", (int)strcspn(suspected, "\n"), suspected);
	else
		join_lines(errors, out, size);
	if (out[0] == '\0')
		snprintf(out, size, "it failed without a message");
	text_make_plain(out); /* the name of a file or a broken tool may bring any bytes */
}

bool tool_is_at_fault(const char *message)
{
	static const char *const signs[] = {"Couldn't load", "nknown option", "Bad argument",
		"syntax error", "No symbol type information", "lock file", "cannot be started",
		"is unknown, try", "failed without a message", "did not end within"};

	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
		if (strstr(message, signs[i]) != NULL)
			return true;
	return false;
}
