/*
 * tproxyctl plan: prints what apply would do.
 *
 * It reads the state file, too: what is applied already counts as free, as it does for apply.
 */
#include "plan_options.h"
#include "setup/state_file.h"
#include "subcommands.h"

#include <stdio.h>

static const char usage[] =
	"usage: tproxyctl plan [OPTION ...]\n"
	"\n"
	"Prints what `tproxyctl apply` with the same options would do; changes nothing.\n"
	"\n" PLAN_OPTIONS_HELP
	"  --format NAME            shell (default), nft, sysctl.d, networkd, ifupdown or json\n"
	"  --json                   the same as --format json\n"
	"  -h, --help               print this help\n"
	"\n"
	"Exit status: 0 the plan can be applied; 1 the mark or the table is already in use;\n"
	"2 wrong arguments or input.\n";

int plan_command(int argc, char **argv)
{
	struct plan_options options;
	struct state_file state_file = {.lock = -1};
	int status = plan_options_read(&options, argc, argv, usage, true);

	if (status != -1)
		goto out;
	status = state_file_open(&state_file, options.state, false);
	if (status == STATUS_OK)
		status = plan_options_make(&options, state_file.applied);
	if (status == STATUS_OK)
		status = plan_options_conflicts(&options);
	if (status == STATUS_OK) {
		plan_print(&options.plan, options.format, stdout);
		if (fflush(stdout) != 0 || ferror(stdout)) {
			fputs("tproxyctl: the plan cannot be written\n", stderr);
			status = STATUS_USAGE;
		}
	}
out:
	state_file_close(&state_file);
	plan_options_free(&options);
	return status;
}
