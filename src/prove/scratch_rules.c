/*
 * Writes and loads the packet rules of the scratch proxy's host.
 *
 * A row of the table is a rule in both languages, with the features that it needs. `@` stands for the VIP, `$`
 * for the VIP as nft writes it before a port, `&` for the family in nft's language. The DIVERT rules are those
 * of HAProxy's walk-through. The match `socket` of iptables leaves out wildcard listeners, so it does not match
 * packets for the other ports.
 *
 * The trap: the lock of iptables-legacy is below /run, where we may not write. A memfd has no name in any file
 * system and ends with its last user; the tools inherit its descriptor and open it through /proc/self/fd.
 */
#include "scratch_rules.h"
#include "scratch_network.h"
#include "tproxy/subprocess.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define BIT(feature) (1U << (feature))
#define ALL          (BIT(RULES_FEATURES) - 1)
#define DIVERTS      (BIT(RULES_SOCKET) | BIT(RULES_MARK))
#define NFT_DIVERT   "meta mark set 1 accept"
#define XT_TO(port)  "-j TPROXY --on-port " #port " --tproxy-mark 1"

static const struct scratch_rule {
	unsigned features;
	const char *xt, *nft; /* NULL: that language needs no such line */
} rules[] = {
	{0, ":DIVERT - [0:0]", NULL},
	{BIT(RULES_MARK), "-A DIVERT -j MARK --set-mark 1", NULL},
	{0, "-A DIVERT -j ACCEPT", NULL},
	{DIVERTS, "-A PREROUTING -p tcp -m socket -j DIVERT",
		"meta l4proto tcp socket transparent 1 " NFT_DIVERT},
	{DIVERTS, "-A PREROUTING -p udp -m socket --transparent -j DIVERT",
		"meta l4proto udp socket transparent 1 " NFT_DIVERT},
	{BIT(RULES_TPROXY), "-A PREROUTING -p tcp -d @ --dport 81 " XT_TO(8081) " --on-ip @",
		"& daddr @ tcp dport 81 tproxy to $:8081 " NFT_DIVERT},
	{BIT(RULES_TPROXY), "-A PREROUTING -p tcp --dport 82 " XT_TO(8082),
		"tcp dport 82 tproxy to :8082 " NFT_DIVERT},
	{BIT(RULES_TPROXY), "-A PREROUTING -p udp --dport 84 " XT_TO(8084),
		"udp dport 84 tproxy to :8084 " NFT_DIVERT},
};

/* A feature alone, in both languages. */
static const struct scratch_rule alone[RULES_FEATURES] = {
	[RULES_TABLE] = {0, "-A PREROUTING -j ACCEPT", "accept"},
	[RULES_SOCKET] = {0, "-A PREROUTING -p udp -m socket --transparent -j ACCEPT",
		"meta l4proto udp socket transparent 1 accept"},
	[RULES_MARK] = {0, "-A PREROUTING -j MARK --set-mark 1", "meta mark set 1"},
	[RULES_TPROXY] = {0, "-A PREROUTING -p tcp --dport 82 " XT_TO(8082),
		"tcp dport 82 tproxy to :8082"},
};

static void expand(FILE *out, const char *line, int family)
{
	int place = family == AF_INET6;

	for (; *line != '\0'; line++)
		if (*line == '@')
			fputs(scratch_network_vip[place], out);
		else if (*line == '$')
			fprintf(out, place ? "[%s]" : "%s", scratch_network_vip[place]);
		else if (*line == '&')
			fputs(place ? "ip6" : "ip", out);
		else
			fputc(*line, out);
}

static void put_rule(
	FILE *out, enum firewall_tool tool, int family, const struct scratch_rule *rule)
{
	const char *line = tool == TOOL_NFT ? rule->nft : rule->xt;

	if (line == NULL)
		return;
	if (tool == TOOL_NFT)
		expand(out, "add rule & transparent PREROUTING ", family);
	expand(out, line, family);
	fputc('\n', out);
}

/* What stands before and after the rules. To add a table before it is deleted is nft's way to clear it. */
static void put_head(FILE *out, enum firewall_tool tool, int family)
{
	if (tool == TOOL_NFT)
		expand(out,
			"add table & transparent\n"
			"delete table & transparent\n"
			"add table & transparent\n"
			"add chain & transparent PREROUTING { type filter hook prerouting priority "
			"-150; }\n",
			family);
	else
		fputs("*mangle\n", out);
}

static void put_tail(FILE *out, enum firewall_tool tool)
{
	if (tool != TOOL_NFT)
		fputs("COMMIT\n", out);
}

void scratch_rules_text(
	enum firewall_tool tool, int family, unsigned features, char text[SCRATCH_RULES_TEXT_MAX])
{
	FILE *out = fmemopen(text, SCRATCH_RULES_TEXT_MAX, "w");

