/*
 * Reading the situation; see the header.
 *
 * A firewall's tool that is not there has no rules; but for nft, since other programs load such rules, too:
 * that there may be some is said. A tool that is there and fails leaves the rules unknown as a whole, for
 * half of a rule set proves nothing. The trap is a request to a server that has just been sent: whether it
 * will be answered shows when it is answered, or sent again after a second. So where
 * there is one, sockets are read again until it shows.
 */
#include "snapshot.h"
#include "sysctl.h"
#include "tproxy/subprocess.h"
#include "tproxy/text.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	TURNS_MAX = 13 /* of a tenth of a second each: a request is sent again after one second */
};

/* A tool's words are a line for us: what follows is advice. */
static char *words_of(const char *line, const char *errors)
{
	return text_format("`%s`: %.*s", line, (int)strcspn(errors, "\n"), errors);
}

static bool read_save(struct ruleset *rules, enum firewall_tool tool, int family, char **problem)
{
	const char *program = firewall_tool_save(tool, family);
	struct subprocess_result told;
	char *why = NULL;
	bool well;

	if (!subprocess_exists(program))
		return true;
	well = subprocess_run_line(program, NULL, &told);
	if (!well)
		*problem = words_of(program, told.errors);
	else if (ruleset_parse_iptables(rules, tool, family, told.out, &why) == -1) {
		*problem = text_format("`%s`: %s", program, why);
		well = false;
	}
	free(why);
	subprocess_free(&told);
	return well;
}

static bool read_nft(struct ruleset *rules, char **problem)
{
	static const char line[] = "nft -j list ruleset";
	struct subprocess_result told;
	char *why = NULL;
	bool well;

	if (!subprocess_exists("nft"))
		return true;
	well = subprocess_run_line(line, NULL, &told);
	if (!well)
		*problem = words_of(line, told.errors);
	else if (ruleset_parse_nft(rules, told.out, &why) == -1) {
		*problem = text_format("`%s`: %s", line, why);
		well = false;
	}
	free(why);
	subprocess_free(&told);
	return well;
}

static bool read_rules(struct ruleset *rules, char **problem)
{
	static const int families[] = {AF_INET, AF_INET6};

	for (enum firewall_tool tool = TOOL_IPTABLES; tool <= TOOL_LEGACY; tool++)
		for (size_t i = 0; i < 2; i++)
			if (!read_save(rules, tool, families[i], problem))
				return false;
	return read_nft(rules, problem);
}

/* A wildcard listener is watched by its port. */
static void read_packets(struct snapshot *snapshot, unsigned milliseconds)
{
	const struct service *service = snapshot->service;

	snapshot->captured = calloc(service->listener_count + 1, sizeof(struct captured));
	if (snapshot->captured == NULL)
		abort(); /* out of memory */
	snapshot->captured_count = service->listener_count;
	for (size_t i = 0; i < service->listener_count; i++) {
		snapshot->captured[i].address = service->listeners[i].address;
		snapshot->captured[i].protocol = service->listeners[i].protocol;
	}
	snapshot->captured_known = capture_run(snapshot->captured, snapshot->captured_count,
		milliseconds, &snapshot->captured_problem);
}

/* A request that was sent once, from an address that need not be this host's. */
static bool is_open(const struct host_sockets *sockets)
{
	for (size_t i = 0; i < sockets->count; i++)
		if (sockets->list[i].state == SOCKET_STATE_CONNECTING &&
			sockets->list[i].transparent && sockets->list[i].retransmits == 0)
			return true;
	return false;
}

static bool read_sockets(struct host_sockets *sockets, char **problem)
{
	static const struct timespec pause = {.tv_nsec = 100 * 1000 * 1000};
	bool well = sockets_read(sockets, problem);

	for (int turn = 0; well && turn < TURNS_MAX && is_open(sockets); turn++) {
		nanosleep(&pause, NULL);
		sockets_free(sockets);
		well = sockets_read(sockets, problem);
	}
	return well;
}

void snapshot_read(struct snapshot *snapshot, const struct service *service, unsigned milliseconds)
{
	*snapshot = (struct snapshot){.service = service,
		.root = geteuid() == 0,
		.sysctl = sysctl_read,
		.route = route_get,
		.owners = socket_owners};
	snapshot->kernel = kernel_config_running("", snapshot->kernel_problem);
	if (milliseconds > 0)
		read_packets(snapshot, milliseconds);
	snapshot->network_known = network_read(&snapshot->network, &snapshot->network_problem);
	snapshot->rules_known = read_rules(&snapshot->rules, &snapshot->rules_problem);
	if (!subprocess_exists("nft"))
		snapshot->rules_unseen = text_format("there is no program 'nft' on this host: "
						     "rules that only nft lists are not read");
	snapshot->sockets_known = read_sockets(&snapshot->sockets, &snapshot->sockets_problem);
}

bool snapshot_read_kernel(
	struct snapshot *snapshot, const struct service *service, const char *path)
{
	*snapshot = (struct snapshot){.service = service, .kernel_alone = true};
	snapshot->kernel = kernel_config_load(path, snapshot->kernel_problem);
	return snapshot->kernel != NULL;
}

void snapshot_free(struct snapshot *snapshot)
{
	kernel_config_free(snapshot->kernel);
	network_free(&snapshot->network);
	ruleset_free(&snapshot->rules);
	sockets_free(&snapshot->sockets);
	free(snapshot->captured);
	free(snapshot->network_problem);
	free(snapshot->rules_problem);
	free(snapshot->rules_unseen);
	free(snapshot->sockets_problem);
	free(snapshot->captured_problem);
}

int snapshot_sysctl(const struct snapshot *snapshot, const char *path)
{
	char *text = snapshot->sysctl(path);
	int number = text != NULL ? atoi(text) : -1;

	free(text);
	return number;
}

int snapshot_link_sysctl(
	const struct snapshot *snapshot, int family, const char *link, const char *key, int *all)
{
	char *path = text_format("net/ipv%d/conf/all/%s", family == AF_INET6 ? 6 : 4, key);
	int number;

	*all = snapshot_sysctl(snapshot, path);
	free(path);
	path = text_format("net/ipv%d/conf/%s/%s", family == AF_INET6 ? 6 : 4, link, key);
	number = snapshot_sysctl(snapshot, path);
	free(path);
	return number;
}

static bool hears(const struct host_socket *socket, const struct addr *address)
{
	if (addr_port(&socket->local) != addr_port(address))
		return false;
	if (addr_equal(&socket->local, address))
		return true;
	if (!addr_is_any(&socket->local))
		return false;
	return addr_family(&socket->local) == addr_family(address) ||
	       (addr_family(&socket->local) == AF_INET6 && !socket->v6only);
}

const struct host_socket *snapshot_listener(
	const struct snapshot *snapshot, int protocol, const struct addr *address)
{
	const struct host_socket *found = NULL;

	for (size_t i = 0; i < snapshot->sockets.count; i++) {
		const struct host_socket *each = &snapshot->sockets.list[i];

		if (each->protocol != protocol || each->state != SOCKET_STATE_LISTENING ||
			!hears(each, address))
			continue;
		if (found == NULL || (addr_is_any(&found->local) && !addr_is_any(&each->local)))
			found = each;
	}
	return found;
}

bool snapshot_is_local(const struct snapshot *snapshot, const struct addr *address)
{
	return network_find_address(&snapshot->network, address) != NULL ||
	       network_find_local_route(&snapshot->network, TABLE_LOCAL, address) != NULL;
}
