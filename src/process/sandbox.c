/*
 * The sandbox: a list of system calls, by name, and conditions on the arguments of some.
 *
 * What is not listed fails with ENOSYS. An older kernel answers so, too, and a newer C library that
 * tries a new call then uses the older one. Killing the process instead would end every session. The
 * kernel logs each refusal with the number of the call (audit type 1326, in dmesg where no audit
 * daemon runs; `ausyscall NUMBER` prints the name), so a running proxy must not make such calls.
 *
 * Each thread restricts itself, since they differ: those that carry traffic open no file, and only the
 * main thread, which reads the configuration again, does. The library's work is done once, in the main
 * thread: it takes memory, which the heap of each thread would keep.
 *
 * The trap: libevent and the C library make calls, too, which differ by version and machine. A name
 * that this machine or this libseccomp does not know is skipped.
 */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <netinet/in.h>

#ifdef __has_feature
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

struct sandbox_filter {
	size_t count;
	struct sock_filter instructions[BPF_MAXINSNS];
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const always[] = {
	/* sessions and flows; socket() has conditions */
	"accept4",
	"bind",
	"listen",
	"connect",
	"getsockname",
	"getsockopt",
	"setsockopt",
	"shutdown",
	"recvfrom",
	"recvmsg",
	"recvmmsg",
	"recvmmsg_time64",
	"sendto",
	"sendmsg",
	"sendmmsg",
	/* by rings made before, which can only send (datagram_ring.h); io_uring_setup() is not here */
	"io_uring_enter",
	"pipe2",
	"splice",
	"read",
	"readv",
	"write",
	"writev",
	"pwritev2",
	"close",
	"fcntl",
	"fcntl64",
	"eventfd2",
	"poll",
	"ppoll",
	"ppoll_time64",
	/* the event loop */
	"epoll_ctl",
	"epoll_wait",
	"epoll_pwait",
	"epoll_pwait2",
	"clock_gettime",
	"clock_gettime64",
	"gettimeofday",
	"time",
	/* memory; mmap() and mprotect() have conditions */
	"brk",
	"munmap",
	"mremap",
	"madvise",
	"getrandom",
	/* threads that run and end, and signals */
	"futex",
	"futex_time64",
	"set_robust_list",
	"rseq",
	"sched_yield",
	"sched_getaffinity",
	"gettid",
	"getpid",
	"rt_sigaction",
	"rt_sigprocmask",
	"rt_sigreturn",
	"sigreturn",
	"restart_syscall",
	"exit",
	"exit_group",
	/* stdio, before it writes */
	"fstat",
	"fstat64",
	"newfstatat",
	"statx",
	/* the host's name, which lines of the log may have */
	"uname",
};

/* What the path is; and what the C library does when it closes a file before its end. */
static const char *const with_reload[] = {"stat", "stat64", "lseek", "_llseek"};

static const char *const with_pidfile[] = {"unlink", "unlinkat", "ftruncate", "ftruncate64"};

/* Sockets that a reload changes get a name, an owner and a mode; those that end lose their names. */
static const char *const with_command_sockets[] = {"unlink", "unlinkat", "rename", "renameat",
	"renameat2", "chmod", "fchmodat", "fchmodat2", "chown", "chown32", "fchownat"};

static const char *const in_background[] = {"dup2", "dup3"};

/*
 * Calls of the sanitizers, in a build with one of them: they read /proc, make memory executable, and
 * look for leaks from another process.
 */
static const char *const sanitizers[] = {"arch_prctl", "clone", "clone3", "fork", "getdents",
	"getdents64", "getrusage", "getuid", "geteuid", "getgid", "getegid", "getppid", "getrlimit",
	"kill", "lseek", "mmap", "mmap2", "mprotect", "msync", "nanosleep", "clock_nanosleep",
	"open", "openat", "personality", "pipe", "pread64", "prctl", "prlimit64",
	"process_vm_readv", "ptrace", "readlink", "readlinkat", "rt_sigtimedwait",
	"sched_setaffinity", "setrlimit", "sigaltstack", "stat", "sysinfo", "tgkill", "vfork",
	"wait4", "waitid", "waitpid"};

static int allow_calls(scmp_filter_ctx filter, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int number = seccomp_syscall_resolve_name(names[i]);
		int failed;

		if (number == __NR_SCMP_ERROR)
			continue;
		failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
		if (failed != 0)
			return failed;
	}
	return 0;
}

static struct scmp_arg_cmp argument_equals(unsigned argument, int value)
{
	return (struct scmp_arg_cmp){
		.arg = argument, .op = SCMP_CMP_EQ, .datum_a = (unsigned)value};
}

