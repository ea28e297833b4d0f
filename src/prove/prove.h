/*
 * What a running kernel can do for a transparent proxy, tried in scratch namespaces.
 */
#ifndef TPROXY_PROVE_H
#define TPROXY_PROVE_H

#include "connection.h"
#include "hoststate/capability.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum {
	PROVE_CONNECTIONS_MAX = 64,
	PROVE_OPTIONS_MAX = 64
};

/* All results. */
struct proof {
	char kernel[65];
	bool own_users; /* in a user namespace of its own, where the kernel loads no modules */
	struct findings findings;
	struct connection connections[PROVE_CONNECTIONS_MAX];
	size_t connection_count;
};

/* The suite's profiles that are about the host, in its order. */
enum profile {
	PROFILE_BINDING,
	PROFILE_SOURCE,
	PROFILE_FULL,
	PROFILE_INTERCEPT,
	PROFILE_UDP,
	PROFILE_IPV6,
	PROFILES
};

extern const char *const profile_names[PROFILES];
extern const char *const profile_meanings[PROFILES];

/* The profile with that name, or -1. */
int profile_of(const char *name);

/*
 * Tries everything and fills in PROOF, which is zeroed before. The process is in scratch namespaces (see
 * scratch_run(), which also says OWN_USERS). It is on any of the scratch hosts afterwards.
 */
void prove_run(struct proof *proof, bool own_users);

/* Whether a connection is of a profile, and whether its results show that the profile works. */
bool profile_asks(enum profile profile, const struct connection *connection);
bool profile_shown_by(enum profile profile, const struct connection *connection);

/* Whether any connection shows that the profile works. */
bool profile_is_provable(const struct proof *proof, enum profile profile);

/*
 * Fills in the kernel options that fix what a profile's connections lack; with PROFILES, what is missing and
 * not optional at all. Returns how many. The options of any one firewall tool are enough for a profile.
 */
size_t proof_options(
	const struct proof *proof, enum profile profile, const char *options[PROVE_OPTIONS_MAX]);

/* Of proof_text.c: prints a report for people. VERBOSE adds what was seen of what works. */
void prove_print(const struct proof *proof, enum profile profile, bool verbose, FILE *out);

/* Of proof_json.c: prints one JSON object (fixtures/schema/prove.schema.json). False if that fails. */
bool prove_print_json(const struct proof *proof, enum profile profile, FILE *out);

#endif
