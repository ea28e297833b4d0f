/*
 * The words of a rule: compared, joined, and read as numbers.
 *
 * The trap: strtoull() accepts a minus, so "-1" would be a large number.
 */
#include "xtables.h"

#include "tproxy/text.h"

#include <stdlib.h>
#include <string.h>

bool xtables_is(const struct xtables_word *word, const char *text)
{
	return !word->quoted && strcmp(word->text, text) == 0;
}

char *xtables_join(const struct xtables_parse *parse, size_t first)
{
	struct text_stream words;

	text_begin(&words);
	fputs(parse->negated ? "!" : "", words.out);
	for (size_t i = first; i < parse->at; i++)
		fprintf(words.out, "%s%s", i > first || parse->negated ? " " : "",
			parse->words[i].text);
	return text_end(&words);
}

bool xtables_number(const char *text, uint32_t *number, const char **end)
{
	char *after = NULL;
	unsigned long long value = strtoull(text, &after, 0);

	*end = after;
	*number = (uint32_t)value;
	return after != text && value <= UINT32_MAX && text[0] != '-';
}

bool xtables_masked(const char *text, uint32_t *number, uint32_t *mask)
{
	const char *end;

	*mask = UINT32_MAX;
	if (!xtables_number(text, number, &end))
		return false;
	if (*end == '/' && !xtables_number(end + 1, mask, &end))
		return false;
	return *end == '\0';
}
