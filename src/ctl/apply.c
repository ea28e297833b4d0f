/*
 * tproxyctl apply: sets the host up, all or nothing.
 *
 * What a killed apply or revert left is reverted first. Then the plan is made anew and compared with what is
 * applied: the same plan changes nothing, another one is refused, and so is one of which a part is gone.
 * With --persist, a service of systemd applies the same at each boot.
 */
#include "plan_options.h"
#include "setup/boot_service.h"
#include "setup/state_file.h"
#include "setup/steps.h"
#include "state_options.h"
#include "subcommands.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
	"usage: tproxyctl apply [OPTION ...]\n"
	"\n"
	"Sets the host up as `tproxyctl plan` prints it with the same options, all or nothing.\n"
	"If an apply or revert was killed, its changes are reverted first. Needs root.\n"
	"\n" PLAN_OPTIONS_HELP
	"  --persist                do the same at each boot, before the proxy starts: write and\n"
	"                           enable " BOOT_SERVICE_FOLDER "/" BOOT_SERVICE_NAME "\n"
	"  --json                   print the result as JSON\n"
	"  -h, --help               print this help\n"
	"\n"
	"`tproxyctl revert` cannot remove two things. iptables-legacy registers its table mangle\n"
	"with the kernel for good, so an empty table stays. The table that iptables creates can be\n"
	"removed by nft only; without nft it stays, and revert prints the command.\n"
	"\n"
	"Exit status: 0 applied, or it was already; 1 refused or failed, and the host is as\n"
	"before; 2 wrong arguments or input.\n";

/* Reports the steps that were done and are not there any more; true: there is none. */
static bool report_missing(const struct plan *plan, json_t *messages)
{
	bool whole = true;

	for (size_t i = 0; i < plan->step_count; i++) {
		char *detail = NULL, *name = step_name(&plan->steps[i]);
		enum step_found found = step_look(&plan->steps[i], &detail);

		if (found != FOUND_THERE) {
			whole = false;
			steps_message(messages, "%s is %s%s%s", name, step_found_names[found],
				detail != NULL ? ": " : "", detail != NULL ? detail : "");
		}
		free(detail);
		free(name);
	}
	return whole;
}

/* The service that applies the same at boot, to be freed. NULL with a message: there cannot be one. */
static char *boot_service(const struct plan_options *options)
{
	char program[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
	char *text = NULL, *state = state_options_full_path(options->state);

	program[length > 0 ? length : 0] = '\0';
	switch (boot_service_look(BOOT_SERVICE_FOLDER)) {
	case BOOT_SERVICE_NO_SYSTEMD:
		fputs("tproxyctl: --persist: this host has no " BOOT_SERVICE_FOLDER
		      ", so it does not boot with systemd. `tproxyctl plan --format ifupdown` prints lines for "
		      "/etc/network/interfaces. Nothing was changed\n",
			stderr);
		break;
	case BOOT_SERVICE_FOREIGN:
		fputs("tproxyctl: --persist: " BOOT_SERVICE_FOLDER "/" BOOT_SERVICE_NAME
		      " is there, and `apply --persist` did not write it. Nothing was changed. "
		      "Move it away\n",
			stderr);
		break;
	default:
		text = boot_service_text(
			program, (const char *const *)options->words, options->word_count, state);
		if (text == NULL)
			fputs("tproxyctl: --persist: a control character is in an option. Nothing was changed\n",
				stderr);
	}
	free(state);
	return text;
}

static int persist(const char *service, json_t *messages)
{
	if (service == NULL)
		return STATUS_OK;
	if (boot_service_install(BOOT_SERVICE_FOLDER, service)) {
		boot_service_reload();
		steps_message(messages,
			"applied at boot, too, by " BOOT_SERVICE_FOLDER "/" BOOT_SERVICE_NAME);
		return STATUS_OK;
	}
	steps_message(messages, BOOT_SERVICE_FOLDER "/" BOOT_SERVICE_NAME ": %s", strerror(errno));
	return STATUS_PROBLEM;
}

/* A plan is applied already: this one, or another. */
static int apply_again(const struct plan_options *options, struct state_file *state_file,
	const char *service, json_t *messages)
{
	const char *result = "already applied";
	int status;

	if (!plan_same(&state_file->plan, &options->plan)) {
		steps_message(messages, "another plan is applied, or this host now needs more "
					"changes: run `tproxyctl revert` first");
		result = "refused";
	} else if (!report_missing(&state_file->plan, messages)) {
		steps_message(messages,
			"this plan was applied, and another program changed or "
			"removed part of it: run `tproxyctl revert`, then apply again");
		result = "incomplete";
	}
	status = strcmp(result, "already applied") == 0 ? persist(service, messages)
							: STATUS_PROBLEM;
	steps_print_result(options->json, result, messages, state_file_json(state_file, true));
	return status;
}

static int recover(struct state_file *state_file, json_t *messages)
{
	if (!state_file->applied || state_file_complete(state_file))
		return STATUS_OK;
	steps_message(
		messages, "an earlier apply or revert was interrupted: what it left is reverted");
	return steps_revert(state_file, messages);
}

static int apply(struct plan_options *options, struct state_file *state_file, const char *service,
	json_t *messages)
{
	int status = recover(state_file, messages);

	if (status == STATUS_OK)
		status = plan_options_make(options, state_file->applied);
	if (status == STATUS_OK && state_file->applied)
		return apply_again(options, state_file, service, messages);
	if (status == STATUS_OK)
		status = plan_options_conflicts(options);
	if (status != STATUS_OK) {
		steps_print_messages(messages);
		return status;
	}
	state_file_start(state_file, &options->plan);
	status = steps_apply(state_file, messages);
	if (status == STATUS_OK && persist(service, messages) != STATUS_OK) {
		steps_revert(state_file, messages); /* all or nothing */
		status = STATUS_PROBLEM;
	}
	steps_print_result(options->json, status == STATUS_OK ? "applied" : "failed", messages,
		state_file_json(state_file, true));
	return status;
}

int apply_command(int argc, char **argv)
{
	struct plan_options options;
	struct state_file state_file = {.lock = -1};
	json_t *messages = json_array();
	char *service = NULL;
	int status = plan_options_read(&options, argc, argv, usage, false);

	if (status != -1)
		goto out;
	status = STATUS_USAGE;
	if (geteuid() != 0)
		fputs("tproxyctl: apply needs root\n", stderr);
	else if (options.persist && (service = boot_service(&options)) == NULL)
		status = STATUS_PROBLEM;
	else
		status = state_file_open(&state_file, options.state, true);
	if (status == STATUS_OK)
		status = apply(&options, &state_file, service, messages);
out:
	state_file_close(&state_file);
	json_decref(messages);
	free(service);
	plan_options_free(&options);
	return status;
}
