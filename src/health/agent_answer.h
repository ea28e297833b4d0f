/*
 * The answer of an agent: what a server, or a program beside it, says of itself in one line.
 *
 * The words are those of HAProxy's manual (section 5.2, `agent-check`). Where the manual and HAProxy 2.6 differ, HAProxy counts: a
 * description needs a blank before its '#'.
 */
#ifndef TPROXY_HEALTH_AGENT_ANSWER_H
#define TPROXY_HEALTH_AGENT_ANSWER_H

#include "tproxy/health_script.h"

/* Where a word was not said, NULL or AGENT_SAYS_NOTHING. Texts are part of the line. */
struct agent_answer {
	const char *health; /* as it was written: "up", "down", "fail" or "stopped" */
	bool is_up;
	enum agent_state {
		AGENT_SAYS_NOTHING,
		AGENT_SAYS_READY,
		AGENT_SAYS_DRAIN,
		AGENT_SAYS_MAINT
	} state;
	const char *weight;      /* "50%", and maybe garbage behind the sign */
	const char *maxconn;     /* what follows "maxconn:" */
	const char *unknown;     /* the first word that is none of these */
	const char *description; /* behind a '#'; "": none */
};

/* The bytes of the first line, or 0 and *WHOLE false where its end has not come. A NUL ends no line, and nothing counts behind it. */
size_t agent_line(const struct health_input *input, bool *whole);

/* Takes LINE apart, in which it writes; it has no end of line. Of words of one kind, the last one counts. */
void agent_answer_parse(char *line, struct agent_answer *answer);

/* The verdict for the log. PROBLEM is why a weight or a limit was not taken, or NULL. */
void agent_answer_verdict(
	const struct agent_answer *answer, const char *problem, struct health_verdict *verdict);

#endif
