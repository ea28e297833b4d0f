/*
 * Writes a plan as JSON; state_read.c reads it back.
 *
 * A step has the fields of its kind and no others, and never a null but for chains_before, where it says
 * that there was no table. What is added here has to be added to the rows of state_read.c, too: it refuses
 * fields that it does not know.
 */
#include "plan_json.h"
#include "our_rules.h"

#include <stdlib.h>

const char *const plan_kind_names[] = {"sysctl", "route", "rule", "firewall", NULL};
const char *const plan_state_names[] = {"planned", "begun", "done", "undoing", "undone", NULL};

static void put_text(json_t *object, const char *key, const char *value)
{
	if (value != NULL)
		json_object_set_new(object, key, json_string(value));
}

static void put_number(json_t *object, const char *key, unsigned value)
{
	if (value != 0)
		json_object_set_new(object, key, json_integer(value));
}

static void put_made(json_t *object, const char *key, char *value)
{
	put_text(object, key, value);
	free(value);
}

static void put_commands(json_t *made, const struct step *step)
{
	put_made(made, "name", step_name(step));
	if (step->kind == STEP_ROUTE || step->kind == STEP_RULE) {
		put_made(made, "run", step_command(step, "add"));
		put_made(made, "undo", step_command(step, "del"));
	}
	if (step->kind == STEP_FIREWALL)
		put_made(made, "run", our_rules_loader(step));
}

static json_t *step_json(const struct step *step, bool commands)
{
	json_t *made = json_object();

	put_text(made, "kind", plan_kind_names[step->kind]);
	put_text(made, "family", step->family == AF_INET6 ? "ipv6" : "ipv4");
	put_text(made, "why", step->why);
	put_text(made, "state", plan_state_names[step->state]);
	put_text(made, "sysctl", step->sysctl);
	put_text(made, "value", step->value);
	put_text(made, "was", step->was);
	put_text(made, "to", step->to);
	if (step->kind == STEP_RULE)
		json_object_set_new(made, "preference", json_integer(step->preference));
	put_number(made, "mark", step->mark);
	put_number(made, "table", step->table);
	if (step->kind == STEP_FIREWALL)
		put_text(made, "firewall_tool", firewall_tool_names[step->tool]);
	put_text(made, "input", step->input);
	if (step->chains_before != NULL)
		json_object_set(made, "chains_before", step->chains_before);
	if (step->registers)
		json_object_set_new(made, "registers", json_true());
	put_text(made, "seen", step->seen);
	if (commands)
		put_commands(made, step);
	return made;
}

json_t *plan_json(const struct plan *plan, bool commands)
{
	json_t *root = json_object(), *steps = json_array();

	put_text(root, "recipe", plan_recipe_names[plan->recipe]);
	put_text(root, "firewall_tool", firewall_tool_names[plan->tool]);
	if (plan->marks) {
		put_number(root, "mark", plan->mark);
		put_number(root, "table", plan->table);
	}
	put_text(root, "notes", plan->notes);
	for (size_t i = 0; i < plan->step_count; i++)
		json_array_append_new(steps, step_json(&plan->steps[i], commands));
	json_object_set_new(root, "steps", steps);
	return root;
}
