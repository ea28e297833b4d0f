/*
 * The options that say what is to be served, the same for every subcommand: --config, --haproxy, --nginx,
 * --listen, --server, --client and others.
 *
 * A subcommand puts HOST_OPTIONS into its table for getopt_long(), gives the options that it does not know to
 * host_option(), and calls host_options_finish() after all are read; `service` is complete then:
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
	HOST_OPTION_CLIENT,
	HOST_OPTION_HAPROXY,
	HOST_OPTION_NGINX,
	HOST_OPTION_INTERCEPT,
	HOST_OPTION_NO_SPOOF
};

#define HOST_OPTIONS                                                                               \
	{"config", required_argument, NULL, HOST_OPTION_CONFIG},                                   \
		{"listen", required_argument, NULL, HOST_OPTION_LISTEN},                           \
		{"server", required_argument, NULL, HOST_OPTION_SERVER},                           \
		{"haproxy", required_argument, NULL, HOST_OPTION_HAPROXY},                         \
		{"nginx", required_argument, NULL, HOST_OPTION_NGINX},                             \
		{"intercept", no_argument, NULL, HOST_OPTION_INTERCEPT},                           \
		{"no-spoof", no_argument, NULL, HOST_OPTION_NO_SPOOF},                             \
	{                                                                                          \
		"client", required_argument, NULL, HOST_OPTION_CLIENT                              \
	}

/* Their part of a subcommand's help. */
#define HOST_OPTIONS_HELP                                                                          \
	"  --config FILE            a configuration of tproxyd that says what is served\n"         \
	"  --haproxy FILE           a configuration of HAProxy. What is not understood in it is\n" \
	"                           skipped, and a message says so\n"                              \
	"  --nginx FILE             a configuration of nginx, read in the same way\n"              \
	"  --listen ADDR:PORT[/udp] an address on which a transparent proxy listens\n"             \
	"  --server ADDR[:PORT]     a server to which it connects from the client's address\n"     \
	"  --no-spoof               with --listen: it connects from this host's own address\n"     \
	"  --intercept              with --listen: it connects to where clients connect to\n"      \
	"  --client ADDR            the address of a client\n"                                     \
	"                           --listen, --server and --client may be given several\n"        \
	"                           times. Without a file and --listen: the walk-through's\n"      \
	"                           example.\n"

struct host_options {
	const char *file; /* of --config, --haproxy or --nginx, or NULL */
	int kind;         /* which of them */
	bool intercepts, no_spoof;
	bool wrong;             /* an argument was refused, and a message said so */
	struct service service; /* complete after host_options_finish() */
	struct config *config;  /* that `service` points into, or NULL */
};

/*
 * Takes option C (as getopt_long() returns it) with its argument, which has to stay. False where it is none of
 * these. For a wrong argument it prints a message, and host_options_finish() fails.
 */
bool host_option(struct host_options *options, int c, const char *argument);

/*
 * Loads the configuration, if there is one, prints its errors and warnings, and completes `service`. With
 * --listen, connections to servers have the client's address if there is a --server. Returns STATUS_OK, or
 * STATUS_USAGE with a message.
 */
int host_options_finish(struct host_options *options);

void host_options_free(struct host_options *options);

#endif
