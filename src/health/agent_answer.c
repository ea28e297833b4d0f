/*
 * Words are parted by spaces, tabs and commas. A '#' at the beginning of a word begins the description, up to the end of the line.
 *
 * The trap: an agent is often a script that someone has written in a hurry. So a word that is not known changes nothing, and does not
 * keep the other words from counting; and it shows in the verdict.
 */
#include "agent_answer.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define BLANKS  " \t"
#define BETWEEN " \t,"
#define MAXCONN "maxconn:"

size_t agent_line(const struct health_input *input, bool *whole)
{
	size_t length = input->length == 0 ? 0 : strcspn(input->bytes, "\r\n");

	*whole = length < input->length && input->bytes[length] != '\0';
	return *whole ? length : 0;
}

static bool take_health(struct agent_answer *answer, const char *word)
{
	static const char *const names[] = {"up", "down", "stopped", "fail"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcasecmp(word, names[i]) == 0) {
			answer->health = word;
			answer->is_up = i == 0;
			return true;
		}
	return false;
}

static bool take_state(struct agent_answer *answer, const char *word)
{
	static const char *const names[] = {[AGENT_SAYS_READY] = "ready",
		[AGENT_SAYS_DRAIN] = "drain",
		[AGENT_SAYS_MAINT] = "maint"};

	for (int state = AGENT_SAYS_READY; state <= AGENT_SAYS_MAINT; state++)
		if (strcasecmp(word, names[state]) == 0) {
			answer->state = (enum agent_state)state;
			return true;
		}
	return false;
}

static void take_word(struct agent_answer *answer, const char *word)
{
	if (take_health(answer, word) || take_state(answer, word))
		return;
	if (isdigit((unsigned char)*word) && strchr(word, '%') != NULL)
		answer->weight = word;
	else if (strncasecmp(word, MAXCONN, strlen(MAXCONN)) == 0)
		answer->maxconn = word + strlen(MAXCONN);
	else if (answer->unknown == NULL)
		answer->unknown = word;
}

void agent_answer_parse(char *line, struct agent_answer *answer)
{
	*answer = (struct agent_answer){.description = ""};
	for (char *at = line + strspn(line, BETWEEN); *at != '\0'; at += strspn(at, BETWEEN)) {
		char *word = at;

		if (*word == '#') {
			answer->description = word + 1 + strspn(word + 1, BLANKS);
			return;
		}
		at += strcspn(at, BETWEEN);
		if (*at != '\0')
			*at++ = '\0';
		take_word(answer, word);
	}
}

/* A description of what is wrong comes first; who is well has none. */
static const char *remark(const struct agent_answer *answer, const char *problem)
{
	if (*answer->description != '\0' && !answer->is_up)
		return answer->description;
	if (answer->unknown != NULL)
		return answer->unknown;
	return problem != NULL ? problem : answer->description;
}

void agent_answer_verdict(
	const struct agent_answer *answer, const char *problem, struct health_verdict *verdict)
{
	const char *text = remark(answer, problem);

	*verdict = (struct health_verdict){.status = HEALTH_CHECKED};
	if (answer->health != NULL) {
		verdict->status = answer->is_up ? HEALTH_L7OK : HEALTH_L7STS;
		snprintf(verdict->info, sizeof(verdict->info), "via agent : %s%s%s%s",
			answer->health, *text == '\0' ? "" : " (", text, *text == '\0' ? "" : ")");
	} else if (answer->unknown != NULL) {
		snprintf(verdict->info, sizeof(verdict->info), "agent reports an error : %s",
			answer->unknown);
	} else if (problem != NULL) {
		snprintf(verdict->info, sizeof(verdict->info), "agent warns : %s", problem);
	}
}
