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

static bool read_save(struct ruleset *rules, enum backend backend, int family, const char *program,
	char **problem)
{
	struct command_result told;
	char *why = NULL;
	bool well;

	if (!command_exists(program))
		return true;
	well = command_line(program, NULL, &told);
	if (!well)
		*problem = words_of(program, told.errors);
	else if (ruleset_parse_iptables(rules, backend, family, told.out, &why) == -1) {
		*problem = text_format("`%s`: %s", program, why);
		well = false;
	}
	free(why);
	command_free(&told);
	return well;
}

static bool read_nft(struct ruleset *rules, char **problem)
{
	static const char line[] = "nft -j list ruleset";
	struct command_result told;
	char *why = NULL;
	bool well;

	if (!command_exists("nft"))
		return true;
	well = command_line(line, NULL, &told);
	if (!well)
		*problem = words_of(line, told.errors);
	else if (ruleset_parse_nft(rules, told.out, &why) == -1) {
		*problem = text_format("`%s`: %s", line, why);
		well = false;
	}
	free(why);
	command_free(&told);
	return well;
}

static bool read_rules(struct ruleset *rules, char **problem)
{
	static const struct {
		enum backend backend;
		int family;
		const char *program;
	} saves[] = {
		{BACKEND_IPTABLES, AF_INET, "iptables-save"},
		{BACKEND_IPTABLES, AF_INET6, "ip6tables-save"},
		{BACKEND_LEGACY, AF_INET, "iptables-legacy-save"},
		{BACKEND_LEGACY, AF_INET6, "ip6tables-legacy-save"},
	};

	for (size_t i = 0; i < sizeof(saves) / sizeof(saves[0]); i++)
		if (!read_save(rules, saves[i].backend, saves[i].family, saves[i].program, problem))
			return false;
	return read_nft(rules, problem);
}

/* A wildcard listener is watched by its port. */
static void read_packets(struct situation *situation, unsigned milliseconds)
{
	const struct needs *needs = situation->needs;

	situation->watched = calloc(needs->listener_count + 1, sizeof(struct watched));
	if (situation->watched == NULL)
		abort(); /* out of memory */
	situation->watched_count = needs->listener_count;
	for (size_t i = 0; i < needs->listener_count; i++) {
		situation->watched[i].address = needs->listeners[i].address;
		situation->watched[i].protocol = needs->listeners[i].protocol;
	}
	situation->watched_known = watch(situation->watched, situation->watched_count, milliseconds,
		&situation->watched_problem);
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

void situation_read(struct situation *situation, const struct needs *needs, unsigned milliseconds)
{
	*situation = (struct situation){.needs = needs,
		.root = geteuid() == 0,
		.sysctl = sysctl_read,
		.route = network_route,
		.owners = socket_owners};
	situation->kernel = kernel_config_running("", situation->kernel_problem);
	if (milliseconds > 0)
		read_packets(situation, milliseconds);
	situation->network_known = network_read(&situation->network, &situation->network_problem);
	situation->rules_known = read_rules(&situation->rules, &situation->rules_problem);
	if (!command_exists("nft"))
		situation->rules_unseen = text_format("there is no program 'nft' on this host: "
						      "rules that it alone shows are not seen");
	situation->sockets_known = read_sockets(&situation->sockets, &situation->sockets_problem);
}

bool situation_of_kernel(struct situation *situation, const struct needs *needs, const char *path)
{
	*situation = (struct situation){.needs = needs, .kernel_alone = true};
	situation->kernel = kernel_config_load(path, situation->kernel_problem);
	return situation->kernel != NULL;
}

void situation_free(struct situation *situation)
{
	kernel_config_free(situation->kernel);
	network_free(&situation->network);
	ruleset_free(&situation->rules);
	sockets_free(&situation->sockets);
	free(situation->watched);
	free(situation->network_problem);
	free(situation->rules_problem);
	free(situation->rules_unseen);
	free(situation->sockets_problem);
	free(situation->watched_problem);
}

int situation_number(const struct situation *situation, const char *path)
{
	char *text = situation->sysctl(path);
	int number = text != NULL ? atoi(text) : -1;

	free(text);
	return number;
}

int situation_link_number(
	const struct situation *situation, int family, const char *link, const char *key, int *all)
{
	char *path = text_format("net/ipv%d/conf/all/%s", family == AF_INET6 ? 6 : 4, key);
	int number;

	*all = situation_number(situation, path);
	free(path);
	path = text_format("net/ipv%d/conf/%s/%s", family == AF_INET6 ? 6 : 4, link, key);
	number = situation_number(situation, path);
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

const struct host_socket *situation_listener(
	const struct situation *situation, int protocol, const struct addr *address)
{
	const struct host_socket *found = NULL;

	for (size_t i = 0; i < situation->sockets.count; i++) {
		const struct host_socket *each = &situation->sockets.list[i];

		if (each->protocol != protocol || each->state != SOCKET_STATE_LISTENING ||
			!hears(each, address))
			continue;
		if (found == NULL || (addr_is_any(&found->local) && !addr_is_any(&each->local)))
			found = each;
	}
	return found;
}

bool situation_is_local(const struct situation *situation, const struct addr *address)
{
	return network_own(&situation->network, address) != NULL ||
	       network_local_route(&situation->network, TABLE_LOCAL, address) != NULL;
}
