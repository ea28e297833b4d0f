/*
 * A plan as JSON; see the header.
 *
 * Two plans are the same when they do the same: which preference a policy rule gets hangs on the rules
 * that are there, our own included, and a sysctl that is set already needs no step any more.
 */
#include "plan_json.h"
#include "tproxy/json.h"

#include <stdlib.h>
#include <string.h>

static const char *const kinds[] = {"sysctl", "route", "rule", "firewall"};

static void put(json_t *object, const char *key, const char *value)
{
	if (value != NULL)
		json_object_set_new(object, key, json_string(value));
}

static json_t *step_json(const struct plan *plan, const struct step *step)
{
	json_t *made = json_object();

	put(made, "kind", kinds[step->kind]);
	put(made, "family", step->family == AF_INET6 ? "ipv6" : "ipv4");
	put(made, "name", step->name);
	put(made, "why", step->why);
	put(made, "value", step->value);
	put(made, "was", step->was);
	put(made, "run", step->run);
	put(made, "input", step->input);
	put(made, "undo", step->undo);
	put(made, "probe", step->probe);
	if (step->kind == STEP_FIREWALL)
		put(made, "firewall_tool", firewall_tool_names[plan->tool]);
	return made;
}

json_t *plan_json(const struct plan *plan)
{
	json_t *root = json_object(), *steps = json_array();

	put(root, "recipe", plan_recipe_names[plan->recipe]);
	put(root, "firewall_tool", firewall_tool_names[plan->tool]);
	if (plan->marks) {
		json_object_set_new(root, "mark", json_integer(plan->mark));
		json_object_set_new(root, "table", json_integer(plan->table));
	}
	put(root, "notes", plan->notes);
	for (size_t i = 0; i < plan->step_count; i++)
		json_array_append_new(steps, step_json(plan, &plan->steps[i]));
	json_object_set_new(root, "steps", steps);
	return root;
}

static bool is_kind(const json_t *step, enum step_kind kind)
{
	return strcmp(json_text(step, "kind"), kinds[kind]) == 0;
}

/* The next step from *AT on that two plans have to agree on. */
static const json_t *next_step(const json_t *steps, size_t *at)
{
	const json_t *step;

	while ((step = json_array_get(steps, (*at)++)) != NULL)
		if (is_kind(step, STEP_ROUTE) || is_kind(step, STEP_FIREWALL))
			return step;
	return NULL;
}

static bool sets_sysctls(const json_t *plan)
{
	const json_t *step;
	size_t i;

	for (i = 0; (step = json_array_get(json_object_get(plan, "steps"), i)) != NULL; i++)
		if (is_kind(step, STEP_SYSCTL))
			return true;
	return false;
}

bool plan_json_same(const json_t *applied, const json_t *wanted)
{
	static const char *const keys[] = {"recipe", "firewall_tool", "mark", "table"};
	const json_t *mine, *other;
	size_t i = 0, j = 0;

	for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
		mine = json_object_get(applied, keys[k]);
		other = json_object_get(wanted, keys[k]);
		if ((mine == NULL) != (other == NULL) || (mine != NULL && !json_equal(mine, other)))
			return false;
	}
	do {
		mine = next_step(json_object_get(applied, "steps"), &i);
		other = next_step(json_object_get(wanted, "steps"), &j);
		if ((mine == NULL) != (other == NULL))
			return false;
		if (mine != NULL &&
			(strcmp(json_text(mine, "run"), json_text(other, "run")) != 0 ||
				strcmp(json_text(mine, "input"), json_text(other, "input")) != 0))
			return false;
	} while (mine != NULL);
	return !sets_sysctls(wanted);
}
