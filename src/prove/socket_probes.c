/*
 * Tries each capability of sockets by using it.
 *
 * A system call that returns 0 proves nothing: a mark is read back and has to change the route, spliced bytes
 * are compared, a listener has to listen. Every probe returns 0, or -1 with the kernel's errno. EPROTO means
 * that the call succeeded and had no effect. The trap: a probe closes its sockets before it returns, and
 * close() must not change the errno.
 */
#include "socket_probes.h"
#include "tproxy/addr.h"
#include "tproxy/datagram.h"
#include "tproxy/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	MARK = 1,
	LIMIT_MS = 5000
};

static const char *const foreign[] = {"192.0.2.80", "2001:db8:f::80"};
static const char *const loopback[] = {"127.0.0.1", "::1"};

static struct addr address(const char *text, uint16_t port)
{
	struct addr made = addr_any(AF_INET);

	addr_parse(&made, text);
	addr_set_port(&made, port);
	return made;
}

/* Closes, and gives the result back with the errno that it came with. */
static int close_after(int fd, int result)
{
	int error = errno;

	if (fd != -1)
		close(fd);
	errno = error;
	return result;
}

static int odd(void)
{
	errno = EPROTO;
	return -1;
}

static int try_ipv6(int family)
{
	struct addr own = address(loopback[1], 0);
	int fd = socket_open(AF_INET6);

	(void)family;
	return close_after(fd, fd == -1 ? -1 : bind(fd, &own.sa, addr_length(&own)));
}

static int try_transparent(int family)
{
	struct socket_listener listener = {
		.address = address(foreign[family == AF_INET6], 80), .transparent = true};
	int fd = socket_bind_listener(&listener, true);

	return close_after(fd, fd == -1 ? -1 : listen(fd, 1));
}

static int try_so_mark(int family)
{
	int fd = datagram_open(family), mark = MARK, seen = 0, result = -1;
	socklen_t length = sizeof(seen);

	if (fd != -1 && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) == 0)
		result = getsockopt(fd, SOL_SOCKET, SO_MARK, &seen, &length);
	if (result == 0 && seen != MARK)
		result = odd();
	return close_after(fd, result);
}

static int try_bind_no_port(int family)
{
	struct addr own = address(loopback[0], 0), local;
	int fd = socket_open(AF_INET), result = -1;

	(void)family;
	if (fd != -1)
		result = socket_bind_source(fd, &own);
	/* The port is not chosen before connect(): that is what the option is for. */
	if (result == 0 && (!socket_local_address(fd, &local) || addr_port(&local) != 0))
		result = odd();
	return close_after(fd, result);
}

static int await(int fd, short events)
{
	struct pollfd polled = {fd, events, 0};
	int ready = poll(&polled, 1, LIMIT_MS);

	if (ready == 0)
		errno = ETIMEDOUT;
	return ready == 1 ? 0 : -1;
}

/* Two TCP sockets that are each other's peer. */
static int make_pair(int ends[2])
{
	struct socket_listener listening = {.address = address(loopback[0], 0)};
	struct addr local, peer;
	int listener = socket_bind_listener(&listening, true), result = -1;

	ends[1] = -1;
	ends[0] = socket_open(AF_INET);
	if (listener == -1 || ends[0] == -1 || listen(listener, 1) == -1 ||
		!socket_local_address(listener, &local))
		goto out;
	if (socket_connect(ends[0], &local) == -1 && errno != EINPROGRESS)
		goto out;
	if (await(listener, POLLIN) == 0)
		ends[1] = socket_accept(listener, &peer);
	result = ends[1] == -1 ? -1 : 0;
out:
	return close_after(listener, result);
}

static int splice_across(int from, const int through[2], int to, size_t length)
{
	if (await(from, POLLIN) == -1)
		return -1;
	if (splice(from, NULL, through[1], NULL, length, SPLICE_F_NONBLOCK) == -1)
		return -1;
	return splice(through[0], NULL, to, NULL, length, SPLICE_F_NONBLOCK) == -1 ? -1 : 0;
}

static int try_splice(int family)
{
	static const char sent[] = "spliced";
	int first[2] = {-1, -1}, second[2] = {-1, -1}, through[2] = {-1, -1}, result = -1;
	char received[sizeof(sent)] = "";

	(void)family;
	if (make_pair(first) == 0 && make_pair(second) == 0 &&
		pipe2(through, O_CLOEXEC | O_NONBLOCK) == 0 &&
		send(first[0], sent, sizeof(sent), 0) == sizeof(sent) &&
		splice_across(first[1], through, second[0], sizeof(sent)) == 0)
		result = await(second[1], POLLIN);
	if (result == 0 && (recv(second[1], received, sizeof(received), 0) != sizeof(received) ||
				   memcmp(sent, received, sizeof(sent)) != 0))
		result = odd();
	for (int i = 0; i < 2; i++) {
		close_after(first[i], 0);
		close_after(second[i], 0);
		close_after(through[i], 0);
	}
	return result;
}

/* In a child, since what it moves into can't be left again. */
static int try_user_namespaces(void)
{
	pid_t child = fork();
	int status = 0;

	if (child == 0)
		_exit(unshare(CLONE_NEWUSER) == 0 ? 0 : errno);
	if (child == -1 || waitpid(child, &status, 0) == -1)
		return -1;
	errno = WIFEXITED(status) ? WEXITSTATUS(status) : EPROTO;
	return errno == 0 ? 0 : -1;
}

/* A datagram socket on its way to an address that is on no link. */
static int route_to_foreign(int family, int mark)
{
	struct addr unknown = address(foreign[family == AF_INET6], 80);
	struct addr own = address(loopback[family == AF_INET6], 0);
	int fd = datagram_open(family), result = -1;

	/* With a source, or the kernel would take the destination for one and refuse it as foreign. */
	if (fd != -1 && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) == 0 &&
		bind(fd, &own.sa, addr_length(&own)) == 0)
		result = socket_connect(fd, &unknown);
	return close_after(fd, result);
}

int probe_marked_route(int family)
{
	if (route_to_foreign(family, MARK) == -1)
		return -1;
	/* Without the mark there is no route, or the mark is not what chose it. */
	return route_to_foreign(family, 0) == -1 ? 0 : odd();
}

int probe_unmarked_route(int family)
{
	return route_to_foreign(family, 0);
}

void probe_sockets(struct findings *findings, bool own_users)
{
	static const struct {
		enum capability_name name;
		int (*try)(int family);
	} probes[] = {
		{CAPABILITY_IPV6, try_ipv6},
		{CAPABILITY_TRANSPARENT, try_transparent},
		{CAPABILITY_SO_MARK, try_so_mark},
		{CAPABILITY_BIND_NO_PORT, try_bind_no_port},
		{CAPABILITY_SPLICE, try_splice},
	};

	findings_set_result(findings, CAPABILITY_NET_NAMESPACES, AF_INET, 0);
	findings_set_result(findings, CAPABILITY_USER_NAMESPACES, AF_INET,
		own_users ? 0 : try_user_namespaces());
	for (size_t i = 0; i < sizeof(probes) / sizeof(probes[0]); i++) {
		enum capability_name name = probes[i].name;

		findings_set_result(findings, name, AF_INET, probes[i].try(AF_INET));
		if (capabilities[name].families &&
			findings_can(findings, CAPABILITY_IPV6, AF_INET6))
			findings_set_result(findings, name, AF_INET6, probes[i].try(AF_INET6));
	}
}
