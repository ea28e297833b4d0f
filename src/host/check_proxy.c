/*
 * The proxy's own side: its listeners, whose they are, and what it may do.
 *
 * Sockets that are there are asked, and a configuration is believed only for those that are not: what a
 * proxy was told to do and what it did are two things. A listener that lacks IP_TRANSPARENT because its
 * program lacks the capability is the capability's finding alone.
 */
#include "check_report.h"
#include "tproxy/text.h"

#include <event2/event.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>

enum {
	OWNERS_MAX = 64,
	SESSION_DESCRIPTORS = 2,
	DESCRIPTORS_FEW = 1024,
	PIPE_PAGES = 16,
	PIPE_PAGES_FEW = 4096,
	LIBEVENT_2_1 = 0x02010000
};

static const char *subject_of(const struct need_listener *listener, char text[ADDR_TEXT_MAX + 8])
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

static void no_capability(
	struct check *check, const char *subject, const struct socket_owner *owner)
{
	struct check_finding *finding = check_add(check, CHECK_CAPABILITY, CHECK_MISSING, subject,
		"%s (process %d) has neither CAP_NET_RAW nor CAP_NET_ADMIN", owner->name,
		(int)owner->pid);

	check_mend(finding, ON_PROXY,
		text_format(
			"setcap cap_net_raw+ep \"$(readlink -f /proc/%d/exe)\"", (int)owner->pid),
		NULL);
}

static void one_at_a_time(
	struct check *check, const char *subject, const struct socket_owner *owners, size_t count)
{
	for (size_t i = 1; i < count; i++)
		if (strcmp(owners[i].name, owners[0].name) != 0)
			check_add(check, CHECK_OTHER_LISTENER, CHECK_HARMFUL, subject,
				"%s (process %d) and %s (process %d) both listen there",
				owners[0].name, (int)owners[0].pid, owners[i].name,
				(int)owners[i].pid);
}

/* Owners of all sockets at the very address of SOCKET. */
static size_t owners_at(const struct situation *at, const struct host_socket *socket,
	struct socket_owner owners[OWNERS_MAX])
{
	size_t count = 0;

	for (size_t i = 0; i < at->sockets.count && count < OWNERS_MAX; i++) {
		const struct host_socket *each = &at->sockets.list[i];

		if (each->protocol == socket->protocol && each->state == socket->state &&
			addr_equal(&each->local, &socket->local))
			count += at->owners(each, owners + count, OWNERS_MAX - count);
	}
	return count;
}

static void descriptors(struct check *check, const char *subject, const struct socket_owner *owner)
{
	check_add(check, CHECK_LIMITS,
		owner->descriptors < DESCRIPTORS_FEW ? CHECK_UNKNOWN : CHECK_OK, subject,
		"%s may have %lu descriptors: about %lu sessions", owner->name, owner->descriptors,
		owner->descriptors / SESSION_DESCRIPTORS);
}

/* Whether the owner may make transparent sockets, as far as it is known. */
static bool is_able(
	struct check *check, const char *subject, const struct host_socket *socket, bool needed)
{
	struct socket_owner owners[OWNERS_MAX];
	size_t count = owners_at(check->at, socket, owners);

	if (count == 0) {
		check_add(check, CHECK_CAPABILITY, CHECK_UNKNOWN, subject,
			"whose the listener is, root alone may see");
		return true;
	}
	one_at_a_time(check, subject, owners, count);
	descriptors(check, subject, &owners[0]);
	if (!needed || may_be_transparent(&owners[0])) {
		check_add(check, CHECK_CAPABILITY, CHECK_OK, subject, "%s (process %d)",
			owners[0].name, (int)owners[0].pid);
		return true;
	}
	no_capability(check, subject, &owners[0]);
	return false;
}

/* --- whether it is transparent, where it has to be --- */

static void mend_transparent(
	struct check *check, struct check_finding *finding, const struct need_listener *listener)
{
	const char *file = check->at->needs->file;
	int version = check_version(addr_family(&listener->address));
	char ip[ADDR_TEXT_MAX];

