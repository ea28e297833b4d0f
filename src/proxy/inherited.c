/*
 * A socket and a `bind` line belong together where address, port, protocol, interface and families are the same, which
 * is what a bound socket cannot change. A socket without a line has a queue that no thread reads: its clients would
 * connect, and wait. So a configuration without that line is refused, at a reload, too.
 *
 * The traps: a manager goes on listening after this process has closed its descriptor. And sockets of one user only may
 * share an address, so the inherited ones are given to this process's user, where it is allowed to do that.
 */
#include "inherited.h"

#include "tproxy/array.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	FIRST = 3, /* SD_LISTEN_FDS_START */
	MANY = 65536
};

struct inherited {
	int fd;
	const char *name; /* FileDescriptorName=, by default that of the .socket unit; NULL: none */
	int error;        /* errno why it cannot be used, or 0 */
	struct socket_listener place;
	char interface[IF_NAMESIZE];
	bool dealt; /* a thread has it */
};

static struct {
	struct inherited *list;
	size_t count;
	char *names;
} set;

/* --- from the manager --- */

/* The next of a list of names with ':' between them, or NULL. */
static const char *next_name(char **rest)
{
	const char *name = *rest == NULL ? NULL : strsep(rest, ":");

	return name == NULL || *name == '\0' ? NULL : name;
}

/* The list does not move any more. */
static void look_at(struct inherited *socket)
{
	if (socket_describe(socket->fd, &socket->place, socket->interface) == -1)
		socket->error = errno;
	else
		(void)!fchown(socket->fd, geteuid(), getegid());
}

/* Up to the first one that is not open. */
static void receive(unsigned long count, const char *names)
{
	char *rest;

	set.names = names == NULL ? NULL : strdup(names);
	rest = set.names;
	for (bool open = true; open && set.count < count; set.count++) {
		int fd = FIRST + (int)set.count;

		set.list = array_room(set.list, set.count, sizeof(*set.list));
		set.list[set.count].fd = fd;
		set.list[set.count].name = next_name(&rest);
		open = fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
	}
	for (size_t i = 0; i < set.count; i++)
		look_at(&set.list[i]);
}

/* Decimal digits alone; 0: something else. */
static unsigned long read_number(const char *text)
{
	if (text == NULL || text[strspn(text, "0123456789")] != '\0')
		return 0;
	return strtoul(text, NULL, 10);
}

int inherited_receive(pid_t pid)
{
	const char *count = getenv("LISTEN_FDS");
	unsigned long wanted = 0;
	int status = 0;

	if (count != NULL && read_number(getenv("LISTEN_PID")) == (unsigned long)pid) {
		wanted = read_number(count);
		status = wanted == 0 || wanted > MANY ? -1 : 0;
	}
	if (status == 0)
		receive(wanted, getenv("LISTEN_FDNAMES"));
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_PIDFDID");
	unsetenv("LISTEN_FDNAMES");
	return status;
}

void inherited_close(void)
{
	for (size_t i = 0; i < set.count; i++)
		if (set.list[i].error != EBADF)
			close(set.list[i].fd);
	free(set.list);
	free(set.names);
	memset(&set, 0, sizeof(set));
}

size_t inherited_count(void)
{
	return set.count;
}

/* --- its bind line --- */

struct socket_listener inherited_place(const struct bind *bind, enum mode mode)
{
	static const enum socket_v6only v6only[] = {
		[V6_SYSTEM] = SOCKET_V6ONLY_SYSTEM,
		[V6_ONLY] = SOCKET_V6ONLY_ON,
		[V6_AND_V4] = SOCKET_V6ONLY_OFF,
	};

	return (struct socket_listener){
		.address = bind->address,
		.datagrams = mode == MODE_UDP,
		.transparent = bind->transparent,
		.v6only = v6only[bind->v6_mode],
		.interface = bind->interface,
	};
}

static bool is_same_address(const struct socket_listener *a, const struct socket_listener *b)
{
	return a->datagrams == b->datagrams && addr_equal(&a->address, &b->address);
}

/* A line that does not say which families it is for takes what the manager has chosen (BindIPv6Only=). */
static bool is_same_place(const struct socket_listener *own, const struct socket_listener *wanted)
{
	if (!is_same_address(own, wanted) ||
		strcmp(own->interface ? own->interface : "",
			wanted->interface ? wanted->interface : "") != 0)
		return false;
	return addr_family(&own->address) == AF_INET || !addr_is_any(&own->address) ||
	       wanted->v6only == SOCKET_V6ONLY_SYSTEM || wanted->v6only == own->v6only;
}

