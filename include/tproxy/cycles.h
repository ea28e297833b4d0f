/* Cycles of a directed graph, in time and memory proportional to its size. */
#ifndef TPROXY_CYCLES_H
#define TPROXY_CYCLES_H

#include "tproxy/memory.h"

#include <stdint.h>

struct edge {
	uint32_t from, to; /* nodes are numbers from 0 */
};

/*
 * Gives each of NODE_COUNT nodes the number of its component, such that an edge lies on a cycle
 * exactly when both of its ends have the same number. Sorts EDGES by where they begin. Returns NULL
 * where MEMORY is exhausted, which it takes the answer from.
 */
const uint32_t *cycles_components(
	struct config_memory *memory, size_t node_count, struct edge *edges, size_t edge_count);

#endif
