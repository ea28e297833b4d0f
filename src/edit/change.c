/*
 * A change: its members are checked, its operation writes the pieces of the text, and the result is judged by the
 * daemon's parser.
 *
 * The judge knows nothing of how an operation works. The model of the new text must be the one before with what was
 * meant, which the operation has put there; any other difference refuses the change. So a mistake here, or a text that
 * means something else than it seems to, costs a refusal and not a wrong configuration.
 *
 * A text with errors has no model, so it is not changed, with two exceptions: no section is there yet, and the last line
 * has no line feed. Such a text is read with what it lacks.
 */
#include "edit.h"

#include "changes.h"
#include "messages.h"
#include "model.h"

#include "tproxy/text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* --- operations and their members --- */

enum type {
	TEXT,
	NUMBER,
	NUMBER_OR_TEXT,
	FLAG,
	LIST,
};

enum presence {
	OPTIONAL,
	NULLABLE, /* and it may be null */
	REQUIRED,
};

struct member {
	const char *key;
	enum type type;
	enum presence presence;
};

enum {
	MEMBERS_MAX = 18
};

#define SERVER_VALUES                                                                              \
	{"weight", NUMBER, NULLABLE}, {"maxconn", NUMBER, NULLABLE},                               \
		{"maxqueue", NUMBER, NULLABLE}, {"rise", NUMBER, NULLABLE},                        \
		{"fall", NUMBER, NULLABLE}, {"check_port", NUMBER, NULLABLE},                      \
		{"inter", TEXT, NULLABLE}, {"fastinter", TEXT, NULLABLE},                          \
		{"downinter", TEXT, NULLABLE}, {"slowstart", TEXT, NULLABLE},                      \
		{"check", FLAG, NULLABLE}, {"backup", FLAG, NULLABLE},                             \
	{                                                                                          \
		"disabled", FLAG, NULLABLE                                                         \
	}

/* The entries of `binds` and `servers` of a new section. */
static const struct member bind_members[MEMBERS_MAX] = {{"address", TEXT, OPTIONAL},
	{"port", NUMBER_OR_TEXT, REQUIRED}, {"transparent", FLAG, OPTIONAL}};
static const struct member server_members[MEMBERS_MAX] = {{"name", TEXT, REQUIRED},
	{"address", TEXT, REQUIRED}, {"port", NUMBER, OPTIONAL}, {"source", TEXT, OPTIONAL},
	SERVER_VALUES};

