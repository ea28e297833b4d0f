/*
 * tproxyctl prove: tries what the running kernel can do for a transparent proxy.
 *
 * A child in scratch namespaces tries and prints everything; this process only waits for it, so its own
 * namespaces stay as they are.
 */
#include "prove/prove.h"
#include "prove/scratch.h"
#include "subcommands.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

struct request {
	enum profile profile;
	bool json, verbose;
};

static void usage(FILE *out)
{
	fputs("usage: tproxyctl prove [--json] [--profile PROFILE] [--verbose]\n"
	      "\n"
	      "Tries on the running kernel what a transparent proxy needs: each capability, then\n"
	      "whole connections from client to proxy to server, with each firewall tool. All of\n"
	      "it happens in namespaces of its own, so the host stays as it is. Without root it\n"
	      "needs user namespaces.\n"
	      "\n"
	      "  --json             print one JSON object (fixtures/schema/prove.schema.json)\n"
	      "  --profile PROFILE  the profile that decides the exit status (default: full)\n"
	      "  --verbose          also print what was seen of what works\n"
	      "\n"
	      "Profiles:\n",
		out);
	for (int i = 0; i < PROFILES; i++)
		fprintf(out, "  %-18s %s\n", profile_names[i], profile_meanings[i]);
	fputs("\nExit status: 0 the profile works on this kernel, 1 it does not, 2 wrong arguments,\n"
	      "or no namespaces to try it in.\n",
		out);
}

static int work(bool own_users, void *context)
{
	static struct proof proof;
	const struct request *request = context;
	bool written = true;

	prove_run(&proof, own_users);
	if (request->json)
		written = prove_print_json(&proof, request->profile, stdout);
	else
		prove_print(&proof, request->profile, request->verbose, stdout);
	if (!written || fflush(stdout) == EOF || ferror(stdout)) {
		fputs("tproxyctl: prove: the result cannot be written\n", stderr);
		return STATUS_USAGE;
	}
	return profile_is_provable(&proof, request->profile) ? STATUS_OK : STATUS_PROBLEM;
}

/* Returns -1 where there is something to try, or else the exit status. */
static int read_arguments(int argc, char **argv, struct request *request)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'},
		{"profile", required_argument, NULL, 'p'}, {"verbose", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'}, {0}};
	int c, profile;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1)
		switch (c) {
		case 'j':
			request->json = true;
			break;
		case 'v':
			request->verbose = true;
			break;
		case 'p':
			profile = profile_of(optarg);
			if (profile == -1) {
				fprintf(stderr, "tproxyctl: prove: no profile is named '%s'\n",
					optarg);
				return STATUS_USAGE;
			}
			request->profile = (enum profile)profile;
			break;
		case 'h':
			usage(stdout);
			return STATUS_OK;
		default:
			return subcommand_refused(argv[0]);
		}
	return subcommand_options_only(argc, argv);
}

int prove_command(int argc, char **argv)
{
	struct request request = {.profile = PROFILE_FULL};
	int status = read_arguments(argc, argv, &request);

	if (status != -1)
		return status;
	status = scratch_run(work, &request);
	if (status == -1) {
		fprintf(stderr,
			"tproxyctl: prove: cannot make namespaces to try anything in: %s%s\n%s",
			strerror(errno),
			errno == ENOSPC ? " (the limit of namespaces is reached)" : "",
			scratch_advice);
		return STATUS_USAGE;
	}
	if (status > STATUS_USAGE)
		fprintf(stderr, "tproxyctl: prove: a signal ended it: %d\n", status - 128);
	return status;
}
