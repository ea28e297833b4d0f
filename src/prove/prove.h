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

/* Everything that was found out. */
struct proof {
	char kernel[65];
	bool own_users; /* tried in a user namespace of its own, where no module is loaded */
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

/* The profile of that name, or -1. */
int profile_of(const char *name);

/* Tries everything. The process is in scratch namespaces (scratch_run()). */
void prove_run(struct proof *proof, bool own_users);

/* Whether a connection is of a profile, and whether it shows that the profile can be had. */
bool profile_asks(enum profile profile, const struct connection *connection);
bool profile_shown_by(enum profile profile, const struct connection *connection);

/* Whether any connection shows it. */
bool profile_is_provable(const struct proof *proof, enum profile profile);

/*
 * The kernel options that would mend what a profile's connections lack; with PROFILES, whatever is
 * missing and not optional. Returns how many; any one firewall tool's are enough for a profile.
 */
size_t proof_options(
	const struct proof *proof, enum profile profile, const char *options[PROVE_OPTIONS_MAX]);

/* For people: what works in which family, then what does not and why. VERBOSE adds what was seen. */
void prove_print(const struct proof *proof, enum profile profile, bool verbose, FILE *out);

/* One JSON object, as fixtures/schema/prove.schema.json describes it. False when it can't be written. */
bool prove_print_json(const struct proof *proof, enum profile profile, FILE *out);

#endif
