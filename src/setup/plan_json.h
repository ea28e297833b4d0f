/*
 * A plan as JSON: what `plan --format json` prints, and what the state file keeps of it.
 */
#ifndef TPROXY_PLAN_JSON_H
#define TPROXY_PLAN_JSON_H

#include "plan.h"

#include <jansson.h>

/* The caller's own, to be given to json_decref(). */
json_t *plan_json(const struct plan *plan);

/* Whether what is to be done is the same, wherever the host puts its policy rules. */
bool plan_json_same(const json_t *applied, const json_t *wanted);

#endif
