/*
 * tproxyd: arguments, then load, then check or run.
 */
#include "tproxy/daemon.h"
#include "tproxy/version.h"

#include <event2/event.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	EXIT_USAGE = 2
};

static void usage(FILE *out)
{
	fputs("usage: tproxyd -f FILE [-c]\n"
	      "       tproxyd -v | -h\n"
	      "\n"
	      "A transparent TCP proxy; FILE is in HAProxy's configuration language.\n"
	      "\n"
	      "  -f, --file FILE   the configuration to serve\n"
	      "  -c, --check       check it, print what would listen where, and end\n"
	      "  -v, --version     print the version\n"
	      "  -h, --help        print this help\n"
	      "\n"
	      "Signals: SIGTERM and SIGINT end it at once, SIGUSR1 with the last session;\n"
	      "         SIGHUP opens the log files again.\n"
	      "Exit status: 0 all was well, 1 it could not be started, 2 wrong arguments.\n"
	      "Manual: tproxyd(8), and docs/CONFIGURATION.md for the configuration.\n",
		out);
}

struct arguments {
	const char *file;
	bool check;
};

/* Returns -1 to go on, or the exit status. */
static int parse(int argc, char **argv, struct arguments *arguments)
{
	static const struct option options[] = {
		{"file", required_argument, NULL, 'f'},
		{"check", no_argument, NULL, 'c'},
		{"version", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "f:cvh", options, NULL)) != -1) {
		switch (option) {
		case 'f':
			arguments->file = optarg;
			break;
		case 'c':
			arguments->check = true;
			break;
		case 'v':
			printf("tproxyd %s (libevent %s)\n", TPROXYD_VERSION, event_get_version());
			return EXIT_SUCCESS;
		case 'h':
			usage(stdout);
			return EXIT_SUCCESS;
		default:
			fputs("`tproxyd --help` lists what there is.\n", stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc || arguments->file == NULL) {
		usage(stderr);
		return EXIT_USAGE;
	}
	return -1;
}

static struct config *load(const char *file, struct identity *identity)
{
	struct diag *diag = diag_new();
	struct config *config;

	if (diag == NULL)
		return NULL;
	config = config_load(file, diag);
	if (config != NULL && privileges_resolve(&config->global, file, identity, diag) == -1) {
		config_free(config);
		config = NULL;
	}
	diag_print(diag, stderr);
	diag_free(diag);
	return config;
}

/* Or the first sockets would get the numbers of stdout and stderr, and clients what is said there. */
static bool open_standard_files(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", O_RDWR) != fd)
			return false;
	return true;
}

static void print_check(const struct config *config)
{
	config_print(config, stdout);
	if (privileges_needed(config) & PRIVILEGE_LOW_PORTS)
		printf("needs the capability CAP_NET_BIND_SERVICE for source ports below %u\n",
			privileges_first_port());
}

int main(int argc, char **argv)
{
	struct arguments arguments = {0};
	struct identity identity;
	struct config *config;
	int status = open_standard_files() ? parse(argc, argv, &arguments) : EXIT_FAILURE;

	if (status != -1)
		return status;
	config = load(arguments.file, &identity);
	if (config == NULL)
		return EXIT_FAILURE;
	status = EXIT_SUCCESS;
	if (arguments.check)
		print_check(config);
	else
		status = daemon_run(config, arguments.file, &identity);
	config_free(config);
	return status;
}