	if (file != NULL && listener->line != 0) {
		check_mend(finding, ON_PROXY,
			text_format("sed -i '%us/bind  *[^ ]*/& transparent/' '%s'", listener->line,
				file),
			text_format("sed -i '%us/ transparent//' '%s'", listener->line, file));
		return;
	}
	addr_format_ip(&listener->address, ip);
	check_mend(finding, ON_HOST,
		text_format("ip -%d route add local %s/%d dev lo", version, ip,
			version == 6 ? 128 : 32),
		text_format("ip -%d route del local %s/%d dev lo", version, ip,
			version == 6 ? 128 : 32));
	if (version == 6)
		check_sysctl(check, finding, "net/ipv6/ip_nonlocal_bind", "1");
}

/*
 * IPv4 binds where there is a local route, and answers from no other address. IPv6 binds to addresses of
 * links alone, unless ip_nonlocal_bind is on, and then answers from any.
 */
static bool works_without(const struct situation *at, const struct addr *address, bool bound)
{
	if (addr_family(address) == AF_INET)
		return situation_is_local(at, address);
	return bound || network_own(&at->network, address) != NULL ||
	       situation_number(at, "net/ipv6/ip_nonlocal_bind") == 1;
}

static void judge_plain(struct check *check, const struct need_listener *listener,
	const struct addr *called, const struct host_socket *socket)
{
	char subject[ADDR_TEXT_MAX + 8];
	struct check_finding *finding;

	subject_of(listener, subject);
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
	mend_transparent(check, finding, listener);
}

static void judge(struct check *check, const struct need_listener *listener)
{
	const struct situation *at = check->at;
	const struct host_socket *socket =
		situation_listener(at, listener->protocol, &listener->address);
	bool known = socket != NULL && socket->options_known;
	bool transparent = known ? socket->transparent : listener->transparent;
	char subject[ADDR_TEXT_MAX + 8];
	struct addr called[CLIENTS_MAX];
	size_t count = check_called(check, listener, addr_family(&listener->address), called);
	bool able = true;

	subject_of(listener, subject);
	if (socket == NULL)
		check_add(check, CHECK_LISTENER, CHECK_UNKNOWN, subject,
			"nothing listens there yet: start the proxy, and look again");
	else {
		check_add(check, CHECK_LISTENER, CHECK_OK, subject, "there");
		able = is_able(check, subject, socket, at->needs->spoofs || listener->transparent);
	}
	if (transparent)
		check_add(check, CHECK_TRANSPARENT, CHECK_OK, subject, "%s",
			known ? "the socket is" : "it will be");
	else if (able)
		for (size_t i = 0; i < count; i++)
			judge_plain(check, listener, &called[i], socket);
}

/* Pipes of an unprivileged user shrink past this many pages in all (pipe(7)), and splice with them. */
static void pipes(struct check *check)
{
	int pages = situation_number(check->at, "fs/pipe-user-pages-soft");

	if (pages > 0)
		check_add(check, CHECK_LIMITS, pages < PIPE_PAGES_FEW ? CHECK_UNKNOWN : CHECK_OK,
			"",
			"fs.pipe-user-pages-soft is %d: %d pipes of full size at the same time%s",
			pages, pages / PIPE_PAGES,
			pages < PIPE_PAGES_FEW ? "; with more the proxy copies, which costs more"
					       : "");
}

static void libevent(struct check *check)
{
	bool old = event_get_version_number() < LIBEVENT_2_1;

	if (check->at->needs->file != NULL)
		check_add(check, CHECK_LIBEVENT, old ? CHECK_MISSING : CHECK_OK, "", "version %s%s",
			event_get_version(), old ? "; tproxyd needs 2.1" : "");
}

void check_proxy(struct check *check)
{
	const struct needs *needs = check->at->needs;

	pipes(check);
	libevent(check);

	if (!check->at->sockets_known)
		check_add(
			check, CHECK_LISTENER, CHECK_UNKNOWN, "", "%s", check->at->sockets_problem);
	for (size_t i = 0; i < needs->listener_count; i++)
		judge(check, &needs->listeners[i]);
}
