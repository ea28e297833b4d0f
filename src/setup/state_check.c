/*
 * Whether a state file is whole; see the header.
 *
 * Each part of it is a row: its key, when it has to be there, and what it may be. What no row names is
 * refused like what is missing: a file is as we wrote it, or it is not believed in any part. The commands
 * in it are run by root, so they have to be of the kind that we write: `ip` alone, and about nothing but what
 * has our protocol.
 */
#include "in_use.h"
#include "plan.h"
#include "state_file.h"
#include "tproxy/json.h"
#include "tproxy/text.h"

#include <stdlib.h>
#include <string.h>

enum presence {
	ALWAYS,
	ONCE_BEGUN, /* of a step: unless it is planned only */
	WHEN_DONE,
	AT_TIMES
};

struct row {
	const char *key;
	enum presence presence;
	bool (*is_well)(const json_t *value, const json_t *step);
	const char *what; /* it has to be */
};

static bool is_one_of(const json_t *value, const char *const names[])
{
	const char *text = json_string_value(value);

	for (size_t i = 0; text != NULL && names[i] != NULL; i++)
		if (strcmp(text, names[i]) == 0)
			return true;
	return false;
}

static bool is_text(const json_t *value, const json_t *step)
{
	(void)step;
	return json_string_length(value) > 0;
}

/* --- the parts of a step --- */

static bool is_kind(const json_t *value, const json_t *step)
{
	static const char *const kinds[] = {"sysctl", "route", "rule", "firewall", NULL};

	(void)step;
	return is_one_of(value, kinds);
}

static bool is_family(const json_t *value, const json_t *step)
{
	static const char *const families[] = {"ipv4", "ipv6", NULL};

	(void)step;
	return is_one_of(value, families);
}

static bool is_state(const json_t *value, const json_t *step)
{
	static const char *const states[] = {"planned", "begun", "done", "undoing", "undone", NULL};

	(void)step;
	return is_one_of(value, states);
}

static bool is_tool(const json_t *value, const json_t *step)
{
	(void)step;
	return is_one_of(value, firewall_tool_names);
}

/* "net/…", each part of it a name. */
static bool is_sysctl(const json_t *value, const json_t *step)
{
	const char *path = json_string_value(value);

	(void)step;
	if (path == NULL || strncmp(path, "net/", 4) != 0)
		return false;
	for (;; path++) {
		size_t length = strcspn(path, "/");

		if (length == 0 || strspn(path, ".") == length)
			return false;
		path += length;
		if (*path == '\0')
			return true;
	}
}

static bool is_number(const json_t *value, const json_t *step)
{
	const char *text = json_string_value(value);
	unsigned number;

	(void)step;
	return text != NULL && text_number(*text == '-' ? text + 1 : text, &number);
}

/* A command of `ip` that does VERB to what is ours. */
static bool is_command(const json_t *value, const json_t *step, const char *verb)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz0123456789./: -";
	const char *line = json_string_value(value), *kind = json_text(step, "kind");
	bool six = strcmp(json_text(step, "family"), "ipv6") == 0;
	char *head = text_format("ip -%d %s %s ", six ? 6 : 4, kind, verb);
	const char *tag =
		strcmp(kind, "rule") == 0 ? " protocol " OUR_PROTOCOL : " proto " OUR_PROTOCOL;
	const char *found = line != NULL ? strstr(line, tag) : NULL;
	bool well = found != NULL && strchr(" ", found[strlen(tag)]) != NULL &&
		    strncmp(line, head, strlen(head)) == 0 && line[strspn(line, plain)] == '\0';

	free(head);
	return well;
}

static bool is_adding(const json_t *value, const json_t *step)
{
	return is_command(value, step, "add");
}

static bool is_deleting(const json_t *value, const json_t *step)
{
	return is_command(value, step, "del");
}

static bool is_showing(const json_t *value, const json_t *step)
{
	return is_command(value, step, "show");
}

static bool is_chains(const json_t *value, const json_t *step)
{
	const json_t *name;
	size_t i;

	(void)step;
	for (i = 0; (name = json_array_get(value, i)) != NULL; i++)
		if (json_string_length(name) == 0)
			return false;
	return json_is_array(value) || json_is_null(value);
}

static bool is_truth(const json_t *value, const json_t *step)
{
	(void)step;
	return json_is_boolean(value);
}

#define COMMON                                                                                     \
	{"kind", ALWAYS, is_kind, "sysctl, route, rule or firewall"},                              \
		{"family", ALWAYS, is_family, "ipv4 or ipv6"}, {"why", ALWAYS, is_text, "text"},   \
	{                                                                                          \
		"state", ALWAYS, is_state, "planned, begun, done, undoing or undone"               \
	}

static const struct row of_sysctl[] = {COMMON, {"name", ALWAYS, is_sysctl, "a sysctl's path"},
	{"value", ALWAYS, is_number, "a number in quotes"},
	{"was", ALWAYS, is_number, "a number in quotes"},
	{"previous", ONCE_BEGUN, is_number, "a number in quotes"}, {NULL, ALWAYS, NULL, NULL}};

