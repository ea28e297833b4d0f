/*
 * The state file: what was done to the host, written before every change.
 *
 * A JSON object with the plan and its steps; each step's "state" is one of
 *
 *     planned   not begun      begun   perhaps done      done      undoing   perhaps undone      undone
 *
 * The file is replaced as a whole (temporary file, fsync, rename), so it is always one state or the next. Its
 * folder is locked while a program changes the host. Programs that we run inherit the lock: if we are
 * killed, no other tproxyctl starts before the last of them has ended.
 */
#ifndef TPROXY_STATE_FILE_H
#define TPROXY_STATE_FILE_H

#include "plan.h"

#include <jansson.h>
#include <stdbool.h>

#define STATE_FILE_DEFAULT "/run/tproxyctl/state.json"

enum {
	STATE_FILE_FORMAT = 2 /* of the file; any other number is refused */
};

struct state_file {
	const char *path; /* the caller's */
	int lock;         /* the folder, or -1 */
	bool applied;     /* there is a file, and what follows is from it */
	char *since;      /* when apply began, in UTC */
	char *boot;       /* the boot and the network namespace that it is about */
	char *namespace;
	struct plan plan;
};

/*
 * Opens the file at PATH, which has to stay; locks its folder if CHANGES are to be made, and waits up to 10 s
 * for that. A file of an earlier boot counts as none, since nothing of it is left. Returns STATUS_OK, or
 * with a message on stderr STATUS_USAGE (damaged, writable by others, of another network namespace) or
 * STATUS_PROBLEM (not locked). The file is used as a whole or not at all: root acts on what it says.
 */
int state_file_open(struct state_file *state_file, const char *path, bool changes);

/*
 * Of state_read.c: fills in all but path, lock and applied from JSON. Returns why ROOT is not a state file of
 * ours, to be freed, or NULL. Either way the fields have to be given to state_file_close().
 */
char *state_file_read(struct state_file *state_file, const json_t *root);

/* Begins a file for PLAN, which is moved into it (*PLAN is zero then). All steps are planned. Writes nothing. */
void state_file_start(struct state_file *state_file, struct plan *plan);

/* The file as JSON, a new reference; COMMANDS as in plan_json(). JSON null where nothing is applied. */
json_t *state_file_json(const struct state_file *state_file, bool commands);

/* Writes the file; false with a message where that fails. */
bool state_file_write(const struct state_file *state_file);

/* Sets the state of a step of the file's plan and writes the file; false with a message where that fails. */
bool state_file_mark(const struct state_file *state_file, struct step *step, enum step_state state);

/* Removes the file: nothing is applied any more. False with a message where that fails. */
bool state_file_remove(struct state_file *state_file);

/* Frees everything and gives the lock back. */
void state_file_close(struct state_file *state_file);

/* Whether a plan is applied, all of its steps are done, and no revert has begun. */
bool state_file_complete(const struct state_file *state_file);

#endif
