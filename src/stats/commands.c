/*
 * The table of commands, and how a line finds its row. Names, levels and answers are HAProxy's.
 *
 * A command that is not known, or not whole, is answered with those that begin like it.
 */
#include "command.h"

#include "tproxy/spelling.h"
#include "tproxy/text.h"
#include "tproxy/units.h"

#include <stdlib.h>
#include <string.h>

enum {
	WORDS_OF_NAME = 3
};

/* --- the conversation itself --- */

static void run_prompt(struct cli *cli, const struct arguments *arguments)
{
	(void)arguments;
	cli->prompts = !cli->prompts;
}

static void run_quit(struct cli *cli, const struct arguments *arguments)
{
	(void)arguments;
	cli->quits = true;
}

static void run_user(struct cli *cli, const struct arguments *arguments)
{
	(void)arguments;
	cli->level = STATS_USER;
}

static void run_operator(struct cli *cli, const struct arguments *arguments)
{
	(void)arguments;
	cli->level = STATS_OPERATOR;
}

static void run_show_cli_level(struct cli *cli, const struct arguments *arguments)
{
	static const char *const levels[] = {"user", "operator", "admin"};

	(void)arguments;
	cli_say(cli, levels[cli->level]);
}

static void run_set_timeout_cli(struct cli *cli, const struct arguments *arguments)
{
	const char *text = arguments->words[0];
	bool has_unit = text[strspn(text, "0123456789")] != '\0';
	char *duration = text_format("%s%s", text, has_unit ? "" : "s");
	unsigned milliseconds = 0;

	if (*text == '\0')
		cli_say(cli, "Expects an integer value.");
	else if (duration_parse(duration, &milliseconds) != NULL || milliseconds == 0)
		cli_say(cli, "Invalid timeout value.");
	else
		cli->timeout = milliseconds;
	free(duration);
}

static void run_help(struct cli *cli, const struct arguments *arguments);

static const struct command commands[] = {
	{"clear counters", "[all]", STATS_OPERATOR, run_clear_counters,
		"clear max statistics counters (or all counters)"},
	{"disable server", "<bk>/<srv>", STATS_ADMIN, run_disable_server,
		"take a server into maintenance"},
	{"enable server", "<bk>/<srv>", STATS_ADMIN, run_enable_server,
		"take a server out of maintenance"},
	{"get weight", "<bk>/<srv>", STATS_USER, run_get_weight,
		"report a server's current weight"},
	{"help", "[<command>]", STATS_USER, run_help, "list matching or all commands"},
	{"operator", "", STATS_OPERATOR, run_operator, "lower the level to operator"},
	{"prompt", "", STATS_USER, run_prompt, "toggle interactive mode with prompt"},
	{"quit", "", STATS_USER, run_quit, "disconnect"},
	{"set server", "<bk>/<srv> agent|state|weight <value>", STATS_ADMIN, run_set_server,
		"change a server's state or weight"},
	{"set timeout cli", "<delay>", STATS_USER, run_set_timeout_cli,
		"change the timeout of this conversation, in seconds"},
	{"set weight", "<bk>/<srv> <weight>[%]", STATS_ADMIN, run_set_weight,
		"change a server's weight"},
	{"show cli level", "", STATS_USER, run_show_cli_level,
		"display the level of this conversation"},
	{"show errors", "", STATS_OPERATOR, run_show_errors,
		"report protocol errors: a relay of TCP sees none"},
	{"show info", "[json|typed]", STATS_USER, run_show_info,
		"report information about the running process"},
	{"show proc", "", STATS_USER, run_show_proc,
		"report this process, and how many of its reloads were done and failed"},
	{"show reasons", "", STATS_USER, run_show_reasons,
		"report why sessions ended, for each frontend, backend and server"},
	{"show servers conn", "[<backend>]", STATS_USER, run_show_servers_conn,
		"report connections to servers"},
	{"show servers state", "[<backend>]", STATS_USER, run_show_servers_state,
		"report the states of servers"},
	{"show sess", "[<id>]", STATS_OPERATOR, run_show_sess, "report the current sessions"},
	{"show stat", "[{<iid>|<proxy>} <type> <sid>] [json|no-maint|typed|up]*", STATS_USER,
		run_show_stat, "report counters for each proxy and server"},
	{"shutdown session", "<id>", STATS_ADMIN, run_shutdown_session, "end a session"},
	{"shutdown sessions server", "<bk>/<srv>", STATS_ADMIN, run_shutdown_sessions_server,
		"end the sessions of a server"},
	{"user", "", STATS_USER, run_user, "lower the level to user"},
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

/* --- words --- */

static struct arguments split(char *text)
{
	struct arguments made = {.count = 0};
	char *word, *rest = NULL;

	for (word = strtok_r(text, " \t\r\n", &rest); word != NULL && made.count < ARGUMENTS_MAX;
		word = strtok_r(NULL, " \t\r\n", &rest))
		made.words[made.count++] = word;
	for (unsigned i = made.count; i <= ARGUMENTS_MAX; i++)
		made.words[i] = "";
	return made;
}

/* How many words of NAME stand at the beginning of ARGUMENTS; *WHOLE where all of them do. */
static unsigned words_in_common(const char *name, const struct arguments *arguments, bool *whole)
{
	unsigned count = 0;

	for (const char *at = name; *at != '\0' && count < WORDS_OF_NAME; count++) {
		size_t length = strcspn(at, " ");
		const char *word = arguments->words[count];

		if (strlen(word) != length || memcmp(word, at, length) != 0) {
			*whole = false;
			return count;
		}
		at += length;
		at += *at == ' ';
	}
	*whole = true;
	return count;
}

static const struct command *find_command(const struct arguments *arguments, unsigned *words)
{
	const struct command *found = NULL;
	bool whole;

	*words = 0;
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		unsigned count = words_in_common(commands[i].name, arguments, &whole);

		if (!whole || count <= *words)
			continue;
		found = &commands[i];
		*words = count;
	}
	return found;
}

