/*
 * Reads the options of revert and status.
 */
#include "state_options.h"
#include "setup/state_file.h"
#include "subcommands.h"
#include "tproxy/text.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int state_options_read(
	struct state_options *options, int argc, char **argv, const char *usage, bool reverts)
{
	static const struct option known[] = {
		{"state", required_argument, NULL, 's'},
		{"keep-service", no_argument, NULL, 'k'},
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
		case 'k':
			if (!reverts) {
				fputs("tproxyctl: --keep-service is an option of revert\n", stderr);
				return subcommand_refused(argv[0]);
			}
			options->keep_service = true;
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

char *state_options_full_path(const char *state)
{
	char *folder = *state != '/' ? getcwd(NULL, 0) : NULL;
	char *full = text_format(
		"%s%s%s", folder != NULL ? folder : "", folder != NULL ? "/" : "", state);

	free(folder);
	return full;
}
