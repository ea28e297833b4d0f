/*
 * Doing steps and taking them back; see the header.
 *
 * A step is noted as begun before it is done and as undoing before it is taken back. Whoever finds one of
 * these two after a kill looks at the host and takes the step for done where it is there; so being killed
 * needs no clean-up of its own. What is gone although it was done was taken away by another program, and is reported.
 */
#include "steps.h"
#include "hoststate/sysctl.h"
#include "our_rules.h"
#include "tproxy/exit_status.h"
#include "tproxy/json.h"
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

void steps_print_result(
	bool json, const char *result, const json_t *messages, const json_t *applied)
{
	json_t *root;

	steps_print_messages(messages);
	if (!json) {
		printf("%s\n", result);
		return;
	}
	root = json_object();
	json_object_set_new(root, "result", json_string(result));
	json_object_set(root, "messages", (json_t *)messages);
	if (applied != NULL)
		json_object_set(root, "applied", (json_t *)applied);
	json_dumpf(root, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(root);
}

static bool is(const json_t *step, const char *key, const char *value)
{
	return strcmp(json_text(step, key), value) == 0;
}

/* "IPv6 policy rule fwmark 0x1 table 100". */
static char *title(const json_t *step)
{
	char *name = is(step, "kind", "sysctl") ? sysctl_name(json_text(step, "name"))
						: text_format("%s", json_text(step, "name"));
	char *made = text_format("%s %s", is(step, "family", "ipv6") ? "IPv6" : "IPv4", name);

	free(name);
	return made;
}

static bool run(const char *line, char **problem)
{
	struct subprocess_result result;
	bool well = subprocess_run_line(line, NULL, &result);

	if (!well)
		*problem = text_format(
			"`%s` failed (status %d): %s", line, result.status, result.errors);
	subprocess_free(&result);
	return well;
}

static bool set(const json_t *step, const char *value, char **problem)
{
	int error = sysctl_write(json_text(step, "name"), value);

	if (error != 0)
		*problem = text_format("writing %s failed: %s", value, strerror(error));
	return error == 0;
}

static enum step_found look_at_sysctl(const json_t *step, char **detail)
{
	char *now = sysctl_read(json_text(step, "name"));
	enum step_found found = FOUND_CHANGED;

	if (now == NULL && sysctl_exists(json_text(step, "name"))) {
		*detail = text_format("it cannot be read");
		found = FOUND_UNKNOWN;
	} else if (now == NULL || is(step, "previous", now))
		found = FOUND_GONE;
	else if (is(step, "value", now))
		found = FOUND_THERE;
	else
		*detail = text_format("it is %s, where %s was set", now, json_text(step, "value"));
	free(now);
	return found;
}

static enum step_found look_at_rules(const json_t *step, char **detail)
{
	char *ours = our_rules_list(step, detail);
	enum step_found found = FOUND_THERE;

	if (ours == NULL)
		return FOUND_UNKNOWN;
	if (*ours == '\0')
		found = FOUND_GONE;
	else if (json_object_get(step, "seen") != NULL && !is(step, "seen", ours)) {
		found = FOUND_CHANGED;
		*detail = text_format("its rules are not those that were loaded");
	}
	free(ours);
	return found;
}

/* For a table that does not exist `ip` reports an error. */
static enum step_found look_at_route(const json_t *step, char **detail)
{
	struct subprocess_result result;
	bool well = subprocess_run_line(json_text(step, "probe"), NULL, &result);
	enum step_found found = FOUND_UNKNOWN;

	if (well)
		found = result.length > 0 ? FOUND_THERE : FOUND_GONE;
	else if (strstr(result.errors, "does not exist") != NULL)
		found = FOUND_GONE;
	else
		*detail = text_format("`%s` failed: %s", json_text(step, "probe"), result.errors);
	subprocess_free(&result);
	return found;
}

enum step_found steps_look(const json_t *step, char **detail)
{
	if (is(step, "kind", "sysctl"))
		return look_at_sysctl(step, detail);
	if (is(step, "kind", "firewall"))
		return look_at_rules(step, detail);
	return look_at_route(step, detail);
}

/* Notes what was there before. */
static bool prepare(json_t *step, char **problem)
{
	char *now;

	if (is(step, "kind", "firewall"))
		return our_rules_prepare(step, problem);
	if (!is(step, "kind", "sysctl"))
		return true;
	now = sysctl_read(json_text(step, "name"));
	if (now == NULL) {
		*problem = text_format("it cannot be read");
		return false;
	}
	json_object_set_new(step, "previous", json_string(now));
	free(now);
	return true;
}

static bool make(json_t *step, char **problem)
{
	if (is(step, "kind", "sysctl"))
		return set(step, json_text(step, "value"), problem);
	if (is(step, "kind", "firewall"))
		return our_rules_load(step, problem);
	return run(json_text(step, "run"), problem);
}

static bool do_step(struct state_file *state_file, json_t *step, json_t *messages)
{
	char *problem = NULL, *name = title(step);
	bool well = prepare(step, &problem);

	if (!well)
		steps_message(messages, "%s: %s", name, problem);
	else {
		well = state_file_mark(state_file, step, "begun");
		if (!well)
			steps_message(
				messages, "%s is not done: the state file cannot be written", name);
		else if (!make(step, &problem)) {
			well = false;
			steps_message(messages, "%s: %s", name, problem);
		}
	}
	if (well)
		json_object_set_new(step, "state", json_string("done"));
	free(problem);
	free(name);
	return well;
}

int steps_apply(struct state_file *state_file, json_t *messages)
{
	json_t *step;
	size_t i;

	if (!state_file_write(state_file))
		return STATUS_PROBLEM;
	for (i = 0; (step = json_array_get(state_file_steps(state_file), i)) != NULL; i++)
		if (!do_step(state_file, step, messages))
			goto back;
	if (state_file_write(state_file))
		return STATUS_OK;
back:
	steps_message(
		messages, steps_revert(state_file, messages) == STATUS_OK
				  ? "everything was taken back: the host is as it was before"
				  : "not everything could be taken back: see `tproxyctl status`");
	return STATUS_PROBLEM;
}

/* Takes our rules away, and the tables and chains that came with them. */
static bool unload(const json_t *step, json_t *messages, const char *name, char **problem)
{
	char *ours = our_rules_list(step, problem), *left = NULL, *kept = NULL;
	bool well = ours != NULL;

	if (well && *ours != '\0')
		well = our_rules_remove(step, ours, &left, problem);
	if (left != NULL)
		steps_message(messages, "%s: somebody else's, left as it is: %s", name, left);
	well = well && our_rules_clean(step, &kept, problem);
	if (kept != NULL)
		steps_message(messages, "%s: %s", name, kept);
	free(kept);
	free(left);
	free(ours);
	return well;
}

static bool unmake(const json_t *step, json_t *messages, const char *name, char **problem)
{
	if (is(step, "kind", "sysctl"))
		return set(step, json_text(step, "previous"), problem);
	if (is(step, "kind", "firewall"))
		return unload(step, messages, name, problem);
	return run(json_text(step, "undo"), problem);
}

/* Whether there is something of the step to be taken back. Rules bring tables, which may be all that is left. */
static bool has_work(const json_t *step, enum step_found found)
{
	return found == FOUND_THERE || is(step, "kind", "firewall");
}

/* What is odd about a step that is to be taken back; *ODD where somebody else had a hand in it. */
static void complain(const json_t *step, enum step_found found, const char *detail,
	const char *name, json_t *messages, bool *odd)
{
	if (found == FOUND_GONE && is(step, "state", "done"))
		steps_message(messages, "%s is gone: somebody else took it away", name);
	else if (found == FOUND_CHANGED && is(step, "kind", "sysctl"))
		steps_message(messages, "%s was changed by somebody else and is left as it is: %s",
			name, detail);
	else if (found == FOUND_CHANGED)
		steps_message(
			messages, "%s: somebody else changed them; ours are taken away", name);
	else
		return;
	*odd = true;
}

static bool undo_step(struct state_file *state_file, json_t *step, json_t *messages, bool *odd)
{
	char *detail = NULL, *problem = NULL, *name = title(step);
	enum step_found found = steps_look(step, &detail);
	bool well = found != FOUND_UNKNOWN;

	complain(step, found, detail, name, messages, odd);
	if (!well)
		steps_message(messages, "%s: %s", name, detail);
	else if (has_work(step, found))
		well = state_file_mark(state_file, step, "undoing") &&
		       unmake(step, messages, name, &problem);
	if (problem != NULL)
		steps_message(messages, "%s: %s", name, problem);
	if (well && json_is_true(json_object_get(step, "registers")))
		steps_message(messages,
			"%s: the kernel keeps iptables-legacy's table mangle, empty; nothing takes "
			"that back",
			name);
	if (well)
		json_object_set_new(step, "state", json_string("undone"));
	free(detail);
	free(problem);
	free(name);
	return well;
}

int steps_revert(struct state_file *state_file, json_t *messages)
{
	json_t *steps = state_file_steps(state_file);
	bool odd = false, failed = false;

	for (size_t i = json_array_size(steps); i > 0; i--) {
		json_t *step = json_array_get(steps, i - 1);

		if (is(step, "state", "planned") || is(step, "state", "undone"))
			continue;
		failed |= !undo_step(state_file, step, messages, &odd);
	}
	if (failed) {
		state_file_write(state_file);
		return STATUS_PROBLEM;
	}
	return state_file_remove(state_file) && !odd ? STATUS_OK : STATUS_PROBLEM;
}
