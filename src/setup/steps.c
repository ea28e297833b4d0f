/*
 * Does steps and reverts them.
 *
 * A step is written down as begun before it is done, and as undoing before it is reverted. A kill can leave
 * either state. The next run looks at the host and takes the step as done if it is there, so a kill needs no
 * clean-up of its own. What is gone although it was done was removed by another program, and is reported.
 *
 * The trap: "it cannot be read" is not "it is gone". A tool that fails leaves the step as it is, and the
 * state file with it.
 */
#include "steps.h"
#include "hoststate/sysctl.h"
#include "our_rules.h"
#include "tproxy/exit_status.h"
#include "tproxy/subprocess.h"
#include "tproxy/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const step_found_names[] = {"there", "gone", "changed", "unknown"};

void steps_message(json_t *messages, const char *format, ...)
{
	va_list list;
	char *line;

	va_start(list, format);
	if (vasprintf(&line, format, list) == -1)
		abort(); /* out of memory */
	va_end(list);
	json_array_append_new(messages, json_string(line));
	free(line);
}

void steps_print_messages(const json_t *messages)
{
	const json_t *line;
	size_t i;

	for (i = 0; (line = json_array_get(messages, i)) != NULL; i++)
		fprintf(stderr, "tproxyctl: %s\n", json_string_value(line));
}

