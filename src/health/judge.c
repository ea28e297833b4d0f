/*
 * Judging what came: whether it is what a step expects, or whether more must come first.
 *
 * As in HAProxy, an answer that does not match proves nothing while more of it may come, unless `min-recv` says how much is
 * enough. So a server that sends something wrong and stays is found by the timeout. Steps that follow each other without a
 * question between them judge the same bytes.
 */
#include "agent_answer.h"
#include "http_response.h"
#include "verdict.h"

#include <stdio.h>
#include <string.h>

/* A '\0' stands behind the bytes: REG_STARTEND does not need it, but sanitizers do not know that. */
static bool regex_matches(const regex_t *regex, const char *bytes, size_t length)
{
	regmatch_t range = {.rm_so = 0, .rm_eo = (regoff_t)length};

	return regexec(regex, bytes, 0, &range, REG_STARTEND) == 0;
}

static bool hex_matches(const regex_t *regex, const struct health_input *input)
{
	static const char digits[] = "0123456789ABCDEF";
	char text[2 * HEALTH_INPUT_MAX + 1];

	for (size_t i = 0; i < input->length; i++) {
		text[2 * i] = digits[(unsigned char)input->bytes[i] >> 4];
		text[2 * i + 1] = digits[(unsigned char)input->bytes[i] & 15];
	}
	text[2 * input->length] = '\0';
	return regex_matches(regex, text, 2 * input->length);
}

static bool holds(const char *bytes, size_t length, const struct health_bytes *wanted)
{
	return memmem(bytes, length, wanted->bytes, wanted->length) != NULL;
}

/* Whether it is too little to be judged. */
static bool is_short(const struct health_step *step, size_t length)
{
	bool of_bytes = step->match == MATCH_STRING || step->match == MATCH_BINARY ||
			step->match == MATCH_BODY;

	return (of_bytes && length < step->wanted.length) ||
	       (step->least > 0 && length < (size_t)step->least);
}

static enum health_progress end(const struct health_script *script, const struct health_step *step,
	const struct health_input *input, bool matched, const char *info,
	struct health_verdict *verdict)
{
	verdict->status = step->failed;
	verdict_explain(script, step, input, matched, info, verdict);
	return HEALTH_ENDS;
}

/* --- bytes --- */

static bool bytes_match(const struct health_step *step, const struct health_input *input)
{
	if (step->match == MATCH_REGEX)
		return regex_matches(step->regex, input->bytes, input->length);
	if (step->match == MATCH_BINARY_REGEX)
		return hex_matches(step->regex, input);
	return holds(input->bytes, input->length, &step->wanted);
}

static enum health_progress judge_bytes(const struct health_script *script,
	const struct health_step *step, const struct health_input *input,
	struct health_verdict *verdict)
{
	bool matched;

	if (!input->last && is_short(step, input->length))
		return HEALTH_WAITS;
	if (input->last && input->length == 0)
		return end(script, step, input, false, "", verdict);
	matched = bytes_match(step, input);
	if (!matched && !input->last && step->least == -1)
		return HEALTH_WAITS;
	return matched != step->negated ? HEALTH_GOES_ON
					: end(script, step, input, matched, "", verdict);
}

/* --- HTTP --- */

static bool status_matches(const struct health_step *step, unsigned status)
{
	char text[16];

	if (step->match == MATCH_STATUS_REGEX) {
		int length = snprintf(text, sizeof(text), "%03u", status);

		return regex_matches(step->regex, text, (size_t)length);
	}
	for (size_t i = 0; i < step->code_count; i++)
		if (status >= step->codes[i].low && status <= step->codes[i].high)
			return true;
	return false;
}

static enum health_progress judge_status(const struct health_script *script,
	const struct health_step *step, const struct health_input *input,
	const struct http_response *response, struct health_verdict *verdict)
{
	bool matched = status_matches(step, response->status);
	char reason[HEALTH_INFO_MAX];

	snprintf(reason, sizeof(reason), "%.*s", (int)response->reason_length, response->reason);
	return matched != step->negated ? HEALTH_GOES_ON
					: end(script, step, input, matched, reason, verdict);
}

