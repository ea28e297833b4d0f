/*
 * Privileges: which user the daemon runs as, and which capabilities it keeps (capabilities(7)).
 */
#ifndef TPROXY_PROCESS_PRIVILEGES_H
#define TPROXY_PROCESS_PRIVILEGES_H

#include "log.h"
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
 * Sets IDENTITY to `user` and `group` of GLOBAL, or where they are not set, to the process's own.
 * PATH names the configuration in messages. Returns 0, or -1 with an error in DIAG where one does not
 * exist. Call it before the first thread starts.
 */
int privileges_resolve(const struct global *global, const char *path, struct identity *identity,
	struct diag *diag);

/*
 * The set of enum privilege that the running daemon needs. Low ports of listeners are not among them,
 * since they are bound before anything is dropped. Those of connections to servers are; `usesrc
 * client` may bind any port.
 */
unsigned privileges_needed(const struct config *config);

/*
 * The same with what a reload may need: CAP_NET_BIND_SERVICE where a listener of CONFIG has a low port, so
 * that another one can be added.
 */
unsigned privileges_kept(const struct config *config);

/*
 * Complains of privileges that CONFIG, which was read from PATH, needs and that are not in HELD. Returns 0, or
 * -1 where it cannot work without. RELOAD: the process has dropped what the configuration of its start did not
 * need.
 */
int privileges_check(
	const struct config *config, const char *path, unsigned held, bool reload, struct log *log);

/* The first server whose `source` has a fixed port that needs PRIVILEGE_LOW_PORTS; NULL: none has. */
const struct server *privileges_low_source(const struct config *config);

/*
 * The first port that needs no privilege: net.ipv4.ip_unprivileged_port_start (ip(7)), or 1024 where
 * that cannot be read.
 */
unsigned privileges_first_port(void);

/*
 * Changes to that user and group for good, without supplementary groups and with an empty bounding
 * set, and sets no_new_privs. Of the capabilities it keeps those in KEPT that the process has. Call
 * it before the first thread starts: the kernel keeps credentials by thread. Returns 0, or -1 with
 * errno.
 */
int privileges_drop(const struct identity *identity, unsigned kept);

/* The set of enum privilege that the calling thread has. */
unsigned privileges_held(void);

/* "CAP_NET_RAW and CAP_NET_BIND_SERVICE", or "no capability": a set as text. Static. */
const char *privileges_text(unsigned privileges);

#endif
