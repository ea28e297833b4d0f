/*
 * Prints the report as JSON: every item in the order of the table, with its findings.
 *
 * fixtures/schema/check.schema.json is the contract. FORMAT rises when a reader of the older form would be
 * misled. A snapshot may have text that is not UTF-8, which JSON cannot have: printable_json() makes it
 * printable.
 */
#include "printers.h"
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
	return json_pack("{s:s, s:o, s:o}", "on", check_place_names[command->place], "run",
		printable_json(command->run), "undo",
		command->undo != NULL ? printable_json(command->undo) : json_null());
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
	return json_pack("{s:s, s:o, s:o, s:o}", "state", check_state_names[finding->state],
		"subject", printable_json(finding->subject), "read", printable_json(finding->read),
		"commands", commands_json(finding));
}

static json_t *item_json(const struct check_report *report, enum check_item item)
{
	const struct check_row *row = &check_rows[item];
	json_t *findings = json_array();

	for (size_t i = 0; i < report->count; i++)
		if (report->findings[i].item == item)
			json_array_append_new(findings, finding_json(&report->findings[i]));
	return json_pack("{s:s, s:s, s:s, s:s, s:o}", "id", row->id, "state",
		check_state_names[check_worst(report, item)], "what", row->what, "why", row->why,
		"findings", findings);
}

/* What the configuration allows, capability by capability, with the ids that `prove` uses. */
static json_t *kernel_json(const struct kernel_config *kernel)
{
	json_t *list = json_array();
	struct capability_key at = {0};

	while (capability_next(&at)) {
		const char *options[CAPABILITY_OPTIONS_MAX];
		char id[CAPABILITY_ID_MAX];
		size_t count = 0;
		enum kernel_allows allows =
			kernel_config_allows(kernel, at.name, at.family, options, &count);
		json_t *names = json_array();

		for (size_t i = 0; i < count; i++)
			json_array_append_new(names, json_string(options[i]));
		json_array_append_new(list,
			json_pack("{s:s, s:s, s:o}", "id", capability_id(at.name, at.family, id),
				"state", kernel_allows_name(allows), "options", names));
	}
	return json_pack("{s:o, s:s?, s:o}", "source", printable_json(kernel_config_source(kernel)),
		"version", kernel_config_version(kernel), "capabilities", list);
}

bool report_print_json(const struct check_report *report, FILE *out)
{
	json_t *root, *items = json_array();
	bool written;

	for (int item = 0; item < report->items; item++)
		json_array_append_new(items, item_json(report, (enum check_item)item));
	root = json_pack("{s:i, s:b, s:o, s:o, s:s, s:o, s:o, s:o}", "format", FORMAT, "well",
		check_verdict(report) == CHECK_WELL, "not_judged", unjudged_json(report),
		"to_judge", remedies_json(report), "about", report->scope, "items", items,
		"commands", all_commands_json(report), "kernel",
		report->kernel != NULL ? kernel_json(report->kernel) : json_null());
	written = json_dumpf(root, out, JSON_INDENT(1) | JSON_ENSURE_ASCII) == 0 &&
		  fputc('\n', out) != EOF;
	json_decref(root);
	return written;
}
