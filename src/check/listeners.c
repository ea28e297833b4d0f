/*
 * Judges the proxy's listeners: whether they are there, who owns them, and whether they are transparent.
 *
 * Socket options come from sock_diag if the proxy runs, else from its configuration: what a proxy is
 * configured to do and what it did may differ. The trap is to report one cause twice: a listener that is
 * not transparent because its program lacks the capability is a finding of the capability, and of nothing
 * else.
 */
#include "commands.h"
#include "endpoints.h"
#include "report.h"
#include "tproxy/text.h"

#include <limits.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>

enum {
	OWNERS_MAX = 64,
	SESSION_DESCRIPTORS = 2,
	DESCRIPTORS_FEW = 1024,
	PIPE_PAGES = 16,
	PIPE_PAGES_FEW = 4096
};

/* "192.0.2.80:80", "192.0.2.80:53/udp" */
static const char *listener_name(
	const struct service_listener *listener, char text[ADDR_TEXT_MAX + 8])
{
	addr_format(&listener->address, text);
	if (listener->protocol == IPPROTO_UDP)
		strcat(text, "/udp");
	return text;
}

/* --- owners --- */

static void report_unknown_owner(struct check *check, enum check_item item, const char *subject)
{
	check_unknown(check, item, check_remedy_of_reading(check), subject,
		"cannot identify the listening process%s",
		check->snapshot->root ? "" : "; run as root");
}

/*
 * The command starts the program with the capability, as the user that it runs as now: root pastes the
 * command, but any user may have a program at that address.
 */
static void report_no_capability(struct check *check, const char *subject,
	const struct host_socket *socket, const struct socket_owner *owner)
{
	struct check_finding *finding = check_add(check, CHECK_CAPABILITY, CHECK_MISSING, subject,
		"%s (process %d) has neither CAP_NET_RAW nor CAP_NET_ADMIN. For a systemd service, set AmbientCapabilities=CAP_NET_RAW",
		owner->name, (int)owner->pid);
	char *run = shell_format("setpriv ");

	if (socket->uid != 0)
		text_add(&run, "--reuid %u --regid \"$(id -g %u)\" --init-groups ", socket->uid,
			socket->uid);
	text_add(&run, "--inh-caps +net_raw --ambient-caps +net_raw %s", owner->command);
	if (*owner->command == '\0') {
		free(run);
		run = NULL;
	}
	check_fix(finding, ON_PROXY, run, NULL);
}

/* Whether a program of the same name is in both lists. */
static bool share_a_name(
	const struct socket_owner *a, size_t a_count, const struct socket_owner *b, size_t b_count)
{
	for (size_t i = 0; i < a_count; i++)
		for (size_t j = 0; j < b_count; j++)
			if (strcmp(a[i].name, b[j].name) == 0)
				return true;
	return false;
}

/* The owners of a socket, as many as there is room for. */
static size_t owners_of(const struct check *check, const struct host_socket *socket,
	struct socket_owner owners[OWNERS_MAX])
{
	size_t count = check->snapshot->owners(socket, owners, OWNERS_MAX);

	return count < OWNERS_MAX ? count : OWNERS_MAX;
}

/*
 * Several processes may own one socket, such as a service manager and its service. Another program is one
 * that has a socket of its own at the same address.
 */
static void judge_other_listeners(struct check *check, const char *subject,
	const struct host_socket *socket, const struct socket_owner *owners, size_t count)
{
	const struct snapshot *snapshot = check->snapshot;

	check_add(check, CHECK_OTHER_LISTENER, CHECK_OK, subject, "%s (process %d) listens there",
		owners[0].name, (int)owners[0].pid);
	for (size_t i = 0; i < snapshot->sockets.count; i++) {
		const struct host_socket *each = &snapshot->sockets.list[i];
		struct socket_owner others[OWNERS_MAX];
		size_t other_count;

		if (each == socket || each->protocol != socket->protocol ||
			each->state != socket->state || !addr_equal(&each->local, &socket->local))
			continue;
		other_count = owners_of(check, each, others);
		if (other_count == 0)
			report_unknown_owner(check, CHECK_OTHER_LISTENER, subject);
		else if (each->options_known && socket->transparent && !each->transparent)
			check_add(check, CHECK_OTHER_LISTENER, CHECK_HARMFUL, subject,
				"%s (process %d) listens there transparently, and %s (process %d) does not: clients that get the second one time out. Stop it",
				owners[0].name, (int)owners[0].pid, others[0].name,
				(int)others[0].pid);
		else if (!share_a_name(owners, count, others, other_count))
			check_add(check, CHECK_OTHER_LISTENER, CHECK_HARMFUL, subject,
				"%s (process %d) and %s (process %d) both listen there",
				owners[0].name, (int)owners[0].pid, others[0].name,
				(int)others[0].pid);
	}
}

