/*
 * The host's sockets as the kernel reports them: each is opened here, on the loopback address, and found with its owners.
 */
#include "hoststate/sockets.h"
#include "tproxy/datagram.h"
#include "tproxy/socket.h"
#include "unit.h"

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* How long a connection request may need until it is sent again, and how often that is looked at. */
enum {
	LIMIT_MS = 10000,
	STEP_MS = 50
};

static struct addr at(const char *ip, uint16_t port)
{
	struct addr addr;

	assert_true(addr_parse(&addr, ip));
	addr_set_port(&addr, port);
	return addr;
}

static struct addr local_of(int fd)
{
	struct sockaddr_storage name;
	socklen_t length = sizeof(name);
	struct addr addr;

	assert_return_code(getsockname(fd, (struct sockaddr *)&name, &length), errno);
	assert_true(addr_from_sockaddr(&addr, (struct sockaddr *)&name));
	return addr;
}

static int tcp(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_return_code(fd, errno);
	return fd;
}

static int listen_at(int fd, struct addr address, int backlog)
{
	assert_return_code(bind(fd, &address.sa, addr_length(&address)), errno);
	assert_return_code(listen(fd, backlog), errno);
	return fd;
}

static int connect_to(const struct addr *server)
{
	int fd = tcp(addr_family(server));

	assert_return_code(connect(fd, &server->sa, addr_length(server)), errno);
	return fd;
}

static struct host_sockets all(void)
{
	struct host_sockets sockets;
	char *problem = NULL;

	if (!sockets_read(&sockets, &problem))
		fail_msg("%s", problem);
	assert_null(problem);
	return sockets;
}

static ino_t inode_of(int fd)
{
	struct stat status;

	assert_return_code(fstat(fd, &status), errno);
	return status.st_ino;
}

/* The one with that inode; zero where there is none, and a failure where there are two. */
static struct host_socket by_inode(ino_t inode)
{
	struct host_sockets sockets = all();
	struct host_socket found = {0};

	for (size_t i = 0; i < sockets.count; i++)
		if (sockets.list[i].inode == inode) {
			assert_int_equal(found.inode, 0);
			found = sockets.list[i];
		}
	sockets_free(&sockets);
	return found;
}

static struct host_socket reported(int fd)
{
	struct host_socket found = by_inode(inode_of(fd));

	assert_int_not_equal(found.inode, 0);
	assert_int_equal(found.uid, getuid());
	assert_true(found.cookie != 0);
	return found;
}

static void assert_addr(const struct addr *found, const struct addr *expected)
{
	char one[ADDR_TEXT_MAX], other[ADDR_TEXT_MAX];

	assert_string_equal(addr_format(found, one), addr_format(expected, other));
	assert_true(addr_equal(found, expected));
}

static void skip_without_ipv6(void)
{
	struct addr own = at("::1", 0);
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool can = fd != -1 && bind(fd, &own.sa, addr_length(&own)) == 0;

	if (fd != -1)
		close(fd);
	if (!can)
		skip();
}

static void a_listener_is_found_with_no_option_set(void **state)
{
	int listener = listen_at(tcp(AF_INET), at("127.0.0.1", 0), 5);
	struct addr local = local_of(listener), none = addr_any(AF_INET);
	struct host_socket found = reported(listener);

	(void)state;
	assert_int_equal(found.protocol, IPPROTO_TCP);
	assert_int_equal(found.state, SOCKET_STATE_LISTENING);
	assert_addr(&found.local, &local);
	assert_addr(&found.remote, &none);
	assert_true(found.options_known);
	assert_false(found.transparent || found.freebind || found.bind_no_port || found.v6only);
	assert_int_equal(found.unacked + found.retransmits + found.mss, 0);
	close(listener);
	assert_int_equal(by_inode(found.inode).inode, 0);
}

static void an_accept_queue_is_not_unacknowledged_data(void **state)
{
	int listener = listen_at(tcp(AF_INET), at("127.0.0.1", 0), 5);
	struct addr local = local_of(listener);
	int client = connect_to(&local);

	(void)state;
	assert_int_equal(reported(listener).unacked, 0);
	close(client);
	close(listener);
}