static const struct operation {
	const char *name;
	bool (*run)(struct editing *editing);
	struct member members[MEMBERS_MAX];
} operations[] = {
	{"add-listener", change_add_listener,
		{{"name", TEXT, REQUIRED}, {"section", TEXT, OPTIONAL}, {"binds", LIST, OPTIONAL},
			{"default_backend", TEXT, OPTIONAL}, {"mode", TEXT, OPTIONAL},
			{"maxconn", NUMBER, OPTIONAL}}},
	{"remove-listener", change_remove_listener, {{"name", TEXT, REQUIRED}}},
	{"rename-listener", change_rename_listener,
		{{"name", TEXT, REQUIRED}, {"to", TEXT, REQUIRED}}},
	{"add-bind", change_add_bind,
		{{"listener", TEXT, REQUIRED}, {"address", TEXT, OPTIONAL},
			{"port", NUMBER_OR_TEXT, REQUIRED}, {"transparent", FLAG, OPTIONAL}}},
	{"set-bind", change_set_bind,
		{{"listener", TEXT, REQUIRED}, {"bind", NUMBER, REQUIRED},
			{"address", TEXT, OPTIONAL}, {"port", NUMBER_OR_TEXT, OPTIONAL}}},
	{"remove-bind", change_remove_bind,
		{{"listener", TEXT, REQUIRED}, {"bind", NUMBER, REQUIRED}}},
	{"set-transparent", change_set_transparent,
		{{"listener", TEXT, REQUIRED}, {"bind", NUMBER, REQUIRED},
			{"transparent", FLAG, REQUIRED}}},
	{"set-default-backend", change_set_default_backend,
		{{"listener", TEXT, REQUIRED}, {"farm", TEXT, REQUIRED}}},
	{"set-mode", change_set_mode,
		{{"listener", TEXT, OPTIONAL}, {"farm", TEXT, OPTIONAL}, {"mode", TEXT, REQUIRED}}},
	{"set-maxconn", change_set_maxconn,
		{{"listener", TEXT, REQUIRED}, {"maxconn", NUMBER, REQUIRED}}},
	{"set-timeout", change_set_timeout,
		{{"listener", TEXT, OPTIONAL}, {"farm", TEXT, OPTIONAL},
			{"timeout", TEXT, REQUIRED}, {"value", TEXT, NULLABLE}}},
	{"add-farm", change_add_farm,
		{{"name", TEXT, REQUIRED}, {"section", TEXT, OPTIONAL}, {"mode", TEXT, OPTIONAL},
			{"balance", TEXT, OPTIONAL}, {"source", TEXT, OPTIONAL},
			{"servers", LIST, OPTIONAL}}},
	{"remove-farm", change_remove_farm, {{"name", TEXT, REQUIRED}}},
	{"rename-farm", change_rename_farm, {{"name", TEXT, REQUIRED}, {"to", TEXT, REQUIRED}}},
	{"set-balance", change_set_balance,
		{{"farm", TEXT, REQUIRED}, {"balance", TEXT, REQUIRED}}},
	{"set-source", change_set_source,
		{{"farm", TEXT, REQUIRED}, {"server", TEXT, OPTIONAL}, {"source", TEXT, REQUIRED}}},
	{"add-server", change_add_server,
		{{"farm", TEXT, REQUIRED}, {"name", TEXT, REQUIRED}, {"address", TEXT, REQUIRED},
			{"port", NUMBER, OPTIONAL}, {"source", TEXT, OPTIONAL}, SERVER_VALUES}},
	{"remove-server", change_remove_server,
		{{"farm", TEXT, REQUIRED}, {"server", TEXT, REQUIRED}}},
	{"rename-server", change_rename_server,
		{{"farm", TEXT, REQUIRED}, {"server", TEXT, REQUIRED}, {"to", TEXT, REQUIRED}}},
	{"set-server", change_set_server,
		{{"farm", TEXT, REQUIRED}, {"server", TEXT, REQUIRED}, {"address", TEXT, OPTIONAL},
			{"port", NUMBER, OPTIONAL}, SERVER_VALUES}},
};

static const struct operation *find_operation(const char *name)
{
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
		if (name != NULL && strcmp(operations[i].name, name) == 0)
			return &operations[i];
	return NULL;
}

/* --- reading a change --- */

static bool has_type(const json_t *value, enum type type)
{
	bool is_text = json_is_string(value) &&
		       strlen(json_string_value(value)) == json_string_length(value);
	bool is_number = json_is_integer(value) && json_integer_value(value) >= 0 &&
			 json_integer_value(value) <= INT32_MAX;

	switch (type) {
	case TEXT:
		return is_text;
	case NUMBER:
		return is_number;
	case NUMBER_OR_TEXT:
		return is_number || is_text;
	case FLAG:
		return json_is_boolean(value);
	case LIST:
		return json_is_array(value);
	}
	return false;
}

static const struct member *find_member(const struct member *members, const char *key)
{
	for (size_t i = 0; i < MEMBERS_MAX && members[i].key != NULL; i++)
		if (strcmp(members[i].key, key) == 0)
			return &members[i];
	return NULL;
}

/* Whether OBJECT has the members that it must have, and no others; WHAT names it. */
static bool check_members(struct editing *editing, const char *what, const json_t *object,
	const struct member *members)
{
	static const char *const types[] = {[TEXT] = "a text",
		[NUMBER] = "a whole number",
		[NUMBER_OR_TEXT] = "a number or a text",
		[FLAG] = "true or false",
		[LIST] = "a list"};
	const char *key;
	json_t *value;

	if (!json_is_object(object))
		return edit_refuse(editing, "%s is no object", what);
	json_object_foreach((json_t *)object, key, value)
	{
		const struct member *member = find_member(members, key);

		if (strcmp(key, "op") == 0)
			continue;
		if (member == NULL)
			return edit_refuse(editing, "%s has no member '%s'", what, key);
		if (json_is_null(value) && member->presence == NULLABLE)
			continue;
		if (!has_type(value, member->type))
			return edit_refuse(
				editing, "%s: '%s' is %s", what, key, types[member->type]);
	}
	for (size_t i = 0; i < MEMBERS_MAX && members[i].key != NULL; i++)
		if (members[i].presence == REQUIRED &&
			json_object_get(object, members[i].key) == NULL)
			return edit_refuse(editing, "%s: '%s' is missing", what, members[i].key);
	return true;
}

