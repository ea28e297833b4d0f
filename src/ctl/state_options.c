/*
 * Reads the options of revert and status.
 */
#include "state_options.h"
#include "setup/state_file.h"
#include "subcommands.h"

#include <getopt.h>
#include <stdio.h>

int state_options_read(struct state_options *options, int argc, char **argv, const char *usage)
{
	static const struct option known[] = {
		{"state", required_argument, NULL, 's'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int c;

	*options = (struct state_options){.state = STATE_FILE_DEFAULT};
	while ((c = getopt_long(argc, argv, "h", known, NULL)) != -1) {
		switch (c) {
		case 's':
			options->state = optarg;
			break;
		case 'j':
			options->json = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return STATUS_OK;
		default:
			return subcommand_refused(argv[0]);
		}
	}
	return subcommand_options_only(argc, argv);
}
