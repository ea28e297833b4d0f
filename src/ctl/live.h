/*
 * What a running tproxyd says at its `stats socket`: for `tproxyctl sessions` and `top`.
 */
#ifndef TPROXY_CTL_LIVE_H
#define TPROXY_CTL_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct live_session {
	uint64_t id;
	/* Texts, "" where there is none; they point into the list's text. */
	const char *protocol, *client, *destination, *frontend, *backend, *server, *source, *target,
		*state;
	uint64_t in, out;   /* bytes from the client, and to it */
	uint64_t age, idle; /* milliseconds */
};

/* Zeroed: an empty list. */
struct live_sessions {
	struct live_session *list;
	size_t count;
	char *text;
};

/*
 * The path of the socket: SOCKET, or else the first one in the configuration FILE that may list sessions; to be freed. NULL after a
 * message on stderr.
 */
char *live_socket_path(const char *socket, const char *file);

/* Everything that is answered to COMMAND at PATH, to be freed; NULL after a message on stderr. */
char *live_ask(const char *path, const char *command);

/* False after a message on stderr; SESSIONS is empty then. */
bool live_sessions_read(struct live_sessions *sessions, const char *path);
void live_sessions_free(struct live_sessions *sessions);

/* The number behind `NAME: ` in an answer to `show info`, or 0. */
unsigned long long live_number(const char *info, const char *name);

/* "1.2k", "3.4M": a number of bytes in OUT. Returns OUT. */
const char *live_bytes(uint64_t bytes, char out[16]);

/* "5s", "3m07s", "2h05m", "4d01h": milliseconds in OUT. Returns OUT. */
const char *live_age(uint64_t milliseconds, char out[16]);

#endif
