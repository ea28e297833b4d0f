/*
 * Reads the host once, for the checklist.
 *
 * A firewall tool whose tables the kernel does not have is not asked (tables.h). One that is not installed has no rules, except
 * nft: other programs load such rules, too. So a missing nft is noted in rules_unseen. A tool that is installed and fails
 * leaves all rules unknown, because half a rule set proves nothing; only where iptables-save fails at a rule of nft's, nft
 * lists the rest.
 *
 * The trap is a connection request that has just been sent: whether a server replies shows only after the reply,
 * or after the next request a second later. So sockets are read again until it shows.
 */
#include "snapshot.h"
#include "sysctl.h"
#include "tables.h"
#include "tproxy/subprocess.h"
#include "tproxy/text.h"
#include "watch/counters.h"
#include "watch/drops.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	TURNS_MAX = 13 /* of 100 ms each: Linux sends a SYN again after one second */
};

static bool parse_listing(struct ruleset *rules, enum firewall_tool tool, int family,
	const char *line, const char *text, char **problem)
{
	char *why = NULL;
	bool well =
		(tool == TOOL_NFT ? ruleset_parse_nft(rules, text, &why)
				  : ruleset_parse_iptables(rules, tool, family, text, &why)) == 0;

	if (!well)
		*problem = text_format("`%s`: %s", line, why);
	free(why);
	return well;
}

/* Whether iptables-save says that it failed at a rule which it cannot print, and at nothing else. */
static bool fails_at_nft(const struct subprocess_result *result)
{
	return result->status > 0 && strstr(result->errors, "(nf_tables)") != NULL &&
	       strstr(result->errors, "Parsing nftables rule failed") != NULL;
}

/*
 * iptables-save gives up at the first rule that nft wrote into one of its tables and that it cannot print. The tables
 * before that one are whole; the others are taken from nft, which lists all of them.
 */
static bool keep_whole_tables(struct ruleset *rules, int family, const char *line, char *text)
{
	char *end = NULL, *problem = NULL;
	bool well;

	for (char *at = text; (at = strstr(at, "\nCOMMIT\n")) != NULL; at++)
		end = at + strlen("\nCOMMIT\n");
	if (end == NULL)
		return true;
	*end = '\0';
	well = parse_listing(rules, TOOL_IPTABLES, family, line, text, &problem);
	free(problem);
	return well;
}

/* Runs LINE, which lists the rules of TOOL for FAMILY, and adds them to *RULES. */
static bool read_listing(struct ruleset *rules, enum firewall_tool tool, int family,
	const char *line, char **problem, char **note)
{
	struct subprocess_result result;
	bool well = subprocess_run_line(line, NULL, &result);

	if (well)
		well = parse_listing(rules, tool, family, line, result.out, problem);
	else if (tool == TOOL_IPTABLES && fails_at_nft(&result) && subprocess_exists("nft") &&
		 keep_whole_tables(rules, family, line, result.out)) {
		free(*note);
		*note = text_format(
			"`%s` fails, because nft wrote a rule into one of its tables. That table is read by nft, which does not print all matches of iptables",
			line);
		well = true;
	} else
		*problem = subprocess_problem(line, &result);
	subprocess_free(&result);
	return well;
}

/* Without the links, what chains at INGRESS drop is unknown. */
static void read_links_of_chains(struct ruleset *rules)
{
	struct subprocess_result result;

	if (!ruleset_lacks_links(rules))
		return;
	if (subprocess_run_line("nft list chains", NULL, &result))
		ruleset_parse_nft_links(rules, result.out);
	subprocess_free(&result);
}

/* Rules that ask sets stay unknown where the sets cannot be read. */
static void read_sets(struct ruleset *rules)
{
	struct subprocess_result result;
	char *problem = NULL;

	if (!ruleset_asks_sets(rules))
		return;
	if (subprocess_run_line("ipset save", NULL, &result))
		ruleset_parse_ipset(rules, result.out, &problem);
	free(problem);
	subprocess_free(&result);
}

/* A tool that is not installed has no rules. */
static bool read_rules(
	struct ruleset *rules, const struct tables *tables, char **problem, char **note)
{
	static const int families[] = {AF_INET, AF_INET6};

	for (enum firewall_tool tool = TOOL_IPTABLES; tool <= TOOL_LEGACY; tool++)
		for (size_t i = 0; i < 2; i++) {
			const char *save = firewall_tool_save(tool, families[i]);

			if (tables_may_have(tables, tool, families[i]) && subprocess_exists(save) &&
				!read_listing(rules, tool, families[i], save, problem, note))
				return false;
		}
	if (tables_may_have(tables, TOOL_NFT, AF_UNSPEC) && subprocess_exists("nft") &&
		!read_listing(rules, TOOL_NFT, AF_UNSPEC, "nft -j list ruleset", problem, note))
		return false;
	read_links_of_chains(rules);
	read_sets(rules);
	return true;
}

/* For a wildcard listener, packets to every address count that have its port. */
static void read_packets(struct snapshot *snapshot, unsigned milliseconds)
{
	const struct service *service = snapshot->service;
	struct counters before, after;
	struct drops *drops;
	int lost;

	snapshot->captured = calloc(service->listener_count + 1, sizeof(struct captured));
	if (snapshot->captured == NULL)
		abort(); /* out of memory */
	snapshot->captured_count = service->listener_count;
	for (size_t i = 0; i < service->listener_count; i++) {
		snapshot->captured[i].address = service->listeners[i].address;
		snapshot->captured[i].protocol = service->listeners[i].protocol;
	}
	drops = drops_begin();
	counters_read(&before);
	lost = capture_run(snapshot->captured, snapshot->captured_count, milliseconds, drops,
		&snapshot->captured_problem);
	snapshot->captured_known = lost != -1;
	snapshot->captured_lost = lost > 0 ? (unsigned)lost : 0;
	counters_read(&after);
	snapshot->counters_moved = counters_moved(&before, &after);
	snapshot->drop_reasons = drops_end(drops);
	snapshot->captured_seconds = milliseconds / 1000;
}

