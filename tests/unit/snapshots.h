/*
 * A made-up host for the checklist: the walk-through's, with a complete set-up for both families. Each test
 * changes what it is about.
 *
 * Links, routes and packet rules are texts as the host's tools print them. A small model stands for the kernel:
 * policy rules in their order, marks with their masks, the longest prefix of a table.
 */
#ifndef TESTS_SNAPSHOTS_H
#define TESTS_SNAPSHOTS_H

#include "check/check.h"
#include "unit.h"

/* One table as iptables-save prints it; LINES are rules with their newlines. */
#define TABLE(name, input, output, lines)                                                          \
	"*" name "\n:PREROUTING ACCEPT [0:0]\n:INPUT " input " [0:0]\n:FORWARD ACCEPT [0:0]\n"     \
	":OUTPUT " output " [0:0]\n:POSTROUTING ACCEPT [0:0]\n:OWN - [0:0]\n" lines "COMMIT\n"
#define MANGLE(lines) TABLE("mangle", "ACCEPT", "ACCEPT", lines)
#define FILTER(input, output, lines)                                                               \
	"*filter\n:INPUT " input " [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT " output " [0:0]\n" lines \
	"COMMIT\n"
#define NAT(lines)                                                                                 \
	"*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"              \
	":POSTROUTING ACCEPT [0:0]\n" lines "COMMIT\n"
#define MARKED     "-j MARK --set-xmark 0x1/0xffffffff\n"
#define DIVERT_TCP "-A PREROUTING -p tcp -m socket --transparent " MARKED
#define DIVERT     DIVERT_TCP "-A PREROUTING -p icmp -m socket --transparent " MARKED
#define DIVERT6    DIVERT_TCP "-A PREROUTING -p ipv6-icmp -m socket --transparent " MARKED

/* `nft -j list ruleset`: a table, base chains and rules of it, divided by commas. */
#define NFT(objects) "{\"nftables\":[{\"metainfo\":{\"json_schema_version\":1}}," objects "]}"
#define NFT_TABLE(family, name)                                                                    \
	"{\"table\":{\"family\":\"" family "\",\"name\":\"" name "\",\"handle\":1}}"
#define NFT_CHAIN(family, table, name, hook, prio, policy)                                         \
	",{\"chain\":{\"family\":\"" family "\",\"table\":\"" table "\",\"name\":\"" name          \
	"\",\"handle\":2,\"type\":\"filter\",\"hook\":\"" hook "\",\"prio\":" prio                 \
	",\"policy\":\"" policy "\"}}"
#define NFT_RULE(family, table, chain, expr)                                                       \
	",{\"rule\":{\"family\":\"" family "\",\"table\":\"" table "\",\"chain\":\"" chain         \
	"\",\"handle\":7,\"expr\":[" expr "]}}"
#define NFT_IS(left, right) "{\"match\":{\"op\":\"==\",\"left\":" left ",\"right\":" right "}}"
#define NFT_TCP             NFT_IS("{\"meta\":{\"key\":\"l4proto\"}}", "\"tcp\"")
#define NFT_SOCKET          NFT_IS("{\"socket\":{\"key\":\"transparent\"}}", "1")
#define NFT_MARK            "{\"mangle\":{\"key\":{\"meta\":{\"key\":\"mark\"}},\"value\":1}}"
#define NFT_ACCEPT          "{\"accept\":null}"
#define NFT_DROP            "{\"drop\":null}"
#define NFT_PORT            NFT_IS("{\"payload\":{\"protocol\":\"tcp\",\"field\":\"dport\"}}", "80")
#define NFT_FILTER(hook, policy)                                                                   \
	NFT_TABLE("inet", "f") NFT_CHAIN("inet", "f", "c", hook, "0", policy)

#define VIP4      "192.0.2.80"
#define VIP6      "2001:db8:f::80"
#define CLIENT4   "198.51.100.10"
#define CLIENT6   "2001:db8:c::10"
#define SERVER4   "203.0.113.20"
#define SERVER6   "2001:db8:5::20"
#define PACKETS4  "clients' packets to 192.0.2.80:80"
#define REQUESTS4 "requests to the servers (IPv4)"
#define PACKETS6  "clients' packets to [2001:db8:f::80]:80"
#define ANSWERS4  "servers' answers to the client's address (IPv4)"
#define ANSWERS6  "servers' answers to the client's address (IPv6)"

