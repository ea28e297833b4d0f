/*
 * From what a proxy needs, and what the host is like, to steps; see the header.
 *
 * A transparent listener needs neither ip_forward nor ip_nonlocal_bind, so neither is touched. What is
 * mended is src_valid_mark=1 of IPv4: sources are then looked up with the mark, table N calls all of them
 * local, and local ones from outside are dropped. accept_local=1 lets them in, as long as rp_filter is
 * not strict; where it is, it becomes loose (2) on the links in question. The other is
 * tcp_fwmark_accept=1 of both families, which nothing makes harmless but 0. And tcp_tw_reuse becomes 1 where
 * sources are spoofed: it is a setting of the whole host, but timestamps make it safe, and without it one
 * client slows all others.
 */
#include "plan.h"
#include "tproxy/array.h"
#include "tproxy/names.h"
#include "tproxy/text.h"

#include <stdlib.h>
#include <string.h>

const char *const plan_recipe_names[] = {"divert", "tproxy", "local-route", NULL};
const char *const plan_format_names[] = {
	"shell", "nft", "sysctl.d", "networkd", "ifupdown", "json", NULL};

static int digit(int family)
{
	return family == AF_INET6 ? 6 : 4;
}

static bool family_is_served(const struct service *service, int family)
{
	return service_needs_divert(service, family, IPPROTO_TCP) ||
	       service_needs_divert(service, family, IPPROTO_UDP);
}

static struct step *add(struct plan *plan, enum step_kind kind, int family, const char *why)
{
	struct step *step;

	plan->steps = array_room(plan->steps, plan->step_count, sizeof(*plan->steps));
	step = &plan->steps[plan->step_count++];
	*step = (struct step){.kind = kind, .family = family, .why = why};
	return step;
}

static void add_sysctl(struct plan *plan, const char *path, int was, int value, const char *why)
{
	struct step *step = add(plan, STEP_SYSCTL, AF_INET, why);

	step->name = text_format("%s", path);
	step->was = text_format("%d", was);
	step->value = text_format("%d", value);
	if (strncmp(path, "net/ipv6/", 9) == 0)
		step->family = AF_INET6;
}

static int most(int a, int b)
{
	return a > b ? a : b;
}

/* Makes src_valid_mark=1 harmless on one link, or, by the entry "all", on every one. */
static void mend_link(struct plan *plan, const struct in_use_link *link, bool accepts, bool strict)
{
	char *accept = text_format("net/ipv4/conf/%s/accept_local", link->name);
	char *filter = text_format("net/ipv4/conf/%s/rp_filter", link->name);

	if (!accepts)
		add_sysctl(plan, accept, link->accept_local, 1,
			"src_valid_mark=1 looks sources up with the mark, and they count as local: "
			"let such in");
	if (strict)
		add_sysctl(plan, filter, link->rp_filter, 2,
			"a strict check does not find its way back with the mark, a loose one "
			"does");
	free(accept);
	free(filter);
}

static void mend_links(struct plan *plan, const struct in_use *in_use)
{
	struct in_use_link none = {0};
	const struct in_use_link *all = &none;
	bool strict = false;

	for (size_t i = 0; i < in_use->link_count; i++)
		if (strcmp(in_use->links[i].name, "all") == 0)
			all = &in_use->links[i];
	for (size_t i = 0; i < in_use->link_count; i++) {
		const struct in_use_link *link = &in_use->links[i];
		bool tight = most(all->rp_filter, link->rp_filter) == 1;

		strict |= tight;
		if (link != all && all->src_valid_mark == 0 && link->src_valid_mark != 0)
			mend_link(plan, link, all->accept_local || link->accept_local, tight);
	}
	if (all->src_valid_mark != 0)
		mend_link(plan, all, all->accept_local, strict);
}

