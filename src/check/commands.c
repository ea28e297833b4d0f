/*
 * The commands that fix what was found.
 *
 * People paste them, programs run them, and either may run them twice. The invariant: after the second
 * time the host is as it was after the first. So a route replaces, a policy rule is added only where there
 * is none, and a packet rule is deleted from its old place first, because behind the rule that does the
 * harm it has no effect. nft deletes rules only by handles, so our rules have a comment by which they are
 * found.
 *
 * The trap: names that other users chose (programs, links, chains, files). In a command they all go
 * through shell_format(). nft parses its words a second time, so there only names are used that are plain
 * words of nft.
 */
#include "commands.h"
#include "hoststate/sysctl.h"
#include "tproxy/text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* A person has to be able to read a command before it is run, so it has no control characters. */
static bool is_typable(const char *run)
{
	char *shown = run != NULL ? shell_printable(run) : NULL;
	bool same = shown != NULL && strcmp(shown, run) == 0;

	free(shown);
	return same;
}

void check_fix(struct check_finding *finding, enum check_place place, char *run, char *undo)
{
	bool known = !is_typable(run) || finding->command_count == CHECK_COMMANDS_MAX;

	for (size_t i = 0; !known && i < finding->command_count; i++)
		known = strcmp(finding->commands[i].run, run) == 0;
	if (!known) {
		finding->commands[finding->command_count++] =
			(struct check_command){place, run, undo};
		return;
	}
	free(run);
	free(undo);
}

/* The kernel puts tabs between numbers of one value; the command has blanks, which the kernel takes, too. */
static char *sysctl_line(const char *path, const char *value)
{
	char *name = sysctl_name(path), *typed = shell_printable(value);
	char *setting = text_format("%s=%s", name, typed);
	char *line = shell_format("sysctl -w %s", setting);

	free(setting);
	free(typed);
	free(name);
	return line;
}

void check_fix_sysctl(
	struct check *check, struct check_finding *finding, const char *path, const char *value)
{
	char *was = check->snapshot->sysctl(path);

	check_fix(finding, ON_HOST, sysctl_line(path, value),
		was != NULL ? sysctl_line(path, was) : NULL);
	free(was);
}

void check_fix_link_sysctl(struct check *check, struct check_finding *finding, const char *link,
	const char *key, const char *value)
{
	char *path = text_format("net/ipv4/conf/%s/%s", link, key);

	check_fix_sysctl(check, finding, path, value);
	free(path);
}

void check_fix_ip_rule(struct check_finding *finding, enum check_place place, int family,
	int preference, uint32_t mark, uint32_t mask, unsigned table)
{
	int version = family_version(family);
	char *pref = preference != -1 ? text_format("pref %d ", preference) : text_format("%s", "");
	char *masked = mask != UINT32_MAX ? text_format("/0x%x", mask) : text_format("%s", "");
	char *rule = text_format("%sfwmark 0x%x%s lookup %u", pref, mark, masked, table);

	/* A rule for mark 0 would be for all packets of the host. */
	if ((mark & mask) != 0)
		check_fix(finding, place,
			text_format("[ -n \"$(ip -%d rule show %s)\" ] || ip -%d rule add %s",
				version, rule, version, rule),
			text_format("ip -%d rule del %s", version, rule));
	free(rule);
	free(masked);
	free(pref);
}

void check_fix_ip_rule_before(struct check *check, struct check_finding *finding, int family,
	const struct network_rule *before, char *selectors, unsigned table)
{
	const struct network *network = &check->snapshot->network;
	int version = family_version(family);
	unsigned preference = before->priority;
	bool taken = true;

	while (taken && preference > 0) {
		preference--;
		taken = false;
		for (size_t i = 0; i < network->rule_count; i++)
			/* At priority 0 there is the table `local`, and ours comes after that. */
			taken |= network->rules[i].family == family && preference != 0 &&
				 network->rules[i].priority == preference;
	}
	if (!taken) {
		char *rule = text_format("pref %u %s lookup %u", preference, selectors, table);

		check_fix(finding, ON_HOST,
			text_format("[ -n \"$(ip -%d rule show %s)\" ] || ip -%d rule add %s",
				version, rule, version, rule),
			text_format("ip -%d rule del %s", version, rule));
		free(rule);
	}
	free(selectors);
}

/* Whether a link's name is a plain word of sh(1). */
static bool is_plain(const char *link)
{
	char *word = shell_format("%s", link);
	bool plain = *link == '\0' || (word != NULL && strcmp(word, link) == 0);

	free(word);
	return plain;
}

