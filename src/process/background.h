/*
 * Going to the background, as HAProxy's `daemon` has it: the command ends when the daemon serves, or with its failure.
 */
#ifndef TPROXY_PROCESS_BACKGROUND_H
#define TPROXY_PROCESS_BACKGROUND_H

#include "log.h"
#include "tproxy/config.h"

/* What the process in the background keeps until it serves. */
struct background {
	int ready;   /* the end of a pipe; its other end is the parent's */
	int nowhere; /* /dev/null, opened as long as files may be opened */
};

/*
 * Goes on in a child process, in a session of its own. The parent waits until background_ready() is called, and ends
 * with status 0 then; where the child ends before, it ends with the child's status. Fills BACKGROUND and returns 0, or -1
 * with errno where there can be no child. Call it before any thread and any event loop.
 */
int background_begin(struct background *background);

/*
 * Lets go of the terminal: standard input, output and error become /dev/null, but for those that a `log` line of CONFIG
 * names. Then the parent ends. Makes the calls dup2(), dup3(), write() and close() only.
 */
void background_ready(
	const struct background *background, const struct config *config, struct log *log);

#endif