/*
 * Each port of a client's address rests for a minute after its connection. When all of them rest, connect()
 * searches all of them before it fails: with 32,000 ports it takes 12 ms, in which the proxy serves no other
 * client. With 1 the kernel uses a port again that has rested for a second, where timestamps keep the two
 * connections apart; its default, 2, does so on the loopback link alone.
 */
static void reuse_ports(struct plan *plan, const struct in_use *in_use)
{
	if (in_use->no_timestamps)
		text_add(&plan->notes,
			"net.ipv4.tcp_timestamps is 0: ports in TIME-WAIT are not used again, and "
			"a "
			"client with very many short connections is refused; 1 allows it\n");
	else if (in_use->tw_reuse_there && in_use->tw_reuse != 1)
		add_sysctl(plan, "net/ipv4/tcp_tw_reuse", in_use->tw_reuse, 1,
			"a client's ports in TIME-WAIT are used again: else one client slows all "
			"others");
}

static void mend_sysctls(
	struct plan *plan, const struct service *service, const struct in_use *in_use)
{
	bool tcp = service_needs_divert(service, AF_INET, IPPROTO_TCP) ||
		   service_needs_divert(service, AF_INET6, IPPROTO_TCP);

	if (tcp && in_use->fwmark_accept != 0)
		add_sysctl(plan, "net/ipv4/tcp_fwmark_accept", in_use->fwmark_accept, 0,
			"accepted sockets would inherit the mark, and the proxy's answers to the "
			"client would be delivered to this host");
	if (tcp && service->spoofs)
		reuse_ports(plan, in_use);
	if (family_is_served(service, AF_INET))
		mend_links(plan, in_use);
}

static void add_route(
	struct plan *plan, int family, const char *to, const char *table, const char *why)
{
	struct step *step = add(plan, STEP_ROUTE, family, why);
	int ip = digit(family);

	step->name = text_format("route local %s table %s", to, table);
	step->run = text_format(
		"ip -%d route add local %s dev lo table %s proto " OUR_PROTOCOL, ip, to, table);
	step->undo = text_format(
		"ip -%d route del local %s dev lo table %s proto " OUR_PROTOCOL, ip, to, table);
	step->probe = text_format("ip -%d route show table %s type local dev lo proto " OUR_PROTOCOL
				  " exact %s",
		ip, table, to);
}

static void add_local_route(struct plan *plan, const struct addr *address)
{
	char ip[ADDR_TEXT_MAX], *to;

	addr_format_ip(address, ip);
	to = text_format("%s/%d", ip, addr_family(address) == AF_INET6 ? 128 : 32);
	add_route(plan, addr_family(address), to, "local",
		"the listener's address counts as the host's own");
	free(to);
}

/* An address of the host needs no route, nor one that has got one; a wildcard listener none that could be named. */
static void local_routes(
	struct plan *plan, const struct service *service, const struct in_use *in_use)
{
	struct names own = {0}, routed = {0};
	bool bind_6 = false;

	for (size_t i = 0; i < in_use->local_count; i++)
		names_add(&own, in_use->local_addresses[i], i);
	for (size_t i = 0; i < service->listener_count; i++) {
		const struct service_listener *listener = &service->listeners[i];
		char ip[ADDR_TEXT_MAX];
		size_t place;

		addr_format_ip(&listener->address, ip);
		if (addr_is_any(&listener->address) || names_find(&own, ip, &place))
			continue;
		if (names_add(&routed, ip, i))
			add_local_route(plan, &listener->address);
		bind_6 |= addr_family(&listener->address) == AF_INET6 && !listener->transparent;
	}
	names_free(&own);
	names_free(&routed);
	if (bind_6 && in_use->nonlocal_bind_6 == 0)
		add_sysctl(plan, "net/ipv6/ip_nonlocal_bind", 0, 1,
			"an IPv6 listener that is not transparent binds to addresses of "
			"interfaces only");
}

