/*
 * tproxyctl: finds the subcommand, which gets the other arguments.
 */
#include "subcommands.h"
#include "tproxy/version.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *name, *help;
	int (*run)(int argc, char **argv);
} subcommands[] = {
	{"check", "print what is missing or harmful on this host, and the commands that fix it",
		check_command},
	{"plan", "print what apply would do", plan_command},
	{"apply", "set the host up; all or nothing", apply_command},
	{"revert", "undo what apply did", revert_command},
	{"status", "print what is applied", status_command},
	{"prove", "try what the running kernel can do, in namespaces of its own", prove_command},
	{"sessions", "list the sessions of a running tproxyd", sessions_command},
	{"top", "show those that move most bytes, and refresh that", top_command},
	{"web", "serve a page that shows and edits all of this", web_command},
};

enum {
	SUBCOMMANDS = sizeof(subcommands) / sizeof(subcommands[0])
};

static void usage(FILE *out)
{
	fputs("usage: tproxyctl SUBCOMMAND [OPTION ...]\n"
	      "       tproxyctl -v | -h\n"
	      "\n"
	      "Checks a host for a transparent proxy, sets it up, and tries what its kernel can "
	      "do. Shows what a running tproxyd does.\n"
	      "\n",
		out);
	for (size_t i = 0; i < SUBCOMMANDS; i++)
		fprintf(out, "  %-8s %s\n", subcommands[i].name, subcommands[i].help);
	fputs("\n"
	      "`tproxyctl SUBCOMMAND --help` lists the options of one. Manual: tproxyctl(8).\n"
	      "Exit status: 0 all is well, 1 something is wrong, 2 wrong arguments or input; check\n"
	      "has 3, too: nothing is wrong, but not everything was judged.\n",
		out);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	for (size_t i = 0; i < SUBCOMMANDS; i++)
		if (strcmp(name, subcommands[i].name) == 0)
			return subcommands[i].run(argc - 1, argv + 1);
	if (strcmp(name, "-h") == 0 || strcmp(name, "--help") == 0) {
		usage(stdout);
		return STATUS_OK;
	}
	if (strcmp(name, "-v") == 0 || strcmp(name, "--version") == 0) {
		printf("tproxyctl %s\n", TPROXYD_VERSION);
		return STATUS_OK;
	}
	if (*name != '\0')
		fprintf(stderr, "tproxyctl: there is no subcommand '%s'\n\n", name);
	usage(stderr);
	return STATUS_USAGE;
}
