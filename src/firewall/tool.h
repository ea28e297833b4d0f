/*
 * The firewall tools, which load and list packet rules: iptables (it writes nftables rules), iptables-legacy and
 * nft. All other files take the names of their programs from here.
 */
#ifndef TPROXY_FIREWALL_TOOL_H
#define TPROXY_FIREWALL_TOOL_H

enum firewall_tool {
	TOOL_IPTABLES,
	TOOL_LEGACY,
	TOOL_NFT,
	FIREWALL_TOOLS
};

/* The names, by enum firewall_tool: "iptables", "iptables-legacy", "nft"; NULL behind the last. */
extern const char *const firewall_tool_names[FIREWALL_TOOLS + 1];

/*
 * The program that adds a rule, the one that loads a file of rules from standard input, and the one that
 * lists all rules. FAMILY is AF_INET or AF_INET6: nft serves both with one program, iptables has one for each.
 */
const char *firewall_tool_program(enum firewall_tool tool, int family);
const char *firewall_tool_restore(enum firewall_tool tool, int family);
const char *firewall_tool_save(enum firewall_tool tool, int family);

/* The Debian package that contains the programs. */
const char *firewall_tool_package(enum firewall_tool tool);

#endif
