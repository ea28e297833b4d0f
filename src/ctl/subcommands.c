/*
 * Messages about wrong arguments that all subcommands share.
 */
#include "subcommands.h"

#include <getopt.h>
#include <stdio.h>

int subcommand_refused(const char *name)
{
	fprintf(stderr, "`tproxyctl %s --help` lists the options.\n", name);
	return STATUS_USAGE;
}

int subcommand_options_only(int argc, char **argv)
{
	if (optind >= argc)
		return -1;
	fprintf(stderr, "tproxyctl: %s takes options only, not '%s'\n", argv[0], argv[optind]);
	return STATUS_USAGE;
}
