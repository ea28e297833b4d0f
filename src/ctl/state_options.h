/*
 * The options of revert and status: --state FILE and --json.
 */
#ifndef TPROXY_STATE_OPTIONS_H
#define TPROXY_STATE_OPTIONS_H

#include <stdbool.h>

struct state_options {
	const char *state;
	bool json;
};

/*
 * Reads the options; USAGE is printed for --help. Returns -1 to go on, or the exit status, with a message where it
 * is STATUS_USAGE. OPTIONS->state points into ARGV.
 */
int state_options_read(struct state_options *options, int argc, char **argv, const char *usage);

#endif