/* Whether a request of a transparent socket was sent once and its outcome is open. */
static bool has_open_request(const struct host_sockets *sockets)
{
	for (size_t i = 0; i < sockets->count; i++)
		if (sockets->list[i].state == SOCKET_STATE_CONNECTING &&
			sockets->list[i].transparent && sockets->list[i].retransmits == 0)
			return true;
	return false;
}

/* The line of `nft -a list chain` that has the handle at its end. */
static char *find_handle(const char *listing, uint64_t handle)
{
	char *end = text_format(" # handle %llu", (unsigned long long)handle), *found = NULL;

	for (char *line; found == NULL && (line = text_line(&listing)) != NULL; free(line)) {
		size_t length = strlen(line), tail = strlen(end);

		if (length > tail && strcmp(line + length - tail, end) == 0)
			found = text_format("%.*s", (int)(length - tail - strspn(line, " \t")),
				line + strspn(line, " \t"));
	}
	free(end);
	return found;
}

/* The chain that was listed last: several findings in a row name rules of one chain. */
static struct {
	char *line;
	struct subprocess_result result;
} listed;

static void forget_listed(void)
{
	if (listed.line != NULL)
		subprocess_free(&listed.result);
	free(listed.line);
	listed.line = NULL;
}

/* Only for rules that a finding names: to list them all again would take as long as reading them. */
static char *read_rule_text(const char *where, uint64_t handle)
{
	char *line = text_format("nft -a list chain %s", where);

	if (listed.line == NULL || strcmp(listed.line, line) != 0) {
		forget_listed();
		subprocess_run_line(line, NULL, &listed.result);
		listed.line = line;
	} else
		free(line);
	return listed.result.out != NULL && listed.result.status == 0
		       ? find_handle(listed.result.out, handle)
		       : NULL;
}

static bool read_sockets(struct host_sockets *sockets, char **problem)
{
	static const struct timespec pause = {.tv_nsec = 100 * 1000 * 1000};
	bool well = sockets_read(sockets, problem);

	for (int turn = 0; well && turn < TURNS_MAX && has_open_request(sockets); turn++) {
		nanosleep(&pause, NULL);
		sockets_free(sockets);
		well = sockets_read(sockets, problem);
	}
	return well;
}

/* Without nft: whether there may be tables that no other program lists. */
static bool lacks_nft(const struct tables *tables)
{
	static const int families[] = {AF_INET, AF_INET6};
	bool lacks = !tables->known || tables->others;

	for (size_t i = 0; i < 2; i++)
		lacks |= tables->iptables[i] &&
			 !subprocess_exists(firewall_tool_save(TOOL_IPTABLES, families[i]));
	return lacks && !subprocess_exists("nft");
}

static void read_firewall(struct snapshot *snapshot)
{
	struct tables tables;

	tables_read(&tables);
	snapshot->rules_known = read_rules(
		&snapshot->rules, &tables, &snapshot->rules_problem, &snapshot->rules_note);
	if (lacks_nft(&tables))
		snapshot->rules_unseen = text_copy(
			"there is no program 'nft' on this host: rules that only nft lists are not read");
}

void snapshot_read(struct snapshot *snapshot, const struct service *service, unsigned milliseconds)
{
	*snapshot = (struct snapshot){.service = service,
		.root = geteuid() == 0,
		.sysctl = sysctl_read,
		.route = route_get,
		.rule_text = read_rule_text,
		.silent = neighbour_is_silent,
		.owners = socket_owners};
	snapshot->kernel = kernel_config_running("", snapshot->kernel_problem);
	if (milliseconds > 0)
		read_packets(snapshot, milliseconds);
	snapshot->network_known = network_read(&snapshot->network, &snapshot->network_problem);
	read_firewall(snapshot);
	snapshot->sockets_known = read_sockets(&snapshot->sockets, &snapshot->sockets_problem);
	boot_read(&snapshot->boot, "");
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
	forget_listed();
	kernel_config_free(snapshot->kernel);
	network_free(&snapshot->network);
	ruleset_free(&snapshot->rules);
	sockets_free(&snapshot->sockets);
	free(snapshot->captured);
	free(snapshot->network_problem);
	free(snapshot->rules_problem);
	free(snapshot->rules_unseen);
	free(snapshot->rules_note);
	free(snapshot->sockets_problem);
	free(snapshot->captured_problem);
	boot_free(&snapshot->boot);
	free(snapshot->probes);
	free(snapshot->counters_moved);
	free(snapshot->drop_reasons);
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
	char *path = text_format("net/ipv%d/conf/all/%s", family_version(family), key);
	int number;

	*all = snapshot_sysctl(snapshot, path);
	free(path);
	path = text_format("net/ipv%d/conf/%s/%s", family_version(family), link, key);
	number = snapshot_sysctl(snapshot, path);
	free(path);
	return number;
}

static bool accepts(const struct host_socket *socket, const struct addr *address)
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
			!accepts(each, address))
			continue;
		if (found == NULL || (addr_is_any(&found->local) && !addr_is_any(&each->local)) ||
			(addr_equal(&found->local, &each->local) && !found->transparent &&
				each->transparent))
			found = each;
	}
	return found;
}

bool snapshot_is_local(const struct snapshot *snapshot, const struct addr *address)
{
	return network_find_address(&snapshot->network, address) != NULL ||
	       network_find_local_route(&snapshot->network, TABLE_LOCAL, address) != NULL;
}
