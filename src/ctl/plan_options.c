/*
 * Reads the options of plan and apply, and makes a plan for this host from them.
 *
 * A mark or a table that another program uses is refused, never shared: later nothing could say which packets
 * belong to which program. The trap is the order: the service is complete only after all options are read,
 * and bindv6only of this host decides what it diverts.
 */
#include "plan_options.h"
#include "setup/state_file.h"
#include "state_options.h"
#include "subcommands.h"
#include "tproxy/array.h"
#include "tproxy/subprocess.h"
#include "tproxy/text.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	OPTION_TOOL = 0x2000,
	OPTION_FORMAT,
	OPTION_RECIPE,
	OPTION_MARK,
	OPTION_TABLE,
	OPTION_STATE,
	OPTION_FAIL_OPEN,
	OPTION_PERSIST,
	OPTION_JSON
};

static const struct option known[] = {
	HOST_OPTIONS,
	{"firewall-tool", required_argument, NULL, OPTION_TOOL},
	{"format", required_argument, NULL, OPTION_FORMAT},
	{"recipe", required_argument, NULL, OPTION_RECIPE},
	{"mark", required_argument, NULL, OPTION_MARK},
	{"table", required_argument, NULL, OPTION_TABLE},
	{"state", required_argument, NULL, OPTION_STATE},
	{"fail-open", no_argument, NULL, OPTION_FAIL_OPEN},
	{"persist", no_argument, NULL, OPTION_PERSIST},
	{"json", no_argument, NULL, OPTION_JSON},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

/* The place of WORD in a list, or -1 with a message that prints the list. */
static int read_choice(const char *option, const char *word, const char *const names[])
{
	for (int i = 0; names[i] != NULL; i++)
		if (strcmp(names[i], word) == 0)
			return i;
	fprintf(stderr, "tproxyctl: --%s '%s': must be one of", option, word);
	for (int i = 0; names[i] != NULL; i++)
		fprintf(stderr, "%s %s", i > 0 ? "," : "", names[i]);
	fputc('\n', stderr);
	return -1;
}

static bool read_mark(struct plan_options *options, const char *word)
{
	if (text_number(word, &options->plan.mark) && options->plan.mark != 0)
		return true;
	fprintf(stderr, "tproxyctl: --mark '%s': not a number from 1 to 0xffffffff\n", word);
	return false;
}

static bool read_table(struct plan_options *options, const char *word)
{
	unsigned *table = &options->plan.table;

	if (text_number(word, table) && *table != 0 && (*table < 253 || *table > 255))
		return true;
	fprintf(stderr,
		"tproxyctl: --table '%s': not a number from 1 to 0xffffffff, or one of the "
		"kernel's own tables (253 to 255)\n",
		word);
	return false;
}

static bool read_option(struct plan_options *options, int c, const char *word, bool formats)
{
	int which = 0;

	switch (c) {
	case OPTION_TOOL:
		which = read_choice("firewall-tool", word, firewall_tool_names);
		options->plan.tool = (enum firewall_tool)which;
		options->tool_given = true;
		return which != -1;
	case OPTION_RECIPE:
		which = read_choice("recipe", word, plan_recipe_names);
		options->plan.recipe = (enum plan_recipe)which;
		return which != -1;
	case OPTION_FORMAT:
		if (!formats) {
			fputs("tproxyctl: --format is an option of plan\n", stderr);
			return false;
		}
		which = read_choice("format", word, plan_format_names);
		options->format = (enum plan_format)which;
		return which != -1;
	case OPTION_MARK:
		return read_mark(options, word);
	case OPTION_TABLE:
		return read_table(options, word);
	case OPTION_FAIL_OPEN:
		return options->plan.fail_open = true;
	case OPTION_PERSIST:
		if (formats)
			fputs("tproxyctl: --persist is an option of apply\n", stderr);
		return options->persist = !formats;
	case OPTION_STATE:
		options->state = word;
		return true;
	case OPTION_JSON:
		options->json = true;
		return true;
	default:
		return host_option(&options->host, c, word);
	}
}

static void keep_word(struct plan_options *options, char *word)
{
	options->words = array_room(options->words, options->word_count, sizeof(*options->words));
	options->words[options->word_count++] = word;
}

/* Keeps an option for a later run, which may start in another folder. */
static void keep_option(struct plan_options *options, int c, const char *word)
{
	const struct option *option = known;
	char *full = c == HOST_OPTION_CONFIG || c == HOST_OPTION_HAPROXY || c == HOST_OPTION_NGINX
			     ? realpath(word, NULL)
			     : NULL;

	while (option->val != c)
		option++;
	if (c == OPTION_STATE)
		full = state_options_full_path(word);
	keep_word(options, text_format("--%s", option->name));
	if (option->has_arg == required_argument)
		keep_word(options, full != NULL ? full : text_copy(word));
}

int plan_options_read(
	struct plan_options *options, int argc, char **argv, const char *usage, bool formats)
{
	int c;

	*options = (struct plan_options){.state = STATE_FILE_DEFAULT};
	options->plan.mark = 1;
	options->plan.table = 100;
	while ((c = getopt_long(argc, argv, "h", known, NULL)) != -1) {
		if (c == 'h') {
			fputs(usage, stdout);
			return STATUS_OK;
		}
		if (c == '?' || !read_option(options, c, optarg, formats))
			return subcommand_refused(argv[0]);
		if (c != OPTION_PERSIST && c != OPTION_JSON)
			keep_option(options, c, optarg);
	}
	if (subcommand_options_only(argc, argv) != -1)
		return STATUS_USAGE;
	if (options->json)
		options->format = FORMAT_JSON;
	return host_options_finish(&options->host) == STATUS_OK ? -1 : STATUS_USAGE;
}

static bool runs(const char *line)
{
	struct subprocess_result result;
	bool well = subprocess_run_line(line, NULL, &result);

	subprocess_free(&result);
	return well;
}

/* The firewall tool that was named; else the first that is there, or nft for the format nft. */
static bool choose_tool(struct plan_options *options)
{
	struct plan *plan = &options->plan;
	const char *program;

	if (options->format == FORMAT_NFT && !options->tool_given)
		plan->tool = TOOL_NFT;
	else if (!options->tool_given)
		plan->tool = runs("iptables -V")        ? TOOL_IPTABLES
			     : subprocess_exists("nft") ? TOOL_NFT
							: TOOL_LEGACY;
	if (options->format == FORMAT_NFT && plan->tool != TOOL_NFT) {
		fputs("tproxyctl: --format nft needs --firewall-tool nft\n", stderr);
		return false;
	}
	program = firewall_tool_restore(plan->tool, AF_INET);
	if (!subprocess_exists(program)) {
		fprintf(stderr, "tproxyctl: there is no program '%s' on this host\n", program);
		return false;
	}
	return true;
}

int plan_options_make(struct plan_options *options, bool ours)
{
	if (!choose_tool(options))
		return STATUS_USAGE;
	if (!subprocess_exists("ip")) {
		fputs("tproxyctl: there is no program 'ip' on this host\n", stderr);
		return STATUS_USAGE;
	}
	options->in_use.pass_ours = ours;
	options->in_use.tool = options->plan.tool;
	if (!in_use_read(&options->in_use))
		return STATUS_USAGE;
	if (options->in_use.incomplete)
		fputs("tproxyctl: not all packet rules can be read, so marks that they use are not "
		      "known: run as root\n",
			stderr);
	service_set_bindv6only(&options->host.service, options->in_use.bindv6only != 0);
	plan_build(&options->plan, &options->host.service, &options->in_use);
	return STATUS_OK;
}

static void print_free(const struct plan_options *options)
{
	const struct in_use *in_use = &options->in_use;
	const struct plan *plan = &options->plan;
	uint32_t mark = plan->mark;
	unsigned table = plan->table;

	if (in_use_mark_user(in_use, mark) != NULL)
		mark = in_use_free_mark(in_use);
	if (in_use_table_user(in_use, table) != NULL)
		table = in_use_free_table(in_use);
	if (mark != 0 && table != 0)
		fprintf(stderr,
			"tproxyctl: nothing was changed. These are free: --mark 0x%x --table %u\n",
			mark, table);
	else
		fprintf(stderr,
			"tproxyctl: nothing was changed. No free %s was found: remove a rule that "
			"uses one, or use --recipe local-route\n",
			mark == 0 ? "mark" : "table");
}

int plan_options_conflicts(const struct plan_options *options)
{
	const struct plan *plan = &options->plan;
	const char *mark = in_use_mark_user(&options->in_use, plan->mark);
	const char *table = in_use_table_user(&options->in_use, plan->table);

	if (options->in_use.leftover != NULL) {
		fprintf(stderr,
			"tproxyctl: %s is on this host, but not in the state file %s. Nothing was "
			"changed. Use the --state that apply had; if that file is lost, remove what "
			"has the name " OUR_NAME " or the protocol " OUR_PROTOCOL "\n",
			options->in_use.leftover, options->state);
		return STATUS_PROBLEM;
	}
	if (!plan->marks || (mark == NULL && table == NULL))
		return STATUS_OK;
	if (mark != NULL)
		fprintf(stderr, "tproxyctl: mark 0x%x is already in use: %s\n", plan->mark, mark);
	if (table != NULL)
		fprintf(stderr, "tproxyctl: table %u is already in use: %s\n", plan->table, table);
	print_free(options);
	return STATUS_PROBLEM;
}

void plan_options_free(struct plan_options *options)
{
	for (size_t i = 0; i < options->word_count; i++)
		free(options->words[i]);
	free(options->words);
	plan_free(&options->plan);
	in_use_free(&options->in_use);
	host_options_free(&options->host);
}
