/*
 * Writes the rules of a plan in the language of their firewall tool.
 *
 * Packets of a transparent socket are marked and accepted, as in DIVERT of HAProxy's walk-through, in a chain
 * or table of our own. --transparent leaves the host's other sockets alone. ICMP errors are matched by the
 * packet that they quote: else "packet too big" passes the proxy and reaches the client. The recipe `tproxy`
 * adds a rule for each listener, with its address and port. Listeners on consecutive ports share a rule, which
 * leaves the port as it is.
 *
 * The trap: the expression `socket` of nft does not see fragments, so with nft datagrams get such a rule in any
 * recipe. `tproxy` makes the kernel reassemble fragments before all rules.
 *
 * A listener on a wildcard address intercepts packets for other hosts. While it is down, no rule matches them, and
 * they would pass to those hosts, past the proxy. So the last rules drop them, unless the plan is to fail open.
 * iptables' TPROXY drops them itself.
 */
#include "plan.h"
#include "tproxy/text.h"

#include <stdlib.h>
#include <string.h>

#define COMMENT "-m comment --comment " OUR_NAME

static const char *protocol_name(int family, int protocol)
{
	if (protocol == IPPROTO_ICMP)
		return family == AF_INET6 ? "ipv6-icmp" : "icmp";
	return protocol == IPPROTO_UDP ? "udp" : "tcp";
}

/* The protocols of a family that are diverted: two at most, then ICMP. */
static size_t protocols_of(const struct service *service, int family, int protocols[3])
{
	size_t count = 0;

	if (service_needs_divert(service, family, IPPROTO_TCP))
		protocols[count++] = IPPROTO_TCP;
	if (service_needs_divert(service, family, IPPROTO_UDP))
		protocols[count++] = IPPROTO_UDP;
	if (count > 0)
		protocols[count++] = IPPROTO_ICMP;
	return count;
}

static bool any_wildcard(const struct service *service, int family, int protocol)
{
	if (protocol != IPPROTO_ICMP)
		return service_has_wildcard(service, family, protocol);
	return service_has_wildcard(service, family, IPPROTO_TCP) ||
	       service_has_wildcard(service, family, IPPROTO_UDP);
}

/*
 * Whether a listener gets a rule: only if it is transparent and serves the family. TPROXY of iptables drops
 * packets for which it finds no transparent socket.
 */
static bool is_named(const struct service_listener *listener, int family)
{
	return listener->transparent && service_listener_accepts(listener, family);
}

/* "80", or for several ports "80:90" with the divider of the tool; to be freed. */
static char *ports_text(const struct service_port_range *ports, char divider)
{
	unsigned first = addr_port(&ports->address);

	return first == ports->last ? text_format("%u", first)
				    : text_format("%u%c%u", first, divider, ports->last);
}

/* The port to which a rule sends packets: for several ports it is the packet's own, which both tools write as 0. */
static unsigned port_named(const struct service_port_range *ports)
{
	unsigned first = addr_port(&ports->address);

	return first == ports->last ? first : 0;
}

static void tproxy_iptables(
	FILE *out, const struct plan *plan, const struct service_port_range *ports)
{
	char ip[ADDR_TEXT_MAX], *span = ports_text(ports, ':');

	addr_format_ip(&ports->address, ip);
	fprintf(out, "-A PREROUTING -p %s", protocol_name(AF_INET, ports->protocol));
	if (!addr_is_any(&ports->address))
		fprintf(out, " -d %s", ip);
	fprintf(out, " --dport %s " COMMENT " -j TPROXY", span);
	if (!addr_is_any(&ports->address))
		fprintf(out, " --on-ip %s", ip);
	fprintf(out, " --on-port %u --tproxy-mark 0x%x\n", port_named(ports), plan->mark);
	free(span);
}

/* Whether a listener intercepts: it is transparent, for packets to all addresses. */
static bool intercepts(const struct service_listener *listener, int family)
{
	return is_named(listener, family) && addr_is_any(&listener->address);
}

