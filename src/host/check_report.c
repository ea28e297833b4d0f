/*
 * Building the report: findings, each once, and the commands that mend them.
 */
#include "check_report.h"
#include "tproxy/sysctls.h"
#include "tproxy/text.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static struct check_finding *find(const struct check_report *report, enum check_item item,
	enum check_state state, const char *subject, const char *read)
{
	for (size_t i = 0; i < report->count; i++) {
		struct check_finding *each = &report->findings[i];

		if (each->item == item && each->state == state &&
			strcmp(each->subject, subject) == 0 && strcmp(each->read, read) == 0)
			return each;
	}
	return NULL;
}

struct check_finding *check_add(struct check *check, enum check_item item, enum check_state state,
	const char *subject, const char *format, ...)
{
	struct check_report *report = check->report;
	struct check_finding *finding;
	va_list arguments;
	char *read;

	va_start(arguments, format);
	if (vasprintf(&read, format, arguments) == -1)
		abort(); /* out of memory */
	va_end(arguments);
	finding = find(report, item, state, subject, read);
	if (finding != NULL) {
		free(read);
		return finding;
	}
	report->findings =
		reallocarray(report->findings, report->count + 1, sizeof(*report->findings));
	if (report->findings == NULL)
		abort(); /* out of memory */
	finding = &report->findings[report->count++];
	*finding = (struct check_finding){
		.item = item, .state = state, .subject = text_format("%s", subject), .read = read};
	return finding;
}

void check_mend(struct check_finding *finding, enum check_place place, char *run, char *undo)
{
	for (size_t i = 0; i < finding->command_count; i++)
		if (strcmp(finding->commands[i].run, run) == 0)
			goto unused;
	if (finding->command_count == CHECK_COMMANDS_MAX)
		goto unused;
	finding->commands[finding->command_count++] = (struct check_command){place, run, undo};
	return;
unused:
	free(run);
	free(undo);
}

static char *sysctl_line(const char *path, const char *value)
{
	char *name = sysctl_name(path);
	char *line =
		text_format(strpbrk(value, " \t") != NULL ? "sysctl -w '%s=%s'" : "sysctl -w %s=%s",
			name, value);

	free(name);
	return line;
}

void check_sysctl(
	struct check *check, struct check_finding *finding, const char *path, const char *value)
{
	char *was = check->at->sysctl(path);

	check_mend(finding, ON_HOST, sysctl_line(path, value),
		was != NULL ? sysctl_line(path, was) : NULL);
	free(was);
}

enum check_state check_worst(const struct check_report *report, enum check_item item)
{
	enum check_state worst = CHECK_OK;

	for (size_t i = 0; i < report->count; i++)
		if (report->findings[i].item == item && report->findings[i].state > worst)
			worst = report->findings[i].state;
	return worst;
}

bool check_failed(const struct check *check, enum check_item item)
{
	return check_worst(check->report, item) >= CHECK_MISSING;
}

bool check_is_well(const struct check_report *report)
{
	for (int item = 0; item < report->items; item++)
		if (check_worst(report, (enum check_item)item) >= CHECK_MISSING)
			return false;
	return true;
}

void check_free(struct check_report *report)
{
	for (size_t i = 0; i < report->count; i++) {
		struct check_finding *finding = &report->findings[i];

		for (size_t j = 0; j < finding->command_count; j++) {
			free(finding->commands[j].run);
			free(finding->commands[j].undo);
		}
		free(finding->subject);
		free(finding->read);
	}
	free(report->findings);
	free(report->about);
	*report = (struct check_report){0};
}