static const struct row of_routing[] = {COMMON, {"name", ALWAYS, is_text, "text"},
	{"run", ALWAYS, is_adding, "a command of `ip` that adds what is tproxyctl's"},
	{"undo", ALWAYS, is_deleting, "a command of `ip` that deletes what is tproxyctl's"},
	{"probe", ALWAYS, is_showing, "a command of `ip` that shows what is tproxyctl's"},
	{NULL, ALWAYS, NULL, NULL}};

static const struct row of_firewall[] = {COMMON, {"name", ALWAYS, is_text, "text"},
	{"firewall_tool", ALWAYS, is_tool, "iptables, iptables-legacy or nft"},
	{"run", ALWAYS, is_text, "text"}, {"input", ALWAYS, is_text, "text"},
	{"chains_before", AT_TIMES, is_chains, "null or a list of names"},
	{"registers", AT_TIMES, is_truth, "true or false"}, {"seen", WHEN_DONE, is_text, "text"},
	{NULL, ALWAYS, NULL, NULL}};

/* --- the parts of the whole --- */

static bool is_format(const json_t *value, const json_t *step)
{
	(void)step;
	return json_is_integer(value) && json_integer_value(value) == STATE_FILE_FORMAT;
}

static bool is_object(const json_t *value, const json_t *step)
{
	(void)step;
	return json_is_object(value);
}

static bool is_list(const json_t *value, const json_t *step)
{
	(void)step;
	return json_is_array(value);
}

static bool is_recipe(const json_t *value, const json_t *step)
{
	(void)step;
	return is_one_of(value, plan_recipe_names);
}

static bool is_mark(const json_t *value, const json_t *step)
{
	json_int_t number = json_integer_value(value);

	(void)step;
	return json_is_integer(value) && number > 0 && number <= UINT32_MAX;
}

static const struct row of_root[] = {{"format", ALWAYS, is_format, "1"},
	{"since", ALWAYS, is_text, "a date"}, {"boot", ALWAYS, is_text, "text"},
	{"namespace", ALWAYS, is_text, "text"}, {"plan", ALWAYS, is_object, "an object"},
	{NULL, ALWAYS, NULL, NULL}};

static const struct row of_plan[] = {{"recipe", ALWAYS, is_recipe, "divert, tproxy or local-route"},
	{"firewall_tool", ALWAYS, is_tool, "iptables, iptables-legacy or nft"},
	{"mark", AT_TIMES, is_mark, "a mark"}, {"table", AT_TIMES, is_mark, "a routing table"},
	{"notes", AT_TIMES, is_text, "text"}, {"steps", ALWAYS, is_list, "a list"},
	{NULL, ALWAYS, NULL, NULL}};

/* --- all of it --- */

static bool is_missing(const struct row *row, const json_t *step)
{
	const char *state = json_text(step, "state");

	return row->presence == ALWAYS ||
	       (row->presence == ONCE_BEGUN && strcmp(state, "planned") != 0) ||
	       (row->presence == WHEN_DONE && strcmp(state, "done") == 0);
}

/* Checks an object against its rows; what is wrong with it, to be freed, or NULL. */
static char *problem_of(const json_t *object, const struct row *rows, const char *where)
{
	void *at;

	if (!json_is_object(object))
		return text_format("%s is no object", where);
	for (const struct row *row = rows; row->key != NULL; row++) {
		const json_t *value = json_object_get(object, row->key);

		if (value == NULL && is_missing(row, object))
			return text_format("`%s` of %s is missing", row->key, where);
		if (value != NULL && !row->is_well(value, object))
			return text_format("`%s` of %s is not %s", row->key, where, row->what);
	}
	for (at = json_object_iter((json_t *)object); at != NULL;
		at = json_object_iter_next((json_t *)object, at)) {
		const struct row *row = rows;

		while (row->key != NULL && strcmp(row->key, json_object_iter_key(at)) != 0)
			row++;
		if (row->key == NULL)
			return text_format("%s has a `%s`, which is not known", where,
				json_object_iter_key(at));
	}
	return NULL;
}

static const struct row *rows_of(const json_t *step)
{
	const char *kind = json_text(step, "kind");

	if (strcmp(kind, "sysctl") == 0)
		return of_sysctl;
	return strcmp(kind, "firewall") == 0 ? of_firewall : of_routing;
}

char *state_file_problem(const json_t *root)
{
	const json_t *plan = json_object_get(root, "plan"), *step;
	char *problem = problem_of(root, of_root, "the file");
	size_t i;

	if (problem == NULL)
		problem = problem_of(plan, of_plan, "the plan");
	for (i = 0; (step = json_array_get(json_object_get(plan, "steps"), i)) != NULL; i++) {
		char *where = text_format("step %zu", i + 1);

		if (problem == NULL)
			problem = problem_of(step, rows_of(step), where);
		free(where);
	}
	return problem;
}
