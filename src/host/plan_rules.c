/*
 * The rules of a plan in the language of their tool.
 *
 * What belongs to a transparent socket gets the mark and is accepted: the walk-through's DIVERT, in a
 * chain or table of our own. --transparent leaves the host's other sockets alone. ICMP errors are caught
 * by what they quote, or "packet too big" goes past the proxy to the client. The recipe `tproxy` adds a
 * rule for each listener, which names it. For datagrams nft does so in any recipe: its `socket` would pass
 * over fragments, and what has them put together, for all rules of the host, is its `tproxy`.
 */
#include "tproxy/plan.h"
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

/* The protocols of a family that sockets are looked for in: two at most, then ICMP. */
static size_t protocols_of(const struct needs *needs, int family, int protocols[3])
{
	size_t count = 0;

	if (plan_serves(needs, family, IPPROTO_TCP))
		protocols[count++] = IPPROTO_TCP;
	if (plan_serves(needs, family, IPPROTO_UDP))
		protocols[count++] = IPPROTO_UDP;
	if (count > 0)
		protocols[count++] = IPPROTO_ICMP;
	return count;
}

static bool any_wildcard(const struct needs *needs, int family, int protocol)
{
	if (protocol != IPPROTO_ICMP)
		return plan_wildcard(needs, family, protocol);
	return plan_wildcard(needs, family, IPPROTO_TCP) ||
	       plan_wildcard(needs, family, IPPROTO_UDP);
}

/*
 * Whether a listener is to be named by a rule. Not where it could not be found: iptables' TPROXY drops what
 * no transparent socket is there for.
 */
static bool is_named(const struct need_listener *listener, int family)
{
	return listener->transparent && needs_hears(listener, family);
}

/* Whether an earlier listener has the same port in the family, so that one rule is enough. */
static bool is_again(const struct needs *needs, size_t index, int family)
{
	const struct need_listener *this = &needs->listeners[index];

	for (size_t i = 0; i < index; i++) {
		const struct need_listener *other = &needs->listeners[i];

		if (other->protocol != this->protocol || !is_named(other, family) ||
			addr_port(&other->address) != addr_port(&this->address))
			continue;
		if (addr_is_any(&other->address) && addr_is_any(&this->address))
			return true;
		if (addr_equal(&other->address, &this->address))
			return true;
	}
	return false;
}

static void tproxy_iptables(
	char **text, const struct plan *plan, const struct need_listener *listener)
{
	const char *protocol = protocol_name(AF_INET, listener->protocol);
	unsigned port = addr_port(&listener->address);
	char ip[ADDR_TEXT_MAX];

	addr_format_ip(&listener->address, ip);
	text_add(text, "-A PREROUTING -p %s", protocol);
	if (!addr_is_any(&listener->address))
		text_add(text, " -d %s", ip);
	text_add(text, " --dport %u " COMMENT " -j TPROXY", port);
	if (!addr_is_any(&listener->address))
		text_add(text, " --on-ip %s", ip);
	text_add(text, " --on-port %u --tproxy-mark 0x%x\n", port, plan->mark);
}

static char *iptables_rules(const struct plan *plan, const struct needs *needs, int family)
{
	int protocols[3];
	size_t count = protocols_of(needs, family, protocols);
	char *text = text_format("*mangle\n:" OUR_CHAIN " - [0:0]\n");

	for (size_t i = 0; i < count; i++)
		text_add(&text,
			"-A PREROUTING -p %s -m socket --transparent%s " COMMENT " -j " OUR_CHAIN
			"\n",
			protocol_name(family, protocols[i]),
			any_wildcard(needs, family, protocols[i]) ? " --nowildcard" : "");
	for (size_t i = 0; plan->recipe == RECIPE_TPROXY && i < needs->listener_count; i++)
		if (is_named(&needs->listeners[i], family) && !is_again(needs, i, family))
			tproxy_iptables(&text, plan, &needs->listeners[i]);
	text_add(&text,
		"-A " OUR_CHAIN " " COMMENT " -j MARK --set-mark 0x%x\n"
		"-A " OUR_CHAIN " " COMMENT " -j ACCEPT\n"
		"COMMIT\n",
		plan->mark);
	return text;
}

static void tproxy_nft(
	char **text, const struct plan *plan, const struct need_listener *listener, int family)
{
	const char *protocol = protocol_name(family, listener->protocol);
	const char *ip = family == AF_INET6 ? "ip6" : "ip";
	unsigned port = addr_port(&listener->address);
	char address[ADDR_TEXT_MAX], both[ADDR_TEXT_MAX];

	addr_format_ip(&listener->address, address);
	addr_format(&listener->address, both);
	text_add(text, "\t\t");
	if (!addr_is_any(&listener->address))
		text_add(text, "%s daddr %s ", ip, address);
	text_add(text, "%s dport %u tproxy to ", protocol, port);
	if (addr_is_any(&listener->address))
		text_add(text, ":%u", port);
	else
		text_add(text, "%s", both);
	text_add(text, " meta mark set 0x%x accept comment \"" OUR_NAME "\"\n", plan->mark);
}

static bool nft_names(const struct plan *plan, const struct need_listener *listener, int family)
{
	return is_named(listener, family) &&
	       (plan->recipe == RECIPE_TPROXY || listener->protocol == IPPROTO_UDP);
}

static char *nft_rules(const struct plan *plan, const struct needs *needs, int family)
{
	int protocols[3];
	size_t count = protocols_of(needs, family, protocols);
	char *text =
		text_format("table %s " OUR_NAME " {\n\tchain divert {\n"
			    "\t\ttype filter hook prerouting priority mangle; policy accept;\n",
			family == AF_INET6 ? "ip6" : "ip");

	for (size_t i = 0; i < count; i++)
		text_add(&text,
			"\t\tmeta l4proto %s socket transparent 1 meta mark set 0x%x"
			" accept comment \"" OUR_NAME "\"\n",
			protocol_name(family, protocols[i]), plan->mark);
	for (size_t i = 0; i < needs->listener_count; i++)
		if (nft_names(plan, &needs->listeners[i], family) && !is_again(needs, i, family))
			tproxy_nft(&text, plan, &needs->listeners[i], family);
	text_add(&text, "\t}\n}\n");
	return text;
}

char *plan_rules(const struct plan *plan, const struct needs *needs, int family)
{
	return plan->backend == BACKEND_NFT ? nft_rules(plan, needs, family)
					    : iptables_rules(plan, needs, family);
}