enum {
	HOST_LIST_MAX = 32,
	HOST_OWNERS_MAX = 160,
	FOUR = 0, /* of what there is for each family */
	SIX = 1
};

struct host {
	struct service service;
	struct snapshot snapshot;
	struct check_report report;
	const char *links, *policy[2], *routes[2], *proxied; /* as `ip -j` prints them */
	struct addr gateway;                                 /* of default routes */
	bool udp_unlisted;                                   /* the kernel lacks udp_diag */
	bool neighbours_silent; /* none answers for its link-layer address */
	bool refuses_sources;   /* the kernel has no route for any incoming packet */
	struct {
		enum firewall_tool tool;
		int family;
		const char *text;
	} saved[HOST_LIST_MAX];
	size_t saved_count;
	struct {
		const char *path, *value;
	} sysctls[HOST_LIST_MAX];
	size_t sysctl_count;
	struct host_socket sockets[HOST_LIST_MAX];
	size_t socket_count;
	struct {
		ino_t inode;
		struct socket_owner owner;
	} owners[HOST_OWNERS_MAX];
	size_t owner_count;
};

extern struct host host;

/* cmocka's set-up and teardown: the walk-through's host with a proxy for IPv4. */
int host_fresh(void **state);
int host_gone(void **state);

/* Judges the host as it is now. */
void host_judged(void);

/* The same with the recipe's rules of iptables for IPv4, and more of its tables. */
void host_judged_with(const char *text);

/* Another listener, and the server that the proxy connects to (NULL: none). */
void host_serves(const char *listener, const char *server);
void host_serves_ipv6(void);

struct addr host_address(const char *ip, uint16_t port);
void host_sysctl(const char *path, const char *value); /* NULL: there is no such */

/* Packet rules: in place of all that are there, or in addition to them. */
void host_rules(enum firewall_tool tool, int family, const char *text);
void host_more_rules(enum firewall_tool tool, int family, const char *text);

/* Adds a transparent socket of the proxy. SERVER has its port. */
struct host_socket *host_listens(const char *ip, uint16_t port, int protocol);
struct host_socket *host_connects(const char *client, uint16_t port, const char *server);
void host_owned(struct host_socket *socket, pid_t pid, const char *name, uint64_t may);

/*
 * Gives the host a kernel configuration with the options of all capabilities, and judges it. Options of OFF
 * are off, those of OPEN are not mentioned (lists that end with NULL, or NULL).
 */
void host_built_with(const char *heading, const char *const *off, const char *const *open);

/* --- what was found --- */

size_t found_count(enum check_item item, enum check_state state);

/* The first finding of an item in a state, or about a subject; the test fails if there is none. */
const struct check_finding *found(enum check_item item, enum check_state state);
const struct check_finding *found_about(
	enum check_item item, enum check_state state, const char *subject);

void assert_state(enum check_item item, enum check_state state);

/* ITEM is in STATE, and nothing else is missing or harmful. */
void assert_alone(enum check_item item, enum check_state state);
void assert_well(void);

void assert_reads(const struct check_finding *finding, const char *read);

/* The command of that number, from 0. */
void assert_fix(const struct check_finding *finding, size_t number, enum check_place place,
	const char *run, const char *undo);

/* One command, to be run on the host. */
void assert_fixed_by(const struct check_finding *finding, const char *run, const char *undo);

/*
 * The same for a rule of iptables, of nft or of `ip rule`, in the form that may be run twice. PROGRAM has its
 * table: "iptables -w -t mangle"; nft's CHAIN has its family and table: "ip t pre".
 */
void assert_fixed_by_rule(const struct check_finding *finding, const char *program,
	const char *chain, const char *rule);
void assert_fixed_by_nft(const struct check_finding *finding, const char *verb, const char *chain,
	const char *rule, const char *comment);
void assert_fixed_by_ip_rule(const struct check_finding *finding, int version, const char *rule);

/* The command of that number: VERB is I for a rule in front, A for one behind. */
void assert_fixed_by_iptables(const struct check_finding *finding, enum check_place place,
	size_t number, const char *program, const char *chain, char verb, const char *rule);

#endif
