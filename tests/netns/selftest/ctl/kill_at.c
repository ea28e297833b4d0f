/*
 * Kills its process at one of the system calls that change something: loaded ahead of the C library.
 *
 * KILL_AT=N    before the N-th call that writes, makes, replaces or removes a file, or waits for the disk
 * CUT_WRITE=N  within the N-th write(): half of its bytes are written
 *
 * Whatever is not such a call changes nothing, so being killed after one call is being killed before the
 * next. Programs that are started are spared: the variable that loads us is taken from their environment.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static long calls_left, writes_left;

static long number(const char *name)
{
	const char *text = getenv(name);

	return text != NULL ? strtol(text, NULL, 10) : 0;
}

__attribute__((constructor)) static void begin(void)
{
	calls_left = number("KILL_AT");
	writes_left = number("CUT_WRITE");
	unsetenv("LD_PRELOAD");
}

static void die(void)
{
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

static void count(void)
{
	if (calls_left > 0 && --calls_left == 0)
		die();
}

ssize_t write(int fd, const void *data, size_t length)
{
	count();
	if (writes_left > 0 && --writes_left == 0) {
		syscall(SYS_write, fd, data, length / 2);
		die();
	}
	return syscall(SYS_write, fd, data, length);
}

int open(const char *path, int flags, ...)
{
	unsigned mode = 0;
	va_list list;

	va_start(list, flags);
	if (flags & O_CREAT)
		mode = va_arg(list, unsigned);
	va_end(list);
	if ((flags & O_ACCMODE) != O_RDONLY)
		count();
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int fsync(int fd)
{
	count();
	return (int)syscall(SYS_fsync, fd);
}

int rename(const char *from, const char *to)
{
	count();
	return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlink(const char *path)
{
	count();
	return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int mkdir(const char *path, mode_t mode)
{
	count();
	return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}
