/*
 * The words of a verdict, which are HAProxy's own.
 *
 * The trap: what a server sends is in them. So bytes that are not printable, and those that could end the text, are written in
 * hexadecimal, as HAProxy does; and the text is short, whatever came.
 */
#include "verdict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Adds to the text; what has no room is left out. */
#define add(verdict, ...)                                                                          \
	snprintf((verdict)->info + strlen((verdict)->info),                                        \
		sizeof((verdict)->info) - strlen((verdict)->info), __VA_ARGS__)

/* Fewer than all bytes end at a NUL, or at the end of a line. */
static void add_input(struct health_verdict *verdict, const struct health_note *note,
	const struct health_input *input)
{
	size_t skip = input->length > note->skip ? note->skip : input->length;
	size_t left = input->length - skip, length;
	const char *at = input->bytes + skip;

	while (note->kind == NOTE_LINE && left > 0 && *at == ' ') {
		at++;
		left--;
	}
	for (length = 0; length < left && at[length] != '\0'; length++)
		if (note->kind == NOTE_LINE && (at[length] == '\r' || at[length] == '\n'))
			break;
	add(verdict, "%.*s", (int)length, at);
}

static void add_note(struct health_verdict *verdict, const struct health_note *note,
	const struct health_input *input)
{
	if (note->kind == NOTE_TEXT)
		add(verdict, "%s", note->text);
	else if (note->kind != NOTE_NONE)
		add_input(verdict, note, input);
}

/* The code at the beginning of an answer. */
static void take_code(const struct health_step *step, const struct health_input *input,
	struct health_verdict *verdict)
{
	char digits[4] = "";

	if (!step->has_code || input->length < 3)
		return;
	memcpy(digits, input->bytes, 3);
	verdict->code = (unsigned)strtoul(digits, NULL, 10);
}

static void add_mismatch(
	const struct health_step *step, bool matched, struct health_verdict *verdict)
{
	add(verdict, "TCPCHK %s", matched ? "matched unwanted content" : "did not match content");
	if (step->match == MATCH_STRING)
		add(verdict, " '%.*s'", (int)step->wanted.length, step->wanted.bytes);
	else if (step->match == MATCH_BINARY)
		add(verdict, " (binary)");
	else
		add(verdict, " (%sregex)", step->match == MATCH_BINARY_REGEX ? "binary " : "");
	add(verdict, " at step %u", step->number);
}

void verdict_explain(const struct health_script *script, const struct health_step *step,
	const struct health_input *input, bool matched, const char *info,
	struct health_verdict *verdict)
{
	verdict->info[0] = '\0';
	if (step->on_error.kind == NOTE_NONE && *info != '\0')
		add(verdict, "%s", info);
	else if (input->length == 0)
		add(verdict, "TCPCHK got an empty response at step %u", step->number);
	else if (step->on_error.kind != NOTE_NONE)
		add_note(verdict, &step->on_error, input);
	else if (script->kind == HEALTH_BY_RULES)
		add_mismatch(step, matched, verdict);
	if (step->comment != NULL)
		add(verdict, " comment: %s", step->comment);
	take_code(step, input, verdict);
}

void health_pass(const struct health_script *script, const struct health_input *input,
	struct health_verdict *verdict)
{
	const struct health_step *step = script == NULL ? NULL : &script->steps[script->count - 1];
	bool says_so = script != NULL && script->kind == HEALTH_BY_RULES;

	verdict->info[0] = '\0';
	verdict->status = HEALTH_L4OK;
	if (step == NULL)
		return;
	if (step->action == HEALTH_SEND)
		verdict->status = HEALTH_L7OK;
	if (step->action == HEALTH_CONNECT)
		says_so = says_so && step->number != 0;
	if (step->action == HEALTH_EXPECT) {
		verdict->status = step->passed;
		says_so = says_so && step->on_success.kind == NOTE_NONE;
		add_note(verdict, &step->on_success, input);
		take_code(step, input, verdict);
	}
	if (says_so)
		add(verdict, "(tcp-check)");
}

