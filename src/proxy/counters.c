/*
 * Counters as a sum, and as the text of the last line of the log.
 *
 * The trap: the text may be longer than its room. It is then cut, and stays terminated.
 */
#include "counters.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

void counters_add(struct counters *sum, const struct counters *more)
{
	sum->accepted += more->accepted;
	sum->to_servers += more->to_servers;
	sum->to_clients += more->to_clients;
	sum->copied += more->copied;
	sum->spliced += more->spliced;
	sum->pauses += more->pauses;
	for (int reason = 0; reason < REASON_COUNT; reason++)
		sum->ended[reason] += more->ended[reason];
}

struct text {
	char *out;
	size_t room;
};

__attribute__((format(printf, 2, 3))) static void append_text(
	struct text *text, const char *format, ...)
{
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(text->out, text->room, format, args);
	va_end(args);
	if (length < 0 || (size_t)length >= text->room)
		length = text->room == 0 ? 0 : (int)text->room - 1;
	text->out += length;
	text->room -= (size_t)length;
}

void counters_format(const struct counters *counters, char *out, size_t room)
{
	struct text text = {out, room};
	const char *before = ": ";

	append_text(&text, "%" PRIu64 " sessions", counters->accepted);
	for (int reason = 0; reason < REASON_COUNT; reason++) {
		if (counters->ended[reason] == 0)
			continue;
		append_text(&text, "%s%s %" PRIu64, before, reason_name((enum reason)reason),
			counters->ended[reason]);
		before = ", ";
	}
	append_text(&text, "; %" PRIu64 " bytes to servers, %" PRIu64 " to clients",
		counters->to_servers, counters->to_clients);
	append_text(&text,
		"; %" PRIu64 " copied, %" PRIu64 " spliced; accepting paused %" PRIu64 " times",
		counters->copied, counters->spliced, counters->pauses);
}
