/*
 * From a service and what is in use on the host to steps.
 *
 * A transparent listener needs neither ip_forward nor ip_nonlocal_bind, so neither is changed. These sysctls
 * are: src_valid_mark=1 of IPv4 looks up the source of a packet with its mark; the routing table calls every
 * source local, and the kernel drops packets from outside that have a local source (ip-sysctl.rst). With
 * accept_local=1 it accepts them, unless rp_filter is strict, which then becomes loose (2).
 * tcp_fwmark_accept=1 of both families is harmful whatever else is set, and becomes 0. tcp_tw_reuse becomes 1
 * where connections to servers have the client's address: it is a setting of the whole host, but TCP
 * timestamps make it safe, and without it one client can slow down all others.
 */
#include "plan.h"
#include "hoststate/network.h"
#include "hoststate/sysctl.h"
#include "tproxy/array.h"
#include "tproxy/names.h"
#include "tproxy/text.h"

#include <stdlib.h>
#include <string.h>

const char *const plan_recipe_names[] = {"divert", "tproxy", "local-route", NULL};
const char *const plan_format_names[] = {
	"shell", "nft", "sysctl.d", "networkd", "ifupdown", "json", NULL};

static bool family_is_served(const struct service *service, int family)
{
	return service_needs_divert(service, family, IPPROTO_TCP) ||
	       service_needs_divert(service, family, IPPROTO_UDP);
}

static struct step *add_step(struct plan *plan, enum step_kind kind, int family, const char *why)
{
	struct step *step;

	plan->steps = array_room(plan->steps, plan->step_count, sizeof(*plan->steps));
	step = &plan->steps[plan->step_count++];
	*step = (struct step){.kind = kind, .family = family, .why = text_copy(why)};
	return step;
}

static void add_sysctl(struct plan *plan, const char *path, int was, int value, const char *why)
{
	bool six = strncmp(path, "net/ipv6/", 9) == 0;
	struct step *step = add_step(plan, STEP_SYSCTL, six ? AF_INET6 : AF_INET, why);

	step->sysctl = text_copy(path);
	step->was = text_format("%d", was);
	step->value = text_format("%d", value);
}

static int larger(int a, int b)
{
	return a > b ? a : b;
}

/* Makes src_valid_mark=1 harmless on one link, or on all links by the entry "all". */
static void fix_link(struct plan *plan, const struct in_use_link *link, bool accepts, bool strict)
{
	char *accept = text_format("net/ipv4/conf/%s/accept_local", link->name);
	char *filter = text_format("net/ipv4/conf/%s/rp_filter", link->name);

	if (!accepts)
		add_sysctl(plan, accept, link->accept_local, 1,
			"src_valid_mark=1 looks up sources with the mark and finds them local: "
			"packets with a local source must be accepted");
	if (strict)
		add_sysctl(plan, filter, link->rp_filter, 2,
			"with the mark a strict reverse path check fails, and a loose one does not");
	free(accept);
	free(filter);
}

static void fix_links(struct plan *plan, const struct in_use *in_use)
{
	struct in_use_link none = {0};
	const struct in_use_link *all = &none;
	bool strict = false;

	for (size_t i = 0; i < in_use->link_count; i++)
		if (strcmp(in_use->links[i].name, "all") == 0)
			all = &in_use->links[i];
	for (size_t i = 0; i < in_use->link_count; i++) {
		const struct in_use_link *link = &in_use->links[i];
		bool tight = larger(all->rp_filter, link->rp_filter) == 1;

		strict |= tight;
		if (link != all && all->src_valid_mark == 0 && link->src_valid_mark != 0)
			fix_link(plan, link, all->accept_local || link->accept_local, tight);
	}
	if (all->src_valid_mark != 0)
		fix_link(plan, all, all->accept_local, strict);
}

/*
 * After a connection its port stays in TIME-WAIT for a minute. When all ports of a client's address do,
 * connect() searches all of them before it fails: with 32,000 ports this takes 12 ms, in which the proxy
 * serves no other client. With 1 the kernel uses a port again after a second, if TCP timestamps tell the two
 * connections apart; with its default, 2, only on the loopback link (ip-sysctl.rst, tcp_tw_reuse).
 */
static void reuse_ports(struct plan *plan, const struct in_use *in_use)
{
	if (in_use->no_timestamps)
		text_add(&plan->notes,
			"net.ipv4.tcp_timestamps is 0, so ports in TIME-WAIT are not used again: a "
			"client with very many short connections is refused. Set it to 1\n");
	else if (in_use->tw_reuse_there && in_use->tw_reuse != 1)
		add_sysctl(plan, "net/ipv4/tcp_tw_reuse", in_use->tw_reuse, 1,
			"a client's ports in TIME-WAIT are used again: without it one client can "
			"slow down all others");
}

static void fix_sysctls(
	struct plan *plan, const struct service *service, const struct in_use *in_use)
{
	bool tcp = service_needs_divert(service, AF_INET, IPPROTO_TCP) ||
		   service_needs_divert(service, AF_INET6, IPPROTO_TCP);

	if (tcp && in_use->fwmark_accept != 0)
		add_sysctl(plan, "net/ipv4/tcp_fwmark_accept", in_use->fwmark_accept, 0,
			"with 1 accepted sockets inherit the mark, and the proxy's packets to the "
			"client are delivered to this host");
	if (tcp && service->spoofs)
		reuse_ports(plan, in_use);
	if (family_is_served(service, AF_INET))
		fix_links(plan, in_use);
}