/* Of the bits in MASK, the argument has those in VALUE and no others. */
static struct scmp_arg_cmp argument_has_bits(unsigned argument, int mask, int value)
{
	return (struct scmp_arg_cmp){.arg = argument,
		.op = SCMP_CMP_MASKED_EQ,
		.datum_a = (unsigned)mask,
		.datum_b = (unsigned)value};
}

/* Allows a call whose arguments meet all conditions; unknown names are skipped, too. */
static int allow_call_if(scmp_filter_ctx filter, const char *name, unsigned count,
	const struct scmp_arg_cmp *conditions)
{
	int number = seccomp_syscall_resolve_name(name);

	if (number == __NR_SCMP_ERROR)
		return 0;
	return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, count, conditions);
}

/* Listeners and flows of datagrams, and what socket_address_kind() asks by; reports to their clients (unreachable.h). */
static int allow_udp(scmp_filter_ctx filter)
{
	const struct scmp_arg_cmp udp[] = {
		argument_has_bits(1, ~(SOCK_NONBLOCK | SOCK_CLOEXEC), SOCK_DGRAM),
		argument_equals(2, IPPROTO_UDP),
	};

	const struct scmp_arg_cmp icmp[] = {
		argument_has_bits(1, ~(SOCK_NONBLOCK | SOCK_CLOEXEC), SOCK_RAW),
		argument_equals(2, IPPROTO_ICMP),
	};
	const struct scmp_arg_cmp icmpv6[] = {
		argument_has_bits(1, ~(SOCK_NONBLOCK | SOCK_CLOEXEC), SOCK_RAW),
		argument_equals(2, IPPROTO_ICMPV6),
	};
	int failed = allow_call_if(filter, "socket", COUNT(udp), udp);

	if (failed == 0)
		failed = allow_call_if(filter, "socket", COUNT(icmp), icmp);
	return failed != 0 ? failed : allow_call_if(filter, "socket", COUNT(icmpv6), icmpv6);
}

/*
 * TCP sockets, and the question how many of their bytes are not delivered; memory that is not
 * executable; signals to this process alone, which abort() sends.
 */
static int allow_with_conditions(scmp_filter_ctx filter)
{
	static const char *const maps[] = {"mmap", "mmap2", "mprotect"};
	static const int families[] = {AF_INET, AF_INET6};
	const struct scmp_arg_cmp no_code = argument_has_bits(2, PROT_EXEC, 0);
	const struct scmp_arg_cmp own = argument_equals(0, getpid());
	const struct scmp_arg_cmp undelivered = argument_equals(1, SIOCOUTQ);
	int failed = allow_call_if(filter, "tgkill", 1, &own);

	if (failed == 0)
		failed = allow_call_if(filter, "ioctl", 1, &undelivered);
	for (size_t i = 0; i < COUNT(maps) && failed == 0; i++)
		failed = allow_call_if(filter, maps[i], 1, &no_code);
	for (size_t i = 0; i < COUNT(families) && failed == 0; i++) {
		const struct scmp_arg_cmp tcp[] = {
			argument_equals(0, families[i]),
			argument_has_bits(1, ~(SOCK_NONBLOCK | SOCK_CLOEXEC), SOCK_STREAM),
			argument_equals(2, IPPROTO_TCP),
		};

		failed = allow_call_if(filter, "socket", COUNT(tcp), tcp);
	}
	return failed != 0 ? failed : allow_udp(filter);
}

/* Allows open() and openat() where the bits in MASK of their flags are those in WANTED. */
static int allow_open(scmp_filter_ctx filter, int mask, int wanted)
{
	const struct scmp_arg_cmp of_open = argument_has_bits(1, mask, wanted);
	const struct scmp_arg_cmp of_openat = argument_has_bits(2, mask, wanted);
	int failed = allow_call_if(filter, "open", 1, &of_open);

	return failed != 0 ? failed : allow_call_if(filter, "openat", 1, &of_openat);
}

/* Sockets for syslog. */
static int allow_syslog(scmp_filter_ctx filter)
{
	static const int families[] = {AF_UNIX, AF_INET, AF_INET6};
	int failed = 0;

	for (size_t i = 0; i < COUNT(families) && failed == 0; i++) {
		const struct scmp_arg_cmp datagrams[] = {
			argument_equals(0, families[i]),
			argument_has_bits(1, ~(SOCK_NONBLOCK | SOCK_CLOEXEC), SOCK_DGRAM),
			argument_equals(2, 0),
		};

		failed = allow_call_if(filter, "socket", COUNT(datagrams), datagrams);
	}
	return failed;
}