static void ruleset_add_rule(struct plan *plan, int family, unsigned preference)
{
	struct step *step =
		add(plan, STEP_RULE, family, "what is marked is looked up in the table");
	int ip = digit(family);
	char *what = text_format("pref %u fwmark 0x%x table %u protocol " OUR_PROTOCOL, preference,
		plan->mark, plan->table);

	step->name = text_format("policy rule fwmark 0x%x table %u", plan->mark, plan->table);
	step->run = text_format("ip -%d rule add %s", ip, what);
	step->undo = text_format("ip -%d rule del %s", ip, what);
	step->probe = text_format("ip -%d rule show %s", ip, what);
	free(what);
}

static const char *loader(enum firewall_tool tool, int family)
{
	if (tool == TOOL_NFT)
		return "nft -f -";
	if (tool == TOOL_LEGACY)
		return family == AF_INET6 ? "ip6tables-legacy-restore -w 10 --noflush"
					  : "iptables-legacy-restore -w 10 --noflush";
	return family == AF_INET6 ? "ip6tables-restore -w 10 --noflush"
				  : "iptables-restore -w 10 --noflush";
}

static void divert(
	struct plan *plan, const struct service *service, const struct in_use *in_use, int family)
{
	char *table = text_format("%u", plan->table);
	struct step *step;

	add_route(plan, family, family == AF_INET6 ? "::/0" : "0.0.0.0/0", table,
		"in this table every address is local");
	free(table);
	ruleset_add_rule(plan, family, in_use->preference[family == AF_INET6]);
	step = add(plan, STEP_FIREWALL, family,
		"packets of transparent sockets get the mark, ICMP errors about them, too");
	step->name = text_format("%s rules", firewall_tool_names[plan->tool]);
	step->run = text_format("%s", loader(plan->tool, family));
	step->input = plan_rules(plan, service, family);
}

static bool is_opaque(const struct service_listener *listener, int family)
{
	(void)family;
	return !listener->transparent;
}

static bool is_wildcard(const struct service_listener *listener, int family)
{
	(void)family;
	return addr_is_any(&listener->address);
}

static void note_listeners(struct plan *plan, const struct service *service)
{
	bool diverts = plan->recipe != RECIPE_LOCAL_ROUTE;
	struct text_stream notes;
	char *text;
	size_t count;
	struct service_port_range *list =
		service_port_ranges(service, AF_UNSPEC, diverts ? is_opaque : is_wildcard, &count);

	if (count == 0)
		return;
	text_begin(&notes);
	for (size_t i = 0; i < count; i++) {
		char *ports = service_port_range_text(&list[i]);

		fprintf(notes.out,
			diverts ? "the listener on %s is not transparent: its address has to be "
				  "the host's own, and its packets are not diverted\n"
				: "the listener on %s names no address that a local route could be "
				  "for\n",
			ports);
		free(ports);
	}
	text = text_end(&notes);
	text_add(&plan->notes, "%s", text);
	free(text);
	free(list);
}

void plan_build(struct plan *plan, const struct service *service, const struct in_use *in_use)
{
	static const int families[] = {AF_INET, AF_INET6};

	note_listeners(plan, service);
	plan->marks = plan->recipe != RECIPE_LOCAL_ROUTE || service->spoofs;
	if (plan->marks)
		mend_sysctls(plan, service, in_use);
	if (plan->recipe == RECIPE_LOCAL_ROUTE)
		local_routes(plan, service, in_use);
	for (size_t i = 0; plan->marks && i < 2; i++)
		if (family_is_served(service, families[i]))
			divert(plan, service, in_use, families[i]);
}

void plan_free(struct plan *plan)
{
	for (size_t i = 0; i < plan->step_count; i++) {
		struct step *step = &plan->steps[i];

		free(step->name);
		free(step->value);
		free(step->was);
		free(step->run);
		free(step->input);
		free(step->undo);
		free(step->probe);
	}
	free(plan->steps);
	free(plan->notes);
	plan->steps = NULL;
	plan->notes = NULL;
	plan->step_count = 0;
}
