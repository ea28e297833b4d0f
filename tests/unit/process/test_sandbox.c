/*
 * The sandbox, tried from within: each test enters it in a child, since there is no way out.
 */
#include "process/sandbox.h"

#include "tproxy/datagram_batch.h"
#include "tproxy/datagram_ring.h"
#include "tproxy/socket.h"
#include "tproxy/unreachable.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/if_packet.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

static char folder[] = "/tmp/tproxyd-sandbox-XXXXXX";
static char path[64];

static int set_up(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/file", folder);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

static void enter(struct sandbox sandbox)
{
	struct sandbox_filter *filter = sandbox_compile(&sandbox);
	int failed = filter == NULL ? errno : 0;

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (filter != NULL)
		failed = sandbox_enter(filter);
	sandbox_filter_free(filter);
	if (failed != 0) {
		fprintf(stderr, "the sandbox cannot be entered: %s\n", strerror(failed));
		_exit(100);
	}
}

/* What the child returns is 0 where all was well, or the number of the first thing that was not. */
static void assert_in_a_child(int (*what)(void))
{
	int status;
	pid_t child = fork();

	if (child == 0)
		_exit(what());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static bool is_forbidden(long result)
{
	return result == -1 && errno == ENOSYS;
}

static int try_what_no_proxy_does(void)
{
	static char name[] = "true", *const words[] = {name, NULL};

	enter((struct sandbox){0});
	if (!is_forbidden(execve("/bin/true", words, words)))
		return 1;
	if (!is_forbidden(ioctl(STDOUT_FILENO, TIOCSTI, "x")))
		return 15;
	if (!is_forbidden(syscall(SYS_execveat, AT_FDCWD, "/bin/true", words, words, 0)))
		return 2;
	if (!is_forbidden(socket(AF_PACKET, SOCK_RAW, 0)))
		return 3;
	if (!is_forbidden(socket(AF_INET, SOCK_RAW, IPPROTO_TCP)))
		return 4;
	if (!is_forbidden(socket(AF_INET, SOCK_DGRAM, 0)))
		return 5;
	if (!is_forbidden(socket(AF_UNIX, SOCK_STREAM, 0)))
		return 6;
	if (!is_forbidden(socket(AF_NETLINK, SOCK_RAW, 0)))
		return 7;
	if (!is_forbidden(syscall(SYS_unshare, 0)) || !is_forbidden(syscall(SYS_setns, 0, 0)))
		return 8;
	if (!is_forbidden(syscall(SYS_mount, NULL, "/", NULL, 0, NULL)))
		return 9;
	if (!is_forbidden(syscall(SYS_bpf, 0, NULL, 0)))
		return 10;
	if (!is_forbidden(syscall(SYS_io_uring_setup, 1, NULL)))
		return 11;
	if (!is_forbidden(syscall(SYS_setresuid, 0, 0, 0)))
		return 12;
	if (!is_forbidden(unlink(path)) || !is_forbidden(truncate(path, 0)))
		return 13;
	return !is_forbidden(rename(path, path)) || !is_forbidden(mkdir(path, 0700)) ? 14 : 0;
}

static void what_no_proxy_does_fails(void **state)
{
	(void)state;
	assert_in_a_child(try_what_no_proxy_does);
}

/* The sanitizers' own code does these. */
static int try_what_only_sanitizers_do(void)
{
	enter((struct sandbox){0});
	if (!is_forbidden(ptrace(PTRACE_TRACEME, 0, NULL, NULL)))
		return 1;
	if (!is_forbidden(open("/dev/null", O_RDONLY)) || !is_forbidden(open(path, O_WRONLY)))
		return 2;
	if (!is_forbidden(syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0)))
		return 3;
	if (!is_forbidden(kill(getpid(), 0)) || !is_forbidden(kill(1, 0)))
		return 4;
	if (mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
		MAP_FAILED)
		return 5;
	return !is_forbidden(syscall(SYS_tgkill, getppid(), getppid(), 0)) ? 6 : 0;
}

static void what_only_sanitizers_do_fails_in_a_build_without_them(void **state)
{
	(void)state;
	if (!SANITIZED)
		assert_in_a_child(try_what_only_sanitizers_do);
}

static int do_what_a_proxy_does(void)
{
	int loop = epoll_create1(0), pipes[2], server, client;
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event event = {.events = EPOLLIN};
	socklen_t length = sizeof(address);
	int wake = eventfd(0, 0), errors[DATAGRAM_RING_SIZE];
	struct datagram_ring *ring = datagram_ring_new();
	void *memory;

	enter((struct sandbox){0});
	server = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	client = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
	if (server == -1 || client == -1 || socket(AF_INET6, SOCK_STREAM, IPPROTO_TCP) == -1)
		return 1;
	if (bind(server, (struct sockaddr *)&address, length) == -1 ||
		getsockname(server, (struct sockaddr *)&address, &length) == -1)
		return 2;
	if (connect(client, (struct sockaddr *)&address, length) != -1 || errno != ECONNREFUSED)
		return 3;
	if (pipe2(pipes, O_NONBLOCK) == -1 || write(pipes[1], "x", 1) != 1)
		return 4;
	if (splice(pipes[0], NULL, client, NULL, 1, SPLICE_F_NONBLOCK) != -1 || errno == ENOSYS)
		return 5;
	if (epoll_ctl(loop, EPOLL_CTL_ADD, wake, &event) == -1 ||
		epoll_wait(loop, &event, 1, 0) != 0)
		return 6;
	memory = malloc(1 << 20);
	if (memory == NULL)
		return 7;
	free(memory);
	errno = 0;
	socket_undelivered(client);
	if (errno == ENOSYS)
		return 8;
	if (ring != NULL) {
		datagram_ring_add(ring, -1, "", 0);
		if (datagram_ring_send(ring, errors) != 1 || errors[0] != EBADF)
			return 10;
	}
	return close(server) == -1 || close(client) == -1 ? 9 : 0;
}

static void what_a_proxy_does_works(void **state)
{
	(void)state;
	assert_in_a_child(do_what_a_proxy_does);
}

enum {
	LOG = O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC
};

static int open_files(void)
{
	enter((struct sandbox){.reloads = true});
	if (open(path, LOG, 0600) == -1 || open(path, O_RDONLY | O_CLOEXEC) == -1)
		return 1;
	if (socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) == -1 ||
		socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0) == -1)
		return 2;
	if (SANITIZED)
		return 0;
	if (!is_forbidden(open(path, LOG | O_TRUNC, 0600)) || !is_forbidden(open(path, O_WRONLY)))
		return 3;
	if (!is_forbidden(open(path, O_RDONLY | O_CREAT, 0600)) ||
		!is_forbidden(open(path, O_WRONLY | O_CREAT | O_NONBLOCK, 0600)))
		return 4;
	if (!is_forbidden(open(path, O_RDWR | O_APPEND)) || !is_forbidden(open(path, O_RDWR)))
		return 5;
	return !is_forbidden(socket(AF_UNIX, SOCK_STREAM, 0)) ? 6 : 0;
}

