/*
 * Who holds a socket: the processes among whose descriptors it is, as /proc shows them.
 *
 * A descriptor's link says "socket:[INODE]". Another user's descriptors can be read with
 * CAP_SYS_PTRACE alone, so that no owner may mean one that cannot be seen. Processes come and go
 * meanwhile: one that is gone before it was looked at owns nothing.
 */
#include "tproxy/sockets.h"
#include "tproxy/text.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_number(const struct dirent *entry)
{
	return isdigit((unsigned char)entry->d_name[0]);
}

static int by_number(const struct dirent **a, const struct dirent **b)
{
	long one = strtol((*a)->d_name, NULL, 10), other = strtol((*b)->d_name, NULL, 10);

	return (one > other) - (one < other);
}

static bool is_link_to(int folder, const char *name, const char *target)
{
	char found[64];
	ssize_t length = readlinkat(folder, name, found, sizeof(found) - 1);

	if (length == -1)
		return false;
	found[length] = '\0';
	return strcmp(found, target) == 0;
}

static bool holds(const char *pid, const char *target)
{
	char *path = text_format("/proc/%s/fd", pid);
	DIR *folder = opendir(path);
	const struct dirent *entry;
	bool found = false;

	free(path);
	if (folder == NULL)
		return false;
	/* cppcheck-suppress readdirCalled ; the folder is ours alone */
	while (!found && (entry = readdir(folder)) != NULL)
		found = is_link_to(dirfd(folder), entry->d_name, target);
	closedir(folder);
	return found;
}

/* What /proc/PID/NAME says, to be freed; NULL where the process is gone. One read holds all of it. */
static char *read_of(const char *pid, const char *name)
{
	char *path = text_format("/proc/%s/%s", pid, name), text[8192];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length;

	free(path);
	if (fd == -1)
		return NULL;
	length = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (length <= 0)
		return NULL;
	return text_format("%.*s", (int)length, text);
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

static void take_capabilities(struct socket_owner *owner, const char *status)
{
	static const char field[] = "\nCapEff:";
	const char *at = strstr(status, field);

	if (at != NULL)
		owner->capabilities = strtoull(at + strlen(field), NULL, 16);
}

/* The first of the two numbers is the limit that is in force. */
static void take_descriptors(struct socket_owner *owner, const char *limits)
{
	static const char field[] = "\nMax open files ";
	const char *at = strstr(limits, field);

	if (at == NULL)
		return;
	at += strlen(field);
	at += strspn(at, " ");
	owner->descriptors =
		isdigit((unsigned char)*at) ? strtoul(at, NULL, 10) : ULONG_MAX; /* "unlimited" */
}

static bool describe(struct socket_owner *owner, const char *pid)
{
	char *comm = read_of(pid, "comm"), *status = read_of(pid, "status"),
	     *limits = read_of(pid, "limits");
	bool whole = comm != NULL && status != NULL && limits != NULL;

	*owner = (struct socket_owner){.pid = (pid_t)strtol(pid, NULL, 10)};
	if (whole) {
		take_name(owner, comm);
		take_capabilities(owner, status);
		take_descriptors(owner, limits);
		take_command(owner, pid);
	}
	free(comm);
	free(status);
	free(limits);
	return whole;
}

size_t socket_owners(const struct host_socket *socket, struct socket_owner *owners, size_t room)
{
	struct dirent **list = NULL;
	char *target = text_format("socket:[%llu]", (unsigned long long)socket->inode);
	int length = socket->inode == 0 ? 0 : scandir("/proc", &list, is_number, by_number);
	struct socket_owner owner;
	size_t count = 0;

	for (int i = 0; i < length; i++) {
		if (holds(list[i]->d_name, target) && describe(&owner, list[i]->d_name)) {
			if (count < room)
				owners[count] = owner;
			count++;
		}
		free(list[i]);
	}
	free(list);
	free(target);
	return count;
}
