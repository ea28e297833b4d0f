/*
 * tproxyctl apply: sets the host up, all or nothing.
 */
#include "plan_options.h"
#include "setup/plan_json.h"
#include "setup/state_file.h"
#include "setup/steps.h"
#include "subcommands.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char usage[] =
	"usage: tproxyctl apply [OPTION ...]\n"
	"\n"
	"Sets the host up as `tproxyctl plan` with the same options prints, all or nothing.\n"
	"What a killed apply or revert left is taken back first. Needs root.\n"
	"\n" PLAN_OPTIONS_HELP "  --json                   tell the result as JSON\n"
	"  -h, --help               print this help\n"
	"\n"
	"iptables-legacy registers its table mangle with the kernel for good: an empty table is\n"
	"what `tproxyctl revert` cannot take back. Without nft it cannot take back the table that\n"
	"iptables makes, either, and says what can.\n"
	"\n"
	"Exit status: 0 applied, or it was already; 1 refused or failed, and the host is as\n"
	"before; 2 wrong arguments or input.\n";

/* What is missing of that which the state file says was done. */
static bool all_there(const struct state_file *state_file, json_t *messages)
{
	const json_t *step;
	bool whole = true;
	size_t i;

	for (i = 0; (step = json_array_get(state_file_steps(state_file), i)) != NULL; i++) {
		char *detail = NULL;
		enum step_found found = steps_look(step, &detail);

		if (found != FOUND_THERE) {
			whole = false;
			steps_message(messages, "%s is %s%s%s",
				json_string_value(json_object_get(step, "name")),
				step_found_names[found], detail != NULL ? ": " : "",
				detail != NULL ? detail : "");
		}
		free(detail);
	}
	return whole;
}

/* The host has a plan applied: this one, or another. */
static int again(const struct plan_options *options, const struct state_file *state_file,
	json_t *plan, json_t *messages)
{
	bool same = plan_json_same(json_object_get(state_file->root, "plan"), plan);

	json_decref(plan);
	if (!same) {
		steps_message(messages,
			"another plan is applied, or the host needs more than it did then: "
			"`tproxyctl revert` first");
		steps_print_result(options->json, "refused", messages, state_file->root);
		return STATUS_PROBLEM;
	}
	if (!all_there(state_file, messages)) {
		steps_message(messages,
			"this plan was applied, and somebody else took part of it away: "
			"`tproxyctl revert`, then apply again");
		steps_print_result(options->json, "incomplete", messages, state_file->root);
		return STATUS_PROBLEM;
	}
	steps_print_result(options->json, "already applied", messages, state_file->root);
	return STATUS_OK;
}

static int recover(struct state_file *state_file, json_t *messages)
{
	if (state_file->root == NULL || state_file_complete(state_file))
		return STATUS_OK;
	steps_message(
		messages, "an earlier apply or revert was interrupted: taking back what it left");
	return steps_revert(state_file, messages);
}

static int apply(struct plan_options *options, struct state_file *state_file, json_t *messages)
{
	int status = recover(state_file, messages);

	if (status == STATUS_OK)
		status = plan_options_make(options, state_file->root != NULL);
	if (status == STATUS_OK && state_file->root != NULL)
		return again(options, state_file, plan_json(&options->plan), messages);
	if (status == STATUS_OK)
		status = plan_options_conflicts(options);
	if (status != STATUS_OK) {
		steps_print_messages(messages);
		return status;
	}
	state_file_start(state_file, plan_json(&options->plan));
	status = steps_apply(state_file, messages);
	steps_print_result(options->json, status == STATUS_OK ? "applied" : "failed", messages,
		state_file->root);
	return status;
}

int apply_command(int argc, char **argv)
{
	struct plan_options options;
	struct state_file state_file = {.lock = -1};
	json_t *messages = json_array();
	int status = plan_options_read(&options, argc, argv, usage, false);

	if (status != -1)
		goto out;
	status = STATUS_USAGE;
	if (geteuid() != 0)
		fputs("tproxyctl: apply needs root\n", stderr);
	else
		status = state_file_open(&state_file, options.state, true);
	if (status == STATUS_OK)
		status = apply(&options, &state_file, messages);
out:
	state_file_close(&state_file);
	json_decref(messages);
	plan_options_free(&options);
	return status;
}
