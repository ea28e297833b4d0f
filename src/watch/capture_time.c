/*
 * When a capture ends. It waits for this host alone: the kernel answers a connection request at once, and a question for
 * an address that it answers for on behalf of others after up to 0.8 seconds (proxy_delay).
 */
#include "capture_time.h"

#include <limits.h>

enum {
	ANSWER_MS = 300,     /* on a busy machine; else the kernel answers a SYN at once */
	REQUESTS_ENOUGH = 3, /* Linux asks so often (mcast_solicit), once a second */
	REPLY_MS = 1000,
	PASSAGE_MS = 20 /* from a bridge's port to the bridge, whose name is to be reported */
};

static bool lacks_answer(const struct captured *captured)
{
	return captured->packets > 0 && captured->answers == 0;
}

static bool lacks_reply(const struct captured *captured)
{
	return captured->packets == 0 && captured->requests > 0 && captured->replies == 0;
}

/* How long to go on after what was seen; 0: it is not enough. */
static int grace_of(const struct captured *list, size_t count)
{
	bool all = true, no_reply = false, unanswered = false;

	for (size_t i = 0; i < count; i++) {
		unanswered |= lacks_answer(&list[i]);
		all &= list[i].packets > 0;
		no_reply |= lacks_reply(&list[i]) && list[i].requests >= REQUESTS_ENOUGH;
	}
	if (all)
		return unanswered ? ANSWER_MS : PASSAGE_MS;
	return no_reply ? REPLY_MS : 0;
}

/* Notes how many addresses wait for an answer; returns for how long at most the last one does. */
static int note_open(
	struct capture_time *time, const struct captured *list, size_t count, long long now)
{
	size_t open = 0;
	int wait = 0;

	for (size_t i = 0; i < count; i++) {
		if (lacks_answer(&list[i]) && wait < ANSWER_MS)
			wait = ANSWER_MS;
		if (lacks_reply(&list[i]))
			wait = REPLY_MS;
		open += lacks_answer(&list[i]) || lacks_reply(&list[i]);
	}
	if (open > time->open)
		time->open_began = now;
	time->open = open;
	return wait;
}

int capture_left(
	struct capture_time *time, const struct captured *list, size_t count, long long now)
{
	int grace = grace_of(list, count), wait = note_open(time, list, count, now);
	long long end = time->end;

	if (time->grace != grace) {
		time->grace = grace;
		time->grace_began = now;
	}
	if (wait != 0 && time->open_began + wait > end)
		end = time->open_began + wait;
	if (grace != 0 && time->grace_began + grace < end)
		end = time->grace_began + grace;
	if (end <= now)
		return 0;
	return end - now < INT_MAX ? (int)(end - now) : INT_MAX;
}