/*
 * Files are opened to read them, or to append to them, which also makes them. stdout and stderr, whose
 * paths are in /proc, are opened to write to them.
 */
static int allow_reload(scmp_filter_ctx filter)
{
	enum {
		MASK = O_ACCMODE | O_APPEND | O_CREAT | O_TRUNC | O_PATH,
		LOG_MASK = (MASK & ~O_CREAT) | O_NOFOLLOW,
		LOG_FLAGS = O_WRONLY | O_APPEND | O_NOFOLLOW,
	};
	int failed = allow_calls(filter, with_reload, COUNT(with_reload));

	if (failed == 0)
		failed = allow_open(filter, MASK, O_RDONLY);
	if (failed == 0)
		failed = allow_open(filter, LOG_MASK, LOG_FLAGS);
	if (failed == 0)
		failed = allow_open(filter, MASK | O_NONBLOCK, O_WRONLY | O_NONBLOCK);
	return failed != 0 ? failed : allow_syslog(filter);
}

static int allow_command_sockets(scmp_filter_ctx filter)
{
	const struct scmp_arg_cmp stream[] = {
		argument_equals(0, AF_UNIX),
		argument_has_bits(1, ~(SOCK_NONBLOCK | SOCK_CLOEXEC), SOCK_STREAM),
		argument_equals(2, 0),
	};
	int failed = allow_calls(filter, with_command_sockets, COUNT(with_command_sockets));

	return failed != 0 ? failed : allow_call_if(filter, "socket", COUNT(stream), stream);
}

static int allow_all_needed(scmp_filter_ctx filter, const struct sandbox *sandbox)
{
	int failed = allow_calls(filter, always, COUNT(always));

	if (failed == 0)
		failed = allow_with_conditions(filter);
	if (failed == 0 && sandbox->removes_pidfile)
		failed = allow_calls(filter, with_pidfile, COUNT(with_pidfile));
	if (failed == 0 && sandbox->reloads)
		failed = allow_reload(filter);
	if (failed == 0 && sandbox->takes_commands)
		failed = allow_command_sockets(filter);
	if (failed == 0 && sandbox->leaves_terminal)
		failed = allow_calls(filter, in_background, COUNT(in_background));
	if (failed == 0 && SANITIZED)
		failed = allow_calls(filter, sanitizers, COUNT(sanitizers));
	return failed;
}

static struct sandbox_filter *read_program(int fd)
{
	struct sandbox_filter *filter = malloc(sizeof(*filter));
	ssize_t length;

	if (filter == NULL)
		return NULL;
	length = read(fd, filter->instructions, sizeof(filter->instructions));
	if (length <= 0) {
		free(filter);
		return NULL;
	}
	filter->count = (size_t)length / sizeof(filter->instructions[0]);
	return filter;
}

/* The library writes a program to a descriptor only. A pipe has room for it. */
static struct sandbox_filter *export_program(scmp_filter_ctx context)
{
	struct sandbox_filter *filter = NULL;
	int ends[2], failed;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) == -1)
		return NULL;
	failed = seccomp_export_bpf(context, ends[1]);
	if (failed == 0)
		filter = read_program(ends[0]);
	else
		errno = -failed;
	close(ends[0]);
	close(ends[1]);
	return filter;
}

struct sandbox_filter *sandbox_compile(const struct sandbox *sandbox)
{
	struct sandbox_filter *filter = NULL;
	scmp_filter_ctx context;
	int failed;

	/* With a NULL filter this fails with EFAULT where the kernel has filters, else with EINVAL. */
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL) != -1 || errno != EFAULT) {
		errno = ENOTSUP;
		return NULL;
	}
	context = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	if (context == NULL) {
		errno = ENOMEM;
		return NULL;
	}
	failed = allow_all_needed(context, sandbox);
	/* Older libraries lack this, and the filter works without. */
	seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (failed == 0)
		filter = export_program(context);
	else
		errno = -failed;
	seccomp_release(context);
	return filter;
}

void sandbox_filter_free(struct sandbox_filter *filter)
{
	free(filter);
}

/* Older kernels log no refusal, and the filter works without. */
int sandbox_enter(const struct sandbox_filter *filter)
{
	struct sock_fprog program = {.len = (unsigned short)filter->count,
		.filter = (struct sock_filter *)filter->instructions};

	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_LOG, &program) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return errno;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0 ? 0 : errno;
}