static void freebind_and_bind_no_port_are_reported(void **state)
{
	int fd = tcp(AF_INET), on = 1;
	struct host_socket found;

	(void)state;
	assert_return_code(setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on)), errno);
	found = reported(listen_at(fd, at("127.0.0.1", 0), 5));
	assert_true(found.freebind);
	assert_false(found.bind_no_port || found.transparent);
	close(fd);

	fd = tcp(AF_INET);
	assert_return_code(
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)), errno);
	found = reported(listen_at(fd, at("127.0.0.1", 0), 5));
	assert_true(found.bind_no_port);
	assert_false(found.freebind || found.transparent);
	close(fd);
}

static void assert_transparency_is_told(const char *ip)
{
	struct addr address = at(ip, 0);
	int fd = tcp(addr_family(&address));
	struct host_socket found;

	if (socket_set_transparent(fd, addr_family(&address)) == -1)
		assert_int_equal(errno, EPERM);
	else {
		found = reported(listen_at(fd, address, 5));
		assert_true(found.transparent);
		assert_false(found.freebind);
	}
	close(fd);
}

static void transparency_is_reported(void **state)
{
	(void)state;
	assert_transparency_is_told("127.0.0.1");
}

static void transparency_is_reported_for_ipv6(void **state)
{
	(void)state;
	skip_without_ipv6();
	assert_transparency_is_told("::1");
}

static void both_ends_of_a_connection_are_found(void **state)
{
	int listener = listen_at(tcp(AF_INET), at("127.0.0.1", 0), 5);
	struct addr server = local_of(listener), client;
	int ours = connect_to(&server), theirs = accept(listener, NULL, NULL);
	struct host_socket found = reported(ours);

	(void)state;
	client = local_of(ours);
	assert_int_equal(found.state, SOCKET_STATE_CONNECTED);
	assert_addr(&found.local, &client);
	assert_addr(&found.remote, &server);
	assert_in_range(found.mss, 100, 65535);
	assert_int_equal(found.retransmits, 0);
	found = reported(theirs);
	assert_int_equal(found.state, SOCKET_STATE_CONNECTED);
	assert_addr(&found.local, &server);
	assert_addr(&found.remote, &client);
	close(ours);
	close(theirs);
	close(listener);
}

/* Waits until the request that is not answered went out again; there is no event to await. */
static struct host_socket sent_again(int fd)
{
	struct host_socket found = reported(fd);

	for (int waited = 0; found.retransmits == 0 && waited < LIMIT_MS; waited += STEP_MS) {
		poll(NULL, 0, STEP_MS);
		found = reported(fd);
	}
	return found;
}

static void a_request_without_a_reply_counts_its_retries(void **state)
{
	int listener = listen_at(tcp(AF_INET), at("127.0.0.1", 0), 0);
	struct addr server = local_of(listener);
	int queued = connect_to(&server), fd = socket_open(AF_INET); /* the queue is full now */
	struct host_socket found;

	(void)state;
	assert_int_equal(socket_connect(fd, &server), -1);
	assert_int_equal(errno, EINPROGRESS);
	found = reported(fd);
	assert_int_equal(found.state, SOCKET_STATE_CONNECTING);
	assert_addr(&found.remote, &server);
	assert_int_equal(found.unacked, 1);
	assert_in_range(sent_again(fd).retransmits, 1, 3);
	close(fd);
	close(queued);
	close(listener);
}

static void a_socket_in_time_wait_is_another_state(void **state)
{
	int listener = listen_at(tcp(AF_INET), at("127.0.0.1", 0), 5);
	struct addr server = local_of(listener), client;
	int ours = connect_to(&server), theirs = accept(listener, NULL, NULL);
	struct host_sockets sockets;
	unsigned found = 0;
	char none;

	(void)state;
	client = local_of(ours);
	close(ours);
	assert_int_equal(read(theirs, &none, 1), 0);
	close(theirs);
	sockets = all();
	for (size_t i = 0; i < sockets.count; i++) {
		const struct host_socket *each = &sockets.list[i];

		if (!addr_equal(&each->local, &client) || !addr_equal(&each->remote, &server))
			continue;
		found++;
		assert_int_equal(each->state, SOCKET_STATE_OTHER);
		assert_int_equal(each->inode, 0);
		assert_false(each->options_known);
	}
	assert_int_equal(found, 1);
	sockets_free(&sockets);
	close(listener);
}

