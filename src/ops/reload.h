/*
 * A reload, as far as it changes nothing yet: from the file to a generation that could be put in force.
 */
#ifndef TPROXY_OPS_RELOAD_H
#define TPROXY_OPS_RELOAD_H

#include "generation.h"
#include "process/descriptors.h"
#include "process/privileges.h"

/* What stays as it was at the start, whatever a file says. */
struct permanent {
	struct descriptors descriptors;
	unsigned privileges;                   /* a set of enum privilege: what was kept */
	char *user, *group, *pidfile, *chroot; /* NULL: not set */
	unsigned ulimit_n;                     /* 0: not set */
};

/* Copies the words of GLOBAL. Returns 0, or -1 without memory; permanent_clear() is due in any case. */
int permanent_set(struct permanent *permanent, const struct global *global);
void permanent_clear(struct permanent *permanent);

/*
 * Reads the configuration at PATH, which is to follow BEFORE. All that is wrong with it is reported in the
 * log of BEFORE, and so is each word of `global` that cannot change in a running process. NULL: it cannot
 * be used. The caller frees the result.
 */
struct generation *reload_read(
	const char *path, struct generation *before, const struct permanent *permanent);

#endif
