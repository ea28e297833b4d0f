/*
 * Judges the servers' way back by what a probe found (hoststate/probe.h).
 *
 * A server that answers this host's own address and not a client's has another way back to clients, or filters by
 * source. Where it answers neither, its way back is not to blame. The trap is this host: an answer that it does not
 * divert looks like none. So a silence counts only where nothing is wrong here.
 */
#include "commands.h"
#include "endpoints.h"
#include "report.h"

#include <stdlib.h>
#include <string.h>

size_t check_probe_list(
	const struct snapshot *snapshot, const char *payload, size_t length, struct probe **list)
{
	const struct service *service = snapshot->service;
	struct check check = {.snapshot = snapshot};
	size_t count = 0;

	*list = calloc(service->server_count + 1, sizeof(**list));
	if (*list == NULL)
		abort(); /* out of memory */
	for (size_t i = 0; !service->example && !service->found && i < service->server_count; i++) {
		struct addr sources[CLIENTS_MAX];

		if (addr_port(&service->servers[i]) == 0 || check_sources(&check, i, sources) == 0)
			continue;
		(*list)[count].payload = payload;
		(*list)[count].payload_length = length;
		(*list)[count].server = service->servers[i];
		(*list)[count++].client = sources[0];
	}
	return count;
}

/* Whether the client is in the network that this host reaches the server by, and so is the server. */
static bool is_in_servers_network(
	const struct check *check, const struct probe *probe, const struct route_answer *way)
{
	const struct network *network = &check->snapshot->network;

	for (size_t i = 0; i < network->address_count; i++) {
		const struct network_address *own = &network->addresses[i];

		if (strcmp(own->link, way->link) == 0 &&
			network_covers(&own->address, own->length, &probe->server) &&
			network_covers(&own->address, own->length, &probe->client))
			return true;
	}
	return false;
}

static int protocol_of(const struct probe *probe)
{
	return probe->payload != NULL ? IPPROTO_UDP : IPPROTO_TCP;
}

/* The server answers this host and not the client. */
static void report_other_way(struct check *check, const struct probe *probe, const char *server,
	const char *client, bool refused)
{
	struct check_finding *finding;
	struct route_answer way;

	check_way_to(check, &probe->server, protocol_of(probe), &way);
	finding = check_add(check, CHECK_RETURN_PATH, CHECK_HARMFUL, server,
		"probed: it %s this host's own address, and does not answer %s. %s",
		refused ? "refuses" : "answers", client,
		is_in_servers_network(check, probe, &way)
			? "The client is in the server's own network, so the server answers it directly"
			: "Its way back to the client leads elsewhere, or it drops packets by their source (its firewall, its rp_filter)");
	check_fix_way_back(check, finding, &probe->client, &probe->server, &way);
}

static void report_silent(struct check *check, const struct probe *probe, const char *server)
{
	struct route_answer way;
	struct addr hop;
	bool down;

	check_way_to(check, &probe->server, protocol_of(probe), &way);
	hop = addr_is_any(&way.gateway) ? probe->server : way.gateway;
	down = way.found && check->snapshot->silent(&hop, way.link);
	check_add(check, CHECK_RETURN_PATH, CHECK_HARMFUL, server,
		probe->payload != NULL
			? "probed: it answers this datagram neither to the client's address nor to this host's own: it is down, a firewall drops it, or nothing answers such a payload"
		: down ? "probed: it answers neither the client's address nor this host's own, and nothing on the link has its link-layer address: it is down, or has another address"
		       : "probed: it answers neither the client's address nor this host's own: it is down, or a firewall drops packets for this port");
}

static void judge_probe(struct check *check, const struct probe *probe, bool explained)
{
	char server[ADDR_TEXT_MAX + 8], client[ADDR_TEXT_MAX];

	addr_format(&probe->server, server);
	if (probe->payload != NULL)
		strcat(server, "/udp");
	addr_format_ip(&probe->client, client);
	if (probe->from_client == PROBE_NOT_SENT)
		check_unknown(check, CHECK_RETURN_PATH, check_remedy_of_reading(check), server,
			"cannot probe it from %s: %s", client, strerror(probe->error));
	else if (probe->from_client == PROBE_ANSWERED)
		check_add(check, CHECK_RETURN_PATH, CHECK_OK, server,
			"probed: it answers %s through this host", client);
	else if (probe->from_client == PROBE_REFUSED)
		check_add(check, CHECK_RETURN_PATH, CHECK_HARMFUL, server,
			"probed: it refuses %s: nothing listens at that port, or a firewall rejects it. Its way back leads through this host",
			client);
	else if (explained)
		check_unknown(check, CHECK_RETURN_PATH, REMEDY_FIRST, server,
			"probed: no answer to %s came; fix the other items first", client);
	else if (check->answers_uncertain)
		check_unknown(check, CHECK_RETURN_PATH, REMEDY_RULES, server,
			"probed: no answer to %s came, and check cannot tell whether this host would accept one",
			client);
	else if (probe->payload != NULL && probe->from_host == PROBE_REFUSED)
		/* An ICMP error to the client's address reaches this host only if ICMP is diverted, too. */
		check_add(check, CHECK_RETURN_PATH, CHECK_HARMFUL, server,
			"probed: it refuses datagrams: nothing listens at that port, or a firewall rejects them");
	else if (probe->from_host == PROBE_ANSWERED || probe->from_host == PROBE_REFUSED)
		report_other_way(check, probe, server, client, probe->from_host == PROBE_REFUSED);
	else
		report_silent(check, probe, server);
}

void check_probes(struct check *check)
{
	bool explained = check_has_other_cause(check);

	for (size_t i = 0; i < check->snapshot->probe_count; i++)
		judge_probe(check, &check->snapshot->probes[i], explained);
}
