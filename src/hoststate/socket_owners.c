/*
 * Who holds a socket: the processes among whose descriptors it is, as /proc shows them.
 *
 * A descriptor's link says "socket:[INODE]". Another user's descriptors can be read with
 * CAP_SYS_PTRACE alone, so that no owner may mean one that cannot be seen. Processes come and go
 * meanwhile: one that is gone before it was looked at owns nothing.
 *
 * All descriptors of the host are gone through once, when the first owner is asked for, and are sorted by
 * their inodes: a proxy may have a thousand listeners, and a host a thousand processes.
 */
#include "sockets.h"
#include "tproxy/array.h"
#include "tproxy/text.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* That a process has a descriptor of a socket. */
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

/* Takes a descriptor of a process, where it is of a socket. */
static void take_descriptor(int folder, const char *name, pid_t pid)
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

static void take_process(const char *name)
{
	char *path = text_format("/proc/%s/fd", name);
	DIR *folder = opendir(path);
	const struct dirent *entry;

	free(path);
	if (folder == NULL)
		return;
	/* cppcheck-suppress readdirCalled ; the folder is ours alone */
	while ((entry = readdir(folder)) != NULL)
		take_descriptor(dirfd(folder), entry->d_name, (pid_t)strtol(name, NULL, 10));
	closedir(folder);
}

static void take_holdings(void)
{
	DIR *folder = opendir("/proc");
	const struct dirent *entry;
	size_t kept = 0;

	holdings.known = true;
	/* cppcheck-suppress readdirCalled */
	while (folder != NULL && (entry = readdir(folder)) != NULL)
		if (isdigit((unsigned char)entry->d_name[0]))
			take_process(entry->d_name);
	if (folder != NULL)
		closedir(folder);
	if (holdings.count > 1)
		qsort(holdings.list, holdings.count, sizeof(*holdings.list), by_inode);
	for (size_t i = 0; i < holdings.count; i++)
		if (kept == 0 || by_inode(&holdings.list[kept - 1], &holdings.list[i]) != 0)
			holdings.list[kept++] = holdings.list[i];
	holdings.count = kept;
}

/* Where those of an inode begin. */
static size_t first_of(unsigned long long inode)
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

/* What /proc/PID/NAME says, to be freed; NULL where the process is gone, or it cannot be read to its end. */
static char *read_of(const char *pid, const char *name)
{
	char *path = text_format("/proc/%s/%s", pid, name), part[4096], *whole;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct text_stream text;
	ssize_t length;

	free(path);
	if (fd == -1)
		return NULL;
	text_begin(&text);
	/* A process with very many groups has a status that is longer than one read. */
	while ((length = read(fd, part, sizeof(part))) > 0)
		fwrite(part, 1, (size_t)length, text.out);
	close(fd);
	whole = text_end(&text);
	if (length == 0 && *whole != '\0')
		return whole;
	free(whole);
	return NULL;
}

/* A process names itself, and may put anything there; what is shown is plain text. */
static void take_name(struct socket_owner *owner, const char *comm)
{
	snprintf(owner->name, sizeof(owner->name), "%.*s", (int)strcspn(comm, "\n"), comm);
	for (char *at = owner->name; *at != '\0'; at++)
		if (*at < ' ' || *at > '~')
			*at = '?';
}

/* One word as a shell takes it; false where it does not fit, or has what nobody types. */
static bool add_word(char *text, size_t size, const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "_-+=./:,@%";
	bool quoted = *word == '\0' || word[strspn(word, plain)] != '\0';
	size_t used = strlen(text);

	used += (size_t)snprintf(
		text + used, size - used, "%s%s", used > 0 ? " " : "", quoted ? "'" : "");
	for (; *word != '\0' && used + 6 < size; word++) {
		if (*word < ' ' || *word > '~')
			return false;
		used += (size_t)(*word == '\'' ? snprintf(text + used, size - used, "'\\''")
					       : snprintf(text + used, size - used, "%c", *word));
	}
	snprintf(text + used, size - used, "%s", quoted ? "'" : "");
	return *word == '\0';
}

/* Words end with a NUL each. */
static void take_command(struct socket_owner *owner, const char *pid)
{
	char *path = text_format("/proc/%s/cmdline", pid), words[sizeof(owner->command)];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd != -1 ? read(fd, words, sizeof(words)) : -1;
	bool whole = length > 0 && (size_t)length < sizeof(words) && words[length - 1] == '\0';

	for (ssize_t at = 0; whole && at < length; at += (ssize_t)strlen(words + at) + 1)
		whole = add_word(owner->command, sizeof(owner->command), words + at);
	if (!whole)
		owner->command[0] = '\0';
	if (fd != -1)
		close(fd);
	free(path);
}

static bool take_capabilities(struct socket_owner *owner, const char *status)
{
	static const char field[] = "\nCapEff:";
	const char *at = strstr(status, field);

	if (at != NULL)
		owner->capabilities = strtoull(at + strlen(field), NULL, 16);
	return at != NULL;
}

/* The first of the two numbers is the limit that is in force. */
static bool take_descriptors(struct socket_owner *owner, const char *limits)
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

static bool describe(struct socket_owner *owner, pid_t pid)
{
	char *name = text_format("%d", (int)pid), *comm = read_of(name, "comm"),
	     *status = read_of(name, "status"), *limits = read_of(name, "limits");
	bool whole = comm != NULL && status != NULL && limits != NULL;

	*owner = (struct socket_owner){.pid = pid};
	whole = whole && take_capabilities(owner, status) && take_descriptors(owner, limits);
	if (whole) {
		take_name(owner, comm);
		take_command(owner, name);
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
		take_holdings();
	for (size_t i = first_of(socket->inode);
		i < holdings.count && holdings.list[i].inode == socket->inode; i++) {
		if (!describe(&owner, holdings.list[i].pid))
			continue;
		if (count < room)
			owners[count] = owner;
		count++;
	}
	return count;
}
