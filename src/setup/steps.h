/*
 * Doing the steps of a plan and taking them back, with the state file ahead of every change.
 */
#ifndef TPROXY_STEPS_H
#define TPROXY_STEPS_H

#include "state_file.h"

enum step_found {
	FOUND_THERE,
	FOUND_GONE,
	FOUND_CHANGED, /* by somebody else */
	FOUND_UNKNOWN  /* the tool does not say */
};

extern const char *const step_found_names[];

/* What has become of a step; *DETAIL (to be freed) says more where it is neither there nor gone. */
enum step_found steps_look(const json_t *step, char **detail);

/*
 * Does all steps; a failure takes everything back. TOLD (an array) gets a line for each thing that a
 * person has to know. Returns STATUS_*.
 */
int steps_apply(struct state_file *state_file, json_t *messages);

/*
 * Takes back whatever may have been done. What another program changed in between is left as it is and reported,
 * and STATUS_PROBLEM returned. When a tool fails the state file stays, so that it can be tried again.
 */
int steps_revert(struct state_file *state_file, json_t *messages);

/* Adds a line. */
void steps_message(json_t *messages, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Prints the lines to stderr. */
void steps_print_messages(const json_t *messages);

/* The same and what came of it on stdout: a line, or JSON with what is APPLIED where that is not NULL. */
void steps_print_result(
	bool json, const char *result, const json_t *messages, const json_t *applied);

#endif
