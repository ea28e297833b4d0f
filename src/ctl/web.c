/*
 * tproxyctl web: reads the options of the admin page and serves it.
 *
 * Options of plan and apply are passed on as they are; those subcommands judge them.
 */
#include "web/web.h"
#include "subcommands.h"
#include "tproxy/array.h"
#include "tproxy/text.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	OPTION_CONFIG = 0x2000,
	OPTION_BIND,
	OPTION_USER,
	OPTION_PASSWORD,
	OPTION_ALLOW_APPLY,
	OPTION_VERSIONS,
	OPTION_STATS,
	OPTION_RELOAD,
	OPTION_PIDFILE,
	OPTION_REQUEST_TIME,
	OPTION_ANSWER_TIME,
	OPTION_TOOL,
	OPTION_RECIPE,
	OPTION_MARK,
	OPTION_TABLE,
	OPTION_STATE,
	SECONDS_MAX = 3600
};

static const char usage[] =
	"usage: tproxyctl web --config FILE [OPTION ...]\n"
	"\n"
	"Serves a page that shows the proxy and this host, and edits the configuration. It prints\n"
	"the page's address, with a token that lets in. A process of an ordinary user serves the\n"
	"page; another one with the rights of this program does what needs them.\n"
	"\n"
	"  --config FILE            the configuration of tproxyd; it need not be there yet\n"
	"  --bind ADDRESS:PORT      where: an address of loopback (default: 127.0.0.1:8404)\n"
	"  --bind PATH              or a unix socket, for root alone\n"
	"  --user NAME              who serves the page, if root starts this (default: nobody)\n"
	"  --password-file FILE     the first line lets in, instead of a token\n"
	"  --allow-apply            let the page change this host: apply, revert, and the commands\n"
	"                           that check prints\n"
	"  --reload COMMAND         what makes tproxyd read the file again, run by a shell after\n"
	"                           each save, such as 'systemctl reload tproxyd'. If it fails,\n"
	"                           the file is taken back\n"
	"  --pidfile FILE           or the pidfile of tproxyd, which gets SIGHUP then\n"
	"  --stats-socket PATH      the stats socket of tproxyd, or of HAProxy, for the tab Live\n"
	"  --versions DIR           where versions of the file are kept (default: FILE.versions)\n"
	"  --firewall-tool NAME, --recipe NAME, --mark N, --table N, --state FILE\n"
	"                           as for plan and apply\n"
	"  --request-time SECONDS   how long a request may take to come (default: 10)\n"
	"  --answer-time SECONDS    how long an answer may take to go (default: 30)\n"
	"  -h, --help               print this help\n"
	"\n"
	"Exit status: 0 ended by SIGINT or SIGTERM, 1 a failure, 2 wrong arguments or input.\n";

static const struct option known[] = {
	{"config", required_argument, NULL, OPTION_CONFIG},
	{"bind", required_argument, NULL, OPTION_BIND},
	{"user", required_argument, NULL, OPTION_USER},
	{"password-file", required_argument, NULL, OPTION_PASSWORD},
	{"allow-apply", no_argument, NULL, OPTION_ALLOW_APPLY},
	{"versions", required_argument, NULL, OPTION_VERSIONS},
	{"stats-socket", required_argument, NULL, OPTION_STATS},
	{"reload", required_argument, NULL, OPTION_RELOAD},
	{"pidfile", required_argument, NULL, OPTION_PIDFILE},
	{"request-time", required_argument, NULL, OPTION_REQUEST_TIME},
	{"answer-time", required_argument, NULL, OPTION_ANSWER_TIME},
	{"firewall-tool", required_argument, NULL, OPTION_TOOL},
	{"recipe", required_argument, NULL, OPTION_RECIPE},
	{"mark", required_argument, NULL, OPTION_MARK},
	{"table", required_argument, NULL, OPTION_TABLE},
	{"state", required_argument, NULL, OPTION_STATE},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

struct words {
	const char **list;
	size_t count;
};

static void add_word(struct words *words, const char *word)
{
	words->list = array_room(words->list, words->count, sizeof(*words->list));
	words->list[words->count++] = word;
}

static bool take_seconds(const char *word, unsigned *seconds)
{
	if (text_number(word, seconds) && *seconds >= 1 && *seconds <= SECONDS_MAX)
		return true;
	fprintf(stderr, "tproxyctl: web: '%s': not a number of seconds from 1 to %d\n", word,
		SECONDS_MAX);
	return false;
}

static bool take_option(struct web_options *options, struct words *words, int c, int index)
{
	struct helper_settings *helper = &options->helper;

	switch (c) {
	case OPTION_CONFIG:
		helper->config = optarg;
		return true;
	case OPTION_BIND:
		options->bind = optarg;
		return true;
	case OPTION_USER:
		options->user = optarg;
		return true;
	case OPTION_PASSWORD:
		options->password = optarg;
		return true;
	case OPTION_ALLOW_APPLY:
		return helper->allow_apply = true;
	case OPTION_VERSIONS:
		helper->versions = optarg;
		return true;
	case OPTION_STATS:
		helper->stats_socket = optarg;
		return true;
	case OPTION_RELOAD:
		helper->reload = optarg;
		return true;
	case OPTION_PIDFILE:
		helper->pidfile = optarg;
		return true;
	case OPTION_REQUEST_TIME:
		return take_seconds(optarg, &options->read_s);
	case OPTION_ANSWER_TIME:
		return take_seconds(optarg, &options->write_s);
	default:
		/* getopt_long() may have got an abbreviation */
		add_word(words, known[index].name);
		add_word(words, optarg);
		return true;
	}
}

static int read_options(struct web_options *options, struct words *words, int argc, char **argv)
{
	int c, index = 0;

	while ((c = getopt_long(argc, argv, "h", known, &index)) != -1) {
		if (c == 'h') {
			fputs(usage, stdout);
			return STATUS_OK;
		}
		if (c == '?' || !take_option(options, words, c, index))
			return subcommand_refused(argv[0]);
	}
	if (subcommand_options_only(argc, argv) != -1)
		return STATUS_USAGE;
	if (options->helper.config == NULL) {
		fputs("tproxyctl: web needs --config FILE\n", stderr);
		return subcommand_refused(argv[0]);
	}
	if (options->helper.reload != NULL && options->helper.pidfile != NULL) {
		fputs("tproxyctl: web: use either --reload or --pidfile\n", stderr);
		return subcommand_refused(argv[0]);
	}
	return -1;
}

int web_command(int argc, char **argv)
{
	struct web_options options = {
		.bind = "127.0.0.1:8404", .user = "nobody", .read_s = 10, .write_s = 30};
	struct words words = {0};
	int status = read_options(&options, &words, argc, argv);

	if (status == -1) {
		for (size_t i = 0; i < words.count; i += 2)
			words.list[i] = text_format("--%s", words.list[i]);
		options.helper.options = array_room(words.list, words.count, sizeof(*words.list));
		words.list = (const char **)options.helper.options;
		status = web_run(&options);
		for (size_t i = 0; i < words.count; i += 2)
			free((char *)words.list[i]);
	}
	free(words.list);
	return status;
}