static bool check_list(struct editing *editing, const char *key, const struct member *members)
{
	const json_t *list = json_object_get(editing->change, key);

	for (size_t i = 0; i < json_array_size(list); i++)
		if (!check_members(editing, key, json_array_get(list, i), members))
			return false;
	return true;
}

/* A new section may be a `listen` section in place of its own kind. */
static bool check_section(struct editing *editing, const char *name)
{
	const char *kind = edit_text(editing, "section");
	const char *own = strcmp(name, "add-farm") == 0 ? "backend" : "frontend";

	if (kind == NULL || strcmp(kind, own) == 0 || strcmp(kind, "listen") == 0)
		return true;
	return edit_refuse(
		editing, "'%s' is no section for it; there are '%s' and 'listen'", kind, own);
}

static const struct operation *read_change(struct editing *editing)
{
	const char *name = edit_text(editing, "op");
	const struct operation *operation = find_operation(name);

	if (operation == NULL) {
		edit_refuse(editing, "'%s' is no operation", name == NULL ? "" : name);
		return NULL;
	}
	if (!check_members(editing, name, editing->change, operation->members) ||
		!check_list(editing, "binds", bind_members) ||
		!check_list(editing, "servers", server_members) || !check_section(editing, name))
		return NULL;
	return operation;
}

/* --- models --- */

/* The daemon takes no text without a section, so one is added then; it is left out of the model. */
static const char stand_in[] = "backend none\n mode tcp\n";

/* The text as it is read: with a line feed at its end, and with a section. To be freed. */
static char *readable(const char *text, size_t *length, bool has_section)
{
	struct text_stream stream;
	char *copy;

	text_begin(&stream);
	fwrite(text, 1, *length, stream.out);
	if (*length > 0 && text[*length - 1] != '\n')
		fputc('\n', stream.out);
	if (!has_section)
		fputs(stand_in, stream.out);
	copy = text_end(&stream);
	*length = stream.length;
	return copy;
}

/* The daemon's model of the text. NULL: it has errors, the first one is noted behind WHAT. */
static json_t *read_model(struct editing *editing, const char *text, size_t length,
	bool has_sections, const char *what)
{
	struct diag *diag = diag_new();
	struct config *config;
	json_t *model = NULL;
	char *copy = readable(text, &length, has_sections), *error;

	if (diag == NULL)
		abort(); /* out of memory */
	config = config_parse_text("the text", copy, length, diag);
	free(copy);
	if (config != NULL) {
		model = model_json(config);
	} else {
		error = messages_first_error(diag);
		edit_refuse(editing, "%s%s", what, error);
		free(error);
	}
	if (model != NULL && !has_sections)
		json_array_clear(json_object_get(model, "sections"));
	config_free(config);
	diag_free(diag);
	return model;
}

static bool has_section(const char *text, size_t length)
{
	struct outline outline;
	bool has;

	outline_read(&outline, text, length);
	has = outline.proxy_count > 0;
	outline_free(&outline);
	return has;
}

/* Whether the new text means what it is to mean; else the change is refused. */
static bool judge(struct editing *editing, const char *text, size_t length)
{
	json_t *model = read_model(editing, text, length, has_section(text, length), "");
	char *where = NULL;
	bool good = model != NULL && model_equal(editing->expected, model, &where);

	if (model != NULL && !good)
		edit_refuse(editing, "it would mean something else: %s", where);
	free(where);
	json_decref(model);
	return good;
}

char *edit_change(const char *text, size_t length, const json_t *change, size_t *changed_length,
	char **problem)
{
	struct editing editing = {.change = change};
	const struct operation *operation;
	char *changed = NULL;

	outline_read(&editing.outline, text, length);
	operation = read_change(&editing);
	if (operation != NULL)
		editing.expected = read_model(&editing, text, length,
			editing.outline.proxy_count > 0, "correct the text first: ");
	if (editing.expected != NULL && operation->run(&editing))
		changed = edit_apply(&editing, changed_length);
	if (changed != NULL &&
		(editing.problem != NULL || !judge(&editing, changed, *changed_length))) {
		free(changed);
		changed = NULL;
	}
	*problem = editing.problem;
	edit_free(&editing);
	return changed;
}
