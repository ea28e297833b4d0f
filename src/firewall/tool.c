/*
 * The table of firewall tools.
 *
 * iptables and iptables-legacy take the same options but keep their rules in different places, so a host may use
 * both. nft has no program of its own to restore or to list rules: it takes options instead.
 */
#include "tool.h"

#include <stddef.h>
#include <sys/socket.h>

const char *const firewall_tool_names[FIREWALL_TOOLS + 1] = {
	"iptables", "iptables-legacy", "nft", NULL};

static const struct {
	const char *package, *program[2], *restore[2], *save[2]; /* IPv4, IPv6 */
} programs[FIREWALL_TOOLS] = {
	[TOOL_IPTABLES] = {"iptables", {"iptables", "ip6tables"},
		{"iptables-restore", "ip6tables-restore"}, {"iptables-save", "ip6tables-save"}},
	[TOOL_LEGACY] = {"iptables", {"iptables-legacy", "ip6tables-legacy"},
		{"iptables-legacy-restore", "ip6tables-legacy-restore"},
		{"iptables-legacy-save", "ip6tables-legacy-save"}},
	[TOOL_NFT] = {"nftables", {"nft", "nft"}, {"nft", "nft"}, {"nft", "nft"}},
};

const char *firewall_tool_program(enum firewall_tool tool, int family)
{
	return programs[tool].program[family == AF_INET6];
}

const char *firewall_tool_restore(enum firewall_tool tool, int family)
{
	return programs[tool].restore[family == AF_INET6];
}

const char *firewall_tool_save(enum firewall_tool tool, int family)
{
	return programs[tool].save[family == AF_INET6];
}

const char *firewall_tool_package(enum firewall_tool tool)
{
	return programs[tool].package;
}
