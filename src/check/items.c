/*
 * The checklist itself: a row an item. Judging, printing and the manual go by it.
 *
 * What an item hangs on is a column of its own: where that is not there or could not be read, the item is
 * unknown, and never well.
 */
#include "check.h"

const char *const check_state_names[] = {"ok", "advice", "unknown", "missing", "harmful"};
const char *const check_place_names[] = {"this host", "the proxy", "the server", "the router"};

const char *const check_remedies[REMEDY_COUNT] = {
	[REMEDY_RULES] = "read the rules that are named above as not understood",
	[REMEDY_CLIENT] = "bring a link up, or name a client (--client ADDR)",
	[REMEDY_SERVER] = "name a server (--server ADDR)",
	[REMEDY_ROOT] = "run as root",
	[REMEDY_TOOL] = "make the tools work that are named above (ip, iptables-save, nft)",
	[REMEDY_PROXY] = "start the proxy",
	[REMEDY_FIRST] = "first fix what is missing or harmful",
	[REMEDY_KERNEL] =
		"run `tproxyctl prove`, or give the whole configuration (--kernel-config)",
	[REMEDY_DIAG] = "run a kernel from Linux 5.10 on, with CONFIG_INET_UDP_DIAG",
	[REMEDY_TRY] = "try a connection: check does not follow such ones",
	[REMEDY_TRAFFIC] = "have a client connect while `tproxyctl check --watch 10` looks",
};