static void to_reload_files_are_read_and_logs_are_added_to(void **state)
{
	(void)state;
	assert_in_a_child(open_files);
}

static int read_a_file_and_close_it_before_its_end(void)
{
	FILE *file;
	bool well;

	enter((struct sandbox){.reloads = true});
	file = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re");
	errno = 0;
	well = file != NULL && fgetc(file) != EOF && fclose(file) == 0;
	return well && errno == 0 ? 0 : 1;
}

static void to_reload_a_file_may_be_closed_before_its_end(void **state)
{
	(void)state;
	assert_in_a_child(read_a_file_and_close_it_before_its_end);
}

/* What carries traffic has no business with files. */
static int open_no_file(void)
{
	enter((struct sandbox){0});
	return !is_forbidden(open(path, LOG, 0600)) ||
	       !is_forbidden(socket(AF_UNIX, SOCK_DGRAM, 0));
}

static void a_thread_that_carries_traffic_opens_no_file(void **state)
{
	(void)state;
	if (!SANITIZED)
		assert_in_a_child(open_no_file);
}

static int remove_pidfile(void)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0600);

	enter((struct sandbox){.removes_pidfile = true});
	return ftruncate(fd, 0) == -1 || unlink(path) == -1;
}

static int ask_for_an_own_address(void)
{
	struct addr address;

	if (!addr_parse(&address, "127.0.0.1"))
		return 1;
	enter((struct sandbox){0});
	return socket_address_kind(&address) == ADDRESS_OWN ? 0 : 2;
}

