/*
 * Running the host's own tools: iptables-save, nft, ip and the like.
 *
 * The host tool reads the firewall through what its tools give to programs, and changes the host by
 * the same commands that a person would type. A program is looked for in PATH, then in /usr/sbin and
 * /sbin, which an ordinary user's PATH often lacks. Nothing passes through a shell. What does not end
 * within a limit is killed, with whatever it has started: it would keep the host locked for ever. So is
 * what writes without an end. An answer counts only where all of it was read.
 */
#ifndef TPROXY_COMMAND_H
#define TPROXY_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

struct subprocess_result {
	int status; /* exit status; 128 + the signal that ended it; -1: it could not be started */
	char *out;  /* what it wrote, with a final NUL that length does not count */
	size_t length;
	char *errors; /* what it wrote to stderr, or what went wrong; neither this nor `out` is NULL */
	bool timed_out; /* it did not end within the limit, and was killed; errors says so, too */
};

/* The environment's word for the limit in seconds; without it, it is a minute. */
#define SUBPROCESS_LIMIT "TPROXYCTL_TOOL_SECONDS"

enum {
	SUBPROCESS_OUTPUT_MAX = 256 << 20 /* bytes that a program may write */
};

/* Whether a program of that name can be found. */
bool subprocess_exists(const char *name);

/*
 * Runs ARGV (its last entry NULL) with INPUT on its stdin (NULL: nothing), in the C locale, and waits
 * for its end. Returns true when it was started, ended with status 0, and what it wrote is whole: read to
 * the end, and text (no NUL in it). RESULT is filled in either way and has to be given to subprocess_free().
 */
bool subprocess_run(const char *const argv[], const char *input, struct subprocess_result *result);

/*
 * The same for words in one line, divided by blanks; 'quoted' words may hold blanks. A line without a word,
 * or with a quote that is not closed, runs nothing, and fails.
 */
bool subprocess_run_line(const char *line, const char *input, struct subprocess_result *result);

/* Why LINE failed, with RESULT: "`LINE`: the first line of its stderr"; to be freed. */
char *subprocess_problem(const char *line, const struct subprocess_result *result);

void subprocess_free(struct subprocess_result *result);

#endif