static void judge_descriptors(
	struct check *check, const char *subject, const struct socket_owner *owner)
{
	if (owner->descriptors == ULONG_MAX) {
		check_add(check, CHECK_LIMITS, CHECK_OK, subject, "%s has no limit on descriptors",
			owner->name);
		return;
	}
	check_add(check, CHECK_LIMITS,
		owner->descriptors < DESCRIPTORS_FEW ? CHECK_ADVICE : CHECK_OK, subject,
		"%s can have %lu descriptors, enough for about %lu sessions", owner->name,
		owner->descriptors, owner->descriptors / SESSION_DESCRIPTORS);
}

/* Returns whether the owner may make transparent sockets, as far as it is known. NEEDED: it has to. */
static bool judge_owner(
	struct check *check, const char *subject, const struct host_socket *socket, bool needed)
{
	static const enum check_item items[] = {
		CHECK_CAPABILITY, CHECK_OTHER_LISTENER, CHECK_LIMITS};
	static const uint64_t enough = UINT64_C(1) << CAP_NET_RAW | UINT64_C(1) << CAP_NET_ADMIN;
	struct socket_owner owners[OWNERS_MAX];
	size_t count = owners_of(check, socket, owners);

	if (count == 0) {
		for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++)
			report_unknown_owner(check, items[i], subject);
		return true;
	}
	judge_other_listeners(check, subject, socket, owners, count);
	judge_descriptors(check, subject, &owners[0]);
	if (!needed || (owners[0].capabilities & enough) != 0) {
		check_add(check, CHECK_CAPABILITY, CHECK_OK, subject, "%s (process %d) %s",
			owners[0].name, (int)owners[0].pid,
			needed ? "has CAP_NET_RAW or CAP_NET_ADMIN" : "needs no capability");
		return true;
	}
	report_no_capability(check, subject, socket, &owners[0]);
	return false;
}

/* --- IP_TRANSPARENT --- */

/* Has the configuration say `transparent`; where that is not tproxyd's, makes the address the host's own. */
static void fix_transparent(
	struct check *check, struct check_finding *finding, const struct service_listener *listener)
{
	const char *file = check->snapshot->service->file;

	if (file != NULL && listener->line != 0) {
		check_fix(finding, ON_PROXY,
			shell_format(
				"sed -i '%us/\\(bind  *[^ ]*\\)\\( transparent\\)*/\\1 transparent/' %s",
				listener->line, file),
			shell_format("sed -i '%us/ transparent//' %s", listener->line, file));
		return;
	}
	check_fix_local_address(check, finding, &listener->address, NULL);
	if (addr_family(&listener->address) == AF_INET6)
		check_fix_sysctl(check, finding, "net/ipv6/ip_nonlocal_bind", "1");
}

/*
 * Whether a socket works at an address without IP_TRANSPARENT. IPv4 binds to, and answers from, addresses
 * with a local route. IPv6 binds to addresses of links only, unless ip_nonlocal_bind is 1, and answers
 * from every address.
 */
static bool works_untransparent(
	const struct snapshot *snapshot, const struct addr *address, bool bound)
{
	if (addr_family(address) == AF_INET)
		return snapshot_is_local(snapshot, address);
	return bound || network_find_address(&snapshot->network, address) != NULL ||
	       snapshot_sysctl(snapshot, "net/ipv6/ip_nonlocal_bind") == 1;
}

/* Which word is missing, and where; to be freed. A configuration of tproxyd is named by the command. */
static char *describe_untransparent(const struct check *check, const char *subject,
	const struct service_listener *listener, const struct host_socket *socket)
{
	struct socket_owner owners[OWNERS_MAX];
	size_t count = owners_of(check, socket, owners);
	char *read;

	if (check->snapshot->service->file != NULL && listener->line != 0)
		return text_copy("the socket is not transparent");
	read = count > 0 ? text_format("the socket of %s (process %d) is not transparent: ",
				   owners[0].name, (int)owners[0].pid)
			 : text_copy("the socket is not transparent: ");
	if (count > 0 && strcmp(owners[0].name, "haproxy") == 0)
		text_add(&read, "its line `bind %s` lacks the word `transparent`", subject);
	else
		text_add(&read,
			"it has to set IP_TRANSPARENT (the word `transparent` on the line `bind` of HAProxy and tproxyd)");
	text_add(&read, ". The command makes the address this host's own instead");
	return read;
}

