/*
 * Runs the host's own tools: iptables-save, nft, ip and the like.
 *
 * A program is searched for in PATH, then in /usr/sbin and /sbin, which an ordinary user's PATH often lacks. No shell
 * is involved. A program that does not end within the limit, or writes without an end, is killed with everything that
 * it has started: it could keep a lock of the host for ever. Output counts only if all of it was read.
 */
#ifndef TPROXY_SUBPROCESS_H
#define TPROXY_SUBPROCESS_H

#include <stdbool.h>
#include <stddef.h>

struct subprocess_result {
	int status; /* exit status; 128 + the signal that ended it; -1: not started */
	char *out;  /* its output, with a NUL behind it that `length` does not count */
	size_t length;
	char *errors;   /* its stderr, or what went wrong; like `out` never NULL */
	bool timed_out; /* it did not end within the limit and was killed; errors says so, too */
};

/* The environment variable with the limit in seconds; 60 by default. */
#define SUBPROCESS_LIMIT "TPROXYCTL_TOOL_SECONDS"

enum {
	SUBPROCESS_OUTPUT_MAX = 256 << 20 /* bytes of stdout and stderr together */
};

/* Whether a program of that name is installed. */
bool subprocess_exists(const char *name);

/*
 * Runs ARGV (its last entry NULL) with INPUT on its stdin (NULL: nothing) in the C locale, and waits for its end.
 * Returns true if it was started, ended with status 0, and its output is complete and text (without a NUL). RESULT
 * is filled in either way, to be freed by subprocess_free().
 */
bool subprocess_run(const char *const argv[], const char *input, struct subprocess_result *result);

/*
 * The same for a command in one line: words with blanks between them; a 'quoted' word may have blanks in it. A line
 * without a word, or with an open quote, runs nothing and fails.
 */
bool subprocess_run_line(const char *line, const char *input, struct subprocess_result *result);

/* Why LINE failed, with RESULT: "`LINE`: the first line of its stderr"; to be freed. */
char *subprocess_problem(const char *line, const struct subprocess_result *result);

void subprocess_free(struct subprocess_result *result);

#endif
