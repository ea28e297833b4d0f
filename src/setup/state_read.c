/*
 * Reads the JSON of a state file.
 *
 * Each field is a row of a table: its key, whether it must be present, what reads it, and where it goes. A
 * field that no row names is refused like one that is missing: root acts on what the file says, so the file
 * is exactly what we wrote, or no part of it is used. It has no commands: those follow from the fields. The
 * trap is a text that becomes part of a command: a prefix and a sysctl are read strictly.
 */
#include "hoststate/network.h"
#include "plan_json.h"
#include "state_file.h"
#include "tproxy/array.h"
#include "tproxy/json.h"
#include "tproxy/text.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum presence {
	ALWAYS,
	WHEN_DONE, /* of a step */
	OPTIONAL
};

struct row {
	const char *key;
	enum presence presence;
	bool (*read)(const json_t *value, void *field); /* false: not what it must be */
	size_t field;                                   /* the offset of what it fills in */
	const char *what;                               /* the value must be */
};

/* --- values --- */

static bool read_text(const json_t *value, void *field)
{
	char **text = field;

	if (json_string_length(value) == 0)
		return false;
	*text = text_copy(json_string_value(value));
	return true;
}

static bool read_word(const json_t *value, const char *const names[], unsigned *word)
{
	const char *text = json_string_value(value);

	for (unsigned i = 0; text != NULL && names[i] != NULL; i++)
		if (strcmp(text, names[i]) == 0) {
			*word = i;
			return true;
		}
	return false;
}

static bool read_kind(const json_t *value, void *field)
{
	return read_word(value, plan_kind_names, field);
}

static bool read_state(const json_t *value, void *field)
{
	return read_word(value, plan_state_names, field);
}

static bool read_recipe(const json_t *value, void *field)
{
	return read_word(value, plan_recipe_names, field);
}

static bool read_tool(const json_t *value, void *field)
{
	return read_word(value, firewall_tool_names, field);
}

static bool read_family(const json_t *value, void *field)
{
	static const char *const names[] = {"ipv4", "ipv6", NULL};
	unsigned which;
	int *family = field;

	if (!read_word(value, names, &which))
		return false;
	*family = which == 1 ? AF_INET6 : AF_INET;
	return true;
}

/* "net/…", each part of it a name. */
static bool read_sysctl(const json_t *value, void *field)
{
	const char *path = json_string_value(value);

	if (path == NULL || strncmp(path, "net/", 4) != 0)
		return false;
	for (;; path++) {
		size_t length = strcspn(path, "/");

		if (length == 0 || strspn(path, ".") == length)
			return false;
		path += length;
		if (*path == '\0')
			return read_text(value, field);
	}
}

/* A sysctl's value. */
static bool read_digits(const json_t *value, void *field)
{
	const char *text = json_string_value(value);
	unsigned number;

	return text != NULL && text_number(*text == '-' ? text + 1 : text, &number) &&
	       read_text(value, field);
}

/* "ADDRESS/LENGTH". */
static bool read_prefix(const json_t *value, void *field)
{
	const char *text = json_string_value(value),
		   *slash = text != NULL ? strchr(text, '/') : NULL;
	struct addr address = addr_any(AF_INET);
	unsigned length;
	char *ip;
	bool well;

	if (slash == NULL)
		return false;
	ip = text_format("%.*s", (int)(slash - text), text);
	well = ip[strspn(ip, "0123456789abcdef.:")] == '\0' && addr_parse(&address, ip) &&
	       text_number(slash + 1, &length) && length <= 128;
	free(ip);
	return well && read_text(value, field);
}

static bool read_preference(const json_t *value, void *field)
{
	json_int_t number = json_integer_value(value);
	unsigned *preference = field;

	if (!json_is_integer(value) || number < 0 || number > UINT32_MAX)
		return false;
	*preference = (unsigned)number;
	return true;
}

/* A mark or a table: never 0. */
static bool read_number(const json_t *value, void *field)
{
	return json_integer_value(value) != 0 && read_preference(value, field);
}

static bool read_chains(const json_t *value, void *field)
{
	json_t **chains = field;
	const json_t *name;
	size_t i;

	for (i = 0; (name = json_array_get(value, i)) != NULL; i++)
		if (json_string_length(name) == 0)
			return false;
	if (!json_is_array(value) && !json_is_null(value))
		return false;
	*chains = json_deep_copy(value);
	return true;
}

static bool read_truth(const json_t *value, void *field)
{
	bool *truth = field;

	*truth = json_is_true(value);
	return json_is_boolean(value);
}

static bool is_format(const json_t *value, void *field)
{
	(void)field;
	return json_is_integer(value) && json_integer_value(value) == STATE_FILE_FORMAT;
}

static bool is_object(const json_t *value, void *field)
{
	(void)field;
	return json_is_object(value);
}

static bool is_list(const json_t *value, void *field)
{
	(void)field;
	return json_is_array(value);
}

/* --- rows --- */

#define STEP(field) offsetof(struct step, field)
#define PLAN(field) offsetof(struct plan, field)
#define ROOT(field) offsetof(struct state_file, field)
#define END                                                                                        \
	{                                                                                          \
		NULL, ALWAYS, NULL, 0, NULL                                                        \
	}