static struct inherited *find(const struct socket_listener *place)
{
	for (size_t i = 0; i < set.count; i++)
		if (set.list[i].error == 0 && is_same_place(&set.list[i].place, place))
			return &set.list[i];
	return NULL;
}

bool inherited_has(const struct socket_listener *place, bool transparent)
{
	const struct inherited *found = find(place);

	return found != NULL && (!transparent || found->place.transparent);
}

/* The line of a socket. NULL: none; *NEAR is one at its address that differs in other words, or NULL. */
static const struct bind *find_line(
	const struct config *config, const struct socket_listener *own, const struct bind **near)
{
	*near = NULL;
	for (size_t i = 0; i < config->proxy_count; i++)
		for (size_t j = 0; j < config->proxies[i].bind_count; j++) {
			const struct bind *bind = &config->proxies[i].binds[j];
			struct socket_listener line =
				inherited_place(bind, config->proxies[i].mode);

			if (is_same_place(own, &line))
				return bind;
			if (is_same_address(own, &line))
				*near = bind;
		}
	return NULL;
}

static const char *unit_of(const struct inherited *socket)
{
	return socket->name == NULL ? "no name" : socket->name;
}

static void describe_error(const struct inherited *socket, char text[INHERITED_TEXT_MAX])
{
	const char *problem = strerror(socket->error);

	if (socket->error == EBADF)
		problem = "it is not open, but $LISTEN_FDS counts it";
	else if (socket->error == ENOTSOCK)
		problem =
			"it is not a socket; remove OpenFile= and FileDescriptorStoreMax= from the unit";
	else if (socket->error == EAFNOSUPPORT)
		problem =
			"it is not a socket of TCP or UDP over IPv4 or IPv6; write ListenStream=ADDRESS:PORT or ListenDatagram=ADDRESS:PORT in the .socket unit";
	else if (socket->error == EINVAL)
		problem =
			"it is a socket that does not listen; write Accept=no in the .socket unit";
	snprintf(text, INHERITED_TEXT_MAX,
		"descriptor %d (%s) of the service manager cannot be served: %s", socket->fd,
		unit_of(socket), problem);
}

static void describe_missing_line(const struct inherited *socket, const char *path,
	const struct bind *near, char text[INHERITED_TEXT_MAX])
{
	const struct socket_listener *place = &socket->place;
	bool any6 = addr_family(&place->address) == AF_INET6 && addr_is_any(&place->address);
	char address[ADDR_TEXT_MAX], line[64] = "";

	if (near != NULL)
		snprintf(line, sizeof(line), ", and line %u differs from it", near->line);
	addr_format(&place->address, address);
	snprintf(text, INHERITED_TEXT_MAX,
		"%s: no bind line for the socket %s (%s, %s) of the service manager%s; write `bind %s%s%s%s` in a section of `mode %s`, or remove the address from the .socket unit",
		path, address, place->datagrams ? "UDP" : "TCP", unit_of(socket), line, address,
		place->interface == NULL ? "" : " interface ",
		place->interface == NULL ? "" : place->interface,
		any6 && near != NULL ? (place->v6only == SOCKET_V6ONLY_ON ? " v6only" : " v4v6")
				     : "",
		place->datagrams ? "udp" : "tcp");
}

bool inherited_problem(
	size_t index, const struct config *config, const char *path, char text[INHERITED_TEXT_MAX])
{
	const struct inherited *socket = &set.list[index];
	const struct bind *near;
	char address[ADDR_TEXT_MAX];

	if (socket->error != 0) {
		describe_error(socket, text);
	} else if (find(&socket->place) != socket) {
		snprintf(text, INHERITED_TEXT_MAX,
			"the service manager has two sockets for %s, and clients of the second one would wait; remove one from the .socket unit",
			addr_format(&socket->place.address, address));
	} else {
		if (find_line(config, &socket->place, &near) != NULL)
			return false;
		describe_missing_line(socket, path, near, text);
	}
	return true;
}

/* --- for the threads --- */

void inherited_deal(void)
{
	for (size_t i = 0; i < set.count; i++)
		set.list[i].dealt = false;
}

int inherited_take(const struct socket_listener *place)
{
	struct inherited *found = find(place);
	int fd;

	if (!found->dealt) {
		fd = socket_adopt(found->fd, place);
		found->dealt = fd != -1;
		return fd;
	}
	if (!place->datagrams && !socket_is_shared(found->fd))
		return socket_adopt(found->fd, place);
	if (socket_share(found->fd) == -1)
		return -1;
	fd = socket_bind_listener(place, false);
	return fd == -1 && !place->datagrams ? socket_adopt(found->fd, place) : fd;
}
