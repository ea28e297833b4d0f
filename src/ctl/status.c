/*
 * tproxyctl status: what is applied, by which plan, since when, and whether all of it is still there.
 *
 * The state file says what was done, and the host what is there: both have to agree for exit status 0.
 */
#include "setup/plan_json.h"
#include "setup/state_file.h"
#include "setup/steps.h"
#include "state_options.h"
#include "subcommands.h"
#include "tproxy/json.h"

#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
	"usage: tproxyctl status [--state FILE] [--json]\n"
	"\n"
	"Prints what is applied, by which plan, since when, and whether each step is still there.\n"
	"\n"
	"  --state FILE   the state file (default: " STATE_FILE_DEFAULT ")\n"
	"  --json         print JSON\n"
	"  -h, --help     print this help\n"
	"\n"
	"Exit status: 0 all of it is there, or nothing is applied; 1 something is not there, or\n"
	"an apply or revert was interrupted; 2 wrong arguments or input.\n";

/* The steps with what was found of each; *WHOLE: all are there. */
static json_t *look_at_steps(const struct state_file *state_file, bool *whole)
{
	json_t *list = json_array();

	*whole = state_file_complete(state_file);
	for (size_t i = 0; i < state_file->plan.step_count; i++) {
		const struct step *step = &state_file->plan.steps[i];
		char *detail = NULL, *name = step_name(step);
		enum step_found found = step_look(step, &detail);

		json_array_append_new(list,
			json_pack("{s:s, s:s, s:s, s:s, s:s*}", "kind", plan_kind_names[step->kind],
				"family", step->family == AF_INET6 ? "ipv6" : "ipv4", "name", name,
				"found", step_found_names[found], "detail", detail));
		*whole = *whole && found == FOUND_THERE;
		free(detail);
		free(name);
	}
	return list;
}

static void print_text(const struct state_file *state_file, const json_t *list)
{
	const struct plan *plan = &state_file->plan;
	const json_t *each;
	size_t i;

	printf("%s since %s: recipe %s, firewall tool %s",
		state_file_complete(state_file) ? "applied" : "interrupted", state_file->since,
		plan_recipe_names[plan->recipe], firewall_tool_names[plan->tool]);
	if (plan->marks)
		printf(", mark 0x%x, table %u", plan->mark, plan->table);
	putchar('\n');
	for (i = 0; (each = json_array_get(list, i)) != NULL; i++) {
		printf("  %-8s %s %s", json_text(each, "found"), json_text(each, "family"),
			json_text(each, "name"));
		if (*json_text(each, "detail") != '\0')
			printf(": %s", json_text(each, "detail"));
		putchar('\n');
	}
	if (!state_file_complete(state_file))
		puts("`tproxyctl revert` undoes what is there.");
}

static void print_json(const struct state_file *state_file, json_t *list, bool whole)
{
	json_t *root = json_object();

	json_object_set_new(root, "applied", json_boolean(state_file->applied));
	json_object_set_new(root, "complete", json_boolean(whole));
	if (state_file->applied) {
		json_object_set_new(
			root, "interrupted", json_boolean(!state_file_complete(state_file)));
		json_object_set_new(root, "since", json_string(state_file->since));
		json_object_set_new(root, "plan", plan_json(&state_file->plan, true));
	}
	json_object_set(root, "steps", list);
	json_dumpf(root, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(root);
}

int status_command(int argc, char **argv)
{
	struct state_options options;
	struct state_file state_file;
	bool whole;
	json_t *list;
	int status = state_options_read(&options, argc, argv, usage, false);

	if (status != -1)
		return status;
	status = state_file_open(&state_file, options.state, false);
	if (status != STATUS_OK)
		return status;
	list = look_at_steps(&state_file, &whole);
	if (options.json)
		print_json(&state_file, list, whole);
	else if (!state_file.applied)
		puts("nothing is applied");
	else
		print_text(&state_file, list);
	status = !state_file.applied || whole ? STATUS_OK : STATUS_PROBLEM;
	json_decref(list);
	state_file_close(&state_file);
	return status;
}