/* --- help --- */

/* Whether the command may be meant: it begins with the same word, or one that is nearly it. */
static bool may_be_meant(const struct command *command, const struct arguments *arguments)
{
	char first[32] = "";
	bool whole;

	if (words_in_common(command->name, arguments, &whole) > 0)
		return true;
	strncat(first, command->name, strcspn(command->name, " "));
	return spelling_is_near(arguments->words[0], first);
}

static void list_command(struct cli *cli, const struct command *command)
{
	char usage[128];

	snprintf(usage, sizeof(usage), "%s%s%s", command->name,
		*command->arguments == '\0' ? "" : " ", command->arguments);
	evbuffer_add_printf(cli->out, "  %-39s : %s\n", usage, command->help);
}

static void list_commands(struct cli *cli, const struct arguments *like)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (commands[i].level <= cli->level &&
			(like == NULL || may_be_meant(&commands[i], like)))
			list_command(cli, &commands[i]);
}

static bool any_is_meant(const struct arguments *arguments)
{
	bool any = false;

	for (size_t i = 0; i < COMMAND_COUNT; i++)
		any |= may_be_meant(&commands[i], arguments);
	return any;
}

static void run_help(struct cli *cli, const struct arguments *arguments)
{
	bool likes = arguments->count > 0 && any_is_meant(arguments);

	cli_say(cli, "The following commands are valid at this level:");
	list_commands(cli, likes ? arguments : NULL);
}

static void say_unknown(struct cli *cli, const struct arguments *arguments)
{
	bool likes = arguments->count > 0 && any_is_meant(arguments);

	cli_say(cli,
		likes ? "Unknown command, but maybe one of the following ones is a better match:"
		      : "Unknown command. Please enter one of the following commands only:");
	list_commands(cli, likes ? arguments : NULL);
}

/* --- running --- */

static struct arguments without_name(const struct arguments *all, unsigned words)
{
	struct arguments rest = {.count = all->count - words};

	for (unsigned i = 0; i <= ARGUMENTS_MAX; i++)
		rest.words[i] = i < rest.count ? all->words[i + words] : "";
	return rest;
}

void command_run(struct cli *cli, char *text)
{
	struct arguments all = split(text), rest;
	unsigned words;
	const struct command *command = find_command(&all, &words);

	if (command == NULL) {
		say_unknown(cli, &all);
		return;
	}
	if (command->level > cli->level) {
		cli_say(cli, "Permission denied");
		return;
	}
	rest = without_name(&all, words);
	command->run(cli, &rest);
}