void steps_print_result(bool json, const char *result, const json_t *messages, json_t *applied)
{
	json_t *root;

	steps_print_messages(messages);
	if (!json) {
		printf("%s\n", result);
		json_decref(applied);
		return;
	}
	root = json_object();
	json_object_set_new(root, "result", json_string(result));
	json_object_set(root, "messages", (json_t *)messages);
	if (applied != NULL)
		json_object_set_new(root, "applied", applied);
	json_dumpf(root, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(root);
}

/* "IPv6 policy rule fwmark 0x1 table 100", to be freed. */
static char *title_of(const struct step *step)
{
	char *name = step_name(step);
	char *title = text_format("IPv%d %s", family_version(step->family), name);

	free(name);
	return title;
}

/* Runs `ip` to add or delete a route or a policy rule. */
static bool run_ip(const struct step *step, const char *verb, char **problem)
{
	char *line = step_command(step, verb);
	struct subprocess_result result;
	bool well = subprocess_run_line(line, NULL, &result);

	if (!well)
		*problem = text_format(
			"`%s` failed (status %d): %s", line, result.status, result.errors);
	subprocess_free(&result);
	free(line);
	return well;
}

static bool write_sysctl(const struct step *step, const char *value, char **problem)
{
	int error = sysctl_write(step->sysctl, value);

	if (error != 0)
		*problem = text_format("cannot write %s: %s", value, strerror(error));
	return error == 0;
}

static enum step_found look_at_sysctl(const struct step *step, char **detail)
{
	char *now = sysctl_read(step->sysctl);
	enum step_found found = FOUND_CHANGED;

	if (now == NULL && sysctl_exists(step->sysctl)) {
		*detail = text_format("it cannot be read");
		found = FOUND_UNKNOWN;
	} else if (now == NULL || strcmp(step->was, now) == 0)
		found = FOUND_GONE;
	else if (strcmp(step->value, now) == 0)
		found = FOUND_THERE;
	else
		*detail = text_format("its value is %s, and apply set %s", now, step->value);
	free(now);
	return found;
}

static enum step_found look_at_rules(const struct step *step, char **detail)
{
	char *ours = our_rules_list(step, detail);
	enum step_found found = FOUND_THERE;

	if (ours == NULL)
		return FOUND_UNKNOWN;
	if (*ours == '\0')
		found = FOUND_GONE;
	else if (step->seen != NULL && strcmp(step->seen, ours) != 0) {
		found = FOUND_CHANGED;
		*detail = text_format("its rules are not those that apply loaded");
	}
	free(ours);
	return found;
}

/* `ip route show` fails for a table that does not exist. */
static enum step_found look_at_route(const struct step *step, char **detail)
{
	char *line = step_command(step, "show");
	struct subprocess_result result;
	bool well = subprocess_run_line(line, NULL, &result);
	enum step_found found = FOUND_UNKNOWN;

	if (well)
		found = result.length > 0 ? FOUND_THERE : FOUND_GONE;
	else if (strstr(result.errors, "does not exist") != NULL)
		found = FOUND_GONE;
	else
		*detail = text_format("`%s` failed: %s", line, result.errors);
	subprocess_free(&result);
	free(line);
	return found;
}

enum step_found step_look(const struct step *step, char **detail)
{
	if (step->kind == STEP_SYSCTL)
		return look_at_sysctl(step, detail);
	if (step->kind == STEP_FIREWALL)
		return look_at_rules(step, detail);
	return look_at_route(step, detail);
}

/* Notes in the step what is there before it. */
static bool prepare(struct step *step, char **problem)
{
	char *now;

	if (step->kind == STEP_FIREWALL)
		return our_rules_prepare(step, problem);
	if (step->kind != STEP_SYSCTL)
		return true;
	now = sysctl_read(step->sysctl);
	if (now == NULL) {
		*problem = text_format("it cannot be read");
		return false;
	}
	free(step->was);
	step->was = now;
	return true;
}

static bool make(struct step *step, char **problem)
{
	if (step->kind == STEP_SYSCTL)
		return write_sysctl(step, step->value, problem);
	if (step->kind == STEP_FIREWALL)
		return our_rules_load(step, problem);
	return run_ip(step, "add", problem);
}

static bool do_step(struct state_file *state_file, struct step *step, json_t *messages)
{
	char *problem = NULL, *title = title_of(step);
	bool well = prepare(step, &problem);

	if (well && !state_file_mark(state_file, step, STEP_BEGUN)) {
		problem = text_format("not done, because the state file cannot be written");
		well = false;
	}
	well = well && make(step, &problem);
	if (well)
		step->state = STEP_DONE;
	else
		steps_message(messages, "%s: %s", title, problem);
	free(problem);
	free(title);
	return well;
}

int steps_apply(struct state_file *state_file, json_t *messages)
{
	struct plan *plan = &state_file->plan;
	bool well = true;

	if (!state_file_write(state_file))
		return STATUS_PROBLEM;
	for (size_t i = 0; well && i < plan->step_count; i++)
		well = do_step(state_file, &plan->steps[i], messages);
	if (well && state_file_write(state_file))
		return STATUS_OK;
	steps_message(messages, "%s",
		steps_revert(state_file, messages) == STATUS_OK
			? "everything was reverted: the host is as it was before"
			: "not everything could be reverted: see `tproxyctl status`");
	return STATUS_PROBLEM;
}

/* Removes our rules, and the tables and chains that came with them. */
static bool remove_rules(
	const struct step *step, json_t *messages, const char *title, char **problem)
{
	char *ours = our_rules_list(step, problem), *left = NULL, *kept = NULL;
	bool well = ours != NULL;

	if (well && *ours != '\0')
		well = our_rules_remove(step, ours, &left, problem);
	if (left != NULL)
		steps_message(messages, "%s: left in place, because another program added it: %s",
			title, left);
	well = well && our_rules_clean(step, &kept, problem);
	if (kept != NULL)
		steps_message(messages, "%s: %s", title, kept);
	free(kept);
	free(left);
	free(ours);
	return well;
}

static bool unmake(const struct step *step, json_t *messages, const char *title, char **problem)
{
	if (step->kind == STEP_SYSCTL)
		return write_sysctl(step, step->was, problem);
	if (step->kind == STEP_FIREWALL)
		return remove_rules(step, messages, title, problem);
	return run_ip(step, "del", problem);
}

/* Reports what another program did to a step; *ODD is set where one did something. */
static void report_changes(const struct step *step, enum step_found found, const char *detail,
	const char *title, json_t *messages, bool *odd)
{
	if (found == FOUND_GONE && step->state == STEP_DONE)
		steps_message(messages, "%s is gone: another program removed it", title);
	else if (found == FOUND_CHANGED && step->kind == STEP_SYSCTL)
		steps_message(messages, "%s was changed by another program and stays as it is: %s",
			title, detail);
	else if (found == FOUND_CHANGED)
		steps_message(messages,
			"%s: another program changed them; the rules of tproxyctl are removed",
			title);
	else
		return;
	*odd = true;
}

static bool undo_step(struct state_file *state_file, struct step *step, json_t *messages, bool *odd)
{
	char *detail = NULL, *problem = NULL, *title = title_of(step);
	enum step_found found = step_look(step, &detail);
	bool well = found != FOUND_UNKNOWN;

	report_changes(step, found, detail, title, messages, odd);
	if (!well)
		steps_message(messages, "%s: %s", title, detail);
	/* Rules bring tables, which may be all that is left of them. */
	else if (found == FOUND_THERE || step->kind == STEP_FIREWALL)
		well = state_file_mark(state_file, step, STEP_UNDOING) &&
		       unmake(step, messages, title, &problem);
	if (problem != NULL)
		steps_message(messages, "%s: %s", title, problem);
	if (well && step->registers)
		steps_message(messages,
			"%s: the kernel keeps the empty table mangle of iptables-legacy; it cannot "
			"be removed",
			title);
	if (well)
		step->state = STEP_UNDONE;
	free(detail);
	free(problem);
	free(title);
	return well;
}

int steps_revert(struct state_file *state_file, json_t *messages)
{
	struct plan *plan = &state_file->plan;
	bool odd = false, failed = false;

	for (size_t i = plan->step_count; i > 0; i--) {
		struct step *step = &plan->steps[i - 1];

		if (step->state != STEP_PLANNED && step->state != STEP_UNDONE)
			failed |= !undo_step(state_file, step, messages, &odd);
	}
	if (failed) {
		state_file_write(state_file);
		return STATUS_PROBLEM;
	}
	return state_file_remove(state_file) && !odd ? STATUS_OK : STATUS_PROBLEM;
}
