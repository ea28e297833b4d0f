/*
 * The options that say what a proxy needs, the same for every subcommand: --config, --listen, --server
 * and --client.
 *
 * A subcommand puts HOST_OPTIONS into its table for getopt_long(), hands whatever it does not know to
 * host_option(), and calls host_options_finish() once all are read; `needs` is filled in then:
 *
 *     struct host_options host = {0};
 *     static const struct option options[] = {HOST_OPTIONS, {"help", no_argument, NULL, 'h'}, {0}};
 *     while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1)
 *             if (!host_option(&host, c, optarg)) ...
 *     status = host_options_finish(&host);
 *     host_options_free(&host);
 */
#ifndef TPROXY_HOST_OPTIONS_H
#define TPROXY_HOST_OPTIONS_H

#include "hoststate/service.h"

#include <getopt.h>
#include <stdbool.h>

enum {
	HOST_OPTION_CONFIG = 0x1000,
	HOST_OPTION_LISTEN,
	HOST_OPTION_SERVER,
	HOST_OPTION_CLIENT
};

#define HOST_OPTIONS                                                                               \
	{"config", required_argument, NULL, HOST_OPTION_CONFIG},                                   \
		{"listen", required_argument, NULL, HOST_OPTION_LISTEN},                           \
		{"server", required_argument, NULL, HOST_OPTION_SERVER},                           \
	{                                                                                          \
		"client", required_argument, NULL, HOST_OPTION_CLIENT                              \
	}

/* Their part of a subcommand's help. */
#define HOST_OPTIONS_HELP                                                                          \
	"  --config FILE            take what is needed from a configuration of tproxyd\n"         \
	"  --listen ADDR:PORT[/udp] an address that a proxy listens on, transparently\n"           \
	"  --server ADDR[:PORT]     a server that it calls from the client's address\n"            \
	"  --client ADDR            a client to be thought of\n"                                   \
	"                           Each but --config may be given several times. Without\n"       \
	"                           --config and --listen: the walk-through's example.\n"

struct host_options {
	const char *file;       /* of --config, or NULL */
	bool wrong;             /* an argument was refused, and a message said so */
	struct service service; /* complete after host_options_finish() */
	struct config *config;  /* that `needs` points into, or NULL */
};

/*
 * Takes option C (as getopt_long() returns it) with its argument. False where it is none of these. An
 * argument that cannot be used is told on stderr, and host_options_finish() fails.
 */
bool host_option(struct host_options *options, int c, const char *argument);

/*
 * Loads the configuration, if one was named, prints what is wrong with it or odd in it, and completes
 * `needs`. With --listen, servers are called from the client's address when any --server says so.
 * Returns STATUS_OK, or STATUS_USAGE when a message has said what is wrong.
 */
int host_options_finish(struct host_options *options);

void host_options_free(struct host_options *options);

#endif
