/*
 * The pidfile, as pidfile_open() of the BSDs: its lock says that an instance runs, not its existence.
 *
 * The process holds the lock until it ends, in whatever way. So the file of a killed instance is used
 * again, that of a running instance is not, and only the process that holds the lock removes it.
 *
 * The traps: root writes here, so the last part of the path must be no symbolic link, and the file
 * must be a regular one without other names. And between open() and flock() another instance may
 * remove the file: then the lock is on a file without a name, and the path is opened again.
 */
#include "pidfile.h"

#include "advice.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	TRIES = 8 /* to lock a file that another instance removes meanwhile */
};

static bool is_at_path(int fd, const char *path)
{
	struct stat open_file, named;

	return fstat(fd, &open_file) == 0 && lstat(path, &named) == 0 &&
	       open_file.st_dev == named.st_dev && open_file.st_ino == named.st_ino;
}

static bool is_plain_file(int fd)
{
	struct stat file;

	return fstat(fd, &file) == 0 && S_ISREG(file.st_mode) && file.st_nlink == 1;
}

/* Opens and locks. -1: errno says why; EWOULDBLOCK: another instance has it. */
static int open_locked(const char *path)
{
	for (int i = 0; i < TRIES; i++) {
		int fd = open(path,
			O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0644);
		int error;

		if (fd == -1)
			return -1;
		if (flock(fd, LOCK_EX | LOCK_NB) == -1) {
			error = errno;
			close(fd);
			errno = error;
			return -1;
		}
		if (is_at_path(fd, path))
			return fd;
		close(fd);
	}
	errno = EWOULDBLOCK;
	return -1;
}

static void complain_of_pidfile(struct log *log, const char *path, int error)
{
	if (error == EWOULDBLOCK)
		log_complain(log,
			"cannot write the pidfile %s: another tproxyd runs with it; stop that one, or write another path",
			path);
	else
		log_complain(log, "cannot write the pidfile %s: %s%s", path, strerror(error),
			advice_on_errno(error));
}

int pidfile_take(struct pidfile *pidfile, const char *path, struct log *log)
{
	char text[32];
	int length = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	pidfile->path = path;
	pidfile->fd = open_locked(path);
	if (pidfile->fd == -1) {
		complain_of_pidfile(log, path, errno);
		return -1;
	}
	if (!is_plain_file(pidfile->fd)) {
		log_complain(log,
			"cannot write the pidfile %s: it is not a regular file, or it has other names (hard links); write another path",
			path);
		close(pidfile->fd);
		pidfile->fd = -1;
		return -1;
	}
	errno = ENOSPC; /* what a short write means */
	if (ftruncate(pidfile->fd, 0) == -1 || write(pidfile->fd, text, (size_t)length) != length) {
		complain_of_pidfile(log, path, errno);
		pidfile_drop(pidfile);
		return -1;
	}
	return 0;
}

void pidfile_drop(struct pidfile *pidfile)
{
	if (pidfile->fd == -1)
		return;
	if (unlink(pidfile->path) == -1 && ftruncate(pidfile->fd, 0) == -1)
		errno = 0; /* the number stays, but the lock does not */
	close(pidfile->fd);
	pidfile->fd = -1;
}
