/*
 * Rule sets from fixtures or lines, the packets of a connection, and their way through PREROUTING.
 */
#ifndef TESTS_TRACES_H
#define TESTS_TRACES_H

#include "firewall/trace.h"
#include "rulesets.h"

#include <stdlib.h>
#include <string.h>

enum {
	SYN = 0x02,
	SYN_ACK = 0x12,
	ACK = 0x10
};

static inline void add_text(struct ruleset *ruleset, const char *name, const char *text)
{
	char *problem = NULL;
	int result;

	if (strstr(name, ".nft.json") != NULL)
		result = ruleset_parse_nft(ruleset, text, &problem);
	else
		result = ruleset_parse_iptables(ruleset, TOOL_IPTABLES,
			strstr(name, ".ip6tables") != NULL ? AF_INET6 : AF_INET, text, &problem);
	if (result == -1)
		fail_msg("%s: %s", name, problem);
}

static inline void add(struct ruleset *ruleset, const char *name)
{
	char *text = ruleset_text(name);

	add_text(ruleset, name, text);
	free(text);
}

static inline struct ruleset fixture(const char *name)
{
	struct ruleset ruleset = {0};

	add(&ruleset, name);
	return ruleset;
}

static inline struct ruleset named(
	const char *name, const char *table, const char *policy, const char *lines)
{
	struct ruleset ruleset = {0};
	char text[2048];

	snprintf(text, sizeof(text),
		"*%s\n:PREROUTING %s [0:0]\n:A - [0:0]\n:B - [0:0]\n%sCOMMIT\n", table, policy,
		lines);
	add_text(&ruleset, name, text);
	return ruleset;
}

/* Rules of one table's chain PREROUTING, which has a policy. */
static inline struct ruleset rules(const char *table, const char *policy, const char *lines)
{
	return named("text", table, policy, lines);
}

/* Lines of mangle's chain PREROUTING, for IPv6. */
static inline struct ruleset rules6(const char *lines)
{
	return named("text.ip6tables", "mangle", "ACCEPT", lines);
}

static inline struct addr at(const char *ip, uint16_t port)
{
	struct addr addr;

	assert_true(addr_parse(&addr, ip));
	addr_set_port(&addr, port);
	return addr;
}

/* The client's SYN to the VIP; there is no socket for it yet. */
static inline struct packet syn(void)
{
	return (struct packet){.source = at("198.51.100.7", 40000),
		.destination = at("192.0.2.80", 80),
		.protocol = IPPROTO_TCP,
		.in = "client0",
		.tcp_flags = SYN,
		.ct = CT_NEW};
}

/* The server's answer to a connection from the client's address. */
static inline struct packet syn_ack(void)
{
	return (struct packet){.source = at("203.0.113.9", 80),
		.destination = at("198.51.100.7", 41000),
		.protocol = IPPROTO_TCP,
		.in = "server0",
		.tcp_flags = SYN_ACK,
		.ct = CT_ESTABLISHED,
		.socket = SOCKET_CONNECTED,
		.socket_transparent = true};
}

static inline struct trace traced(const struct ruleset *ruleset, struct packet packet)
{
	return trace_packet(ruleset, HOOK_PREROUTING, &packet);
}

static inline void assert_text(const struct rule *rule, const char *text)
{
	assert_non_null(rule);
	assert_string_equal(rule->text, text);
}

#endif