static void datagrams_are_awaited_or_connected(void **state)
{
	struct addr address = at("127.0.0.1", 0), none = addr_any(AF_INET), local;
	int fd = datagram_open(AF_INET), other = datagram_open(AF_INET);
	struct host_socket found;

	(void)state;
	assert_return_code(bind(fd, &address.sa, addr_length(&address)), errno);
	local = local_of(fd);
	found = reported(fd);
	assert_int_equal(found.protocol, IPPROTO_UDP);
	assert_int_equal(found.state, SOCKET_STATE_LISTENING);
	assert_addr(&found.local, &local);
	assert_addr(&found.remote, &none);
	assert_true(found.options_known);
	assert_return_code(connect(other, &local.sa, addr_length(&local)), errno);
	found = reported(other);
	assert_int_equal(found.state, SOCKET_STATE_CONNECTED);
	assert_addr(&found.remote, &local);
	close(fd);
	close(other);
}

static void v6only_is_reported_for_listeners(void **state)
{
	(void)state;
	skip_without_ipv6();
	for (int only = 0; only < 2; only++) {
		int fd = tcp(AF_INET6);
		struct addr local;
		struct host_socket found;

		assert_return_code(
			setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only)), errno);
		found = reported(listen_at(fd, at("::", 0), 5));
		local = local_of(fd);
		assert_addr(&found.local, &local);
		assert_true(addr_is_any(&found.remote));
		assert_int_equal(addr_family(&found.remote), AF_INET6);
		assert_int_equal(found.v6only, only);
		close(fd);
	}
}

static void ipv4_over_a_socket_of_ipv6_is_ipv4(void **state)
{
	int listener, off = 0, ours, theirs;
	struct addr server, client;
	struct host_socket found;

	(void)state;
	skip_without_ipv6();
	listener = tcp(AF_INET6);
	assert_return_code(
		setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)), errno);
	listen_at(listener, at("::", 0), 5);
	server = local_of(listener);
	server = at("127.0.0.1", addr_port(&server));
	ours = connect_to(&server);
	client = local_of(ours);
	theirs = accept(listener, NULL, NULL);
	found = reported(theirs);
	assert_addr(&found.local, &server);
	assert_addr(&found.remote, &client);
	close(theirs);
	close(ours);
	close(listener);
}

static void a_listener_at_a_mapped_address_has_no_remote_of_ipv6(void **state)
{
	int fd, off = 0;
	struct host_socket found;

	(void)state;
	skip_without_ipv6();
	fd = tcp(AF_INET6);
	assert_return_code(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)), errno);
	found = reported(listen_at(fd, at("::ffff:127.0.0.1", 0), 5));
	assert_int_equal(addr_family(&found.local), AF_INET);
	assert_int_equal(addr_family(&found.remote), AF_INET);
	assert_true(addr_is_any(&found.remote));
	close(fd);
}

static void connections_of_ipv6_are_found(void **state)
{
	int listener, ours;
	struct addr server, client;
	struct host_socket found;

	(void)state;
	skip_without_ipv6();
	listener = listen_at(tcp(AF_INET6), at("::1", 0), 5);
	server = local_of(listener);
	ours = connect_to(&server);
	client = local_of(ours);
	found = reported(ours);
	assert_int_equal(found.state, SOCKET_STATE_CONNECTED);
	assert_addr(&found.local, &client);
	assert_addr(&found.remote, &server);
	close(ours);
	close(listener);
}

/* More than one answer of the kernel's holds. */
static void many_sockets_are_all_found(void **state)
{
	enum {
		MANY = 600
	};
	struct addr address = at("127.0.0.1", 0);
	struct host_sockets sockets;
	size_t before, found = 0;
	int fds[MANY];

	(void)state;
	sockets = all();
	before = sockets.count;
	sockets_free(&sockets);
	assert_null(sockets.list);
	for (int i = 0; i < MANY; i++) {
		fds[i] = datagram_open(AF_INET);
		assert_return_code(bind(fds[i], &address.sa, addr_length(&address)), errno);
	}
	sockets = all();
	assert_true(sockets.count >= MANY || before > MANY);
	for (int i = 0; i < MANY; i++) {
		ino_t inode = inode_of(fds[i]);

		for (size_t each = 0; each < sockets.count; each++)
			found += sockets.list[each].inode == inode;
		close(fds[i]);
	}
	assert_int_equal(found, MANY);
	sockets_free(&sockets);
}

