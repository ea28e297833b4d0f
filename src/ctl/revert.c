/*
 * tproxyctl revert: takes back what apply did, also after either was killed.
 */
#include "setup/in_use.h"
#include "setup/state_file.h"
#include "setup/steps.h"
#include "state_options.h"
#include "subcommands.h"

#include <stdio.h>
#include <unistd.h>

static const char usage[] =
	"usage: tproxyctl revert [--state FILE] [--json]\n"
	"\n"
	"Takes back what `tproxyctl apply` did; the host is then as it was before. What somebody\n"
	"else changed in between is left as it is, and said. Needs root.\n"
	"\n"
	"  --state FILE   the state file (default: " JOURNAL_DEFAULT ")\n"
	"  --json         tell the result as JSON\n"
	"  -h, --help     print this help\n"
	"\n"
	"Exit status: 0 taken back, or nothing was applied; 1 something is left or was changed\n"
	"by somebody else; 2 wrong arguments or input.\n";

/* Without a state file nothing is known to be ours; what bears our name is told, and left. */
static int nothing(const struct state_options *options, struct journal *journal, json_t *told)
{
	struct facts facts = {0};
	int status = STATUS_WELL;

	if (!journal_remove(journal))
		return STATUS_NOT_WELL;
	if (!facts_read(&facts))
		status = STATUS_USAGE;
	if (facts.leftover != NULL) {
		tell(told, "%s is on this host, and the state file %s knows nothing of it",
			facts.leftover, options->state);
		status = STATUS_NOT_WELL;
	}
	report_told(options->json, "nothing was applied", told, NULL);
	facts_free(&facts);
	return status;
}

static int revert(const struct state_options *options, struct journal *journal)
{
	json_t *told = json_array();
	int status;

	if (journal->root == NULL)
		status = nothing(options, journal, told);
	else {
		status = take_back(journal, told);
		report_told(options->json,
			status == STATUS_WELL   ? "reverted"
			: journal->root == NULL ? "reverted, but for what others changed"
						: "not reverted",
			told, NULL);
	}
	json_decref(told);
	return status;
}

int revert_command(int argc, char **argv)
{
	struct state_options options;
	struct journal journal = {.lock = -1};
	int status = state_options_read(&options, argc, argv, usage);

	if (status != -1)
		return status;
	if (geteuid() != 0) {
		fputs("tproxyctl: revert needs root\n", stderr);
		return STATUS_USAGE;
	}
	status = journal_open(&journal, options.state, true);
	if (status == STATUS_WELL)
		status = revert(&options, &journal);
	journal_close(&journal);
	return status;
}
