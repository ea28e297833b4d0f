/*
 * Doing the steps of a plan and taking them back, with the state file ahead of every change.
 */
#ifndef TPROXY_APPLY_H
#define TPROXY_APPLY_H

#include "state_file.h"

enum piece {
	PIECE_THERE,
	PIECE_GONE,
	PIECE_CHANGED, /* by somebody else */
	PIECE_UNKNOWN  /* the tool does not say */
};

extern const char *const piece_names[];

/* What has become of a step; *DETAIL (to be freed) says more where it is neither there nor gone. */
enum piece piece_look(const json_t *step, char **detail);

/*
 * Does all steps; a failure takes everything back. TOLD (an array) gets a line for each thing that a
 * person has to know. Returns STATUS_*.
 */
int apply_steps(struct state_file *state_file, json_t *told);

/*
 * Takes back whatever may have been done. What somebody else changed in between is left as it is, told,
 * and STATUS_PROBLEM returned. When a tool fails the state file stays, so that it can be tried again.
 */
int take_back(struct state_file *state_file, json_t *told);

/* Adds a line. */
void tell(json_t *told, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Prints the lines to stderr. */
void print_told(const json_t *told);

/* The same and what came of it on stdout: a line, or JSON with what is APPLIED where that is not NULL. */
void report_told(bool json, const char *result, const json_t *told, const json_t *applied);

#endif
