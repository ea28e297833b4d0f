/*
 * As HAProxy does it, a socket is bound under a name of its own, gets its mode and owner, listens, and is only then renamed: at
 * its path there is never a socket that does not listen, or that anyone may use.
 *
 * The trap: a path may be another instance's by now. Only a name that still is that of this socket is removed.
 */
#include "sockets.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	NOT_SET = -1,
	BACKLOG = 10
};

/* --- making one --- */

static void temporary_name(const struct command_socket *made, struct sockaddr_un *name)
{
	*name = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(name->sun_path, sizeof(name->sun_path), "%.92s.%d.tmp", made->path, (int)getpid());
}

/* Sets the owner that the line names. False: there is no such user or group. */
static bool find_owner(struct command_socket *made, const struct stats_socket *line,
	struct socket_failure *failure)
{
	/* One thread looks names up. */
	/* cppcheck-suppress getpwnamCalled */
	const struct passwd *user = line->user == NULL ? NULL : getpwnam(line->user);
	/* cppcheck-suppress getgrnamCalled */
	const struct group *group = line->group == NULL ? NULL : getgrnam(line->group);

	made->mode = line->has_mode ? line->mode : (unsigned)NOT_SET;
	made->uid = line->has_uid ? line->uid : user != NULL ? user->pw_uid : (unsigned)NOT_SET;
	made->gid = line->has_gid ? line->gid : group != NULL ? group->gr_gid : (unsigned)NOT_SET;
	made->level = line->level;
	failure->error = 0;
	failure->doing = line->user != NULL && user == NULL     ? "find its user"
			 : line->group != NULL && group == NULL ? "find its group"
								: NULL;
	return failure->doing == NULL;
}

/* Whether something else is at the path. It would be lost by the renaming, or keep the socket from its name. */
static bool is_in_use(const char *path)
{
	struct stat file;

	if (lstat(path, &file) == -1 || S_ISSOCK(file.st_mode))
		return false;
	errno = EEXIST;
	return true;
}

static const char *open_socket(struct command_socket *made)
{
	struct sockaddr_un name;

	if (is_in_use(made->path))
		return "take its path";
	temporary_name(made, &name);
	unlink(name.sun_path);
	made->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (made->fd == -1)
		return "open it";
	if (bind(made->fd, (const struct sockaddr *)&name, sizeof(name)) == -1)
		return "bind it";
	made->is_new = true;
	if ((made->uid != (unsigned)NOT_SET || made->gid != (unsigned)NOT_SET) &&
		chown(name.sun_path, made->uid, made->gid) == -1)
		return "change its owner";
	if (made->mode != (unsigned)NOT_SET && chmod(name.sun_path, made->mode) == -1)
		return "change its mode";
	return listen(made->fd, BACKLOG) == -1 ? "listen at it" : NULL;
}

static struct command_socket *find_same(
	struct command_sockets *before, const struct command_socket *made)
{
	for (size_t i = 0; i < before->count; i++) {
		struct command_socket *other = &before->list[i];

		if (strcmp(other->path, made->path) == 0 && other->mode == made->mode &&
			other->uid == made->uid && other->gid == made->gid)
			return other;
	}
	return NULL;
}

static bool prepare_one(struct command_socket *made, struct command_sockets *before,
	const struct stats_socket *line, struct socket_failure *failure)
{
	made->fd = -1;
	made->path = strdup(line->path);
	*failure = (struct socket_failure){line, "open it", ENOMEM};
	if (made->path == NULL || !find_owner(made, line, failure))
		return false;
	made->keeps = find_same(before, made);
	failure->doing = made->keeps != NULL ? NULL : open_socket(made);
	failure->error = errno;
	return failure->doing == NULL;
}

