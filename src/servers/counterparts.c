/*
 * Parts of two configurations are compared by what a person calls them: sections and servers by their
 * names, listeners by where they listen.
 *
 * Most files are reloaded with few changes, so the search for each part begins behind the counterpart
 * that was found last, and nearly always ends there.
 */
#include "counterparts.h"

#include <stdlib.h>
#include <string.h>

struct search {
	const void *parts; /* an array, whose type the predicate knows */
	size_t count, next;
};

typedef bool (*predicate)(const void *parts, size_t index, const void *wanted);

static size_t find(struct search *search, predicate is_it, const void *wanted)
{
	for (size_t i = 0; i < search->count; i++) {
		size_t index = (search->next + i) % search->count;

		if (!is_it(search->parts, index, wanted))
			continue;
		search->next = index + 1;
		return index;
	}
	return COUNTERPART_NONE;
}

/* --- sections and servers --- */

static bool is_frontend(const void *parts, size_t index, const void *name)
{
	const struct proxy *section = (const struct proxy *)parts + index;

	return section->role & ROLE_FRONTEND && strcmp(section->name, name) == 0;
}

static bool is_backend(const void *parts, size_t index, const void *name)
{
	const struct proxy *section = (const struct proxy *)parts + index;

	return section->role & ROLE_BACKEND && strcmp(section->name, name) == 0;
}

static bool is_server(const void *parts, size_t index, const void *name)
{
	return strcmp(((const struct server *)parts)[index].name, name) == 0;
}

static void find_servers(
	struct counterparts *found, const struct proxy *backend, const struct proxy *before)
{
	struct search search = {.parts = before->servers, .count = before->server_count};

	for (size_t i = 0; i < backend->server_count; i++) {
		const struct server *server = &backend->servers[i];
		size_t index = find(&search, is_server, server->name);

		if (index != COUNTERPART_NONE)
			found->servers[server->index] = before->servers[index].index;
		else
			found->servers[server->index] = COUNTERPART_NONE;
	}
}

static void find_sections(
	struct counterparts *found, const struct config *now, const struct config *before)
{
	static const struct proxy none;
	struct search frontends = {.parts = before->proxies, .count = before->proxy_count};
	struct search backends = frontends;

	for (size_t i = 0; i < now->proxy_count; i++) {
		const struct proxy *section = &now->proxies[i];
		size_t index = COUNTERPART_NONE;

		if (section->role & ROLE_FRONTEND)
			index = find(&frontends, is_frontend, section->name);
		found->frontends[i] = index;
		index = COUNTERPART_NONE;
		if (section->role & ROLE_BACKEND)
			index = find(&backends, is_backend, section->name);
		found->backends[i] = index;
		find_servers(found, section,
			index == COUNTERPART_NONE ? &none : &before->proxies[index]);
	}
}

/* --- listeners --- */

static size_t count_binds(const struct config *config, enum mode mode)
{
	size_t count = 0;

	for (size_t i = 0; i < config->proxy_count; i++)
		if (config->proxies[i].mode == mode)
			count += config->proxies[i].bind_count;
	return count;
}

/* All of a configuration and of a mode, in its order; the caller frees the list. NULL: no memory. */
static const struct bind **list_binds(const struct config *config, enum mode mode)
{
	const struct bind **list = calloc(count_binds(config, mode) + 1, sizeof(struct bind *));
	size_t next = 0;

	for (size_t i = 0; i < config->proxy_count && list != NULL; i++)
		for (size_t j = 0; j < config->proxies[i].bind_count; j++)
			if (config->proxies[i].mode == mode)
				list[next++] = &config->proxies[i].binds[j];
	return list;
}

static bool is_same_interface(const struct bind *a, const struct bind *b)
{
	return strcmp(a->interface ? a->interface : "", b->interface ? b->interface : "") == 0;
}

/* What a socket cannot change once it is bound. Its other options can be changed while it listens. */
static bool is_same_place(const void *parts, size_t index, const void *wanted)
{
	const struct bind *a = ((const struct bind *const *)parts)[index], *b = wanted;
	bool same_families = addr_family(&a->address) == AF_INET || a->v6_mode == b->v6_mode;

	return addr_equal(&a->address, &b->address) && is_same_interface(a, b) && same_families;
}

/* Whether a client that connects to one of them could be the other one's, as bind(2) judges it. */
static bool is_overlapping(const void *parts, size_t index, const void *wanted)
{
	const struct bind *a = ((const struct bind *const *)parts)[index], *b = wanted;

	if (addr_port(&a->address) != addr_port(&b->address))
		return false;
	return addr_is_any(&a->address) || addr_is_any(&b->address) ||
	       addr_equal(&a->address, &b->address);
}

static bool find_listeners(
	struct counterparts *found, const struct config *now, const struct config *before)
{
	const struct bind **older = list_binds(before, MODE_TCP);
	const struct bind **newer = list_binds(now, MODE_TCP);
	struct search search = {.parts = older, .count = count_binds(before, MODE_TCP)};
	bool has_memory = older != NULL && newer != NULL;

	for (size_t i = 0; has_memory && newer[i] != NULL; i++) {
		found->listeners[i] = find(&search, is_same_place, newer[i]);
		found->kept += found->listeners[i] != COUNTERPART_NONE;
		found->overlaps[i] = found->listeners[i] == COUNTERPART_NONE &&
				     find(&search, is_overlapping, newer[i]) != COUNTERPART_NONE;
	}
	free(older);
	free(newer);
	return has_memory;
}

bool counterparts_add_receivers(
	struct counterparts *found, const struct config *now, const struct config *before)
{
	const struct bind **older = list_binds(before, MODE_UDP);
	const struct bind **newer = list_binds(now, MODE_UDP);
	struct search search = {.parts = older, .count = count_binds(before, MODE_UDP)};
	bool has_memory = older != NULL && newer != NULL;

	for (size_t i = 0; has_memory && newer[i] != NULL; i++) {
		struct counterpart *receiver = &found->receivers[i];
		size_t index;

		if (receiver->config != NULL)
			continue;
		index = find(&search, is_same_place, newer[i]);
		if (index != COUNTERPART_NONE) {
			*receiver = (struct counterpart){.config = before, .index = index};
			found->kept++;
		} else if (find(&search, is_overlapping, newer[i]) != COUNTERPART_NONE) {
			receiver->overlaps = true;
		}
	}
	free(older);
	free(newer);
	return has_memory;
}

struct counterparts *counterparts_find(const struct config *now, const struct config *before)
{
	size_t sections = now->proxy_count;
	size_t binds = count_binds(now, MODE_TCP);
	size_t count = 2 * sections + now->server_count + binds;
	struct counterparts *found =
		calloc(1, sizeof(*found) + count * sizeof(found->indices[0]) + binds);

	if (found == NULL)
		return NULL;
	found->frontends = found->indices;
	found->backends = found->frontends + sections;
	found->servers = found->backends + sections;
	found->listeners = found->servers + now->server_count;
	found->overlaps = (bool *)(found->listeners + binds);
	found->receivers = calloc(count_binds(now, MODE_UDP) + 1, sizeof(*found->receivers));
	find_sections(found, now, before);
	if (found->receivers != NULL && find_listeners(found, now, before) &&
		counterparts_add_receivers(found, now, before))
		return found;
	counterparts_free(found);
	return NULL;
}

void counterparts_free(struct counterparts *counterparts)
{
	if (counterparts == NULL)
		return;
	free(counterparts->receivers);
	free(counterparts);
}
