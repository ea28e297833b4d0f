/*
 * Prints the report for people. First comes what is wrong, each item with what was read, the commands and
 * why it matters; then what is unknown and what could be better; then the names of the items that are ok.
 *
 * The last lines say the result. They never say that the host is well while an item is unjudged, and they
 * say what lets it be judged.
 */
#include "printers.h"
#include "tproxy/text.h"

#include <stdlib.h>
#include <string.h>

enum {
	MARGIN = 10,
	WIDTH = 100
};

#define BLANKS " \t\n"

struct printer {
	const struct check_report *report;
	FILE *out;
	const struct check_command **printed; /* commands so far: each is printed once */
	size_t printed_count;
};

/* Prints TEXT from a column on, in lines that are broken at blanks. */
static void put_text(FILE *out, int margin, const char *text)
{
	size_t column = (size_t)margin;

	fprintf(out, "%*s", margin, "");
	while (*text != '\0') {
		size_t length = strcspn(text, BLANKS);

		if (column > (size_t)margin && column + 1 + length > WIDTH) {
			fprintf(out, "\n%*s", margin, "");
			column = (size_t)margin;
		} else if (column > (size_t)margin)
			column += (size_t)fprintf(out, " ");
		column += (size_t)fprintf(out, "%.*s", (int)length, text);
		text += length;
		text += strspn(text, BLANKS);
	}
	fputc('\n', out);
}

/* A command stays on one line, so that it can be copied. */
static void put_commands(struct printer *printer, const struct check_finding *finding)
{
	for (size_t i = 0; i < finding->command_count; i++) {
		const struct check_command *command = &finding->commands[i];

		if (!check_command_add(printer->printed, &printer->printed_count, command))
			continue;
		if (command->place == ON_HOST)
			fprintf(printer->out, "%*s# %s\n", MARGIN, "", command->run);
		else
			fprintf(printer->out, "%*son %s:  # %s\n", MARGIN, "",
				check_place_names[command->place], command->run);
	}
}

static void put_finding(struct printer *printer, const struct check_finding *finding)
{
	char *text = text_format(
		"%s%s%s", finding->subject, *finding->subject != '\0' ? ": " : "", finding->read);

	put_text(printer->out, MARGIN, text);
	free(text);
	put_commands(printer, finding);
}

/* Prints an item in this state. Of an item that is wrong all that is wrong is printed. */
static void put_item(struct printer *printer, enum check_item item, enum check_state state)
{
	const struct check_report *report = printer->report;
	const struct check_row *row = &check_rows[item];

	fprintf(printer->out, "%-*s%s: %s\n", MARGIN, check_state_names[state], row->id, row->what);
	for (size_t i = 0; i < report->count; i++) {
		const struct check_finding *finding = &report->findings[i];

		if (finding->item == item &&
			(finding->state == state ||
				(state >= CHECK_MISSING && finding->state >= CHECK_MISSING)))
			put_finding(printer, finding);
	}
	if (state != CHECK_OK) {
		char *why = text_format("Why: %s", row->why);

		put_text(printer->out, MARGIN, why);
		free(why);
	}
	fputc('\n', printer->out);
}

/* The finding that says why an item is unknown, if it is the only one and has no command; else NULL. */
static const struct check_finding *only_reason(const struct check_report *report, int item)
{
	const struct check_finding *reason = NULL;

	if (check_worst(report, (enum check_item)item) != CHECK_UNKNOWN)
		return NULL;
	for (size_t i = 0; i < report->count; i++) {
		const struct check_finding *finding = &report->findings[i];

		if ((int)finding->item != item || finding->state != CHECK_UNKNOWN)
			continue;
		if (reason != NULL || finding->command_count > 0)
			return NULL;
		reason = finding;
	}
	return reason;
}

static bool same_reason(const struct check_report *report, int item, int other)
{
	const struct check_finding *a = only_reason(report, item), *b = only_reason(report, other);

	return a != NULL && b != NULL && strcmp(a->subject, b->subject) == 0 &&
	       strcmp(a->read, b->read) == 0;
}

/* How many of the items from FIRST up to END are unknown for the same reason as ITEM. */
static unsigned count_same_reason(const struct check_report *report, int item, int first, int end)
{
	unsigned count = 0;

	for (int other = first; other < end; other++)
		count += same_reason(report, item, other);
	return count;
}

/* Prints the items from FIRST on that are unknown for the same reason as FIRST, and the reason once. */
static void put_same_reason(struct printer *printer, int first)
{
	const struct check_report *report = printer->report;
	char *text = text_format("%s", check_rows[first].id);

	for (int item = first + 1; item < report->items; item++)
		if (same_reason(report, first, item))
			text_add(&text, ", %s", check_rows[item].id);
	fprintf(printer->out, "%s\n", check_state_names[CHECK_UNKNOWN]);
	put_text(printer->out, MARGIN, text);
	put_finding(printer, only_reason(report, first));
	fputc('\n', printer->out);
	free(text);
}

/* Prints the items in a state; returns how many there are. */
static unsigned put_state(struct printer *printer, enum check_state state)
{
	const struct check_report *report = printer->report;
	unsigned count = 0;

	for (int item = 0; item < report->items; item++) {
		if (check_worst(report, (enum check_item)item) != state)
			continue;
		count++;
		if (count_same_reason(report, item, 0, report->items) < 2)
			put_item(printer, (enum check_item)item, state);
		else if (count_same_reason(report, item, 0, item) == 0)
			put_same_reason(printer, item);
	}
	return count;
}

