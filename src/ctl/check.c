/*
 * tproxyctl check: reads the host, judges it, and prints the report.
 *
 * Links, rules and sockets are read once, before anything is judged; the kernel answers questions about
 * routes and sysctls later. If the report cannot be written, the exit status says so whatever the verdict
 * is: half a report must not look like a good one.
 */
#include "check/check.h"
#include "host_options.h"
#include "hoststate/sysctl.h"
#include "report/printers.h"
#include "subcommands.h"
#include "tproxy/shell.h"
#include "tproxy/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	OPTION_JSON = 0x2000,
	OPTION_KERNEL,
	OPTION_WATCH,
	OPTION_PROBE,
	OPTION_PROBE_UDP,
	OPTION_REPORT,
	OPTION_NO_REDACT,
	STATUS_NO_WAY_BACK = 4,
	CAPTURE_MAX = 3600,
	PAYLOAD_MAX = 1024
};

static const char usage[] =
	"usage: tproxyctl check [OPTION ...]\n"
	"\n"
	"Simulates the packets of a transparent proxy on this host, and prints what is missing or\n"
	"harmful, why it matters, and the command that fixes it. Changes nothing. What only root\n"
	"may read is unknown to other users. A command may be run twice without harm.\n"
	"\n" HOST_OPTIONS_HELP
	"  --kernel-config FILE     judge only the kernel configuration in FILE (plain or gzip)\n"
	"  --watch SECONDS          capture packets for at most so many seconds; meanwhile let a\n"
	"                           client connect\n"
	"  --probe                  connect to each server from a client's address, and from this\n"
	"                           host's own where that gets no answer: at most three packets\n"
	"                           a server. Needs root\n"
	"  --probe-udp PAYLOAD      the same with datagrams; \\xNN in PAYLOAD is a byte\n"
	"  --report FILE            write a new file for a bug report: what was found, versions,\n"
	"                           rules and routes. Public addresses are replaced\n"
	"  --no-redact              keep public addresses in it\n"
	"  -v, --verbose            print what was read for items that are ok, too\n"
	"  --json                   print JSON (fixtures/schema/check.schema.json)\n"
	"  -h, --help               print this help\n"
	"\n"
	"Exit status: 0 nothing is missing or harmful, 1 something is, 2 wrong arguments or\n"
	"input, 3 nothing is missing or harmful so far, but an item that this host decides was\n"
	"not judged, 4 with --probe: only a server does not answer clients. Items that other hosts\n"
	"decide do not count.\n";

static const struct option known[] = {
	HOST_OPTIONS,
	{"kernel-config", required_argument, NULL, OPTION_KERNEL},
	{"watch", required_argument, NULL, OPTION_WATCH},
	{"probe", no_argument, NULL, OPTION_PROBE},
	{"probe-udp", required_argument, NULL, OPTION_PROBE_UDP},
	{"report", required_argument, NULL, OPTION_REPORT},
	{"no-redact", no_argument, NULL, OPTION_NO_REDACT},
	{"verbose", no_argument, NULL, 'v'},
	{"json", no_argument, NULL, OPTION_JSON},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

struct check_options {
	struct host_options host;
	const char *kernel; /* a configuration's path, or NULL: this host */
	unsigned watch;     /* seconds */
	bool json, verbose, probe, no_redact;
	char payload[PAYLOAD_MAX]; /* of probes by UDP */
	size_t payload_length;     /* 0: by TCP */
	const char *report;        /* the path of a file to hand on, or NULL */
};

static bool take_seconds(struct check_options *options, const char *word)
{
	if (text_number(word, &options->watch) && options->watch >= 1 &&
		options->watch <= CAPTURE_MAX)
		return true;
	fprintf(stderr, "tproxyctl: --watch '%s': not a number of seconds from 1 to %d\n", word,
		CAPTURE_MAX);
	return false;
}

/* Text with bytes as \xNN in it; a backslash is \\. */
static bool take_payload(struct check_options *options, const char *word)
{
	size_t length = 0;

	for (; *word != '\0' && length < PAYLOAD_MAX; length++) {
		unsigned byte = (unsigned char)*word++;
		int read = 0;

		if (byte == '\\' && *word == '\\')
			word++;
		else if (byte == '\\' && sscanf(word, "x%2x%n", &byte, &read) == 1 && read == 3)
			word += read;
		else if (byte == '\\')
			break;
		options->payload[length] = (char)byte;
	}
	options->payload_length = length;
	if (length > 0 && *word == '\0')
		return true;
	fprintf(stderr,
		"tproxyctl: --probe-udp: not 1 to %d bytes of text, with \\xNN for other bytes and \\\\ for a backslash\n",
		PAYLOAD_MAX);
	return false;
}

static bool take_option(struct check_options *options, int c, const char *word)
{
	switch (c) {
	case OPTION_WATCH:
		return take_seconds(options, word);
	case OPTION_KERNEL:
		options->kernel = word;
		return true;
	case OPTION_PROBE:
		return options->probe = true;
	case OPTION_PROBE_UDP:
		options->probe = true;
		return take_payload(options, word);
	case OPTION_REPORT:
		options->report = word;
		return true;
	case OPTION_NO_REDACT:
		return options->no_redact = true;
	case OPTION_JSON:
		return options->json = true;
	case 'v':
		return options->verbose = true;
	default:
		return host_option(&options->host, c, word);
	}
}

static int read_options(struct check_options *options, int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, "hv", known, NULL)) != -1) {
		if (c == 'h') {
			fputs(usage, stdout);
			return STATUS_OK;
		}
		if (c == '?' || !take_option(options, c, optarg))
			return subcommand_refused(argv[0]);
	}
	if (subcommand_options_only(argc, argv) != -1)
		return STATUS_USAGE;
	return host_options_finish(&options->host) == STATUS_OK ? -1 : STATUS_USAGE;
}

