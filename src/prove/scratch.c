/*
 * Makes scratch namespaces and runs a function in them.
 *
 *     parent -> keeper -> first process (pid 1 of a pid namespace) -> tools (ip, nft, ...)
 *
 * The keeper unshares and waits; the parent stays in its namespaces. If the parent is killed, the kernel kills
 * the keeper (PR_SET_PDEATHSIG, prctl(2)), then the first process, and with it every process of its pid
 * namespace (pid_namespaces(7)). Only descriptors and processes hold the namespaces, so they end with them.
 *
 * The trap: a parent may die before its child has asked for that signal. getppid() shows that, but not across
 * pid namespaces; there the other end of a pipe does.
 */
#include "scratch.h"
#include "hoststate/sysctl.h"
#include "tproxy/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const char scratch_advice[] =
	"Any one of these helps:\n"
	"  * run it as root\n"
	"  * allow user namespaces (Debian):           sysctl kernel.unprivileged_userns_clone=1\n"
	"  * allow them past AppArmor (Ubuntu 24.04):  sysctl "
	"kernel.apparmor_restrict_unprivileged_userns=0\n"
	"  * allow more of them:                       sysctl user.max_user_namespaces=10000\n"
	"A container needs CAP_SYS_ADMIN. The kernel needs CONFIG_NET_NS and, without root,\n"
	"CONFIG_USER_NS.\n";

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool well;

	if (fd == -1)
		return false;
	well = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return well;
}

/* A kernel without pid namespaces works, too: tools end by themselves when their input does. */
static int unshare_with_pids(int flags)
{
	if (unshare(flags | CLONE_NEWPID) == 0)
		return 0;
	return errno == EINVAL ? unshare(flags) : -1;
}

static int unshare_with_users(void)
{
	char users[32], groups[32];

	snprintf(users, sizeof(users), "0 %u 1", (unsigned)geteuid());
	snprintf(groups, sizeof(groups), "0 %u 1", (unsigned)getegid());
	if (unshare_with_pids(CLONE_NEWUSER | CLONE_NEWNET) == -1)
		return -1;
	if (!write_file("/proc/self/setgroups", "deny") && errno != ENOENT)
		return -1;
	return write_file("/proc/self/uid_map", users) && write_file("/proc/self/gid_map", groups)
		       ? 0
		       : -1;
}

/* Root in a container may lack the capability, and still be allowed to make user namespaces. */
static int unshare_all(bool *own_users)
{
	*own_users = false;
	if (geteuid() == 0 && unshare_with_pids(CLONE_NEWNET) == 0)
		return 0;
	if (geteuid() == 0 && errno != EPERM)
		return -1;
	*own_users = true;
	return unshare_with_users();
}

static bool is_gone(int alive)
{
	struct pollfd polled = {alive, POLLIN, 0};

	return poll(&polled, 1, 0) != 0;
}

static int await_end(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) == -1)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* What the keeper does; its exit status, or -1 with errno. */
static int keep(int (*work)(bool own_users, void *context), void *context)
{
	int alive[2] = {-1, -1}, status;
	bool own_users = false;
	pid_t first;

	if (unshare_all(&own_users) == -1 || pipe2(alive, O_CLOEXEC) == -1)
		return -1;
	first = fork();
	if (first == -1)
		return -1;
	if (first == 0) {
		close(alive[1]);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (is_gone(alive[0]))
			_exit(1);
		status = work(own_users, context);
		fflush(NULL);
		_exit(status);
	}
	return await_end(first);
}

static int report(int trouble, int status)
{
	int error = errno;

	if (status == -1 && write(trouble, &error, sizeof(error)) == -1)
		return 1;
	return status;
}

int scratch_run(int (*work)(bool own_users, void *context), void *context)
{
	int trouble[2], status = -1, error = 0;
	pid_t parent = getpid(), keeper;

	fflush(NULL);
	if (pipe2(trouble, O_CLOEXEC) == -1)
		return -1;
	keeper = fork();
	if (keeper == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		_exit(report(trouble[1], keep(work, context)));
	}
	if (keeper == -1)
		error = errno;
	close(trouble[1]);
	if (keeper != -1) {
		status = await_end(keeper);
		if (read(trouble[0], &error, sizeof(error)) == sizeof(error))
			status = -1;
	}
	close(trouble[0]);
	errno = error;
	return status;
}

int scratch_host(void)
{
	if (unshare(CLONE_NEWNET) == -1)
		return -1;
	/* Without O_CLOEXEC: programs are to inherit it. */
	return open("/proc/self/ns/net", O_RDONLY);
}

int scratch_enter(int host)
{
	return setns(host, CLONE_NEWNET);
}

static int link_flags(int control, const char *link, struct ifreq *request)
{
	*request = (struct ifreq){0};
	snprintf(request->ifr_name, sizeof(request->ifr_name), "%s", link);
	return ioctl(control, SIOCGIFFLAGS, request);
}

int scratch_link_up(const char *link)
{
	int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request;
	int result = -1;

	if (control == -1)
		return -1;
	if (link_flags(control, link, &request) == 0) {
		request.ifr_flags |= IFF_UP;
		result = ioctl(control, SIOCSIFFLAGS, &request);
	}
	close(control);
	return result;
}

static bool is_running(const char *link)
{
	int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request;
	bool running;

	if (control == -1)
		return false;
	running = link_flags(control, link, &request) == 0 && (request.ifr_flags & IFF_RUNNING);
	close(control);
	return running;
}

bool scratch_await_link(const char *link, int milliseconds)
{
	struct sockaddr_nl changes = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	struct pollfd polled = {-1, POLLIN, 0};
	long long deadline = clock_ms() + milliseconds;
	char news[8192];
	bool running = false;

	/* Subscribed before the first look, so that no change is missed between look and wait. */
	polled.fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (polled.fd == -1)
		return is_running(link);
	if (bind(polled.fd, (struct sockaddr *)&changes, sizeof(changes)) == -1)
		goto out;
	for (;;) {
		int left = (int)(deadline - clock_ms());

		running = is_running(link);
		if (running || left <= 0 || poll(&polled, 1, left) == 0)
			break;
		while (recv(polled.fd, news, sizeof(news), 0) > 0)
			;
	}
out:
	close(polled.fd);
	return running;
}

bool scratch_sysctl(const char *path, const char *value)
{
	char *now = sysctl_read(path);
	bool same = now != NULL && strcmp(now, value) == 0;

	free(now);
	return same || sysctl_write(path, value) == 0;
}
