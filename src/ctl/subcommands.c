/*
 * What the subcommands say alike when their arguments are wrong.
 */
#include "subcommands.h"

#include <getopt.h>
#include <stdio.h>

int subcommand_refused(const char *name)
{
	fprintf(stderr, "`tproxyctl %s --help` lists what there is.\n", name);
	return STATUS_USAGE;
}

int subcommand_options_only(int argc, char **argv)
{
	if (optind >= argc)
		return -1;
	fprintf(stderr, "tproxyctl: %s takes options only, not '%s'\n", argv[0], argv[optind]);
	return STATUS_USAGE;
}
