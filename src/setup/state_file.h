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
#ifndef TPROXY_JOURNAL_H
#define TPROXY_JOURNAL_H

#include <jansson.h>
#include <stdbool.h>

#define JOURNAL_DEFAULT "/run/tproxyctl/state.json"

enum {
	JOURNAL_FORMAT = 1 /* of the file; another one is another language */
};

struct journal {
	const char *path;
	int lock;     /* the folder, or -1 */
	json_t *root; /* NULL: nothing is applied */
};

/*
 * Opens it, locked where CHANGES are to be made. Returns STATUS_WELL, or another with a message on stderr:
 * the file is damaged or of another network namespace, or another process is at work. A file is believed as a
 * whole or not at all: its commands are run by root, and what it says was there before is put back.
 */
int journal_open(struct journal *journal, const char *path, bool changes);

/* Of journal_check.c: why ROOT is no state file of ours, to be freed; NULL where it is one. */
char *journal_problem(const json_t *root);

/* A fresh one for a plan (taken over) in which nothing is begun. */
void journal_start(struct journal *journal, json_t *plan);

/* False with a message where it cannot be written. */
bool journal_write(const struct journal *journal);

/* Notes the state of a step and writes that down. */
bool journal_mark(const struct journal *journal, json_t *step, const char *state);

/* Nothing is applied any more: the file goes away. */
bool journal_remove(struct journal *journal);

void journal_close(struct journal *journal);

json_t *journal_steps(const struct journal *journal);

/* Whether every step was done and nothing has begun to be taken back. */
bool journal_complete(const struct journal *journal);

#endif
