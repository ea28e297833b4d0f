/*
 * The options of revert and status: --state FILE, --json, and of revert --keep-service.
 */
#ifndef TPROXY_STATE_OPTIONS_H
#define TPROXY_STATE_OPTIONS_H

#include <stdbool.h>

struct state_options {
	const char *state;
	bool json;
	bool keep_service; /* of `apply --persist` */
};

/*
 * Reads the options; REVERTS: --keep-service is one of them. USAGE is printed for --help. Returns -1 to go on, or the exit status, with a message where it
 * is STATUS_USAGE. OPTIONS->state points into ARGV.
 */
int state_options_read(
	struct state_options *options, int argc, char **argv, const char *usage, bool reverts);

/* The path of a state file from the root on, to be freed: services run in another folder. */
char *state_options_full_path(const char *state);

#endif