/* What the check was doing. */
static void add_step(const struct health_step *step, struct health_verdict *verdict)
{
	if (step->action == HEALTH_SEND)
		add(verdict, " (send)");
	else if (step->action == HEALTH_CONNECT && step->port != 0)
		add(verdict, " (connect port %u)", step->port);
	else if (step->action == HEALTH_CONNECT)
		add(verdict, " (connect)");
	else if (step->match == MATCH_STRING)
		add(verdict, " (expect string '%.*s')", (int)step->wanted.length,
			step->wanted.bytes);
	else if (step->match == MATCH_BINARY)
		add(verdict, " (expect binary '%.*s')", (int)step->wanted.length,
			step->wanted.bytes);
	else
		add(verdict, " (expect %sregex)",
			step->match == MATCH_BINARY_REGEX ? "binary " : "");
}

void health_break(const struct health_script *script, const struct health_step *step,
	enum health_status status, int error, struct health_verdict *verdict)
{
	*verdict = (struct health_verdict){.status = status};
	if (error != 0)
		add(verdict, "%s", strerror(error));
	if (script == NULL || step == NULL || script->kind != HEALTH_BY_RULES)
		return;
	if (step->number == 0) {
		add(verdict, " at initial connection step of tcp-check");
		return;
	}
	add(verdict, " at step %u of tcp-check", step->number);
	add_step(step, verdict);
	if (step->comment != NULL)
		add(verdict, " comment: '%s'", step->comment);
}

/* --- the log --- */

static const struct {
	const char *code, *text;
} words[] = {
	[HEALTH_SOCKERR] = {"SOCKERR", "Socket error"},
	[HEALTH_L4OK] = {"L4OK", "Layer4 check passed"},
	[HEALTH_L4TOUT] = {"L4TOUT", "Layer4 timeout"},
	[HEALTH_L4CON] = {"L4CON", "Layer4 connection problem"},
	[HEALTH_L6OK] = {"L6OK", "Layer6 check passed"},
	[HEALTH_L6TOUT] = {"L6TOUT", "Layer6 timeout"},
	[HEALTH_L6RSP] = {"L6RSP", "Layer6 invalid response"},
	[HEALTH_L7OK] = {"L7OK", "Layer7 check passed"},
	[HEALTH_L7TOUT] = {"L7TOUT", "Layer7 timeout"},
	[HEALTH_L7RSP] = {"L7RSP", "Layer7 invalid response"},
	[HEALTH_L7STS] = {"L7STS", "Layer7 wrong status"},
	[HEALTH_CHECKED] = {"CHECKED", "No status change"},
};

const char *health_status_code(enum health_status status)
{
	return words[status].code;
}

const char *health_status_text(enum health_status status)
{
	return words[status].text;
}

void health_verdict_format(const struct health_verdict *verdict, char *out, size_t room)
{
	bool has_code = verdict->status == HEALTH_L7OK || verdict->status == HEALTH_L7STS;
	char code[32] = "", info[4 * HEALTH_INFO_MAX] = "";
	size_t used = 0;

	if (has_code)
		snprintf(code, sizeof(code), ", code: %u", verdict->code);
	for (const char *at = verdict->info; *at != '\0'; at++) {
		unsigned char byte = (unsigned char)*at;
		bool is_plain = byte >= ' ' && byte < 0x7f && strchr("\"<>", byte) == NULL;

		used += (size_t)snprintf(
			info + used, sizeof(info) - used, is_plain ? "%c" : "<%02X>", byte);
	}
	snprintf(out, room, "%s%s%s%s%s", words[verdict->status].text, code,
		used > 0 ? ", info: \"" : "", info, used > 0 ? "\"" : "");
}

bool health_is_passed(enum health_status status)
{
	return status == HEALTH_L4OK || status == HEALTH_L6OK || status == HEALTH_L7OK;
}
