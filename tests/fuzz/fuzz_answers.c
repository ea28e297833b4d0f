/*
 * What servers answer to checks, and agents to questions: every fixed script, and those of a configuration, judge each answer as it grows.
 *
 * The first byte says which script.
 */
#include "fuzz.h"
#include "health/agent_answer.h"
#include "tproxy/health_script.h"

#include <stdio.h>

static struct health_script of_rules(struct config_memory *memory)
{
	struct health_script script = {.kind = HEALTH_BY_RULES};
	struct health_step step = health_expectation(MATCH_REGEX, HEALTH_BY_RULES);

	health_add_step(&script, memory, (struct health_step){.action = HEALTH_CONNECT});
	health_compile(memory, "^(2..|[^a-c]+\\d{3}) .*$", &step.regex);
	health_add_step(&script, memory, step);
	step = health_expectation(MATCH_STRING, HEALTH_BY_RULES);
	step.wanted = (struct health_bytes){"ready", 5};
	step.negated = true;
	health_add_step(&script, memory, step);
	return script;
}

static struct health_script of_http(struct config_memory *memory)
{
	static struct health_codes fit = {200, 399};
	struct health_script script = {.kind = HEALTH_BY_HTTP};
	struct health_step step = health_expectation(MATCH_STATUS, HEALTH_BY_HTTP);

	health_add_step(&script, memory, (struct health_step){.action = HEALTH_CONNECT});
	step.codes = &fit;
	step.code_count = 1;
	health_add_step(&script, memory, step);
	step = health_expectation(MATCH_BODY, HEALTH_BY_HTTP);
	step.wanted = (struct health_bytes){"ok", 2};
	health_add_step(&script, memory, step);
	return script;
}

enum {
	SCRIPTS = 8,
	AGENT = SCRIPTS - 1
};

static struct health_script of_agent(struct config_memory *memory)
{
	struct health_script script = {.kind = HEALTH_BY_PROTOCOL};

	health_add_step(&script, memory, (struct health_step){.action = HEALTH_CONNECT});
	health_add_step(&script, memory, health_expectation(MATCH_LINE, HEALTH_BY_PROTOCOL));
	return script;
}

/* A line that is whole stays the same, whatever comes behind it; and its words are a verdict of one line. */
static void read_agent(const char *text, size_t length, size_t part)
{
	bool whole, was_whole;
	size_t end = agent_line(&(struct health_input){.bytes = text, .length = length}, &whole);
	char *cut = strndup(text, part), line[1024];
	struct agent_answer answer;
	struct health_verdict verdict;

	if (agent_line(&(struct health_input){cut, strlen(cut), false}, &was_whole) != end &&
		was_whole)
		abort();
	free(cut);
	cut = strndup(text, end);
	agent_answer_parse(cut, &answer);
	agent_answer_verdict(&answer, NULL, &verdict);
	health_verdict_format(&verdict, line, sizeof(line));
	if (strpbrk(line, "\r\n") != NULL ||
		(answer.health != NULL) != (verdict.status != HEALTH_CHECKED))
		abort();
	free(cut);
}

static struct health_script script_of(struct config_memory *memory, unsigned number)
{
	switch (number % SCRIPTS) {
	case 0:
		return health_script_redis(memory);
	case 1:
		return health_script_smtp(memory, "HELO localhost");
	case 2:
		return health_script_mysql(memory, "haproxy", false);
	case 3:
		return health_script_postgres(memory, "haproxy");
	case 4:
		return health_script_tls(memory);
	case 5:
		return of_rules(memory);
	case AGENT:
		return of_agent(memory);
	default:
		return of_http(memory);
	}
}

/* All expectations of a script, whatever the ones before them found. */
static void judge(const struct health_script *script, const struct health_input *input)
{
	struct health_verdict verdict = {0};
	char line[1024];

	for (size_t i = 0; i < script->count; i++) {
		if (script->steps[i].action != HEALTH_EXPECT)
			continue;
		if (health_judge(script, &script->steps[i], input, &verdict) == HEALTH_ENDS &&
			health_is_passed(verdict.status))
			abort();
		health_verdict_format(&verdict, line, sizeof(line));
	}
	health_pass(script, input, &verdict);
	health_verdict_format(&verdict, line, sizeof(line));
	if (strpbrk(line, "\r\n") != NULL)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_memory *memory;
	struct health_script script;
	char *text;

	if (size == 0 || size > HEALTH_INPUT_MAX)
		return 0;
	memory = memory_new(1 << 20);
	text = fuzz_text(data + 1, size - 1);
	script = script_of(memory, *data);
	for (size_t length = 0; length < size; length += 1 + length / 8)
		judge(&script, &(struct health_input){.bytes = text, .length = length});
	judge(&script, &(struct health_input){.bytes = text, .length = size - 1, .last = true});
	if (*data % SCRIPTS == AGENT)
		read_agent(text, size - 1, (size - 1) / 2);
	free(text);
	memory_free(memory);
	return 0;
}
