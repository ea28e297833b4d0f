/*
 * tproxyctl status: what is applied, by which plan, since when, and whether all of it is still there.
 */
#include "hoststate/sysctl.h"
#include "setup/state_file.h"
#include "setup/steps.h"
#include "state_options.h"
#include "subcommands.h"
#include "tproxy/json.h"
#include "tproxy/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
	"usage: tproxyctl status [--state FILE] [--json]\n"
	"\n"
	"Says what is applied, by which plan, since when, and whether each each is there still.\n"
	"\n"
	"  --state FILE   the state file (default: " STATE_FILE_DEFAULT ")\n"
	"  --json         tell it as JSON\n"
	"  -h, --help     print this help\n"
	"\n"
	"Exit status: 0 all of it is there, or nothing is applied; 1 something is not, or an\n"
	"apply or revert was interrupted; 2 wrong arguments or input.\n";

/* The steps with what was found of each; *WHOLE: all are there. */
static json_t *look_at_steps(const struct state_file *state_file, bool *whole)
{
	json_t *made = json_array(), *step;
	size_t i;

	*whole = state_file_complete(state_file);
	for (i = 0; (step = json_array_get(state_file_steps(state_file), i)) != NULL; i++) {
		char *detail = NULL;
		enum step_found found = steps_look(step, &detail);
		json_t *each = json_object();

		json_object_set_new(each, "kind", json_string(json_text(step, "kind")));
		json_object_set_new(each, "family", json_string(json_text(step, "family")));
		json_object_set_new(each, "name", json_string(json_text(step, "name")));
		json_object_set_new(each, "found", json_string(step_found_names[found]));
		if (detail != NULL)
			json_object_set_new(each, "detail", json_string(detail));
		json_array_append_new(made, each);
		*whole = *whole && found == FOUND_THERE;
		free(detail);
	}
	return made;
}

static void print_plan(const struct state_file *state_file)
{
	const json_t *plan = json_object_get(state_file->root, "plan");
	const json_t *mark = json_object_get(plan, "mark");

	printf("%s since %s: recipe %s, firewall tool %s",
		state_file_complete(state_file) ? "applied" : "interrupted",
		json_text(state_file->root, "since"), json_text(plan, "recipe"),
		json_text(plan, "firewall_tool"));
	if (mark != NULL)
		printf(", mark 0x%llx, table %lld", (unsigned long long)json_integer_value(mark),
			(long long)json_integer_value(json_object_get(plan, "table")));
	putchar('\n');
}

static void print_text(const struct state_file *state_file, const json_t *list)
{
	const json_t *each;
	size_t i;

	print_plan(state_file);
	for (i = 0; (each = json_array_get(list, i)) != NULL; i++) {
		bool sysctl = strcmp(json_text(each, "kind"), "sysctl") == 0;
		char *name = sysctl ? sysctl_name(json_text(each, "name"))
				    : text_format("%s", json_text(each, "name"));

		printf("  %-8s %s %s", json_text(each, "found"), json_text(each, "family"), name);
		if (*json_text(each, "detail") != '\0')
			printf(": %s", json_text(each, "detail"));
		putchar('\n');
		free(name);
	}
	if (!state_file_complete(state_file))
		puts("`tproxyctl revert` takes back what is there.");
}

static void print_json(const struct state_file *state_file, json_t *list, bool whole)
{
	json_t *root = json_object();

	json_object_set_new(root, "applied", json_boolean(state_file->root != NULL));
	json_object_set_new(root, "complete", json_boolean(whole));
	if (state_file->root != NULL) {
		json_object_set_new(
			root, "interrupted", json_boolean(!state_file_complete(state_file)));
		json_object_set(root, "since", json_object_get(state_file->root, "since"));
		json_object_set(root, "plan", json_object_get(state_file->root, "plan"));
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
	int status = state_options_read(&options, argc, argv, usage);

	if (status != -1)
		return status;
	status = state_file_open(&state_file, options.state, false);
	if (status != STATUS_OK)
		return status;
	list = look_at_steps(&state_file, &whole);
	if (options.json)
		print_json(&state_file, list, whole);
	else if (state_file.root == NULL)
		puts("nothing is applied");
	else
		print_text(&state_file, list);
	status = state_file.root == NULL || whole ? STATUS_OK : STATUS_PROBLEM;
	json_decref(list);
	state_file_close(&state_file);
	return status;
}
