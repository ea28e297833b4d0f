/*
 * The first process of a kernel whose 9p is a module: loads modules, mounts the host's root, becomes the
 * guest's script. Static, since there is nothing else in its file system.
 *
 * usage: /init, with /modules (numbered in the order in which they are to be loaded) beside it; the rest is
 * on the kernel's command line: TPROXY_GUEST_INIT=PATH
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

static void fail(const char *what)
{
	printf("initramfs: %s: %s\n", what, strerror(errno));
	exit(1); /* and the kernel panics, which ends the guest */
}

static void load_modules(void)
{
	char path[64];

	for (int number = 0;; number++) {
		int fd;

		snprintf(path, sizeof(path), "/modules/%03d.ko", number);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd == -1)
			return;
		if (syscall(SYS_finit_module, fd, "", 0) == -1 && errno != EEXIST)
			fail(path);
		close(fd);
	}
}

int main(void)
{
	const char *next = getenv("TPROXY_GUEST_INIT");
	char *arguments[] = {(char *)next, NULL};

	if (next == NULL)
		fail("TPROXY_GUEST_INIT is not set");
	load_modules();
	if (mount("hostroot", "/root", "9p", MS_RDONLY,
		    "trans=virtio,version=9p2000.L,cache=loose") == -1)
		fail("the host's root");
	if (mount("devtmpfs", "/root/dev", "devtmpfs", 0, NULL) == -1)
		fail("devtmpfs");
	if (chdir("/root") == -1 || mount(".", "/", NULL, MS_MOVE, NULL) == -1 ||
		chroot(".") == -1 || chdir("/") == -1)
		fail("the new root");
	execv(next, arguments);
	fail(next);
	return 1;
}