const struct check_row check_rows[CHECK_ITEMS] = {
	[CHECK_KERNEL] = {"kernel", "kernel options",
		"Without them the kernel refuses the rules, the route or the socket option.", 0},
	[CHECK_LISTENER] = {"listener", "the proxy listens",
		"What the rules hand over needs a socket that takes it.", BY_SOCKETS | BY_LISTENER},
	[CHECK_CAPABILITY] = {"capability", "the proxy's privileges",
		"IP_TRANSPARENT takes CAP_NET_RAW or CAP_NET_ADMIN.", BY_SOCKETS | BY_LISTENER},
	[CHECK_TRANSPARENT] = {"transparent", "transparent listeners",
		"A socket that is not transparent cannot answer from an address that the host does "
		"not have.",
		BY_SOCKETS},
	[CHECK_OTHER_LISTENER] = {"other-listener", "another program at the proxy's port",
		"Connections are shared out between all that listen at one address and port.",
		BY_SOCKETS | BY_LISTENER},
	[CHECK_LIMITS] = {"limits", "descriptors and pipes",
		"A session takes two descriptors; without a spare one clients are turned away.",
		BY_SOCKETS | BY_LISTENER},
	[CHECK_DIVERT] = {"divert", "packets of the proxy's sockets are caught",
		"Packets to addresses that the host does not have are forwarded or dropped unless "
		"a rule catches them.",
		BY_RULES | BY_CLIENTS},
	[CHECK_RULE_ORDER] = {"rule-order", "no other rule comes first",
		"A rule that accepts a packet ends its chain, and what stands behind is not "
		"asked.",
		BY_RULES | BY_CLIENTS},
	[CHECK_WILDCARD] = {"nowildcard", "listeners bound to no address",
		"`-m socket` passes over listeners on 0.0.0.0 and [::] without --nowildcard.",
		BY_RULES | BY_CLIENTS},
	[CHECK_MARK] = {"mark", "what is caught gets the mark", "The ip rule goes by the mark.",
		BY_RULES | BY_CLIENTS},
	[CHECK_IP_RULE] = {"ip-rule", "the mark chooses the table",
		"Without the ip rule a marked packet is routed like any other.",
		BY_RULES | BY_CLIENTS},
	[CHECK_IP_ROUTE] = {"ip-route", "the table delivers to this host",
		"The local route of the table is what hands the packet to a socket.",
		BY_RULES | BY_CLIENTS},
	[CHECK_MARK_SHARED] = {"mark-shared", "the mark is nobody else's",
		"Whatever bears the mark is delivered to this host, and is lost if it was for "
		"another.",
		BY_RULES | BY_CLIENTS},
	[CHECK_FILTER] = {"filter", "no rule drops the proxy's packets",
		"A firewall that knows nothing of the proxy drops what is for foreign addresses.",
		BY_RULES | BY_CLIENTS},
	[CHECK_NAT_DESTINATION] = {"nat-destination", "no rule changes where clients call",
		"After a DNAT or REDIRECT the packet is for somebody else.", BY_RULES | BY_CLIENTS},
	[CHECK_NAT_SOURCE] = {"nat-source", "no rule changes the client's address",
		"MASQUERADE and SNAT put this host's address in its place, and the server sees "
		"that.",
		BY_RULES | BY_CLIENTS | BY_SERVERS | BY_ANSWERS},
	[CHECK_ICMP] = {"icmp", "ICMP errors about the client's address are caught",
		"\"Packet too big\" for a connection from the client's address would go to the "
		"client, and uploads would stall.",
		BY_RULES | BY_CLIENTS | BY_SERVERS | BY_ANSWERS},
	[CHECK_FRAGMENTS] = {"fragments", "datagrams in fragments are put together",
		"nft's `socket` needs the ports, which only the first fragment has; large "
		"datagrams "
		"are lost.",
		BY_RULES | BY_CLIENTS},
	[CHECK_BACKENDS] = {"backends", "one firewall at a time",
		"Rules of iptables-legacy and of nftables work side by side, and each tool shows "
		"only its own.",
		0},
	[CHECK_IP_FORWARD] = {"ip_forward", "forwarding",
		"What is proxied needs none; answering for an address by proxy ARP or NDP does, "
		"and "
		"so does what is not proxied.",
		BY_NETWORK},
	[CHECK_NONLOCAL_BIND] = {"ip_nonlocal_bind", "binding to foreign addresses",
		"A transparent listener does not need it, and it is no replacement for one.", 0},
	[CHECK_SRC_VALID_MARK] = {"src_valid_mark", "sources looked up with the mark",
		"With the mark every source counts as this host's own, and such packets from "
		"outside are dropped in silence.",
		BY_NETWORK | BY_CLIENTS},
	[CHECK_RP_FILTER] = {"rp_filter", "reverse path filter",
		"A strict filter drops packets that come by another link than the way back.",
		BY_NETWORK | BY_CLIENTS},
	[CHECK_EARLY_DEMUX] = {"ip_early_demux", "early demultiplexing",
		"It decides how an answer that is not caught gets lost, in silence or by the "
		"client's reset; nothing else.",
		0},
	[CHECK_FWMARK_ACCEPT] = {"tcp_fwmark_accept", "answers to clients are not marked",
		"With it a connection takes over the mark of its first packet, and what the proxy "
		"sends to the client is delivered to this host.",
		BY_RULES | BY_CLIENTS},
	[CHECK_SYNCOOKIES] = {"tcp_syncookies", "SYN cookies",
		"A SYN cookie leaves no socket behind that the client's next packet could belong "
		"to.",
		BY_RULES | BY_CLIENTS},
	[CHECK_BRIDGE] = {"bridge-nf", "rules run on a bridge",
		"The socket that TPROXY chose on the bridge is taken off the packet when the host "
		"takes it in.",
		BY_RULES | BY_CLIENTS},
	[CHECK_ANNOUNCE] = {"announce", "clients find the address",
		"Somebody has to answer when a link is asked who has the address, or a router has "
		"to know the way.",
		BY_NETWORK},
	[CHECK_LOCAL_CLIENT] = {"local-client", "clients on this host",
		"What the host sends itself does not pass PREROUTING.", BY_NETWORK | BY_CLIENTS},
	[CHECK_SERVER_ROUTE] = {"server-route", "the servers can be reached",
		"Without a route nothing gets there.", BY_NETWORK | BY_SERVERS},
	[CHECK_RETURN_PATH] = {"return-path", "servers answer through this host",
		"The server answers the client's address; unless that way leads through this host, "
		"the answer reaches a client that never asked.",
		BY_SOCKETS | BY_SERVERS},
	[CHECK_PATH_MTU] = {"path-mtu", "large packets get through",
		"Where a hop takes smaller packets only and its word does not reach this host, "
		"uploads stall.",
		BY_SOCKETS | BY_SERVERS},
	[CHECK_SOURCE_PORTS] = {"source-ports", "ports for the client's address",
		"One client can have as many connections to one server as there are ports, and "
		"fewer where the port is chosen at bind().",
		BY_SOCKETS | BY_SERVERS},
};
