/*
 * The state file: what was done to the host, written ahead of every change.
 *
 * A JSON object with the plan and its steps; each step's "state" is one of
 *
 *     planned   not begun      begun   perhaps done      done      undoing   perhaps taken back      undone
 *
 * The file is replaced whole (temporary file, fsync, rename), so it is always one state or the next. Its
 * folder is locked while anybody changes the host, and programs that are run inherit the lock: should we
 * be killed, nobody goes on before the last of them has ended.
 */
#ifndef TPROXY_STATE_FILE_H
#define TPROXY_STATE_FILE_H

#include <jansson.h>
#include <stdbool.h>

#define STATE_FILE_DEFAULT "/run/tproxyctl/state.json"

enum {
	STATE_FILE_FORMAT = 1 /* of the file; another one is another language */
};

struct state_file {
	const char *path;
	int lock;     /* the folder, or -1 */
	json_t *root; /* NULL: nothing is applied */
};

/*
 * Opens it, locked where CHANGES are to be made. Returns STATUS_OK, or another with a message on stderr:
 * the file is damaged or of another network namespace, or another process is at work. A file is believed as a
 * whole or not at all: its commands are run by root, and what it says was there before is put back.
 */
int state_file_open(struct state_file *state_file, const char *path, bool changes);

/* Of state_file_check.c: why ROOT is no state file of ours, to be freed; NULL where it is one. */
char *state_file_problem(const json_t *root);

/* A fresh one for a plan (taken over) in which nothing is begun. */
void state_file_start(struct state_file *state_file, json_t *plan);

/* False with a message where it cannot be written. */
bool state_file_write(const struct state_file *state_file);

/* Notes the state of a step and writes that down. */
bool state_file_mark(const struct state_file *state_file, json_t *step, const char *state);

/* Nothing is applied any more: the file goes away. */
bool state_file_remove(struct state_file *state_file);

void state_file_close(struct state_file *state_file);

json_t *state_file_steps(const struct state_file *state_file);

/* Whether every step was done and nothing has begun to be taken back. */
bool state_file_complete(const struct state_file *state_file);

#endif