/* Drops what the rules before did not divert, but for this host's own addresses. */
static void close_bypass(
	FILE *out, const struct plan *plan, const struct service *service, int family)
{
	bool nft = plan->tool == TOOL_NFT;
	size_t count;
	struct service_port_range *list = service_port_ranges(service, family, intercepts, &count);

	for (size_t i = 0; i < count; i++) {
		const char *protocol = protocol_name(family, list[i].protocol);
		char *span = ports_text(&list[i], nft ? '-' : ':');

		fprintf(out,
			nft ? "\t\t%s dport %s fib daddr type != local drop comment \"" OUR_NAME
			      "\"\n"
			    : "-A PREROUTING -p %s --dport %s -m addrtype ! --dst-type LOCAL " COMMENT
			      " -j DROP\n",
			protocol, span);
		free(span);
	}
	free(list);
}

static char *iptables_rules(const struct plan *plan, const struct service *service, int family)
{
	struct service_port_range *named = NULL;
	struct text_stream text;
	size_t count, named_count = 0;
	int protocols[3];

	text_begin(&text);
	fputs("*mangle\n:" OUR_CHAIN " - [0:0]\n", text.out);
	count = protocols_of(service, family, protocols);
	for (size_t i = 0; i < count; i++)
		fprintf(text.out,
			"-A PREROUTING -p %s -m socket --transparent%s " COMMENT " -j " OUR_CHAIN
			"\n",
			protocol_name(family, protocols[i]),
			any_wildcard(service, family, protocols[i]) ? " --nowildcard" : "");
	if (plan->recipe == RECIPE_TPROXY)
		named = service_port_ranges(service, family, is_named, &named_count);
	for (size_t i = 0; i < named_count; i++)
		tproxy_iptables(text.out, plan, &named[i]);
	free(named);
	if (!plan->fail_open && plan->recipe != RECIPE_TPROXY)
		close_bypass(text.out, plan, service, family);
	fprintf(text.out,
		"-A " OUR_CHAIN " " COMMENT " -j MARK --set-mark 0x%x\n"
		"-A " OUR_CHAIN " " COMMENT " -j ACCEPT\n"
		"COMMIT\n",
		plan->mark);
	return text_end(&text);
}

static void tproxy_nft(
	FILE *out, const struct plan *plan, const struct service_port_range *ports, int family)
{
	const char *protocol = protocol_name(family, ports->protocol);
	char ip[ADDR_TEXT_MAX], both[ADDR_TEXT_MAX], *span = ports_text(ports, '-');
	bool any = addr_is_any(&ports->address);
	unsigned port = port_named(ports);

	addr_format_ip(&ports->address, ip);
	addr_format(&ports->address, both);
	fputs("\t\t", out);
	if (!any)
		fprintf(out, "%s daddr %s ", family == AF_INET6 ? "ip6" : "ip", ip);
	fprintf(out, "%s dport %s tproxy to ", protocol, span);
	if (any)
		fprintf(out, ":%u", port);
	else
		fputs(port != 0 ? both : ip, out);
	fprintf(out, " meta mark set 0x%x accept comment \"" OUR_NAME "\"\n", plan->mark);
	free(span);
}

/* With nft, listeners for datagrams have a rule in any recipe. */
static bool nft_names(const struct service_listener *listener, int family)
{
	return is_named(listener, family) && listener->protocol == IPPROTO_UDP;
}

static char *nft_rules(const struct plan *plan, const struct service *service, int family)
{
	struct service_port_range *named;
	struct text_stream text;
	size_t count, named_count;
	int protocols[3];

	text_begin(&text);
	fprintf(text.out,
		"table %s " OUR_NAME " {\n\tchain divert {\n"
		"\t\ttype filter hook prerouting priority mangle; policy accept;\n",
		family == AF_INET6 ? "ip6" : "ip");
	count = protocols_of(service, family, protocols);
	for (size_t i = 0; i < count; i++)
		fprintf(text.out,
			"\t\tmeta l4proto %s socket transparent 1 meta mark set 0x%x"
			" accept comment \"" OUR_NAME "\"\n",
			protocol_name(family, protocols[i]), plan->mark);
	named = service_port_ranges(service, family,
		plan->recipe == RECIPE_TPROXY ? is_named : nft_names, &named_count);
	for (size_t i = 0; i < named_count; i++)
		tproxy_nft(text.out, plan, &named[i], family);
	free(named);
	if (!plan->fail_open)
		close_bypass(text.out, plan, service, family);
	fputs("\t}\n}\n", text.out);
	return text_end(&text);
}

char *plan_rules(const struct plan *plan, const struct service *service, int family)
{
	return plan->tool == TOOL_NFT ? nft_rules(plan, service, family)
				      : iptables_rules(plan, service, family);
}
