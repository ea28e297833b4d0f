/*
 * Counterparts: what a configuration has in common with the one before it, so that a reload keeps it.
 */
#ifndef TPROXY_SERVERS_COUNTERPARTS_H
#define TPROXY_SERVERS_COUNTERPARTS_H

#include "tproxy/config.h"

#include <stddef.h>
#include <stdint.h>

#define COUNTERPART_NONE SIZE_MAX

/*
 * What a receiver of datagrams has in common with an older configuration. Its socket may be that of the configuration
 * before, or, where that one has no such receiver, of one before it that has not closed it yet.
 */
struct counterpart {
	const struct config *config; /* NULL: none */
	size_t index;                /* by place in the file, of receivers alone */
	bool overlaps; /* there is none, but its address is shared with an older receiver */
};

/* For each part of the newer configuration, the index of its counterpart in the older one, or COUNTERPART_NONE. */
struct counterparts {
	size_t *frontends, *backends; /* by proxy->index: of the same name */
	size_t *servers;              /* by server->index: of the same name, in such a backend */
	size_t *listeners; /* of TCP, by place in the file: on the same address, port and interface */
	size_t kept;       /* listeners and receivers that have one */
	bool *overlaps; /* listeners without one, whose address is shared with an older listener */
	struct counterpart *receivers; /* of UDP, by place in the file: the same */
	size_t indices[];              /* what the first four point into */
};

/* The caller frees the result; of the configurations it only keeps addresses, to compare them. NULL: no memory. */
struct counterparts *counterparts_find(const struct config *now, const struct config *before);

/*
 * Looks for receivers of NOW that have no counterpart yet among those of OLDER, a configuration before the one that was
 * compared, whose receivers are not closed yet. Call it for the newer ones first. False: no memory.
 */
bool counterparts_add_receivers(
	struct counterparts *found, const struct config *now, const struct config *older);

/* NULL is allowed. */
void counterparts_free(struct counterparts *counterparts);

#endif
