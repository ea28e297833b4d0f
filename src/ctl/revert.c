/*
 * tproxyctl revert: undoes what apply did, also after either was killed.
 *
 * Without a state file nothing is known to be ours: what has our name on the host is reported, and stays.
 */
#include "setup/boot_service.h"
#include "setup/in_use.h"
#include "setup/state_file.h"
#include "setup/steps.h"
#include "state_options.h"
#include "subcommands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
	"usage: tproxyctl revert [--state FILE] [--keep-service] [--json]\n"
	"\n"
	"Undoes what `tproxyctl apply` did; the host is then as it was before. What another\n"
	"program has changed since then stays as it is and is reported. A service of\n"
	"`apply --persist` goes, too. Needs root.\n"
	"\n"
	"  --state FILE   the state file (default: " STATE_FILE_DEFAULT ")\n"
	"  --keep-service leave the service of `apply --persist`: the next boot applies again\n"
	"  --json         print the result as JSON\n"
	"  -h, --help     print this help\n"
	"\n"
	"Exit status: 0 reverted, or nothing was applied; 1 something is left or was changed by\n"
	"another program; 2 wrong arguments or input.\n";

/* Removes the service that would apply again at the next boot. */
static int forget_at_boot(const struct state_options *options, json_t *messages)
{
	char *state = state_options_full_path(options->state);
	int removed = 0;

	if (!options->keep_service)
		removed = boot_service_remove(BOOT_SERVICE_FOLDER, state);
	free(state);
	if (removed == 1) {
		boot_service_reload();
		steps_message(messages, BOOT_SERVICE_FOLDER
			"/" BOOT_SERVICE_NAME " is removed: nothing is applied at boot");
	} else if (removed == -1)
		steps_message(messages, BOOT_SERVICE_FOLDER "/" BOOT_SERVICE_NAME ": %s",
			strerror(errno));
	return removed == -1 ? STATUS_PROBLEM : STATUS_OK;
}

static int report_nothing(
	const struct state_options *options, struct state_file *state_file, json_t *messages)
{
	struct in_use in_use = {0};
	int status = STATUS_OK;

	if (!state_file_remove(state_file))
		return STATUS_PROBLEM;
	if (!in_use_read(&in_use))
		status = STATUS_USAGE;
	if (in_use.leftover != NULL) {
		steps_message(messages,
			"%s is on this host, but not in the state file %s: it is left in "
			"place. Use the --state that apply had",
			in_use.leftover, options->state);
		status = STATUS_PROBLEM;
	}
	steps_print_result(options->json, "nothing was applied", messages, NULL);
	in_use_free(&in_use);
	return status;
}

static int revert(const struct state_options *options, struct state_file *state_file)
{
	json_t *messages = json_array();
	int status;

	if (forget_at_boot(options, messages) != STATUS_OK)
		status = STATUS_PROBLEM;
	else if (!state_file->applied)
		status = report_nothing(options, state_file, messages);
	else {
		status = steps_revert(state_file, messages);
		steps_print_result(options->json,
			status == STATUS_OK    ? "reverted"
			: !state_file->applied ? "reverted, except for what other programs changed"
					       : "not reverted",
			messages, NULL);
	}
	json_decref(messages);
	return status;
}

int revert_command(int argc, char **argv)
{
	struct state_options options;
	struct state_file state_file = {.lock = -1};
	int status = state_options_read(&options, argc, argv, usage, true);

	if (status != -1)
		return status;
	if (geteuid() != 0) {
		fputs("tproxyctl: revert needs root\n", stderr);
		return STATUS_USAGE;
	}
	status = state_file_open(&state_file, options.state, true);
	if (status == STATUS_OK)
		status = revert(&options, &state_file);
	state_file_close(&state_file);
	return status;
}
