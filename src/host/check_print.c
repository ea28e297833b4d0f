/*
 * The checklist for people: what wants mending first, each item with what was read, why it matters and
 * the command; then what is not known; then the names of what is well.
 */
#include "tproxy/check.h"
#include "tproxy/text.h"

#include <stdlib.h>
#include <string.h>

enum {
	MARGIN = 10,
	WIDTH = 100
};

#define BLANKS " \t\n"

/* TEXT from column MARGIN on, broken at blanks. */
static void put_text(FILE *out, const char *text)
{
	size_t column = MARGIN;

	fprintf(out, "%*s", MARGIN, "");
	while (*text != '\0') {
		size_t length = strcspn(text, BLANKS);

		if (column > MARGIN && column + 1 + length > WIDTH) {
			fprintf(out, "\n%*s", MARGIN, "");
			column = MARGIN;
		} else if (column > MARGIN)
			column += (size_t)fprintf(out, " ");
		column += (size_t)fprintf(out, "%.*s", (int)length, text);
		text += length;
		text += strspn(text, BLANKS);
	}
	fputc('\n', out);
}

/* A command stays in one line, so that it can be copied. */
static void put_commands(FILE *out, const struct check_finding *finding)
{
	for (size_t i = 0; i < finding->command_count; i++) {
		const struct check_command *command = &finding->commands[i];

		if (command->place == ON_HOST)
			fprintf(out, "%*s# %s\n", MARGIN, "", command->run);
		else
			fprintf(out, "%*son %s:  %s\n", MARGIN, "",
				check_place_names[command->place], command->run);
	}
}

static void put_finding(FILE *out, const struct check_finding *finding)
{
	char *text = text_format(
		"%s%s%s", finding->subject, *finding->subject != '\0' ? ": " : "", finding->read);

	put_text(out, text);
	free(text);
	put_commands(out, finding);
}

/* An item that is wrong is told with all that is wrong about it. */
static bool belongs(const struct check_finding *finding, enum check_state state)
{
	return finding->state == state ||
	       (state >= CHECK_MISSING && finding->state >= CHECK_MISSING);
}

static void put_item(
	const struct check_report *report, enum check_item item, enum check_state state, FILE *out)
{
	const struct check_row *row = &check_rows[item];

	fprintf(out, "%-*s%s: %s\n", MARGIN, check_state_names[state], row->id, row->what);
	for (size_t i = 0; i < report->count; i++)
		if (report->findings[i].item == item && belongs(&report->findings[i], state))
			put_finding(out, &report->findings[i]);
	if (state != CHECK_OK)
		put_text(out, row->why);
	fputc('\n', out);
}

/* Why an item is not known, where that is all that there is to say of it, as where nothing could be read. */
static const struct check_finding *only_reason(const struct check_report *report, int item)
{
	const struct check_finding *reason = NULL;

	for (size_t i = 0; i < report->count; i++) {
		const struct check_finding *finding = &report->findings[i];

		if ((int)finding->item != item)
			continue;
		if (reason != NULL || finding->state != CHECK_UNKNOWN || finding->command_count > 0)
			return NULL;
		reason = finding;
	}
	return reason;
}

static bool is_alike(const struct check_report *report, int item, int other)
{
	const struct check_finding *a = only_reason(report, item), *b = only_reason(report, other);

	return a != NULL && b != NULL && strcmp(a->subject, b->subject) == 0 &&
	       strcmp(a->read, b->read) == 0;
}

/* How many of the items from FIRST up to END are unknown for the reason of ITEM. */
static unsigned alike(const struct check_report *report, int item, int first, int end)
{
	unsigned count = 0;

	for (int other = first; other < end; other++)
		count += is_alike(report, item, other);
	return count;
}

/* Items from FIRST on that are unknown for one reason: their names, and the reason once. */
static void put_alike(const struct check_report *report, int first, FILE *out)
{
	char *text = text_format("%s", check_rows[first].id);

	for (int item = first + 1; item < report->items; item++)
		if (is_alike(report, first, item))
			text_add(&text, ", %s", check_rows[item].id);
	fprintf(out, "%s\n", check_state_names[CHECK_UNKNOWN]);
	put_text(out, text);
	put_finding(out, only_reason(report, first));
	fputc('\n', out);
	free(text);
}

static unsigned put_state(const struct check_report *report, enum check_state state, FILE *out)
{
	unsigned count = 0;

	for (int item = 0; item < report->items; item++) {
		if (check_worst(report, (enum check_item)item) != state)
			continue;
		count++;
		if (alike(report, item, 0, report->items) < 2)
			put_item(report, (enum check_item)item, state, out);
		else if (alike(report, item, 0, item) == 0)
			put_alike(report, item, out);
	}
	return count;
}

static void put_names_of_ok(const struct check_report *report, FILE *out)
{
	char text[1024] = "";

	for (int item = 0; item < report->items; item++)
		if (check_worst(report, (enum check_item)item) == CHECK_OK) {
			size_t used = strlen(text);

			snprintf(text + used, sizeof(text) - used, "%s%s", used > 0 ? ", " : "",
				check_rows[item].id);
		}
	if (*text == '\0')
		return;
	fprintf(out, "%s\n", check_state_names[CHECK_OK]);
	put_text(out, text);
	fputc('\n', out);
}

static bool nothing_is_set_up(const struct check_report *report)
{
	return check_worst(report, CHECK_DIVERT) == CHECK_MISSING &&
	       check_worst(report, CHECK_IP_RULE) == CHECK_MISSING &&
	       check_worst(report, CHECK_IP_ROUTE) == CHECK_MISSING;
}

static bool has_commands(const struct check_report *report)
{
	for (size_t i = 0; i < report->count; i++)
		if (report->findings[i].state >= CHECK_MISSING &&
			report->findings[i].command_count > 0)
			return true;
	return false;
}

static void put_verdict(
	const struct check_report *report, unsigned wrong, unsigned unknown, FILE *out)
{
	if (wrong == 0)
		fprintf(out, "Nothing is missing or harmful%s.\n",
			unknown > 0 ? "; what is unknown is told above" : "");
	else if (nothing_is_set_up(report))
		fprintf(out,
			"%u items want mending. `tproxyctl apply` with the same options sets all "
			"of a "
			"host up.\n",
			wrong);
	else
		fprintf(out, "%u item%s mending%s.\n", wrong, wrong == 1 ? " wants" : "s want",
			has_commands(report) ? ": run what stands behind #, then check again" : "");
}

void check_print(const struct check_report *report, bool verbose, FILE *out)
{
	unsigned wrong, unknown;

	fprintf(out, "%s%s", report->about, *report->about != '\0' ? "\n" : "");
	wrong = put_state(report, CHECK_HARMFUL, out);
	wrong += put_state(report, CHECK_MISSING, out);
	unknown = put_state(report, CHECK_UNKNOWN, out);

	if (verbose)
		put_state(report, CHECK_OK, out);
	else
		put_names_of_ok(report, out);
	put_verdict(report, wrong, unknown, out);
}
