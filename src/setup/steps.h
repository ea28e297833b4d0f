/*
 * Does the steps of a plan and reverts them; the state file is written before every change.
 */
#ifndef TPROXY_STEPS_H
#define TPROXY_STEPS_H

#include "state_file.h"

enum step_found {
	FOUND_THERE,
	FOUND_GONE,
	FOUND_CHANGED, /* by another program */
	FOUND_UNKNOWN  /* it cannot be read */
};

/* "there", "gone", "changed", "unknown". */
extern const char *const step_found_names[];

/* What the host has of a step now. *DETAIL (NULL before, to be freed) says more about the last two. */
enum step_found step_look(const struct step *step, char **detail);

/*
 * Does all steps of the file's plan; if one fails, reverts all. Adds lines for people to MESSAGES, a JSON
 * array. Returns STATUS_OK or STATUS_PROBLEM.
 */
int steps_apply(struct state_file *state_file, json_t *messages);

/*
 * Reverts every step that may have been done, the last one first. What another program changed since is left
 * as it is and reported, and the result is STATUS_PROBLEM. When a tool fails the state file stays, so that
 * revert can be repeated; else it is removed.
 */
int steps_revert(struct state_file *state_file, json_t *messages);

/* Adds a line to MESSAGES. */
void steps_message(json_t *messages, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Prints the lines to stderr. */
void steps_print_messages(const json_t *messages);

/*
 * Prints the lines to stderr, and RESULT to stdout: as a line, or as JSON with the messages and with what is
 * APPLIED (NULL: leave that out). The reference to APPLIED is taken over.
 */
void steps_print_result(bool json, const char *result, const json_t *messages, json_t *applied);

#endif
