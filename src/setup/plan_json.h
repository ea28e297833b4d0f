/*
 * A plan as JSON: the state file keeps it, and `plan --format json` and `status --json` print it.
 */
#ifndef TPROXY_PLAN_JSON_H
#define TPROXY_PLAN_JSON_H

#include "plan.h"

#include <jansson.h>

/* The words of JSON, by their enums; NULL behind the last. */
extern const char *const plan_kind_names[];
extern const char *const plan_state_names[];

/*
 * Returns a new reference. COMMANDS: each step also has its name and its commands, for people. The state file
 * has none: what it says is never run, only what follows from it.
 */
json_t *plan_json(const struct plan *plan, bool commands);

#endif