static void add_route(
	struct plan *plan, int family, const char *to, unsigned table, const char *why)
{
	struct step *step = add_step(plan, STEP_ROUTE, family, why);

	step->to = text_copy(to);
	step->table = table;
}

static void add_local_route(struct plan *plan, const struct addr *address)
{
	char ip[ADDR_TEXT_MAX], *to;

	addr_format_ip(address, ip);
	to = text_format("%s/%d", ip, family_bits(addr_family(address)));
	add_route(plan, addr_family(address), to, TABLE_LOCAL,
		"packets to the listener's address are delivered to this host");
	free(to);
}

/* For each address of a listener, unless table local has it: it is the host's own, or has a route. */
static void add_local_routes(
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
			"with 0 an IPv6 listener that is not transparent can bind only to the "
			"address of an interface");
}

/* The route comes before the rule, and both before the packets are marked. */
static void add_divert(
	struct plan *plan, const struct service *service, const struct in_use *in_use, int family)
{
	struct step *step;

	add_route(plan, family, family == AF_INET6 ? "::/0" : "0.0.0.0/0", plan->table,
		"in this table every address is local");
	step = add_step(plan, STEP_RULE, family, "marked packets are routed by this table");
	step->preference = in_use->preference[family == AF_INET6];
	step->mark = plan->mark;
	step->table = plan->table;
	step = add_step(plan, STEP_FIREWALL, family,
		"packets of transparent sockets are marked, and ICMP errors about them, too");
	step->tool = plan->tool;
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
			diverts ? "the listener on %s is not transparent: its packets are not "
				  "diverted, so its address must be an address of this host\n"
				: "the listener on %s has a wildcard address: no local route can "
				  "be made for it\n",
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
		fix_sysctls(plan, service, in_use);
	if (plan->recipe == RECIPE_LOCAL_ROUTE)
		add_local_routes(plan, service, in_use);
	for (size_t i = 0; plan->marks && i < 2; i++)
		if (family_is_served(service, families[i]))
			add_divert(plan, service, in_use, families[i]);
}

static bool is_same_step(const struct step *a, const struct step *b)
{
	if (a->kind != b->kind || a->family != b->family)
		return false;
	if (a->kind == STEP_ROUTE)
		return a->table == b->table && strcmp(a->to, b->to) == 0;
	return a->tool == b->tool && strcmp(a->input, b->input) == 0;
}

/* The next step from *AT on that is the same in two plans that do the same, or NULL. */
static const struct step *next_step(const struct plan *plan, size_t *at)
{
	while (*at < plan->step_count) {
		const struct step *step = &plan->steps[(*at)++];

		if (step->kind == STEP_ROUTE || step->kind == STEP_FIREWALL)
			return step;
	}
	return NULL;
}

bool plan_same(const struct plan *applied, const struct plan *wanted)
{
	const struct step *one, *other;
	size_t i = 0, j = 0;

	if (applied->recipe != wanted->recipe || applied->tool != wanted->tool ||
		applied->marks != wanted->marks)
		return false;
	if (wanted->marks && (applied->mark != wanted->mark || applied->table != wanted->table))
		return false;
	for (size_t k = 0; k < wanted->step_count; k++)
		if (wanted->steps[k].kind == STEP_SYSCTL)
			return false;
	do {
		one = next_step(applied, &i);
		other = next_step(wanted, &j);
		if (one != NULL && other != NULL && !is_same_step(one, other))
			return false;
	} while (one != NULL && other != NULL);
	return one == other; /* both at the end */
}

/* The kernel's table of local addresses goes by its name. */
static char *table_name(unsigned table)
{
	return table == TABLE_LOCAL ? text_copy("local") : text_format("%u", table);
}

char *step_name(const struct step *step)
{
	char *table = table_name(step->table), *name;

	if (step->kind == STEP_SYSCTL)
		name = sysctl_name(step->sysctl);
	else if (step->kind == STEP_ROUTE)
		name = text_format("route local %s table %s", step->to, table);
	else if (step->kind == STEP_RULE)
		name = text_format("policy rule fwmark 0x%x table %s", step->mark, table);
	else
		name = text_format("%s rules", firewall_tool_names[step->tool]);
	free(table);
	return name;
}

char *step_command(const struct step *step, const char *verb)
{
	int ip = family_version(step->family);
	char *table = table_name(step->table), *line;

	if (step->kind == STEP_RULE)
		line = text_format(
			"ip -%d rule %s pref %u fwmark 0x%x table %s protocol " OUR_PROTOCOL, ip,
			verb, step->preference, step->mark, table);
	else if (strcmp(verb, "show") == 0)
		line = text_format(
			"ip -%d route show table %s type local dev lo proto " OUR_PROTOCOL
			" exact %s",
			ip, table, step->to);
	else
		line = text_format("ip -%d route %s local %s dev lo table %s proto " OUR_PROTOCOL,
			ip, verb, step->to, table);
	free(table);
	return line;
}

void plan_free(struct plan *plan)
{
	for (size_t i = 0; i < plan->step_count; i++) {
		struct step *step = &plan->steps[i];

		free(step->why);
		free(step->sysctl);
		free(step->value);
		free(step->was);
		free(step->to);
		free(step->input);
		json_decref(step->chains_before);
		free(step->seen);
	}
	free(plan->steps);
	free(plan->notes);
	plan->steps = NULL;
	plan->notes = NULL;
	plan->step_count = 0;
}