/* --- owners --- */

static void assert_is_this_process(const struct socket_owner *owner)
{
	struct rlimit limit;

	assert_int_equal(owner->pid, getpid());
	assert_string_equal(owner->name, "test_sockets");
	assert_non_null(strstr(owner->command, "test_sockets"));
	assert_return_code(getrlimit(RLIMIT_NOFILE, &limit), errno);
	assert_true(owner->descriptors == limit.rlim_cur);
	assert_int_equal(capng_get_caps_process(), 0);
	for (unsigned i = 0; i <= CAP_LAST_CAP; i++)
		assert_int_equal(
			(owner->capabilities >> i) & 1, capng_have_capability(CAPNG_EFFECTIVE, i));
}

static void the_owner_is_this_process(void **state)
{
	int fd = listen_at(tcp(AF_INET), at("127.0.0.1", 0), 5);
	struct host_socket found = reported(fd);
	struct socket_owner owner = {0};

	(void)state;
	assert_int_equal(socket_owners(&found, &owner, 1), 1);
	assert_is_this_process(&owner);
	close(fd);
	/* Owners are those of the moment at which the sockets were read. */
	socket_owners_forget();
	assert_int_equal(socket_owners(&found, &owner, 1), 0);
}

static void all_owners_are_counted(void **state)
{
	int fd = listen_at(tcp(AF_INET), at("127.0.0.1", 0), 5);
	struct host_socket found = reported(fd);
	struct socket_owner owners[2] = {{0}};
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
		_exit(0);
	}
	assert_return_code(child, errno);
	assert_int_equal(socket_owners(&found, owners, 1), 2);
	assert_int_equal(owners[1].pid, 0);
	assert_int_equal(socket_owners(&found, owners, 2), 2);
	assert_true(owners[0].pid < owners[1].pid);
	assert_true(owners[0].pid == child || owners[1].pid == child);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	close(fd);
}

/* Its status is longer than one read of it, and the capabilities stand behind the groups. */
static void an_owner_with_very_many_groups_is_described(void **state)
{
	int fd = listen_at(tcp(AF_INET), at("127.0.0.1", 0), 5), ready[2];
	struct host_socket found = reported(fd);
	struct socket_owner owners[2] = {{0}};
	gid_t groups[4000];
	pid_t child;
	char byte;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_return_code(pipe(ready), errno);
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (gid_t i = 0; i < 4000; i++)
			groups[i] = 60000 - i;
		if (setgroups(4000, groups) == 0 && write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) == 1) {
		assert_int_equal(socket_owners(&found, owners, 2), 2);
		assert_true(owners[0].capabilities == owners[1].capabilities);
	}
	close(ready[0]);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	close(fd);
}

static void what_has_no_inode_has_no_owner(void **state)
{
	struct host_socket none = {.protocol = IPPROTO_TCP};
	struct socket_owner owner;

	(void)state;
	assert_int_equal(socket_owners(&none, &owner, 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_listener_is_found_with_no_option_set),
		cmocka_unit_test(an_accept_queue_is_not_unacknowledged_data),
		cmocka_unit_test(freebind_and_bind_no_port_are_reported),
		cmocka_unit_test(transparency_is_reported),
		cmocka_unit_test(transparency_is_reported_for_ipv6),
		cmocka_unit_test(both_ends_of_a_connection_are_found),
		cmocka_unit_test(a_request_without_a_reply_counts_its_retries),
		cmocka_unit_test(a_socket_in_time_wait_is_another_state),
		cmocka_unit_test(datagrams_are_awaited_or_connected),
		cmocka_unit_test(v6only_is_reported_for_listeners),
		cmocka_unit_test(ipv4_over_a_socket_of_ipv6_is_ipv4),
		cmocka_unit_test(a_listener_at_a_mapped_address_has_no_remote_of_ipv6),
		cmocka_unit_test(connections_of_ipv6_are_found),
		cmocka_unit_test(many_sockets_are_all_found),
		cmocka_unit_test(the_owner_is_this_process),
		cmocka_unit_test(all_owners_are_counted),
		cmocka_unit_test(an_owner_with_very_many_groups_is_described),
		cmocka_unit_test(what_has_no_inode_has_no_owner),
	};

	return cmocka_run_group_tests_name("sockets", tests, NULL, NULL);
}
