/*
 * The checklist as JSON: every item in the order of the table, with its findings.
 */
#include "tproxy/check.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum {
	FORMAT = 1
};

/* TEXT as a string; what is not UTF-8, in a program's name say, has a ? for each such byte. */
static json_t *words(const char *text)
{
	json_t *made = json_string(text);
	char *copy = made == NULL ? strdup(text) : NULL;

	for (char *at = copy; at != NULL && *at != '\0'; at++)
		if ((unsigned char)*at >= 0x80)
			*at = '?';
	if (copy != NULL)
		made = json_string(copy);
	free(copy);
	return made;
}

static json_t *commands_json(const struct check_finding *finding)
{
	json_t *list = json_array();

	for (size_t i = 0; i < finding->command_count; i++) {
		const struct check_command *command = &finding->commands[i];
		json_t *made = json_object();

		json_object_set_new(made, "on", json_string(check_place_names[command->place]));
		json_object_set_new(made, "run", words(command->run));
		json_object_set_new(
			made, "undo", command->undo != NULL ? words(command->undo) : json_null());
		json_array_append_new(list, made);
	}
	return list;
}

static json_t *finding_json(const struct check_finding *finding)
{
	json_t *made = json_object();

	json_object_set_new(made, "state", json_string(check_state_names[finding->state]));
	json_object_set_new(made, "subject", words(finding->subject));
	json_object_set_new(made, "read", words(finding->read));
	json_object_set_new(made, "commands", commands_json(finding));
	return made;
}

static json_t *item_json(const struct check_report *report, enum check_item item)
{
	const struct check_row *row = &check_rows[item];
	json_t *made = json_object(), *findings = json_array();

	for (size_t i = 0; i < report->count; i++)
		if (report->findings[i].item == item)
			json_array_append_new(findings, finding_json(&report->findings[i]));
	json_object_set_new(made, "id", json_string(row->id));
	json_object_set_new(
		made, "state", json_string(check_state_names[check_worst(report, item)]));
	json_object_set_new(made, "what", json_string(row->what));
	json_object_set_new(made, "why", json_string(row->why));
	json_object_set_new(made, "findings", findings);
	return made;
}

/* What the configuration allows, capability by capability, under the names that `prove` has for them. */
static json_t *kernel_json(const struct kernel_config *kernel)
{
	json_t *made = json_object(), *list = json_array();
	struct capability_key at = {0};

	while (capability_next(&at)) {
		const char *options[CAPABILITY_OPTIONS_MAX];
		char id[CAPABILITY_ID_MAX];
		size_t count = 0;
		enum kernel_allows allows =
			kernel_config_allows(kernel, at.name, at.family, options, &count);
		json_t *one = json_object(), *names = json_array();

		for (size_t i = 0; i < count; i++)
			json_array_append_new(names, json_string(options[i]));
		json_object_set_new(one, "id", json_string(capability_id(at.name, at.family, id)));
		json_object_set_new(one, "state", json_string(kernel_allows_name(allows)));
		json_object_set_new(one, "options", names);
		json_array_append_new(list, one);
	}
	json_object_set_new(made, "source", words(kernel_config_source(kernel)));
	json_object_set_new(made, "version",
		kernel_config_version(kernel) != NULL ? json_string(kernel_config_version(kernel))
						      : json_null());
	json_object_set_new(made, "capabilities", list);
	return made;
}

bool check_print_json(const struct check_report *report, FILE *out)
{
	json_t *root = json_object(), *items = json_array();
	bool well;

	for (int item = 0; item < report->items; item++)
		json_array_append_new(items, item_json(report, (enum check_item)item));
	json_object_set_new(root, "format", json_integer(FORMAT));
	json_object_set_new(root, "well", json_boolean(check_is_well(report)));
	json_object_set_new(root, "about", json_string(report->about));
	json_object_set_new(root, "items", items);
	json_object_set_new(
		root, "kernel", report->kernel != NULL ? kernel_json(report->kernel) : json_null());
	well = json_dumpf(root, out, JSON_INDENT(1)) == 0 && fputc('\n', out) != EOF;
	json_decref(root);
	return well;
}