#define COMMON                                                                                     \
	{"kind", ALWAYS, read_kind, STEP(kind), "sysctl, route, rule or firewall"},                \
		{"family", ALWAYS, read_family, STEP(family), "ipv4 or ipv6"},                     \
		{"why", ALWAYS, read_text, STEP(why), "text"},                                     \
	{                                                                                          \
		"state", ALWAYS, read_state, STEP(state),                                          \
			"planned, begun, done, undoing or undone"                                  \
	}

static const struct row of_sysctl[] = {COMMON,
	{"sysctl", ALWAYS, read_sysctl, STEP(sysctl), "the path of a sysctl"},
	{"value", ALWAYS, read_digits, STEP(value), "a number in quotes"},
	{"was", ALWAYS, read_digits, STEP(was), "a number in quotes"}, END};

static const struct row of_route[] = {COMMON,
	{"to", ALWAYS, read_prefix, STEP(to), "an address and the length of a prefix"},
	{"table", ALWAYS, read_number, STEP(table), "a routing table"}, END};

static const struct row of_rule[] = {COMMON,
	{"preference", ALWAYS, read_preference, STEP(preference), "a number"},
	{"mark", ALWAYS, read_number, STEP(mark), "a mark"},
	{"table", ALWAYS, read_number, STEP(table), "a routing table"}, END};

static const struct row of_firewall[] = {COMMON,
	{"firewall_tool", ALWAYS, read_tool, STEP(tool), "iptables, iptables-legacy or nft"},
	{"input", ALWAYS, read_text, STEP(input), "text"},
	{"chains_before", OPTIONAL, read_chains, STEP(chains_before), "null or a list of names"},
	{"registers", OPTIONAL, read_truth, STEP(registers), "true or false"},
	{"seen", WHEN_DONE, read_text, STEP(seen), "text"}, END};

static const struct row *const of_kind[] = {of_sysctl, of_route, of_rule, of_firewall};

static const struct row of_plan[] = {
	{"recipe", ALWAYS, read_recipe, PLAN(recipe), "divert, tproxy or local-route"},
	{"firewall_tool", ALWAYS, read_tool, PLAN(tool), "iptables, iptables-legacy or nft"},
	{"mark", OPTIONAL, read_number, PLAN(mark), "a mark"},
	{"table", OPTIONAL, read_number, PLAN(table), "a routing table"},
	{"notes", OPTIONAL, read_text, PLAN(notes), "text"},
	{"steps", ALWAYS, is_list, 0, "a list"}, END};

static const struct row of_root[] = {{"format", ALWAYS, is_format, 0, "2"},
	{"since", ALWAYS, read_text, ROOT(since), "a date"},
	{"boot", ALWAYS, read_text, ROOT(boot), "text"},
	{"namespace", ALWAYS, read_text, ROOT(namespace), "text"},
	{"plan", ALWAYS, is_object, 0, "an object"}, END};

/* --- all of it --- */

static bool must_have(const struct row *row, const json_t *object)
{
	return row->presence == ALWAYS ||
	       (row->presence == WHEN_DONE && strcmp(json_text(object, "state"), "done") == 0);
}

/* Fills INTO from an object by its rows. Returns what is wrong with it, to be freed, or NULL. */
static char *read_rows(const json_t *object, const struct row *rows, void *into, const char *where)
{
	void *at;

	if (!json_is_object(object))
		return text_format("%s is not an object", where);
	for (const struct row *row = rows; row->key != NULL; row++) {
		const json_t *value = json_object_get(object, row->key);

		if (value == NULL && must_have(row, object))
			return text_format("`%s` of %s is missing", row->key, where);
		if (value != NULL && !row->read(value, (char *)into + row->field))
			return text_format("`%s` of %s is not %s", row->key, where, row->what);
	}
	for (at = json_object_iter((json_t *)object); at != NULL;
		at = json_object_iter_next((json_t *)object, at)) {
		const struct row *row = rows;

		while (row->key != NULL && strcmp(row->key, json_object_iter_key(at)) != 0)
			row++;
		if (row->key == NULL)
			return text_format(
				"`%s` of %s is not known", json_object_iter_key(at), where);
	}
	return NULL;
}

static char *read_step(struct plan *plan, const json_t *object)
{
	char *where = text_format("step %zu", plan->step_count + 1), *problem;
	unsigned kind = STEP_SYSCTL;
	struct step *step;

	read_word(json_object_get(object, "kind"), plan_kind_names, &kind);
	plan->steps = array_room(plan->steps, plan->step_count, sizeof(*plan->steps));
	step = &plan->steps[plan->step_count++];
	problem = read_rows(object, of_kind[kind], step, where);
	free(where);
	return problem;
}

char *state_file_read(struct state_file *state_file, const json_t *root)
{
	const json_t *plan = json_object_get(root, "plan"), *step;
	char *problem = read_rows(root, of_root, state_file, "the file");
	size_t i;

	if (problem == NULL)
		problem = read_rows(plan, of_plan, &state_file->plan, "the plan");
	state_file->plan.marks = state_file->plan.mark != 0;
	for (i = 0; problem == NULL &&
		    (step = json_array_get(json_object_get(plan, "steps"), i)) != NULL;
		i++)
		problem = read_step(&state_file->plan, step);
	return problem;
}
