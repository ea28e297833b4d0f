/*
 * Prints the report as JSON: every item in the order of the table, with its findings.
 *
 * fixtures/schema/check.schema.json is the contract. FORMAT rises when a reader of the older form would be misled.
 * A snapshot may have text that is not UTF-8, which JSON cannot have: printable_json() makes it printable.
 */
#include "check.h"
#include "tproxy/shell.h"

#include <jansson.h>
#include <stdlib.h>

enum {
	FORMAT = 2
};

/* TEXT as a string without control characters. */
static json_t *printable_json(const char *text)
{
	char *shown = shell_printable(text);
	json_t *made = json_string(shown);

	free(shown);
	return made;
}

static json_t *command_json(const struct check_command *command)
{
	json_t *made = json_object();

	json_object_set_new(made, "on", json_string(check_place_names[command->place]));
	json_object_set_new(made, "run", printable_json(command->run));
	json_object_set_new(
		made, "undo", command->undo != NULL ? printable_json(command->undo) : json_null());
	return made;
}

static json_t *commands_json(const struct check_finding *finding)
{
	json_t *list = json_array();

	for (size_t i = 0; i < finding->command_count; i++)
		json_array_append_new(list, command_json(&finding->commands[i]));
	return list;
}

static json_t *all_commands_json(const struct check_report *report)
{
	const struct check_command **list;
	size_t count = check_commands(report, &list);
	json_t *made = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(made, command_json(list[i]));
	free(list);
	return made;
}

/* What lets the unjudged items be judged. */
static json_t *remedies_json(const struct check_report *report)
{
	json_t *list = json_array();

	for (int remedy = 0; remedy < REMEDY_COUNT; remedy++)
		if (check_has_remedy(report, (enum check_remedy)remedy))
			json_array_append_new(list, json_string(check_remedies[remedy]));
	return list;
}

static json_t *unjudged_json(const struct check_report *report)
{
	json_t *list = json_array();

	for (int item = 0; item < report->items; item++)
		if (check_is_unjudged(report, (enum check_item)item))
			json_array_append_new(list, json_string(check_rows[item].id));
	return list;
}

static json_t *finding_json(const struct check_finding *finding)
{
	json_t *made = json_object();

	json_object_set_new(made, "state", json_string(check_state_names[finding->state]));
	json_object_set_new(made, "subject", printable_json(finding->subject));
	json_object_set_new(made, "read", printable_json(finding->read));
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

/* What the configuration allows, capability by capability, with the ids that `prove` uses. */
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
	json_object_set_new(made, "source", printable_json(kernel_config_source(kernel)));
	json_object_set_new(made, "version",
		kernel_config_version(kernel) != NULL ? json_string(kernel_config_version(kernel))
						      : json_null());
	json_object_set_new(made, "capabilities", list);
	return made;
}

bool check_print_json(const struct check_report *report, FILE *out)
{
	json_t *root = json_object(), *items = json_array();
	bool written;

	for (int item = 0; item < report->items; item++)
		json_array_append_new(items, item_json(report, (enum check_item)item));
	json_object_set_new(root, "format", json_integer(FORMAT));
	json_object_set_new(root, "well", json_boolean(check_verdict(report) == CHECK_WELL));
	json_object_set_new(root, "not_judged", unjudged_json(report));
	json_object_set_new(root, "to_judge", remedies_json(report));
	json_object_set_new(root, "about", json_string(report->scope));
	json_object_set_new(root, "items", items);
	json_object_set_new(root, "commands", all_commands_json(report));
	json_object_set_new(
		root, "kernel", report->kernel != NULL ? kernel_json(report->kernel) : json_null());
	written = json_dumpf(root, out, JSON_INDENT(1) | JSON_ENSURE_ASCII) == 0 &&
		  fputc('\n', out) != EOF;
	json_decref(root);
	return written;
}
