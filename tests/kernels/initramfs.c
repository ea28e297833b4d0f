/*
 * The first process of a kernel that has 9p as a module. It loads the modules, mounts the host's root, and
 * executes the guest's script. It is static, because its file system has no libraries.
 *
 * usage: /init. It loads /modules/000.ko, /modules/001.ko and so on, in this order. The kernel's command
 * line names the script: TPROXY_GUEST_INIT=PATH
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

static void fail(const char *action, const char *object)
{
	printf("initramfs: cannot %s %s: %s\n", action, object, strerror(errno));
	exit(1); /* the kernel then panics, which ends the guest */
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
			fail("load", path);
		close(fd);
	}
}

int main(void)
{
	const char *next = getenv("TPROXY_GUEST_INIT");
	char *arguments[] = {(char *)next, NULL};

	if (next == NULL) {
		puts("initramfs: the kernel's command line has no TPROXY_GUEST_INIT=PATH");
		return 1;
	}
	load_modules();
	if (mount("hostroot", "/root", "9p", MS_RDONLY,
		    "trans=virtio,version=9p2000.L,cache=loose") == -1)
		fail("mount", "the host's root by 9p");
	if (mount("devtmpfs", "/root/dev", "devtmpfs", 0, NULL) == -1)
		fail("mount", "devtmpfs");
	if (chdir("/root") == -1 || mount(".", "/", NULL, MS_MOVE, NULL) == -1 ||
		chroot(".") == -1 || chdir("/") == -1)
		fail("change to", "the new root");
	execv(next, arguments);
	fail("execute", next);
	return 1;
}
