/*
 * Strongly connected components, by Tarjan's algorithm (SIAM J. Comput. 1, 1972) with a stack of its
 * own instead of recursion: a chain of frontends can be as long as the file.
 *
 * A node gets its order when it is first met, and LOW is the least order that it can reach on the
 * path that is walked. A node that reaches none before itself closes a component: all that was put
 * aside since.
 */
#include "tproxy/cycles.h"

#include <stdlib.h>

enum {
	OPEN = UINT32_MAX /* of a node that has no component yet */
};

struct node {
	uint32_t order; /* from 1; 0: not met yet */
	uint32_t low;
	size_t edge, end; /* the edges that begin here and were not walked yet */
};

struct walk {
	const struct edge *edges;
	struct node *nodes;
	uint32_t *components;
	uint32_t *path, *aside; /* stacks: from the start to here; met, and without a component */
	size_t path_length, aside_count;
	uint32_t met;
};

static int compare_edges(const void *left, const void *right)
{
	const struct edge *a = left, *b = right;

	return a->from < b->from ? -1 : a->from > b->from;
}

static void enter_node(struct walk *walk, uint32_t at)
{
	walk->nodes[at].order = walk->nodes[at].low = ++walk->met;
	walk->path[walk->path_length++] = at;
	walk->aside[walk->aside_count++] = at;
}

/* All edges of the last node of the path are walked. */
static void leave_node(struct walk *walk)
{
	uint32_t at = walk->path[--walk->path_length], other;
	const struct node *node = &walk->nodes[at];
	struct node *before;

	if (node->low == node->order) {
		do {
			other = walk->aside[--walk->aside_count];
			walk->components[other] = at;
		} while (other != at);
	}
	if (walk->path_length == 0)
		return;
	before = &walk->nodes[walk->path[walk->path_length - 1]];
	if (node->low < before->low)
		before->low = node->low;
}

static void walk_from(struct walk *walk, uint32_t start)
{
	enter_node(walk, start);
	while (walk->path_length > 0) {
		struct node *node = &walk->nodes[walk->path[walk->path_length - 1]];
		uint32_t to;

		if (node->edge == node->end) {
			leave_node(walk);
			continue;
		}
		to = walk->edges[node->edge++].to;
		if (walk->nodes[to].order == 0)
			enter_node(walk, to);
		else if (walk->components[to] == OPEN && walk->nodes[to].order < node->low)
			node->low = walk->nodes[to].order;
	}
}

const uint32_t *cycles_components(
	struct config_memory *memory, size_t node_count, struct edge *edges, size_t edge_count)
{
	struct walk walk = {.edges = edges};

	walk.nodes = memory_alloc(memory, node_count * sizeof(*walk.nodes));
	walk.components = memory_alloc(memory, node_count * sizeof(*walk.components));
	walk.path = memory_alloc(memory, node_count * sizeof(*walk.path));
	walk.aside = memory_alloc(memory, node_count * sizeof(*walk.aside));
	if (walk.nodes == NULL || walk.components == NULL || walk.path == NULL ||
		walk.aside == NULL)
		return NULL;
	qsort(edges, edge_count, sizeof(*edges), compare_edges);
	for (size_t i = 0; i < edge_count; i++) {
		struct node *node = &walk.nodes[edges[i].from];

		if (node->end == 0)
			node->edge = i;
		node->end = i + 1;
	}
	for (size_t i = 0; i < node_count; i++)
		walk.components[i] = OPEN;
	for (size_t i = 0; i < node_count; i++)
		if (walk.nodes[i].order == 0)
			walk_from(&walk, (uint32_t)i);
	return walk.components;
}