static void judge_untransparent(struct check *check, const char *subject,
	const struct service_listener *listener, const struct addr *destination,
	const struct host_socket *socket)
{
	struct check_finding *finding;
	char *read;

	if (!check->snapshot->network_known) {
		check_unknown(check, CHECK_TRANSPARENT, check_remedy_of_reading(check), "", "%s",
			check->snapshot->network_problem);
		return;
	}
	if (works_untransparent(check->snapshot, destination, socket != NULL)) {
		check_add(check, CHECK_TRANSPARENT, CHECK_OK, subject,
			"not transparent, but it can answer from this address");
		return;
	}
	read = socket != NULL
		       ? describe_untransparent(check, subject, listener, socket)
		       : text_copy(
				 "the configuration does not set `transparent`, and this host does not have the address");
	finding = check_add(check, CHECK_TRANSPARENT, CHECK_MISSING, subject, "%s", read);
	free(read);
	fix_transparent(check, finding, listener);
}

/* Returns whether the owner may make transparent sockets, as far as it is known: judge_owner(). */
static bool judge_presence(struct check *check, const char *subject,
	const struct service_listener *listener, const struct host_socket *socket)
{
	const struct snapshot *snapshot = check->snapshot;

	if (socket != NULL) {
		check_add(check, CHECK_LISTENER, CHECK_OK, subject, "the proxy listens");
		return judge_owner(
			check, subject, socket, snapshot->service->spoofs || listener->transparent);
	}
	if (listener->protocol == IPPROTO_UDP && !snapshot->sockets.udp_known)
		check_unknown_basis(check, BY_LISTENER, REMEDY_DIAG, subject,
			"cannot list UDP sockets (udp_diag)");
	else
		check_unknown_basis(check, BY_LISTENER, REMEDY_PROXY, subject,
			"nothing listens there; start the proxy, then check again");
	return true;
}

static void judge_listener(struct check *check, const struct service_listener *listener)
{
	const struct host_socket *socket =
		snapshot_listener(check->snapshot, listener->protocol, &listener->address);
	bool known = socket != NULL && socket->options_known;
	char subject[ADDR_TEXT_MAX + 8];
	struct addr destinations[CLIENTS_MAX];
	size_t count =
		check_destinations(check, listener, addr_family(&listener->address), destinations);
	bool able;

	listener_name(listener, subject);
	able = judge_presence(check, subject, listener, socket);
	if (known && socket->transparent)
		check_add(check, CHECK_TRANSPARENT, CHECK_OK, subject, "the socket is transparent");
	else if (!known && listener->transparent && socket == NULL)
		check_add(check, CHECK_TRANSPARENT, CHECK_OK, subject, "configured transparent");
	else if (!known && listener->transparent)
		check_unknown(check, CHECK_TRANSPARENT, REMEDY_DIAG, subject,
			"configured transparent; cannot be verified: sock_diag reports IP_TRANSPARENT only since Linux 5.10");
	else
		for (size_t i = 0; able && i < count; i++)
			judge_untransparent(check, subject, listener, &destinations[i], socket);
}

/* Beyond this limit an unprivileged user gets small pipes (pipe(7)), through which splice() moves less. */
static void judge_pipes(struct check *check)
{
	int pages = snapshot_sysctl(check->snapshot, "fs/pipe-user-pages-soft");

	if (pages > 0)
		check_add(check, CHECK_LIMITS, pages < PIPE_PAGES_FEW ? CHECK_ADVICE : CHECK_OK, "",
			"fs.pipe-user-pages-soft is %d, enough for %d pipes of full size%s", pages,
			pages / PIPE_PAGES,
			pages < PIPE_PAGES_FEW
				? "; with more the proxy copies data, which costs CPU time"
				: "");
}

void check_listeners(struct check *check)
{
	const struct service *service = check->snapshot->service;

	judge_pipes(check);
	for (size_t i = 0; check->snapshot->sockets_known && i < service->listener_count; i++)
		judge_listener(check, &service->listeners[i]);
}
