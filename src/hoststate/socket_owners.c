/*
 * Finds the processes that hold a socket, in /proc.
 *
 * A link in /proc/PID/fd says "socket:[INODE]". Reading the links of another user's process takes
 * CAP_SYS_PTRACE, so a socket without an owner may have one that is not visible. A process that ends while it is
 * read owns nothing.
 *
 * All descriptors of the host are read once, when the first owner is asked for, and sorted by inode: a proxy may
 * have a thousand listeners, and a host a thousand processes.
 */
#include "sockets.h"
#include "tproxy/array.h"
#include "tproxy/shell.h"
#include "tproxy/text.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A process has a descriptor of a socket. */
struct holding {
	unsigned long long inode;
	pid_t pid;
};

static struct {
	bool known;
	struct holding *list; /* by inode, then by pid, each once */
	size_t count;
} holdings;

void socket_owners_forget(void)
{
	free(holdings.list);
	holdings.list = NULL;
	holdings.count = 0;
	holdings.known = false;
}

static int by_inode(const void *a, const void *b)
{
	const struct holding *one = a, *other = b;

	if (one->inode != other->inode)
		return one->inode < other->inode ? -1 : 1;
	return (one->pid > other->pid) - (one->pid < other->pid);
}

/* Adds a descriptor of a process if it is a socket. */
static void add_holding(int folder, const char *name, pid_t pid)
{
	char target[64];
	ssize_t length = readlinkat(folder, name, target, sizeof(target) - 1);
	struct holding held = {.pid = pid};

	if (length == -1)
		return;
	target[length] = '\0';
	if (sscanf(target, "socket:[%llu]", &held.inode) != 1)
		return;
	holdings.list = array_room(holdings.list, holdings.count, sizeof(held));
	holdings.list[holdings.count++] = held;
}

static void read_process(const char *name)
{
	char *path = text_format("/proc/%s/fd", name);
	DIR *folder = opendir(path);
	const struct dirent *entry;

	free(path);
	if (folder == NULL)
		return;
	/* cppcheck-suppress readdirCalled ; no other thread uses the folder */
	while ((entry = readdir(folder)) != NULL)
		add_holding(dirfd(folder), entry->d_name, (pid_t)strtol(name, NULL, 10));
	closedir(folder);
}

static void read_holdings(void)
{
	DIR *folder = opendir("/proc");
	const struct dirent *entry;
	size_t kept = 0;

	holdings.known = true;
	/* cppcheck-suppress readdirCalled */
	while (folder != NULL && (entry = readdir(folder)) != NULL)
		if (isdigit((unsigned char)entry->d_name[0]))
			read_process(entry->d_name);
	if (folder != NULL)
		closedir(folder);
	if (holdings.count > 1)
		qsort(holdings.list, holdings.count, sizeof(*holdings.list), by_inode);
	for (size_t i = 0; i < holdings.count; i++)
		if (kept == 0 || by_inode(&holdings.list[kept - 1], &holdings.list[i]) != 0)
			holdings.list[kept++] = holdings.list[i];
	holdings.count = kept;
}

/* The place of the first holding of an inode, or where it would be. */
static size_t first_holding(unsigned long long inode)
{
	size_t low = 0, high = holdings.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (holdings.list[middle].inode < inode)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The text of /proc/PID/NAME, to be freed; NULL where the process is gone or the text cannot be read whole. */
static char *read_proc(const char *pid, const char *name)
{
	char *path = text_format("/proc/%s/%s", pid, name), part[4096], *whole;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct text_stream text;
	ssize_t length;

	free(path);
	if (fd == -1)
		return NULL;
	text_begin(&text);
	/* The status of a process with very many groups takes several reads. */
	while ((length = read(fd, part, sizeof(part))) > 0)
		fwrite(part, 1, (size_t)length, text.out);
	close(fd);
	whole = text_end(&text);
	if (length == 0 && *whole != '\0')
		return whole;
	free(whole);
	return NULL;
}

/*
 * Reads the command line, each argument quoted for sh(1); "" where it does not fit or cannot be typed. In
 * /proc/PID/cmdline each argument ends with a NUL.
 */
static void read_command(struct socket_owner *owner, const char *pid)
{
	char *path = text_format("/proc/%s/cmdline", pid), *command = text_copy("");
	char arguments[sizeof(owner->command)];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd != -1 ? read(fd, arguments, sizeof(arguments)) : -1;
	bool whole =
		length > 0 && (size_t)length < sizeof(arguments) && arguments[length - 1] == '\0';

	for (ssize_t at = 0; whole && at < length; at += (ssize_t)strlen(arguments + at) + 1) {
		char *argument = shell_format("%s", arguments + at);

		whole = argument != NULL;
		text_add(&command, "%s%s", at > 0 ? " " : "", whole ? argument : "");
		free(argument);
	}
	if (whole && strlen(command) < sizeof(owner->command))
		strcpy(owner->command, command);
	if (fd != -1)
		close(fd);
	free(command);
	free(path);
}

static bool read_capabilities(struct socket_owner *owner, const char *status)
{
	static const char field[] = "\nCapEff:";
	const char *at = strstr(status, field);

	if (at != NULL)
		owner->capabilities = strtoull(at + strlen(field), NULL, 16);
	return at != NULL;
}

/* The second of the four numbers is the effective one. */
static bool read_uid(struct socket_owner *owner, const char *status)
{
	const char *at = strstr(status, "\nUid:");
	unsigned uid;

	if (at == NULL || sscanf(at, "\nUid: %*u %u", &uid) != 1)
		return false;
	owner->uid = uid;
	return true;
}

/* The first of the two numbers is the soft limit, which is in force. */
static bool read_descriptor_limit(struct socket_owner *owner, const char *limits)
{
	static const char field[] = "\nMax open files ";
	const char *at = strstr(limits, field);

	if (at == NULL)
		return false;
	at += strlen(field);
	at += strspn(at, " ");
	owner->descriptors =
		isdigit((unsigned char)*at) ? strtoul(at, NULL, 10) : ULONG_MAX; /* "unlimited" */
	return true;
}

static bool describe_owner(struct socket_owner *owner, pid_t pid)
{
	char *name = text_format("%d", (int)pid), *comm = read_proc(name, "comm"),
	     *status = read_proc(name, "status"), *limits = read_proc(name, "limits");
	bool whole = comm != NULL && status != NULL && limits != NULL;

	*owner = (struct socket_owner){.pid = pid};
	whole = whole && read_capabilities(owner, status) && read_uid(owner, status) &&
		read_descriptor_limit(owner, limits);
	if (whole) {
		/* A process chooses its own name, so it may have any bytes. */
		snprintf(owner->name, sizeof(owner->name), "%.*s", (int)strcspn(comm, "\n"), comm);
		text_make_plain(owner->name);
		read_command(owner, name);
	}
	free(name);
	free(comm);
	free(status);
	free(limits);
	return whole;
}

size_t socket_owners(const struct host_socket *socket, struct socket_owner *owners, size_t room)
{
	struct socket_owner owner;
	size_t count = 0;

	if (socket->inode == 0)
		return 0;
	if (!holdings.known)
		read_holdings();
	for (size_t i = first_holding(socket->inode);
		i < holdings.count && holdings.list[i].inode == socket->inode; i++) {
		if (!describe_owner(&owner, holdings.list[i].pid))
			continue;
		if (count < room)
			owners[count] = owner;
		count++;
	}
	return count;
}
