/*
 * The proxy's own side: its listeners, whose they are, and what it may do.
 *
 * Sockets that are there are asked, and a configuration is believed only for those that are not: what a
 * proxy was told to do and what it did are two things. A listener that lacks IP_TRANSPARENT because its
 * program lacks the capability is the capability's finding alone.
 */
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

#define UNSEEN_OWNER "whose the listener is, root alone may see"

static const char *subject_of(const struct service_listener *listener, char text[ADDR_TEXT_MAX + 8])
{
	addr_format(&listener->address, text);
	if (listener->protocol == IPPROTO_UDP)
		strcat(text, "/udp");
	return text;
}

/* --- whose the listener is --- */

static bool may_be_transparent(const struct socket_owner *owner)
{
	uint64_t enough = UINT64_C(1) << CAP_NET_RAW | UINT64_C(1) << CAP_NET_ADMIN;

	return (owner->capabilities & enough) != 0;
}

/*
 * The command starts the program with the capability, and as the user that it runs as now: any user may
 * have a program at that address, and root's shell is where this is pasted.
 */
static void no_capability(struct check *check, const char *subject,
	const struct host_socket *socket, const struct socket_owner *owner)
{
	struct check_finding *finding = check_add(check, CHECK_CAPABILITY, CHECK_MISSING, subject,
		"%s (process %d) has neither CAP_NET_RAW nor CAP_NET_ADMIN. A service has it by "
		"AmbientCapabilities=CAP_NET_RAW",
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
	size_t count = check->at->owners(socket, owners, OWNERS_MAX);

	return count < OWNERS_MAX ? count : OWNERS_MAX;
}

/* One socket may be in several hands, a service manager's say; another program has one of its own. */
static void one_at_a_time(struct check *check, const char *subject,
	const struct host_socket *socket, const struct socket_owner *owners, size_t count)
{
	const struct snapshot *at = check->at;

	check_add(check, CHECK_OTHER_LISTENER, CHECK_OK, subject, "%s (process %d) listens there",
		owners[0].name, (int)owners[0].pid);
	for (size_t i = 0; i < at->sockets.count; i++) {
		const struct host_socket *each = &at->sockets.list[i];
		struct socket_owner others[OWNERS_MAX];
		size_t other_count;

		if (each == socket || each->protocol != socket->protocol ||
			each->state != socket->state || !addr_equal(&each->local, &socket->local))
			continue;
		other_count = owners_of(check, each, others);
		if (other_count == 0)
			check_unknown(check, CHECK_OTHER_LISTENER, check_remedy_of_reading(check),
				subject, UNSEEN_OWNER);
		else if (!share_a_name(owners, count, others, other_count))
			check_add(check, CHECK_OTHER_LISTENER, CHECK_HARMFUL, subject,
				"%s (process %d) and %s (process %d) both listen there",
				owners[0].name, (int)owners[0].pid, others[0].name,
				(int)others[0].pid);
	}
}

static void descriptors(struct check *check, const char *subject, const struct socket_owner *owner)
{
	if (owner->descriptors == ULONG_MAX) {
		check_add(check, CHECK_LIMITS, CHECK_OK, subject,
			"%s may have any number of descriptors", owner->name);
		return;
	}
	check_add(check, CHECK_LIMITS,
		owner->descriptors < DESCRIPTORS_FEW ? CHECK_ADVICE : CHECK_OK, subject,
		"%s may have %lu descriptors: about %lu sessions", owner->name, owner->descriptors,
		owner->descriptors / SESSION_DESCRIPTORS);
}

/* Whether the owner may make transparent sockets, as far as it is known. */
static bool is_able(
	struct check *check, const char *subject, const struct host_socket *socket, bool needed)
{
	static const enum check_item items[] = {
		CHECK_CAPABILITY, CHECK_OTHER_LISTENER, CHECK_LIMITS};
	struct socket_owner owners[OWNERS_MAX];
	size_t count = owners_of(check, socket, owners);

	if (count == 0) {
		for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++)
			check_unknown(check, items[i], check_remedy_of_reading(check), subject,
				UNSEEN_OWNER);
		return true;
	}
	one_at_a_time(check, subject, socket, owners, count);
	descriptors(check, subject, &owners[0]);
	if (!needed || may_be_transparent(&owners[0])) {
		check_add(check, CHECK_CAPABILITY, CHECK_OK, subject, "%s (process %d)",
			owners[0].name, (int)owners[0].pid);
		return true;
	}
	no_capability(check, subject, socket, &owners[0]);
	return false;
}

/* --- whether it is transparent, where it has to be --- */

static void fix_transparent(
	struct check *check, struct check_finding *finding, const struct service_listener *listener)
{
	const char *file = check->at->service->file;
	int version = check_version(addr_family(&listener->address));
	char ip[ADDR_TEXT_MAX];

