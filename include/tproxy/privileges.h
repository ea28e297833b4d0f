/*
 * Privileges: who the daemon runs as, and which capabilities it keeps (capabilities(7)).
 */
#ifndef TPROXY_PRIVILEGES_H
#define TPROXY_PRIVILEGES_H

#include "tproxy/config.h"

#include <sys/types.h>

struct identity {
	uid_t uid;
	gid_t gid;
};

/* Capabilities, as a set of these. */
enum privilege {
	PRIVILEGE_TRANSPARENT = 1 << 0, /* CAP_NET_RAW: `transparent`, `usesrc` */
	PRIVILEGE_LOW_PORTS = 1 << 1,   /* CAP_NET_BIND_SERVICE: sources with a low port */
};

/*
 * Looks up `user` and `group`. Returns -1 with an error in DIAG where one does not exist; PATH is
 * what the error calls the configuration.
 */
int privileges_resolve(const struct global *global, const char *path, struct identity *identity,
	struct diag *diag);

/*
 * What the running daemon needs of enum privilege. Listeners on low ports are bound before anything
 * is dropped; connections to servers are bound later, and `usesrc client` may bind any port.
 */
unsigned privileges_needed(const struct config *config);

/* A server whose `source` has a fixed port that takes PRIVILEGE_LOW_PORTS; NULL: there is none. */
const struct server *privileges_low_source(const struct config *config);

/* The first port that takes no privilege: net.ipv4.ip_unprivileged_port_start; 1024 if unreadable. */
unsigned privileges_first_port(void);

/*
 * Becomes that user for good, without supplementary groups and with an empty bounding set, and keeps
 * of NEEDED what the process has. Must be called before the first thread is started: the kernel
 * keeps credentials by thread. Returns -1 with errno.
 */
int privileges_drop(const struct identity *identity, unsigned needed);

/* What the calling thread has of enum privilege. */
unsigned privileges_held(void);

/* "CAP_NET_RAW and CAP_NET_BIND_SERVICE", or "no capability". */
const char *privileges_text(unsigned privileges);

#endif
