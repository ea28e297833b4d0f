/*
 * Verbs about the host: the other subcommands of this program, and the commands that check prints.
 *
 * A subcommand runs as a program of its own, with the options of the command line, so that the page shows what a person
 * sees in a terminal. What changes the host takes turns by a lock.
 */
#include "tproxy/array.h"
#include "tproxy/json.h"
#include "tproxy/subprocess.h"
#include "tproxy/text.h"
#include "verbs.h"

#include <stdlib.h>
#include <string.h>

/* The one that runs now, also where its file was replaced since. */
static const char program[] = "/proc/self/exe";

/* stderr may have any bytes. */
static json_t *messages(const struct subprocess_result *result)
{
	json_t *text = json_string(result->errors);

	if (text == NULL) {
		text_make_plain(result->errors);
		text = json_string(result->errors);
	}
	return text;
}

/* The options of plan and apply behind `words`; the list is to be freed. */
static const char **arguments_of(
	const struct helper_settings *settings, const char *const *words, bool steers)
{
	const char *const config[] = {"--config", settings->config, NULL};
	const char *const *const parts[] = {
		words, settings->config != NULL ? config : NULL, steers ? settings->options : NULL};
	const char **list = NULL;
	size_t count = 0;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		for (const char *const *word = parts[i]; word != NULL && *word != NULL; word++) {
			list = array_room(list, count, sizeof(*list));
			list[count++] = *word;
		}
	return array_room(list, count, sizeof(*list)); /* NULL is last */
}

static json_t *run_subcommand(const char **arguments)
{
	struct subprocess_result result;
	json_t *output, *answer;

	setenv(SUBPROCESS_LIMIT, "170", 1); /* this process has this one call */
	subprocess_run((const char *const *)arguments, NULL, &result);
	output = result.length > 0 ? json_loadb(result.out, result.length, 0, NULL) : NULL;
	answer = json_pack("{s:i, s:i, s:o, s:o}", "status", 200, "exit", result.status, "output",
		output != NULL ? output : json_null(), "messages", messages(&result));
	subprocess_free(&result);
	free(arguments);
	return answer;
}

json_t *verb_check(const struct helper_settings *settings, const json_t *call)
{
	static const char *const words[] = {program, "check", "--json", NULL};

	(void)call;
	return run_subcommand(arguments_of(settings, words, false));
}

json_t *verb_plan(const struct helper_settings *settings, const json_t *call)
{
	static const char *const words[] = {program, "plan", "--json", NULL};

	(void)call;
	return run_subcommand(arguments_of(settings, words, true));
}

json_t *verb_prove(const struct helper_settings *settings, const json_t *call)
{
	static const char *const words[] = {program, "prove", "--json", NULL};
	struct helper_settings without = *settings;

	(void)call;
	without.config = NULL;
	return run_subcommand(arguments_of(&without, words, false));
}

static json_t *refuse_to_change(void)
{
	return helper_refusal(
		403, "this page may not change the host: start `tproxyctl web` with --allow-apply");
}

json_t *verb_apply(const struct helper_settings *settings, const json_t *call)
{
	static const char *const words[] = {program, "apply", "--json", NULL};

	(void)call;
	if (!settings->allow_apply)
		return refuse_to_change();
	helper_take_turn(settings->lock);
	return run_subcommand(arguments_of(settings, words, true));
}

/* Of the options, --state alone is revert's. */
json_t *verb_revert(const struct helper_settings *settings, const json_t *call)
{
	const char *words[] = {program, "revert", "--json", NULL, NULL, NULL};
	struct helper_settings without = *settings;

	(void)call;
	if (!settings->allow_apply)
		return refuse_to_change();
	for (const char *const *word = settings->options; *word != NULL; word += 2)
		if (strcmp(word[0], "--state") == 0) {
			words[3] = word[0];
			words[4] = word[1];
		}
	helper_take_turn(settings->lock);
	without.config = NULL;
	return run_subcommand(arguments_of(&without, words, false));
}

/* Whether check prints that command for this host. */
static bool is_printed(const json_t *report, const char *run)
{
	size_t i;
	json_t *command;

	json_array_foreach(json_object_get(report, "commands"), i,
		command) if (strcmp(json_text(command, "on"), "this host") == 0 &&
			     strcmp(json_text(command, "run"), run) == 0) return true;
	return false;
}

json_t *verb_fix(const struct helper_settings *settings, const json_t *call)
{
	const char *run = json_text(call, "run");
	const char *const shell[] = {"/bin/sh", "-c", run, NULL};
	struct subprocess_result result;
	json_t *report, *answer;
	bool printed;

	if (!settings->allow_apply)
		return refuse_to_change();
	helper_take_turn(settings->lock);
	report = verb_check(settings, call);
	printed = is_printed(json_object_get(report, "output"), run);
	json_decref(report);
	if (!printed)
		return helper_refusal(
			409, "`tproxyctl check` does not print this command any more: check again");
	subprocess_run(shell, NULL, &result);
	answer = json_pack("{s:i, s:i, s:o}", "status", 200, "exit", result.status, "messages",
		messages(&result));
	subprocess_free(&result);
	return answer;
}