static enum health_progress judge_body(const struct health_script *script,
	const struct health_step *step, const struct health_input *input,
	const struct http_response *response, struct health_verdict *verdict)
{
	bool last = input->last || response->whole, matched;

	if (response->body_length == 0)
		return last ? end(script, step, input, false,
				      "HTTP content check could not find a response body", verdict)
			    : HEALTH_WAITS;
	if (!last && is_short(step, response->body_length))
		return HEALTH_WAITS;
	matched = step->match == MATCH_BODY
			  ? holds(response->body, response->body_length, &step->wanted)
			  : regex_matches(step->regex, response->body, response->body_length);
	if (!matched && !last && step->least == -1)
		return HEALTH_WAITS;
	if (matched != step->negated)
		return HEALTH_GOES_ON;
	return end(script, step, input, matched,
		step->negated ? "HTTP check matched unwanted content"
			      : "HTTP content check did not match",
		verdict);
}

static enum health_progress judge_http(const struct health_script *script,
	const struct health_step *step, const struct health_input *input,
	struct health_verdict *verdict)
{
	struct http_response response;
	enum http_progress progress = http_response_read(&response, input);

	if (progress == HTTP_PARTIAL && !input->last)
		return HEALTH_WAITS;
	if (progress != HTTP_THERE) {
		*verdict = (struct health_verdict){.status = HEALTH_L7RSP};
		return HEALTH_ENDS;
	}
	verdict->code = response.status;
	return step->match == MATCH_STATUS || step->match == MATCH_STATUS_REGEX
		       ? judge_status(script, step, input, &response, verdict)
		       : judge_body(script, step, input, &response, verdict);
}

/* --- MySQL --- */

/* The packet's payload; NULL: it has not come as a whole. Its head is three bytes of length and a number. */
static const unsigned char *mysql_packet(
	const struct health_input *input, unsigned number, size_t *length)
{
	const unsigned char *at = (const unsigned char *)input->bytes, *stop = at + input->length;

	for (;; number--) {
		if (stop - at < 4)
			return NULL;
		*length = at[0] | (size_t)at[1] << 8 | (size_t)at[2] << 16;
		if ((size_t)(stop - at) - 4 < *length)
			return NULL;
		if (number == 0)
			return at + 4;
		at += 4 + *length;
	}
}

/* An error has a code of two bytes, and text. */
static enum health_progress judge_mysql(const struct health_script *script,
	const struct health_step *step, const struct health_input *input,
	struct health_verdict *verdict)
{
	size_t length;
	const unsigned char *packet = mysql_packet(input, step->packet, &length);
	char text[HEALTH_INFO_MAX];

	if (packet == NULL && !input->last)
		return HEALTH_WAITS;
	if (packet == NULL)
		return end(script, step, input, false, "", verdict);
	if (length < 3 || packet[0] != 0xff)
		return HEALTH_GOES_ON;
	verdict->code = packet[1] | (unsigned)packet[2] << 8;
	snprintf(text, sizeof(text), "%.*s", (int)(length - 3), (const char *)packet + 3);
	end(script, step, input, false, text, verdict);
	verdict->status = HEALTH_L7STS;
	return HEALTH_ENDS;
}

/* --- a line --- */

static enum health_progress judge_line(const struct health_script *script,
	const struct health_step *step, const struct health_input *input,
	struct health_verdict *verdict)
{
	bool whole;

	if (input->last && input->length == 0)
		return end(script, step, input, false, "", verdict);
	agent_line(input, &whole);
	return whole || input->last ? HEALTH_GOES_ON : HEALTH_WAITS;
}

enum health_progress health_judge(const struct health_script *script,
	const struct health_step *step, const struct health_input *input,
	struct health_verdict *verdict)
{
	switch (step->match) {
	case MATCH_LINE:
		return judge_line(script, step, input, verdict);
	case MATCH_MYSQL:
		return judge_mysql(script, step, input, verdict);
	case MATCH_STATUS:
	case MATCH_STATUS_REGEX:
	case MATCH_BODY:
	case MATCH_BODY_REGEX:
		return judge_http(script, step, input, verdict);
	case MATCH_STRING:
	case MATCH_BINARY:
	case MATCH_REGEX:
	case MATCH_BINARY_REGEX:
		break;
	}
	return judge_bytes(script, step, input, verdict);
}
