/*
 * Sinks: how each kind of place is opened so that writing to it cannot block.
 *
 * The trap: other processes share stdout and stderr, the shell among them, and O_NONBLOCK belongs to
 * the open file, so it would change for all of them. So a pipe or a terminal is opened again, through
 * /proc/self/fd: the same pipe, but an open file of our own, which may be non-blocking. A socket
 * needs none, since MSG_DONTWAIT belongs to the call. A regular file does not wait for a reader; to
 * open it again would lose its offset.
 *
 * A pipe or terminal of another user cannot be opened again. The terminal that controls the process
 * can, by its other name, /dev/tty. Such a pipe is written with RWF_NOWAIT. What is left are pipes on
 * kernels before 6.5, and terminals of another session: there poll() is asked before each line. A
 * pipe that is ready then has room for PIPE_BUF bytes, and our own threads hold a lock. So we wait
 * only if another process fills the same pipe in between, or if a terminal's reader stops in the
 * middle of a line.
 */
#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

_Static_assert(SINK_WRITE_MAX < PIPE_BUF, "a pipe takes lines whole, or not at all");

/*
 * A FIFO must not be waited for. And the last part of the path must be no symbolic link: root opens
 * the file, and another user may own its folder.
 */
enum {
	FILE_FLAGS = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW,
};

/* Opens the controlling terminal, if the descriptor NUMBER is that one; else returns -1. */
static int open_controlling_terminal(int number)
{
	int fd = open("/dev/tty", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	unsigned wanted, found;

	if (fd == -1)
		return -1;
	if (ioctl(number, TIOCGDEV, &wanted) == 0 && ioctl(fd, TIOCGDEV, &found) == 0 &&
		wanted == found)
		return fd;
	close(fd);
	return -1;
}

static int open_shared(struct sink *sink, int number)
{
	char path[32];
	struct stat file;
	int own;

	if (fstat(number, &file) == -1)
		return -1;
	sink->way = S_ISSOCK(file.st_mode) ? SINK_SEND : SINK_WRITE;
	if (S_ISSOCK(file.st_mode) || S_ISREG(file.st_mode))
		return fcntl(number, F_DUPFD_CLOEXEC, 3);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", number);
	own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (own == -1)
		own = open_controlling_terminal(number);
	if (own != -1)
		return own;
	sink->way = SINK_ASK;
	return fcntl(number, F_DUPFD_CLOEXEC, 3);
}

/*
 * A new file is given to the user that the daemon changes to, so that it can be reopened. A failure
 * does no harm now, and reopening will report it.
 */
static int open_file(const char *path, const struct identity *owner)
{
	int fd = open(path, FILE_FLAGS);

	if (fd != -1 || errno != ENOENT)
		return fd;
	fd = open(path, FILE_FLAGS | O_CREAT | O_EXCL, 0640);
	if (fd == -1 && errno == EEXIST)
		return open(path, FILE_FLAGS);
	if (fd != -1 && owner != NULL && fchown(fd, owner->uid, owner->gid) == -1)
		errno = 0;
	return fd;
}

int sink_open(struct sink *sink, const struct log_target *target, const struct identity *owner)
{
	int datagram = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

	*sink = (struct sink){.target = target, .fd = -1, .way = SINK_SENDTO};
	switch (target->kind) {
	case LOG_TO_STDOUT:
		sink->fd = open_shared(sink, STDOUT_FILENO);
		break;
	case LOG_TO_STDERR:
		sink->fd = open_shared(sink, STDERR_FILENO);
		break;
	case LOG_TO_FILE:
		sink->way = SINK_WRITE;
		sink->fd = open_file(target->path, owner);
		break;
	case LOG_TO_UNIX:
		sink->fd = socket(AF_UNIX, datagram, 0);
		break;
	case LOG_TO_SYSLOG:
		sink->fd = socket(addr_family(&target->address), datagram, 0);
		break;
	}
	return sink->fd == -1 ? errno : 0;
}

void sink_close(struct sink *sink)
{
	if (sink->fd != -1)
		close(sink->fd);
	sink->fd = -1;
}

bool sink_takes_datagrams(const struct sink *sink)
{
	return sink->way == SINK_SENDTO;
}

/* Where syslog's datagrams go; returns the length. */
static socklen_t syslog_address(const struct log_target *target, struct sockaddr_storage *to)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	if (target->kind == LOG_TO_SYSLOG) {
		memcpy(to, &target->address, sizeof(target->address));
		return addr_length(&target->address);
	}
	memcpy(un.sun_path, target->path, strnlen(target->path, sizeof(un.sun_path) - 1));
	memcpy(to, &un, sizeof(un));
	return sizeof(un);
}

/* It needs its own socket: one that stays connected would fail when the syslog daemon restarts. */
int sink_reach(const struct sink *sink)
{
	struct sockaddr_storage to;
	socklen_t length;
	int fd, error;

	if (!sink_takes_datagrams(sink))
		return 0;
	length = syslog_address(sink->target, &to);
	fd = socket(to.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return errno;
	error = connect(fd, (struct sockaddr *)&to, length) == -1 ? errno : 0;
	close(fd);
	return error;
}

static ssize_t ask_and_write(int fd, const char *line, size_t length)
{
	struct iovec part = {.iov_base = (char *)line, .iov_len = length};
	struct pollfd ready = {.fd = fd, .events = POLLOUT};
	ssize_t taken = pwritev2(fd, &part, 1, -1, RWF_NOWAIT);

	if (taken != -1 || errno != EOPNOTSUPP)
		return taken;
	if (poll(&ready, 1, 0) == 1 && ready.revents & (POLLOUT | POLLERR))
		return write(fd, line, length);
	errno = EAGAIN;
	return -1;
}

static ssize_t write_once(const struct sink *sink, const char *line, size_t length)
{
	struct sockaddr_storage to;
	socklen_t to_length;

	switch (sink->way) {
	case SINK_SEND:
		return send(sink->fd, line, length, MSG_DONTWAIT | MSG_NOSIGNAL);
	case SINK_SENDTO:
		to_length = syslog_address(sink->target, &to);
		return sendto(
			sink->fd, line, length, MSG_NOSIGNAL, (struct sockaddr *)&to, to_length);
	case SINK_ASK:
		return ask_and_write(sink->fd, line, length);
	case SINK_WRITE:
		break;
	}
	return write(sink->fd, line, length);
}

int sink_write(struct sink *sink, const char *line, size_t length)
{
	char with_newline[SINK_WRITE_MAX + 1];
	ssize_t taken;

	if (sink->torn) {
		with_newline[0] = '\n';
		memcpy(with_newline + 1, line, length);
		line = with_newline;
		length++;
	}
	taken = write_once(sink, line, length);
	if (taken == -1)
		return errno;
	if ((size_t)taken == length)
		sink->torn = false;
	else if (taken > 0)
		sink->torn = true;
	return (size_t)taken == length ? 0 : EAGAIN;
}
