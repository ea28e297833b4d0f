/*
 * Tries everything in order, and draws conclusions for each profile.
 *
 *     sockets -> hosts, links, routing -> for each firewall tool its rules, v4 and v6, and their connections
 *
 * The rules of a tool are removed before those of the next one are loaded: only then a connection proves that
 * the tool's own rules work.
 */
#include "prove.h"
#include "scratch.h"
#include "scratch_network.h"
#include "scratch_rules.h"
#include "socket_probes.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>

/* The limit of a side: enough for a second SYN; less after packets were lost once. */
enum {
	SIDE_MS = 2000,
	LATER_SIDE_MS = 500
};

static const int families[] = {AF_INET, AF_INET6};

const char *const profile_names[PROFILES] = {
	"binding", "source", "full", "intercept", "udp", "ipv6"};
const char *const profile_meanings[PROFILES] = {
	"listen on an address that the host does not have",
	"connect to servers from the client's address",
	"both: HAProxy's walk-through",
	"serve every address that clients connect to",
	"both for datagrams",
	"both for IPv6",
};

int profile_of(const char *name)
{
	for (int profile = 0; profile < PROFILES; profile++)
		if (strcmp(name, profile_names[profile]) == 0)
			return profile;
	return -1;
}

bool profile_asks(enum profile profile, const struct connection *connection)
{
	const struct connection_recipe *recipe = connection->recipe;
	bool tcp = recipe->protocol == IPPROTO_TCP, any = recipe->any;

	if ((connection->family == AF_INET6) != (profile == PROFILE_IPV6))
		return false;
	switch (profile) {
	case PROFILE_BINDING:
		return tcp && !any;
	case PROFILE_INTERCEPT:
		return tcp && any;
	case PROFILE_UDP:
		return !tcp && !any;
	default:
		return tcp && !any && recipe->spoofs;
	}
}

bool profile_shown_by(enum profile profile, const struct connection *connection)
{
	if (!profile_asks(profile, connection))
		return false;
	if (profile == PROFILE_BINDING)
		return connection->listener_reached;
	if (profile == PROFILE_SOURCE)
		return connection->client_seen;
	return connection->state == CONNECTION_WORKS;
}

bool profile_is_provable(const struct proof *proof, enum profile profile)
{
	for (size_t i = 0; i < proof->connection_count; i++)
		if (profile_shown_by(profile, &proof->connections[i]))
			return true;
	return false;
}

/* Adds the kernel options that fix a capability, if the kernel lacks it. */
static size_t add_options(const struct proof *proof, enum capability_name name, int family,
	const char **options, size_t count)
{
	const char *fixing[CAPABILITY_OPTIONS_MAX];
	size_t length;

	if (findings_get(&proof->findings, name, family)->state != CAPABILITY_MISSING)
		return count;
	length = capability_options(&proof->findings, name, family, fixing);
	for (size_t i = 0; i < length; i++)
		count = capability_add_option(options, count, PROVE_OPTIONS_MAX, fixing[i]);
	return count;
}

static size_t all_options(const struct proof *proof, const char **options)
{
	struct capability_key at = {0};
	size_t count = 0;

	while (capability_next(&at))
		if (!capabilities[at.name].optional)
			count = add_options(proof, at.name, at.family, options, count);
	return count;
}

size_t proof_options(
	const struct proof *proof, enum profile profile, const char *options[PROVE_OPTIONS_MAX])
{
	size_t count = 0;

	if (profile == PROFILES)
		return all_options(proof, options);
	for (size_t i = 0; i < proof->connection_count; i++) {
		const struct connection *connection = &proof->connections[i];
		enum capability_name needed[CONNECTION_CAPABILITIES_MAX];
		size_t length = connection_capabilities(connection, needed);

		if (!profile_asks(profile, connection))
			continue;
		for (size_t j = 0; j < length; j++)
			count = add_options(proof, needed[j], connection->family, options, count);
	}
	return count;
}

/* Tries every recipe for a firewall tool (-1: those without packet rules). */
static void connect_by(
	struct proof *proof, const struct scratch_network *network, int tool, int family)
{
	unsigned wanted = tool == -1 ? 0 : 1U << tool;
	int milliseconds = SIDE_MS;

	for (size_t i = 0; i < connection_recipe_count; i++) {
		struct connection *made = &proof->connections[proof->connection_count];

		if ((connection_recipes[i].tools & wanted) != wanted ||
			(tool == -1 && connection_recipes[i].tools != 0) ||
			proof->connection_count == PROVE_CONNECTIONS_MAX)
			continue;
		proof->connection_count++;
		*made = (struct connection){
			.recipe = &connection_recipes[i], .tool = tool, .family = family};
		connection_try(made, network, &proof->findings, milliseconds);
		if (made->state == CONNECTION_FAILED)
			milliseconds = LATER_SIDE_MS;
	}
}

/* The rules of one program for both families, and what is connected by them. */
static void prove_tool(
	struct proof *proof, const struct scratch_network *network, enum firewall_tool tool)
{
	for (size_t i = 0; i < 2; i++) {
		if (scratch_enter(network->proxy) == 0 &&
			(i == 0 || findings_can(&proof->findings, CAPABILITY_IPV6, AF_INET6)))
			scratch_rules_load(&proof->findings, tool, families[i]);
		connect_by(proof, network, (int)tool, families[i]);
	}
	for (size_t i = 0; i < 2; i++)
		if (tool + 1 < FIREWALL_TOOLS && scratch_enter(network->proxy) == 0)
			scratch_rules_flush(&proof->findings, tool, families[i]);
}

/* Whether the kernel reports a datagram's destination after TPROXY, from the connections that need it. */
static void note_destination(struct proof *proof, int family)
{
	const struct connection *tried = NULL;

	for (size_t i = 0; i < proof->connection_count; i++) {
		const struct connection *each = &proof->connections[i];

		if (each->family != family || each->recipe->protocol != IPPROTO_UDP ||
			!each->recipe->any || each->state == CONNECTION_UNTRIED)
			continue;
		tried = each;
		if (each->destination_reported)
			break;
	}
	if (tried == NULL)
		findings_set(&proof->findings, CAPABILITY_ORIGINAL_DESTINATION, family,
			CAPABILITY_UNTRIED, "needs the recipe udp-intercept by any firewall tool");
	else if (tried->destination_reported)
		findings_set_result(&proof->findings, CAPABILITY_ORIGINAL_DESTINATION, family, 0);
	else
		findings_set(&proof->findings, CAPABILITY_ORIGINAL_DESTINATION, family,
			CAPABILITY_MISSING, "%s", tried->detail);
}

void prove_run(struct proof *proof, bool own_users)
{
	struct scratch_network network = {-1, -1, -1};
	struct utsname system;

	proof->own_users = own_users;
	if (uname(&system) == 0)
		snprintf(proof->kernel, sizeof(proof->kernel), "%s", system.release);
	scratch_rules_own_lock();
	scratch_sysctl("net/ipv6/conf/all/disable_ipv6", "0");
	scratch_link_up("lo");
	probe_sockets(&proof->findings, own_users);
	scratch_rules_try_optional(&proof->findings);
	scratch_network_build(&network, &proof->findings);
	for (size_t i = 0; i < 2; i++)
		connect_by(proof, &network, -1, families[i]);
	for (int tool = 0; tool < FIREWALL_TOOLS; tool++)
		prove_tool(proof, &network, (enum firewall_tool)tool);
	for (size_t i = 0; i < 2; i++)
		note_destination(proof, families[i]);
	findings_set_no_ipv6(&proof->findings);
}
