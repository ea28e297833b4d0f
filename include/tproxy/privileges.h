/*
 * Privileges: who the daemon runs as, and which one capability it keeps (capabilities(7)).
 */
#ifndef TPROXY_PRIVILEGES_H
#define TPROXY_PRIVILEGES_H

#include "tproxy/config.h"

#include <sys/types.h>

struct identity {
	uid_t uid;
	gid_t gid;
};

/*
 * Looks up `user` and `group`. Returns -1 with an error in DIAG where one does not exist; PATH is
 * what the error calls the configuration.
 */
int privileges_resolve(const struct global *global, const char *path, struct identity *identity,
	struct diag *diag);

/*
 * Becomes that user for good, keeping CAP_NET_RAW where TRANSPARENT says that it is needed and
 * where the process has it. Must be called before the first thread is started: the kernel keeps
 * credentials by thread. Returns -1 with errno.
 */
int privileges_drop(const struct identity *identity, bool transparent);

#endif