int sockets_prepare(struct command_sockets *next, struct command_sockets *before,
	const struct global *global, struct socket_failure *failure)
{
	*next = (struct command_sockets){0};
	*failure = (struct socket_failure){
		.socket = global->stats_sockets, .doing = "open it", .error = ENOMEM};
	next->list = calloc(global->stats_socket_count + 1, sizeof(*next->list));
	if (next->list == NULL)
		return -1;
	for (size_t i = 0; i < global->stats_socket_count; i++) {
		next->count++;
		if (prepare_one(&next->list[i], before, &global->stats_sockets[i], failure))
			continue;
		sockets_abandon(next);
		return -1;
	}
	return 0;
}

/* --- clients --- */

static void pause_all(struct command_sockets *sockets)
{
	for (size_t i = 0; i < sockets->count; i++)
		event_del(&sockets->list[i].event);
	sockets->paused = true;
}

void sockets_resume(struct command_sockets *sockets)
{
	for (size_t i = 0; i < sockets->count && sockets->paused; i++)
		event_add(&sockets->list[i].event, NULL);
	sockets->paused = false;
}

static bool is_of_this_client(int error)
{
	return error == EINTR || error == ECONNABORTED || error == EPROTO || error == EPERM;
}

/* One at a time, so that no flood of them keeps the main thread. */
static void on_client(evutil_socket_t fd, short what, void *arg)
{
	struct command_socket *made = arg;
	struct stats_clients *clients = made->clients;
	int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)what;
	if (client != -1)
		client_begin(clients, client, made->level);
	if (clients->count >= clients->most ||
		(client == -1 && errno != EAGAIN && !is_of_this_client(errno)))
		pause_all(clients->arg);
}

/* Those that came before the socket goes. */
static void accept_rest(struct command_socket *old)
{
	for (int i = 0; i <= BACKLOG && old->fd != -1; i++) {
		int client = accept4(old->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (client == -1)
			return;
		client_begin(old->clients, client, old->level);
	}
}

/* --- putting them in place --- */

static unsigned long inode_of(const char *path)
{
	struct stat file;

	return lstat(path, &file) == 0 && S_ISSOCK(file.st_mode) ? (unsigned long)file.st_ino : 0;
}

static void close_socket(struct command_socket *old)
{
	struct sockaddr_un name;

	if (old->fd != -1)
		close(old->fd);
	if (old->fd != -1 && old->is_new) {
		temporary_name(old, &name);
		unlink(name.sun_path);
	} else if (old->fd != -1 && old->inode != 0 && inode_of(old->path) == old->inode) {
		unlink(old->path);
	}
	free(old->path);
}

static void take_name(struct command_socket *made)
{
	struct sockaddr_un name;

	temporary_name(made, &name);
	if (rename(name.sun_path, made->path) == -1)
		return;
	made->is_new = false;
	made->inode = inode_of(made->path);
}

void sockets_replace(struct command_sockets *sockets, struct command_sockets *next,
	struct stats_clients *clients)
{
	for (size_t i = 0; i < sockets->count; i++)
		event_del(&sockets->list[i].event);
	for (size_t i = 0; i < next->count; i++) {
		struct command_socket *made = &next->list[i];

		if (made->keeps != NULL) {
			made->fd = made->keeps->fd;
			made->inode = made->keeps->inode;
			made->keeps->fd = -1;
			made->keeps = NULL;
		} else {
			take_name(made);
		}
		made->clients = clients;
		event_assign(&made->event, clients->base, made->fd, EV_READ | EV_PERSIST, on_client,
			made);
		event_add(&made->event, NULL);
	}
	for (size_t i = 0; i < sockets->count; i++) {
		accept_rest(&sockets->list[i]);
		close_socket(&sockets->list[i]);
	}
	free(sockets->list);
	*sockets = *next;
	*next = (struct command_sockets){0};
}

void sockets_abandon(struct command_sockets *next)
{
	for (size_t i = 0; i < next->count; i++)
		close_socket(&next->list[i]);
	free(next->list);
	*next = (struct command_sockets){0};
}

void sockets_close(struct command_sockets *sockets)
{
	for (size_t i = 0; i < sockets->count; i++)
		event_del(&sockets->list[i].event);
	sockets_abandon(sockets);
}