void check_fix_ip_rule_away(struct check_finding *finding, const struct network_rule *rule)
{
	int version = family_version(rule->family);

	if (rule->action != RULE_UNKNOWN && is_plain(rule->iif) && is_plain(rule->oif))
		check_fix(finding, ON_HOST,
			text_format("[ -z \"$(ip -%d rule show %s)\" ] || ip -%d rule del %s",
				version, rule->text, version, rule->text),
			text_format("ip -%d rule add %s", version, rule->text));
}

void check_fix_local_route(struct check_finding *finding, const struct addr *address,
	unsigned length, unsigned table, const struct addr *source)
{
	int version = family_version(addr_family(address));
	char ip[ADDR_TEXT_MAX], from[ADDR_TEXT_MAX];
	char *route = text_format("local %s/%u dev lo", addr_format_ip(address, ip), length);

	if (table != 0)
		text_add(&route, " table %u", table);
	check_fix(finding, ON_HOST,
		text_format("ip -%d route replace %s%s%s", version, route,
			source != NULL ? " src " : "",
			source != NULL ? addr_format_ip(source, from) : ""),
		text_format("ip -%d route del %s", version, route));
	free(route);
}

/* Whether the address is some other host's: a local route for it would cut this host off from that one. */
static bool is_of_another_host(const struct check *check, const struct addr *address)
{
	const struct service *service = check->snapshot->service;
	const struct network *network = &check->snapshot->network;

	if (addr_is_any(address))
		return true;
	for (size_t i = 0; i < service->server_count; i++)
		if (addr_compare_ip(&service->servers[i], address) == 0)
			return true;
	for (size_t i = 0; i < service->client_count; i++)
		if (addr_compare_ip(&service->clients[i], address) == 0)
			return true;
	for (size_t i = 0; i < network->route_count; i++)
		if (addr_compare_ip(&network->routes[i].to, address) == 0 &&
			network->routes[i].length < family_bits(addr_family(address)))
			return true; /* a network's own address */
	return false;
}

void check_fix_local_address(struct check *check, struct check_finding *finding,
	const struct addr *address, const struct addr *source)
{
	if (!is_of_another_host(check, address))
		check_fix_local_route(
			finding, address, family_bits(addr_family(address)), 0, source);
}

void check_fix_iptables(struct check_finding *finding, enum check_place place, const char *program,
	const char *table, const char *chain, enum check_end end, char *rule)
{
	char *to = shell_format("%s -w -t %s", program, table), *in = shell_format("%s", chain);

	if (to != NULL && in != NULL && rule != NULL)
		check_fix(finding, place,
			text_format("%s -D %s %s 2>/dev/null; %s -%c %s %s", to, in, rule, to,
				end == CHECK_FRONT ? 'I' : 'A', in, rule),
			text_format("%s -D %s %s", to, in, rule));
	free(to);
	free(in);
	free(rule);
}

/* Whether nft reads a name as one word. Words of its own language are refused by nft, not misread. */
static bool is_nft_word(const char *name)
{
	if (!isalpha((unsigned char)*name) && *name != '_')
		return false;
	while (isalnum((unsigned char)*name) || *name == '_' || *name == '-' || *name == '.')
		name++;
	return *name == '\0';
}

/* The comment of our rule NAME, as one word of nft's. */
static char *nft_comment(const char *name)
{
	char *comment = text_format("tproxyctl-%s", name);

	for (char *at = comment; *at != '\0'; at++)
		if (!isalnum((unsigned char)*at))
			*at = '-';
	return comment;
}

void check_fix_nft(struct check_finding *finding, const struct table *table,
	const struct chain *chain, enum check_end end, const char *name, char *rule)
{
	const char *family = table->netdev                ? "netdev"
			     : table->family == AF_UNSPEC ? "inet"
			     : table->family == AF_INET6  ? "ip6"
							  : "ip";
	char *where = shell_format("%s %s %s", family, table->name, chain->name);
	char *comment = nft_comment(name), *away;

	if (where != NULL && rule != NULL && is_nft_word(table->name) && is_nft_word(chain->name)) {
		away = text_format(
			"nft -a list chain %s | grep -F '\"%s\"' | sed 's/.*#/delete rule %s/' | nft -f -",
			where, comment, where);
		check_fix(finding, ON_HOST,
			text_format("%s; nft %s rule %s %s comment %s", away,
				end == CHECK_FRONT ? "insert" : "add", where, rule, comment),
			away);
	}
	free(comment);
	free(where);
	free(rule);
}

void check_fix_nft_table(struct check_finding *finding, int family, const char *name, char *rule)
{
	const char *ip = family == AF_INET6 ? "ip6" : "ip";
	char *table = text_format("%s %s", ip, name);

	check_fix(finding, ON_HOST,
		text_format(
			"nft 'add table %s; delete table %s; table %s { chain divert { type filter hook prerouting priority mangle; %s; }; }'",
			table, table, table, rule),
		text_format("nft delete table %s", table));
	free(table);
	free(rule);
}