	text[0] = '\0';
	if (out == NULL)
		return;
	put_head(out, tool, family);
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if ((rules[i].features & ~features) == 0)
			put_rule(out, tool, family, &rules[i]);
	put_tail(out, tool);
	fclose(out);
}

static void text_alone(enum firewall_tool tool, int family, enum rules_feature feature, char *text)
{
	FILE *out = fmemopen(text, SCRATCH_RULES_TEXT_MAX, "w");

	text[0] = '\0';
	if (out == NULL)
		return;
	put_head(out, tool, family);
	put_rule(out, tool, family, &alone[feature]);
	put_tail(out, tool);
	fclose(out);
}

static bool run_loader(const char *program, const char *text, char *message, size_t size)
{
	const char *const nft[] = {program, "-f", "-", NULL}, *const restore[] = {program, NULL};
	struct subprocess_result result;
	bool well = subprocess_run(strcmp(program, "nft") == 0 ? nft : restore, text, &result);

	if (!well)
		tool_message(result.errors, message, size);
	subprocess_free(&result);
	return well;
}

/* Each feature by itself; the set of those that work. */
static unsigned try_each(struct findings *findings, enum firewall_tool tool, int family)
{
	const char *program = firewall_tool_restore(tool, family);
	char text[SCRATCH_RULES_TEXT_MAX], message[256];
	unsigned features = 0;

	for (int feature = 0; feature < RULES_FEATURES; feature++) {
		enum capability_name name = capability_of_rules(tool, (enum rules_feature)feature);
		enum capability_name table = capability_of_rules(tool, RULES_TABLE);

		if (feature != RULES_TABLE && !findings_can(findings, table, family)) {
			findings_set_required(findings, name, family, table);
			continue;
		}
		text_alone(tool, family, (enum rules_feature)feature, text);
		if (run_loader(program, text, message, sizeof(message))) {
			findings_set_result(findings, name, family, 0);
			features |= BIT(feature);
		} else
			findings_set_message(findings, name, family, message);
	}
	return features;
}

void scratch_rules_load(struct findings *findings, enum firewall_tool tool, int family)
{
	const char *program = firewall_tool_restore(tool, family);
	char text[SCRATCH_RULES_TEXT_MAX], message[256];
	unsigned features;

	if (!subprocess_exists(program)) {
		for (int i = 0; i < RULES_FEATURES; i++)
			findings_set_no_program(findings,
				capability_of_rules(tool, (enum rules_feature)i), family, program,
				firewall_tool_package(tool));
		return;
	}
	scratch_rules_text(tool, family, ALL, text);
	if (run_loader(program, text, message, sizeof(message))) {
		for (int i = 0; i < RULES_FEATURES; i++)
			findings_set_result(findings,
				capability_of_rules(tool, (enum rules_feature)i), family, 0);
		return;
	}
	features = try_each(findings, tool, family);
	if (features == 0)
		return;
	scratch_rules_text(tool, family, features, text);
	if (!run_loader(program, text, message, sizeof(message)))
		findings_set_message(
			findings, capability_of_rules(tool, RULES_TABLE), family, message);
}

void scratch_rules_flush(const struct findings *findings, enum firewall_tool tool, int family)
{
	const char *program = firewall_tool_restore(tool, family);
	char message[256];

	if (!findings_can(findings, capability_of_rules(tool, RULES_TABLE), family))
		return;
	if (tool != TOOL_NFT)
		run_loader(program, "*mangle\nCOMMIT\n", message, sizeof(message));
	else
		run_loader(program,
			family == AF_INET6 ? "delete table ip6 transparent\n"
					   : "delete table ip transparent\n",
			message, sizeof(message));
}

void scratch_rules_try_optional(struct findings *findings)
{
	static const struct {
		enum capability_name name;
		const char *text;
	} tried[] = {
		{CAPABILITY_NFT_INET,
			"add table inet both\n"
			"add chain inet both c { type filter hook prerouting priority -150; }\n"},
		{CAPABILITY_NAT,
			"add table ip redirecting\n"
			"add chain ip redirecting c { type nat hook prerouting priority -100; }\n"
			"add rule ip redirecting c tcp dport 80 redirect to :8080\n"},
	};
	char message[256];

	for (size_t i = 0; i < sizeof(tried) / sizeof(tried[0]); i++)
		if (!subprocess_exists("nft"))
			findings_set_no_program(
				findings, tried[i].name, AF_INET, "nft", "nftables");
		else if (run_loader("nft", tried[i].text, message, sizeof(message)))
			findings_set_result(findings, tried[i].name, AF_INET, 0);
		else
			findings_set_message(findings, tried[i].name, AF_INET, message);
}

void scratch_rules_own_lock(void)
{
	char path[64];
	int lock = memfd_create("xtables.lock", 0); /* without MFD_CLOEXEC: tools inherit it */

	if (lock == -1)
		return; /* then it is the one below /run, or the tool says why not */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", lock);
	setenv("XTABLES_LOCKFILE", path, 1);
}