static void put_names_of_ok(struct printer *printer)
{
	const struct check_report *report = printer->report;
	char *text = NULL;

	for (int item = 0; item < report->items; item++)
		if (check_worst(report, (enum check_item)item) == CHECK_OK)
			text_add(&text, "%s%s", text != NULL ? ", " : "", check_rows[item].id);
	if (text == NULL)
		return;
	fprintf(printer->out, "%s\n", check_state_names[CHECK_OK]);
	put_text(printer->out, MARGIN, text);
	fputc('\n', printer->out);
	free(text);
}

static bool has_commands(const struct check_report *report)
{
	for (size_t i = 0; i < report->count; i++)
		if (report->findings[i].state >= CHECK_MISSING &&
			report->findings[i].command_count > 0)
			return true;
	return false;
}

static void put_wrong(const struct printer *printer, unsigned wrong)
{
	const struct check_report *report = printer->report;
	bool nothing_set_up = check_worst(report, CHECK_DIVERT) == CHECK_MISSING &&
			      check_worst(report, CHECK_IP_RULE) == CHECK_MISSING &&
			      check_worst(report, CHECK_IP_ROUTE) == CHECK_MISSING;
	char *text = text_format("%u item%s fixing.", wrong, wrong == 1 ? " needs" : "s need");

	if (nothing_set_up)
		text_add(&text,
			" To set everything up, run `tproxyctl apply` with the same options.");
	else if (has_commands(report))
		text_add(&text,
			" Run the commands marked #, then check again. They last until the next reboot; what `tproxyctl apply --persist` makes, or the files of `tproxyctl plan`, last.");
	put_text(printer->out, 0, text);
	free(text);
}

/* An unjudged item may be wrong: the line must not read as if all were well. */
static void put_unjudged(const struct printer *printer, unsigned wrong)
{
	const struct check_report *report = printer->report;
	unsigned count = 0;
	char *text;

	for (int item = 0; item < report->items; item++)
		count += check_is_unjudged(report, (enum check_item)item);
	if (count == 0)
		return;
	text = text_format("%s%u of %d items %s not judged. To judge %s: ",
		wrong == 0 ? "Nothing is missing or harmful so far, but " : "", count,
		report->items, count == 1 ? "was" : "were", count == 1 ? "it" : "them");
	for (int remedy = 0, some = 0; remedy < REMEDY_COUNT; remedy++)
		if (check_has_remedy(report, (enum check_remedy)remedy))
			text_add(&text, "%s%s", some++ == 0 ? "" : "; ", check_remedies[remedy]);
	text_add(&text, "; then check again.");
	put_text(printer->out, 0, text);
	free(text);
}

/* Whether an item is unknown, and only this remedy of other hosts is left for it. */
static bool waits_for(
	const struct check_report *report, enum check_item item, enum check_remedy remedy)
{
	if (check_worst(report, item) != CHECK_UNKNOWN || check_is_unjudged(report, item))
		return false;
	for (size_t i = 0; i < report->count; i++)
		if (report->findings[i].item == item &&
			report->findings[i].state == CHECK_UNKNOWN &&
			report->findings[i].remedy == remedy)
			return true;
	return false;
}

static void put_other_hosts(const struct printer *printer)
{
	static const enum check_remedy remedies[] = {REMEDY_UPSTREAM, REMEDY_TRAFFIC};
	const struct check_report *report = printer->report;

	for (size_t r = 0; r < sizeof(remedies) / sizeof(remedies[0]); r++) {
		char *text = NULL;

		for (int item = 0; item < report->items; item++)
			if (waits_for(report, (enum check_item)item, remedies[r]))
				text_add(&text, "%s%s",
					text == NULL ? "Unknown, because other hosts decide: "
						     : ", ",
					check_rows[item].id);
		if (text == NULL)
			continue;
		text_add(&text, ". To find out, %s.", check_remedies[remedies[r]]);
		put_text(printer->out, 0, text);
		free(text);
	}
}

/* The last line: what to do if clients still time out. */
static void put_next(const struct printer *printer)
{
	const struct check_report *report = printer->report;

	if (check_verdict(report) != CHECK_WELL || report->items == CHECK_KERNEL + 1)
		return;
	put_text(printer->out, 0,
		report->watched
			? "If clients still time out, look at the way of the servers' answers (return-path), and at the proxy's log."
			: "If clients still time out, let one connect while `tproxyctl check --watch 10` runs.");
}

void report_print(const struct check_report *report, bool verbose, FILE *out)
{
	struct printer printer = {.report = report, .out = out};
	unsigned wrong;

	printer.printed = calloc(
		report->count * CHECK_COMMANDS_MAX + 1, sizeof(const struct check_command *));
	if (printer.printed == NULL)
		abort(); /* out of memory */
	fprintf(out, "%s%s", report->scope, *report->scope != '\0' ? "\n" : "");
	wrong = put_state(&printer, CHECK_HARMFUL);
	wrong += put_state(&printer, CHECK_MISSING);
	put_state(&printer, CHECK_UNKNOWN);
	put_state(&printer, CHECK_ADVICE);
	if (verbose)
		put_state(&printer, CHECK_OK);
	else
		put_names_of_ok(&printer);
	if (wrong > 0)
		put_wrong(&printer, wrong);
	else if (check_verdict(report) == CHECK_WELL)
		put_text(out, 0, "Nothing is missing or harmful.");
	put_unjudged(&printer, wrong);
	put_other_hosts(&printer);
	put_next(&printer);
	free(printer.printed);
}
