/*
 * Judges whether what was found well would be there after a reboot, and after a restart of what deletes foreign rules.
 *
 * While packets are followed, the packet rules and policy rules that deliver them are noted. Here each of them is looked for
 * in the files that are read at boot (hoststate/boot.h). What is lost is advice, because connections work now. Where the host
 * does not work, nothing is noted, and the item waits for the others.
 */
#include "endpoints.h"
#include "fixes.h"
#include "hoststate/boot.h"
#include "hoststate/sysctl.h"
#include "tproxy/text.h"

#include <stdlib.h>
#include <string.h>

void check_note_delivery(
	struct check *check, const struct rule *diverts, const struct network_rule *chosen)
{
	struct check_delivery *notes = &check->delivery;
	bool known = diverts == NULL;

	for (size_t i = 0; i < notes->count; i++)
		known |= notes->diverting[i] == diverts;
	if (!known && notes->count < CHECK_DELIVERY_MAX)
		notes->diverting[notes->count++] = diverts;
	if (chosen != NULL && chosen->table != TABLE_LOCAL)
		notes->chosen[chosen->family == AF_INET6] = chosen;
	notes->any = true;
}

/* Adds one thing that nothing makes at boot to a list of them. Takes NAME. */
static void add_lost(char **lost, char *name)
{
	text_add(lost, "%s%s", *lost != NULL ? ", " : "", name);
	free(name);
}

static void look_for_packet_rules(const struct check *check, char **lost)
{
	const struct boot *boot = &check->snapshot->boot;

	for (size_t i = 0; i < check->delivery.count; i++) {
		const struct rule *rule = check->delivery.diverting[i];
		bool made = rule->handle != 0
				    ? boot_makes_packet_rule(boot, "socket transparent") ||
					      boot_makes_packet_rule(boot, "tproxy ")
				    : boot_makes_packet_rule(boot, rule->text);

		if (!made)
			add_lost(lost, check_rule_text(check, rule));
	}
}

static void look_for_policy_rules(const struct check *check, char **lost)
{
	const struct boot *boot = &check->snapshot->boot;

	for (size_t i = 0; i < 2; i++) {
		const struct network_rule *rule = check->delivery.chosen[i];

		if (rule == NULL)
			continue;
		if (rule->has_mark ? !boot_makes_rule(boot, rule->mark) : boot->network == NULL)
			add_lost(lost, text_format("`ip -%d rule`: `%s`",
					       family_version(rule->family), rule->text));
		if (!boot_makes_route(boot, rule->table, ""))
			add_lost(lost, text_format("`ip -%d route`: the local one of table %u",
					       family_version(rule->family), rule->table));
	}
}

/* Local routes and entries `ip neigh proxy` for the addresses that clients connect to. */
static void look_for_address(const struct check *check, const struct addr *address, char **lost)
{
	const struct boot *boot = &check->snapshot->boot;
	const struct network *network = &check->snapshot->network;
	char ip[ADDR_TEXT_MAX];

	addr_format_ip(address, ip);
	if (network_find_address(network, address) == NULL &&
		network_find_local_route(network, TABLE_LOCAL, address) != NULL &&
		!boot_makes_route(boot, TABLE_LOCAL, ip))
		add_lost(lost, text_format("the local route to %s", ip));
	for (size_t i = 0; i < network->proxied_count; i++)
		if (addr_compare_ip(&network->proxied[i].address, address) == 0 &&
			!boot_names_address(boot, ip))
			add_lost(
				lost, text_format("the entry of `ip neigh show proxy` for %s", ip));
}

static void look_for_addresses(const struct check *check, char **lost)
{
	static const int families[] = {AF_INET, AF_INET6};
	const struct service *service = check->snapshot->service;
	struct addr destinations[CLIENTS_MAX];

	for (size_t i = 0; i < service->listener_count; i++)
		for (size_t f = 0; f < 2; f++) {
			size_t count = check_hears(check, &service->listeners[i], families[f])
					       ? check_destinations(check, &service->listeners[i],
							 families[f], destinations)
					       : 0;

			for (size_t j = 0; j < count; j++)
				look_for_address(check, &destinations[j], lost);
		}
}

