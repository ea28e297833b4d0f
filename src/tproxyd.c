/*
 * tproxyd: reads the arguments, loads the configuration, and then prints or serves it.
 *
 * The trap: a parent may have closed stdin, stdout or stderr. The first sockets would then get their
 * numbers, and messages would go to clients. So these three are opened before anything else.
 */
#include "ops/daemon.h"
#include "tproxy/lookup.h"
#include "tproxy/version.h"

#include <event2/event.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	EXIT_USAGE = 2
};

static void print_usage(FILE *out)
{
	fputs("usage: tproxyd -f FILE [-c | -db]\n"
	      "       tproxyd -v | -h\n"
	      "\n"
	      "A transparent TCP proxy; FILE is in HAProxy's configuration language.\n"
	      "\n"
	      "  -f, --file FILE   the configuration to serve\n"
	      "  -c, --check       check it, print its listeners and servers, and exit\n"
	      "  -db               stay in the foreground, whatever `daemon` says\n"
	      "  -v, --version     print the version\n"
	      "  -h, --help        print this help\n"
	      "\n"
	      "Signals: SIGTERM, SIGINT  stop now; sessions are reset\n"
	      "         SIGUSR1          accept no more clients, stop after the last session\n"
	      "         SIGHUP           reopen the log files, and read the configuration again\n"
	      "Exit status: 0 success, 1 error (stderr or the log has the reason), 2 wrong arguments\n"
	      "Manual: tproxyd(8), and docs/CONFIGURATION.md for the configuration\n",
		out);
}

struct arguments {
	const char *file;
	bool check;
	bool foreground;
};

/* Returns -1 to go on, or the exit status. */
static int parse_arguments(int argc, char **argv, struct arguments *arguments)
{
	static const struct option options[] = {
		{"file", required_argument, NULL, 'f'},
		{"check", no_argument, NULL, 'c'},
		{"version", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "f:cd:vh", options, NULL)) != -1) {
		switch (option) {
		case 'f':
			arguments->file = optarg;
			break;
		case 'c':
			arguments->check = true;
			break;
		case 'd': /* HAProxy's -db */
			arguments->foreground = strcmp(optarg, "b") == 0;
			if (arguments->foreground)
				break;
			fprintf(stderr, "tproxyd: unknown option '-d%s'\n", optarg);
			print_usage(stderr);
			return EXIT_USAGE;
		case 'v':
			printf("tproxyd %s (libevent %s)\n", TPROXYD_VERSION, event_get_version());
			return EXIT_SUCCESS;
		case 'h':
			print_usage(stdout);
			return EXIT_SUCCESS;
		default:
			fputs("type `tproxyd --help` for the options\n", stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc)
		fprintf(stderr, "tproxyd: unexpected argument '%s'\n", argv[optind]);
	else if (arguments->file == NULL)
		fputs("tproxyd: no configuration; type `tproxyd -f FILE`\n", stderr);
	else
		return -1;
	print_usage(stderr);
	return EXIT_USAGE;
}

static struct config *load_config(const char *file, struct identity *identity)
{
	struct diag *diag = diag_new();
	struct config *config;

	if (diag == NULL) {
		fputs("tproxyd: out of memory\n", stderr);
		return NULL;
	}
	config = config_load(file, diag);
	if (config != NULL && privileges_resolve(&config->global, file, identity, diag) == -1) {
		config_free(config);
		config = NULL;
	}
	diag_print(diag, stderr);
	diag_free(diag);
	return config;
}

static bool open_standard_files(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", O_RDWR) != fd)
			return false;
	return true;
}

int main(int argc, char **argv)
{
	struct arguments arguments = {0};
	struct identity identity;
	struct config *config;
	int status = open_standard_files() ? parse_arguments(argc, argv, &arguments) : EXIT_FAILURE;

	if (status != -1)
		return status;
	lookup_use(lookup_by_library, NULL);
	config = load_config(arguments.file, &identity);
	if (config == NULL)
		return EXIT_FAILURE;
	config->global.daemon &= !arguments.foreground;
	if (!arguments.check)
		return daemon_run(config, arguments.file, &identity);
	config_print(config, stdout);
	if (privileges_needed(config) & PRIVILEGE_LOW_PORTS)
		printf("needs the capability CAP_NET_BIND_SERVICE for source ports below %u\n",
			privileges_first_port());
	config_free(config);
	return EXIT_SUCCESS;
}
