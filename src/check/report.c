/*
 * The report: adds findings, each of them once, and says what they amount to.
 *
 * Findings stay in the order in which judges added them. Subject and text may have names in them that
 * other users chose; they are made printable here, at the one place where all of them pass.
 */
#include "report.h"
#include "tproxy/array.h"
#include "tproxy/shell.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static struct check_finding *find_finding(const struct check_report *report, enum check_item item,
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

/* Takes READ, and makes all of the text printable. */
static struct check_finding *add_finding(struct check *check, enum check_item item,
	enum check_state state, const char *subject, char *read)
{
	struct check_report *report = check->report;
	char *about = shell_printable(subject), *text = shell_printable(read);
	struct check_finding *finding = find_finding(report, item, state, about, text);

	free(read);
	if (finding != NULL) {
		free(text);
		free(about);
		return finding;
	}
	report->findings = array_room(report->findings, report->count, sizeof(*report->findings));
	finding = &report->findings[report->count++];
	*finding = (struct check_finding){.item = item,
		.state = state,
		.remedy = REMEDY_RULES,
		.subject = about,
		.read = text};
	return finding;
}

__attribute__((format(printf, 1, 0))) static char *format_arguments(
	const char *format, va_list arguments)
{
	char *made;

	if (vasprintf(&made, format, arguments) == -1)
		abort(); /* out of memory */
	return made;
}

struct check_finding *check_add(struct check *check, enum check_item item, enum check_state state,
	const char *subject, const char *read, ...)
{
	va_list arguments;
	char *text;

	va_start(arguments, read);
	text = format_arguments(read, arguments);
	va_end(arguments);
	return add_finding(check, item, state, subject, text);
}

void check_unknown(struct check *check, enum check_item item, enum check_remedy remedy,
	const char *subject, const char *why, ...)
{
	va_list arguments;
	char *text;

	va_start(arguments, why);
	text = format_arguments(why, arguments);
	va_end(arguments);
	add_finding(check, item, CHECK_UNKNOWN, subject, text)->remedy = remedy;
}

void check_unknown_basis(struct check *check, unsigned bases, enum check_remedy remedy,
	const char *subject, const char *why, ...)
{
	va_list arguments;
	char *text;

	va_start(arguments, why);
	text = format_arguments(why, arguments);
	va_end(arguments);
	for (int item = 0; item < CHECK_ITEMS; item++)
		if ((check_rows[item].bases & bases) && !check->not_used[item])
			check_unknown(check, (enum check_item)item, remedy, subject, "%s", text);
	free(text);
}

enum check_remedy check_remedy_of_reading(const struct check *check)
{
	return check->snapshot->root ? REMEDY_TOOL : REMEDY_ROOT;
}

bool check_has_findings(const struct check_report *report, enum check_item item)
{
	for (size_t i = 0; i < report->count; i++)
		if (report->findings[i].item == item)
			return true;
	return false;
}

enum check_state check_worst(const struct check_report *report, enum check_item item)
{
	enum check_state worst = CHECK_OK;

	if (!check_has_findings(report, item))
		return CHECK_UNKNOWN;
	for (size_t i = 0; i < report->count; i++)
		if (report->findings[i].item == item && report->findings[i].state > worst)
			worst = report->findings[i].state;
	return worst;
}

bool check_failed(const struct check *check, enum check_item item)
{
	return check_worst(check->report, item) >= CHECK_MISSING;
}

bool check_is_unjudged(const struct check_report *report, enum check_item item)
{
	if (check_worst(report, item) != CHECK_UNKNOWN)
		return false;
	for (size_t i = 0; i < report->count; i++) {
		const struct check_finding *finding = &report->findings[i];

		if (finding->item == item && finding->state == CHECK_UNKNOWN &&
			finding->remedy != REMEDY_TRAFFIC && finding->remedy != REMEDY_UPSTREAM)
			return true;
	}
	return !check_has_findings(report, item);
}

bool check_has_remedy(const struct check_report *report, enum check_remedy remedy)
{
	for (size_t i = 0; i < report->count; i++)
		if (report->findings[i].state == CHECK_UNKNOWN &&
			report->findings[i].remedy == remedy &&
			check_is_unjudged(report, report->findings[i].item))
			return true;
	return false;
}

bool check_command_add(
	const struct check_command **list, size_t *count, const struct check_command *command)
{
	for (size_t i = 0; i < *count; i++)
		if (list[i]->place == command->place && strcmp(list[i]->run, command->run) == 0)
			return false;
	list[(*count)++] = command;
	return true;
}

size_t check_commands(const struct check_report *report, const struct check_command ***list)
{
	size_t count = 0;

	*list = calloc(report->count * CHECK_COMMANDS_MAX + 1, sizeof(**list));
	if (*list == NULL)
		abort(); /* out of memory */
	for (enum check_state state = CHECK_HARMFUL; state >= CHECK_MISSING; state--)
		for (int item = 0; item < report->items; item++)
			for (size_t i = 0; i < report->count; i++) {
				const struct check_finding *each = &report->findings[i];

				if ((int)each->item != item || each->state < CHECK_MISSING ||
					check_worst(report, each->item) != state)
					continue;
				for (size_t j = 0; j < each->command_count; j++)
					check_command_add(*list, &count, &each->commands[j]);
			}
	return count;
}

enum check_verdict check_verdict(const struct check_report *report)
{
	enum check_verdict verdict = CHECK_WELL;

	for (int item = 0; item < report->items; item++) {
		if (check_worst(report, (enum check_item)item) >= CHECK_MISSING)
			return CHECK_WRONG;
		if (check_is_unjudged(report, (enum check_item)item))
			verdict = CHECK_UNJUDGED;
	}
	return verdict;
}

bool check_wrong_alone(const struct check_report *report, enum check_item item)
{
	for (int each = 0; each < report->items; each++)
		if ((check_worst(report, (enum check_item)each) >= CHECK_MISSING) !=
			(each == (int)item))
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
	free(report->scope);
	*report = (struct check_report){0};
}
