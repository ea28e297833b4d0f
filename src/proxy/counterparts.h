/*
 * Counterparts: what a configuration has in common with the one before it, so that a reload keeps it.
 */
#ifndef PROXY_COUNTERPARTS_H
#define PROXY_COUNTERPARTS_H

#include "tproxy/config.h"

#include <stddef.h>
#include <stdint.h>

#define COUNTERPART_NONE SIZE_MAX

/* For each part of the newer configuration, the index of its counterpart in the older one, or COUNTERPART_NONE. */
struct counterparts {
	size_t *frontends, *backends; /* by proxy->index: of the same name */
	size_t *servers;              /* by server->index: of the same name, in such a backend */
	size_t *listeners; /* by place in the file: on the same address, port and interface */
	size_t kept;       /* listeners that have one */
	bool *overlaps; /* listeners without one, whose address is shared with an older listener */
	size_t indices[]; /* what the four point into */
};

/* The caller frees the result, which refers to neither configuration. NULL: no memory. */
struct counterparts *counterparts_find(const struct config *now, const struct config *before);

/* NULL is allowed. */
void counterparts_free(struct counterparts *counterparts);

#endif
