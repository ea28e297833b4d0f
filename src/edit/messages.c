/*
 * Messages: each with the place of the word that it is about.
 *
 * A diag knows the line and the word, and the outline where on the line that word stands. A word that is made of a piece
 * of another one, such as an address between commas, is looked for among the line's bytes.
 */
#include "messages.h"

#include "tproxy/text.h"

#include <stdlib.h>
#include <string.h>

json_t *json_plain_text(const char *text)
{
	json_t *string = json_string(text);
	char *copy;

	if (string != NULL)
		return string;
	copy = text_copy(text);
	for (char *at = copy; *at != '\0'; at++)
		if ((unsigned char)*at >= 0x80)
			*at = '?';
	string = json_string(copy);
	free(copy);
	return string;
}

/* The column of WORD on the line of that number, from 1; 0: it is not there, or the message has no word. */
static size_t column_of(const struct outline *outline, unsigned number, const char *word)
{
	const struct edit_line *line;
	const char *found;

	if (word == NULL || *word == '\0' || number == 0 || number > outline->line_count)
		return 0;
	line = &outline->lines[number - 1];
	for (size_t i = 0; i < line->count; i++) {
		size_t length = strlen(line->words[i].text);

		if (strncmp(line->words[i].text, word, length) == 0 &&
			(word[length] == '\0' || (word[length] == ' ' && length > 0)))
			return line->words[i].from - line->from + 1;
	}
	found = memmem(outline->text + line->from, line->to - line->from, word, strlen(word));
	return found == NULL ? 0 : (size_t)(found - outline->text) - line->from + 1;
}

static char *sentence(const struct diag_message *message)
{
	char *text = message->word == NULL ? text_copy(message->text)
					   : text_format("'%s': %s", message->word, message->text);

	for (char *at = text; *at != '\0'; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			*at = '?';
	return text;
}

struct collection {
	const struct outline *outline;
	enum diag_severity severity;
	json_t *list;
};

static void add_message(void *arg, const struct diag_message *message)
{
	struct collection *collection = arg;
	char *text;

	if (message->severity != collection->severity)
		return;
	text = sentence(message);
	json_array_append_new(collection->list,
		json_pack("{s:i, s:i, s:o}", "line", (int)message->line, "column",
			(int)column_of(collection->outline, message->line, message->word),
			"message", json_plain_text(text)));
	free(text);
}

json_t *messages_json(
	const struct outline *outline, const struct diag *diag, enum diag_severity severity)
{
	struct collection collection = {outline, severity, json_array()};

	diag_each(diag, add_message, &collection);
	return collection.list;
}

static void take_first(void *arg, const struct diag_message *message)
{
	char **first = arg, *text;

	if (*first != NULL || message->severity != DIAG_ERROR)
		return;
	text = sentence(message);
	*first = message->line == 0 ? text_copy(text)
				    : text_format("line %u: %s", message->line, text);
	free(text);
}

char *messages_first_error(const struct diag *diag)
{
	char *first = NULL;

	diag_each(diag, take_first, &first);
	if (first == NULL && diag_count(diag, DIAG_ERROR) > 0)
		first = text_copy("out of memory");
	return first;
}