static void whether_an_address_is_the_hosts_own_may_be_asked(void **state)
{
	(void)state;
	assert_in_a_child(ask_for_an_own_address);
}

/* A reload may bring `mode udp` at any time. */
static int relay_a_datagram(void)
{
	struct datagram_batch *batch = datagram_batch_new();
	struct addr here;
	int fd;

	if (batch == NULL || !addr_parse(&here, "127.0.0.1"))
		return 1;
	enter((struct sandbox){0});
	fd = socket_open_datagrams(AF_INET);
	if (fd == -1)
		return 3;
	if (socket_bind_datagram_source(fd, &here) == -1 || !socket_local_address(fd, &here))
		return 4;
	datagram_batch_address(batch, 0, &here, NULL);
	if (datagram_batch_send(batch, 0, 1, fd) != 1)
		return 5;
	return datagram_batch_receive(batch, 1, 1, fd) == 1 ? 0 : 6;
}

/* Without CAP_NET_RAW it cannot, for another reason than the sandbox, whose is ENOSYS. */
static int report_to_a_client(void)
{
	struct addr v4, v6;

	if (!addr_parse(&v4, "127.0.0.1") || !addr_parse(&v6, "::1"))
		return 1;
	addr_set_port(&v4, 7);
	addr_set_port(&v6, 7);
	enter((struct sandbox){0});
	if (unreachable_report(UNREACHABLE_PORT, &v4, &v4) == -1 && errno == ENOSYS)
		return 2;
	return unreachable_report(UNREACHABLE_PORT, &v6, &v6) == -1 && errno == ENOSYS ? 3 : 0;
}

static void clients_of_datagrams_may_be_sent_reports(void **state)
{
	(void)state;
	assert_in_a_child(report_to_a_client);
}

static void datagrams_are_relayed(void **state)
{
	(void)state;
	assert_in_a_child(relay_a_datagram);
}

static void a_pidfile_may_be_removed(void **state)
{
	(void)state;
	assert_in_a_child(remove_pidfile);
}

static bool may_execute(void)
{
	static char name[] = "none", *const words[] = {name, NULL};

	return execve("/none", words, words) == -1 && errno == ENOENT;
}

static void *enter_and_try(void *outcome)
{
	enter((struct sandbox){0});
	*(int *)outcome = may_execute() ? 1 : 0;
	return outcome;
}

static int enter_in_a_thread(void)
{
	pthread_t thread;
	int outcome = 2;

	if (pthread_create(&thread, NULL, enter_and_try, &outcome) != 0)
		return 3;
	pthread_join(thread, NULL);
	return outcome != 0 ? outcome : may_execute() ? 0 : 4;
}

/* So that the main thread can be restricted less. */
static void a_thread_restricts_itself_alone(void **state)
{
	(void)state;
	assert_in_a_child(enter_in_a_thread);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_no_proxy_does_fails),
		cmocka_unit_test(what_only_sanitizers_do_fails_in_a_build_without_them),
		cmocka_unit_test(what_a_proxy_does_works),
		cmocka_unit_test(to_reload_files_are_read_and_logs_are_added_to),
		cmocka_unit_test(to_reload_a_file_may_be_closed_before_its_end),
		cmocka_unit_test(a_thread_that_carries_traffic_opens_no_file),
		cmocka_unit_test(whether_an_address_is_the_hosts_own_may_be_asked),
		cmocka_unit_test(datagrams_are_relayed),
		cmocka_unit_test(clients_of_datagrams_may_be_sent_reports),
		cmocka_unit_test(a_pidfile_may_be_removed),
		cmocka_unit_test(a_thread_restricts_itself_alone),
	};

	return cmocka_run_group_tests_name("sandbox", tests, set_up, tear_down);
}
