#include "tproxy/subcommands.h"

#include <stdio.h>

int revert_command(int argc, char **argv)
{
	(void)argc;
	fprintf(stderr, "tproxyctl: %s is not there yet\n", argv[0]);
	return STATUS_USAGE;
}
