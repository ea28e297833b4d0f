/*
 * Command sockets: where clients of `stats socket` come.
 *
 * A reload keeps those that it does not change, so no client finds the door shut. A new one takes the name of an old one in one
 * step, by rename(2).
 */
#ifndef TPROXY_STATS_SOCKETS_H
#define TPROXY_STATS_SOCKETS_H

#include "client.h"
#include "tproxy/config.h"

struct command_socket {
	int fd; /* -1: closed */
	char *path;
	unsigned mode, uid, gid; /* as they were asked for; (unsigned)-1: not at all */
	enum stats_level level;
	unsigned long inode;          /* of the name, so that only its own is removed */
	bool is_new;                  /* it has no name of its own yet */
	struct command_socket *keeps; /* in the set before: it is the same */
	struct event event;
	struct stats_clients *clients;
};

struct command_sockets {
	struct command_socket *list;
	size_t count;
	bool paused; /* as many clients as there may be */
};

/* What went wrong: DOING is a phrase such as "find the user", ERROR an errno, or 0. */
struct socket_failure {
	const struct stats_socket *socket; /* NULL: the one for metrics */
	const char *doing;
	int error;
};

/*
 * Makes NEXT the sockets of GLOBAL, in place of those of BEFORE, which stay as they are; what is new is bound under another name. Returns 0,
 * or -1 and fills FAILURE; NEXT is then empty.
 */
int sockets_prepare(struct command_sockets *next, struct command_sockets *before,
	const struct global *global, struct socket_failure *failure);

/* Puts NEXT in place of SOCKETS, which may be empty: gives the new ones their names, and closes what is gone. */
void sockets_replace(struct command_sockets *sockets, struct command_sockets *next,
	struct stats_clients *clients);

/* Frees prepared ones that were never put in place. */
void sockets_abandon(struct command_sockets *next);

/* There may be room for another client again. */
void sockets_resume(struct command_sockets *sockets);

/* Closes them, and removes their names where it may. */
void sockets_close(struct command_sockets *sockets);

#endif