/* The report says what could not be read at each item; here it is said once, before the report. */
static void print_problems(const struct snapshot *snapshot)
{
	const char *const problems[] = {snapshot->network_problem, snapshot->rules_problem,
		snapshot->rules_note, snapshot->rules_unseen, snapshot->sockets_problem,
		snapshot->captured_problem};

	for (size_t i = 0; i < sizeof(problems) / sizeof(problems[0]); i++)
		if (problems[i] != NULL) {
			char *shown = shell_printable(problems[i]);

			fprintf(stderr, "tproxyctl: %s\n", shown);
			free(shown);
		}
}

/* Prints the report; its exit status. */
static int print_report(const struct check_options *options, const struct snapshot *snapshot)
{
	static const int statuses[] = {[CHECK_WELL] = STATUS_OK,
		[CHECK_WRONG] = STATUS_PROBLEM,
		[CHECK_UNJUDGED] = STATUS_UNKNOWN};
	struct check_report report = {0};
	bool written = true;
	int status;

	check_run(&report, snapshot);
	status = statuses[check_verdict(&report)];
	if (options->probe && check_wrong_alone(&report, CHECK_RETURN_PATH))
		status = STATUS_NO_WAY_BACK;
	if (options->json)
		written = report_print_json(&report, stdout);
	else
		report_print(&report, options->verbose, stdout);
	if (fflush(stdout) != 0 || !written) {
		fputs("tproxyctl: cannot write the report\n", stderr);
		status = STATUS_USAGE;
	}
	if (options->report != NULL &&
		!report_write(&report, options->report, !options->no_redact)) {
		fprintf(stderr, "tproxyctl: --report '%s': %s\n", options->report, strerror(errno));
		status = STATUS_USAGE;
	}
	check_free(&report);
	return status;
}

/* Connects to the servers. False, with a message: none can be probed. */
static bool run_probes(const struct check_options *options, struct snapshot *snapshot)
{
	snapshot->probe_count =
		check_probe_list(snapshot, options->payload_length > 0 ? options->payload : NULL,
			options->payload_length, &snapshot->probes);
	probe_servers(snapshot->probes, snapshot->probe_count);
	if (snapshot->probe_count == 0)
		fputs("tproxyctl: --probe: no server can be probed. Name it with its port (--server ADDR:PORT), and a client of its family (--client ADDR)\n",
			stderr);
	return snapshot->probe_count > 0;
}

/* Whether a listener on [::] hears IPv4 clients, where its configuration does not say. */
static void read_bindv6only(struct service *service)
{
	char *text = sysctl_read("net/ipv6/bindv6only");

	service_set_bindv6only(service, text != NULL && atoi(text) != 0);
	free(text);
}

/* In place of the example, what sockets of this host show, if there is a transparent listener. */
static void find_service(struct service *service)
{
	struct host_sockets sockets = {0};
	struct network network = {0};
	char *problem = NULL;

	if (sockets_read(&sockets, &problem) && network_read(&network, &problem)) {
		struct service found = {
			.clients = service->clients, .client_count = service->client_count};

		if (service_add_found(&found, &sockets, &network)) {
			service->clients = NULL;
			service_free(service);
			*service = found;
		}
	}
	free(problem);
	network_free(&network);
	sockets_free(&sockets);
}

int check_command(int argc, char **argv)
{
	struct check_options options = {0};
	struct snapshot snapshot;
	int status = read_options(&options, argc, argv);

	if (status != -1)
		goto out;
	if (options.host.service.example && options.kernel == NULL)
		find_service(&options.host.service);
	read_bindv6only(&options.host.service);
	if (options.kernel == NULL)
		snapshot_read(&snapshot, &options.host.service, options.watch * 1000);
	else if (!snapshot_read_kernel(&snapshot, &options.host.service, options.kernel)) {
		fprintf(stderr, "tproxyctl: %s\n", snapshot.kernel_problem);
		status = STATUS_USAGE;
		goto out;
	}
	print_problems(&snapshot);
	if (options.kernel == NULL && options.probe && !run_probes(&options, &snapshot))
		status = STATUS_USAGE;
	else
		status = print_report(&options, &snapshot);
	snapshot_free(&snapshot);
out:
	host_options_free(&options.host);
	return status;
}