	if (file != NULL && listener->line != 0) {
		check_fix(finding, ON_PROXY,
			shell_format("sed -i '%us/\\(bind  *[^ ]*\\)\\( transparent\\)*/\\1 "
				     "transparent/' %s",
				listener->line, file),
			shell_format("sed -i '%us/ transparent//' %s", listener->line, file));
		return;
	}
	addr_format_ip(&listener->address, ip);
	check_fix(finding, ON_HOST,
		shell_format("ip -%d route replace local %s/%d dev lo", version, ip,
			version == 6 ? 128 : 32),
		shell_format("ip -%d route del local %s/%d dev lo", version, ip,
			version == 6 ? 128 : 32));
	if (version == 6)
		check_fix_sysctl(check, finding, "net/ipv6/ip_nonlocal_bind", "1");
}

/*
 * IPv4 binds where there is a local route, and answers from no other address. IPv6 binds to addresses of
 * links alone, unless ip_nonlocal_bind is on, and then answers from any.
 */
static bool works_without(const struct snapshot *at, const struct addr *address, bool bound)
{
	if (addr_family(address) == AF_INET)
		return snapshot_is_local(at, address);
	return bound || network_find_address(&at->network, address) != NULL ||
	       snapshot_sysctl(at, "net/ipv6/ip_nonlocal_bind") == 1;
}

static void judge_plain(struct check *check, const struct service_listener *listener,
	const struct addr *called, const struct host_socket *socket)
{
	char subject[ADDR_TEXT_MAX + 8];
	struct check_finding *finding;

	subject_of(listener, subject);
	if (!check->at->network_known) {
		check_unknown(check, CHECK_TRANSPARENT, check_remedy_of_reading(check), "", "%s",
			check->at->network_problem);
		return;
	}
	if (works_without(check->at, called, socket != NULL)) {
		check_add(check, CHECK_TRANSPARENT, CHECK_OK, subject,
			"it is not, and the address is one that it can answer from");
		return;
	}
	finding = check_add(check, CHECK_TRANSPARENT, CHECK_MISSING, subject,
		socket != NULL
			? "the socket is there, and is not transparent"
			: "the configuration does not ask for it, and the host does not have the "
			  "address");
	fix_transparent(check, finding, listener);
}

static void is_transparent(
	struct check *check, const char *subject, const struct host_socket *socket)
{
	if (socket != NULL && !socket->options_known)
		check_unknown(check, CHECK_TRANSPARENT, REMEDY_DIAG, subject,
			"it was to be; whether the socket is, kernels tell from Linux 5.10 on");
	else
		check_add(check, CHECK_TRANSPARENT, CHECK_OK, subject, "%s",
			socket != NULL ? "the socket is" : "it will be");
}

/* Whether the listener is there, and its program may make it transparent as far as that is known. */
static bool is_there(struct check *check, const char *subject,
	const struct service_listener *listener, const struct host_socket *socket)
{
	const struct snapshot *at = check->at;
	bool told = at->sockets.udp_known || listener->protocol != IPPROTO_UDP;

	if (socket != NULL) {
		check_add(check, CHECK_LISTENER, CHECK_OK, subject, "there");
		return is_able(
			check, subject, socket, at->service->spoofs || listener->transparent);
	}
	check_obstacle(check, BY_LISTENER, told ? REMEDY_PROXY : REMEDY_DIAG, subject,
		told ? "nothing listens there yet: start the proxy, and look again"
		     : "the kernel does not tell of UDP sockets (udp_diag)");
	return true;
}

static void judge(struct check *check, const struct service_listener *listener)
{
	const struct host_socket *socket =
		snapshot_listener(check->at, listener->protocol, &listener->address);
	bool known = socket != NULL && socket->options_known;
	char subject[ADDR_TEXT_MAX + 8];
	struct addr called[CLIENTS_MAX];
	size_t count = check_called(check, listener, addr_family(&listener->address), called);
	bool able;

	subject_of(listener, subject);
	able = is_there(check, subject, listener, socket);
	if (known ? socket->transparent : listener->transparent)
		is_transparent(check, subject, socket);
	else if (able)
		for (size_t i = 0; i < count; i++)
			judge_plain(check, listener, &called[i], socket);
}

/* Pipes of an unprivileged user shrink past this many pages in all (pipe(7)), and splice with them. */
static void pipes(struct check *check)
{
	int pages = snapshot_sysctl(check->at, "fs/pipe-user-pages-soft");

	if (pages > 0)
		check_add(check, CHECK_LIMITS, pages < PIPE_PAGES_FEW ? CHECK_ADVICE : CHECK_OK, "",
			"fs.pipe-user-pages-soft is %d: %d pipes of full size at the same time%s",
			pages, pages / PIPE_PAGES,
			pages < PIPE_PAGES_FEW ? "; with more the proxy copies, which costs more"
					       : "");
}

void check_proxy(struct check *check)
{
	const struct service *service = check->at->service;

	pipes(check);
	for (size_t i = 0; check->at->sockets_known && i < service->listener_count; i++)
		judge(check, &service->listeners[i]);
}