/* A file sets a sysctl at boot to something else than it is now. */
static void judge_sysctls(struct check *check)
{
	static const char *const paths[] = {"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding",
		"net/ipv4/conf/all/rp_filter", "net/ipv4/conf/all/src_valid_mark",
		"net/ipv4/conf/all/accept_local", "net/ipv4/conf/all/arp_ignore",
		"net/ipv4/tcp_fwmark_accept", "net/ipv4/tcp_syncookies"};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		char *name = sysctl_name(paths[i]), *now = check->snapshot->sysctl(paths[i]);
		const char *file;
		char *then = boot_sysctl(&check->snapshot->boot, name, &file);

		if (now != NULL && then != NULL && strcmp(now, then) != 0)
			check_add(check, CHECK_PERSISTENCE, CHECK_ADVICE, name,
				"it is %s now, and %s sets it to %s at boot", now, file, then);
		free(then);
		free(now);
		free(name);
	}
}

/* Measured with firewalld 1.3.3 and iptables-nft, for both values of its FirewallBackend; nft's other tables stay. */
static void judge_firewalld(struct check *check)
{
	const struct rule *rule = NULL;
	char *text;

	for (size_t i = 0; i < check->delivery.count && rule == NULL; i++)
		if (check->delivery.diverting[i]->handle == 0)
			rule = check->delivery.diverting[i];
	if (!check->snapshot->boot.firewalld || rule == NULL)
		return;
	text = check_rule_text(check, rule);
	check_add(check, CHECK_PERSISTENCE, CHECK_ADVICE, "firewalld",
		"`firewall-cmd --reload` deletes every rule of iptables that is not firewalld's, so this one, too: %s. It keeps tables of nft: `tproxyctl apply --firewall-tool nft`",
		text);
	free(text);
}

/* Measured with dockerd 20.10.24 and rules by each tool. With forwarding off, it also sets FORWARD's policy to drop. */
static void judge_docker(struct check *check)
{
	if (check->snapshot->boot.docker)
		check_add(check, CHECK_PERSISTENCE, CHECK_OK, "docker",
			"dockerd (20.10 was tried) changes no chains but its own when it starts again");
}

static void judge_lost(struct check *check)
{
	const struct boot *boot = &check->snapshot->boot;
	bool deletes = boot->deletes_rules || boot->deletes_routes;
	char *lost = NULL;

	look_for_packet_rules(check, &lost);
	look_for_policy_rules(check, &lost);
	look_for_addresses(check, &lost);
	if (lost == NULL)
		check_add(check, CHECK_PERSISTENCE, CHECK_OK, "",
			"files that are read at boot make the rules and routes that deliver packets");
	else
		check_add(check, CHECK_PERSISTENCE, CHECK_ADVICE, "",
			"no file that is read at boot makes these: %s. `tproxyctl apply --persist` sets the host up at each boot; `tproxyctl plan` prints files for other tools%s",
			lost,
			deletes ? ". systemd-networkd deletes ip rules and routes that are not its own when it starts again (ManageForeignRoutingPolicyRules=no and ManageForeignRoutes=no keep them)"
				: "");
	free(lost);
}

void check_persistence(struct check *check)
{
	const struct boot *boot = &check->snapshot->boot;

	if (!check->snapshot->network_known || !check->snapshot->rules_known ||
		!check->delivery.any)
		return;
	if (!boot->known) {
		check_unknown(check, CHECK_PERSISTENCE, check_remedy_of_reading(check), "",
			"cannot read %s", boot->unreadable);
		return;
	}
	judge_sysctls(check);
	judge_firewalld(check);
	judge_docker(check);
	if (boot->service)
		check_add(check, CHECK_PERSISTENCE, CHECK_OK, "",
			"tproxyctl.service is enabled, and applies its plan at each boot before the proxy starts");
	else
		judge_lost(check);
}
