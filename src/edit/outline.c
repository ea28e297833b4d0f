/*
 * The outline: one pass over the lines, as src/config/config.c reads them, and one over their words.
 *
 * A section ends behind its last line that has words, so that the comments and empty lines before the next section belong
 * to none. Words that mean nothing to the daemon make no section; the one before goes on, since the text is refused
 * anyway. The trap is what belongs to a parameter: in `source 0.0.0.0 usesrc check`, `check` is none.
 */
#include "outline.h"

#include "tproxy/array.h"
#include "tproxy/memory.h"
#include "words/words.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void ignore_error(void *context, const char *culprit, const char *error)
{
	(void)context;
	(void)culprit;
	(void)error;
}

static void *allocate(struct outline *outline, size_t size)
{
	void *bytes = memory_alloc(outline->memory, size);

	if (bytes == NULL)
		abort(); /* out of memory */
	return bytes;
}

static void read_words(struct outline *outline, struct edit_line *line, struct words *words)
{
	char *text;

	if (!words_split(
		    words, outline->text + line->from, line->to - line->from, ignore_error, NULL) ||
		words->count == 0)
		return;
	line->words = allocate(outline, words->count * sizeof(*line->words));
	text = allocate(outline, words->used);
	memcpy(text, words->text, words->used);
	for (size_t i = 0; i < words->count; i++)
		line->words[i] = (struct edit_word){text + (words->list[i] - words->text),
			line->from + words->places[i].from, line->from + words->places[i].to};
	line->count = words->count;
}

/* The place that begins with WORD; 0 for sections of HAProxy that tproxyd does not have. False: it begins none. */
static bool begins_section(const char *word, unsigned *where)
{
	static const struct {
		const char *name;
		unsigned where;
	} kinds[] = {{"global", IN_GLOBAL}, {"defaults", IN_DEFAULTS}, {"frontend", IN_FRONTEND},
		{"backend", IN_BACKEND}, {"listen", IN_LISTEN}, {"resolvers", IN_RESOLVERS}};
	struct foreign foreign;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(word, kinds[i].name) == 0) {
			*where = kinds[i].where;
			return true;
		}
	*where = 0;
	return foreign_find(word, IN_FILE, &foreign);
}

/* The last `defaults`, from the section COUNT on backwards. */
static size_t last_defaults(const struct outline *outline, size_t count)
{
	while (count > 0)
		if (outline->sections[--count].where == IN_DEFAULTS)
			return count;
	return NONE;
}

static void add_section(struct outline *outline, size_t index, unsigned where)
{
	const struct edit_line *line = &outline->lines[index];
	struct edit_section *section;

	outline->sections = array_room(outline->sections, outline->section_count, sizeof(*section));
	section = &outline->sections[outline->section_count];
	*section = (struct edit_section){.where = where,
		.name = line->count > 1 ? line->words[1].text : "",
		.first = index,
		.end = index + 1,
		.defaults = last_defaults(outline, outline->section_count),
		.proxy = NONE};
	if ((where & IN_LISTEN) && *section->name != '\0')
		section->proxy = outline->proxy_count++;
	outline->section_count++;
}

static struct edit_lines *find_kind(const struct edit_section *section, const char *keyword)
{
	for (size_t i = 0; i < section->kind_count; i++)
		if (strcmp(section->kinds[i].keyword, keyword) == 0)
			return &section->kinds[i];
	return NULL;
}

/* Chains the line, which is the newest one, to those of its section that begin with the same word. */
static void add_to_section(struct outline *outline, struct edit_section *section)
{
	const char *keyword = outline->lines[outline->line_count].words[0].text;
	struct edit_lines *kind = find_kind(section, keyword);

	section->end = outline->line_count + 1;
	if (kind == NULL) {
		section->kinds =
			array_room(section->kinds, section->kind_count, sizeof(*section->kinds));
		kind = &section->kinds[section->kind_count++];
		*kind = (struct edit_lines){keyword, outline->line_count, outline->line_count};
		return;
	}
	outline->lines[kind->last].same = outline->line_count;
	kind->last = outline->line_count;
}

static void read_line(struct outline *outline, size_t from, struct words *words)
{
	const char *text = outline->text + from;
	const char *feed = memchr(text, '\n', outline->length - from);
	struct edit_line *line;
	unsigned where;

	outline->lines = array_room(outline->lines, outline->line_count, sizeof(*line));
	line = &outline->lines[outline->line_count];
	*line = (struct edit_line){.from = from, .same = NONE};
	line->to = feed != NULL ? (size_t)(feed - outline->text) : outline->length;
	line->next = feed != NULL ? line->to + 1 : line->to;
	if (line->to > from && outline->text[line->to - 1] == '\r')
		line->to--;
	read_words(outline, line, words);
	if (line->count > 0 && begins_section(line->words[0].text, &where))
		add_section(outline, outline->line_count, where);
	else if (line->count > 0 && outline->section_count > 0)
		add_to_section(outline, &outline->sections[outline->section_count - 1]);
	outline->line_count++;
}

void outline_read(struct outline *outline, const char *text, size_t length)
{
	struct words *words = malloc(sizeof(*words));

	*outline = (struct outline){.text = text, .length = length, .memory = memory_new(SIZE_MAX)};
	if (words == NULL || outline->memory == NULL)
		abort(); /* out of memory */
	for (size_t from = 0; from < length; from = outline->lines[outline->line_count - 1].next)
		read_line(outline, from, words);
	free(words);
}

void outline_free(struct outline *outline)
{
	for (size_t i = 0; i < outline->section_count; i++)
		free(outline->sections[i].kinds);
	free(outline->lines);
	free(outline->sections);
	memory_free(outline->memory);
}

const struct edit_section *outline_find(
	const struct outline *outline, unsigned where, const char *name)
{
	for (size_t i = 0; i < outline->section_count; i++)
		if (outline->sections[i].proxy != NONE && (outline->sections[i].where & where) &&
			strcmp(outline->sections[i].name, name) == 0)
			return &outline->sections[i];
	return NULL;
}

const struct edit_line *outline_next(const struct outline *outline,
	const struct edit_section *section, const struct edit_line *after, const char *keyword)
{
	const struct edit_lines *kind = find_kind(section, keyword);
	size_t behind = after == NULL ? 0 : (size_t)(after - outline->lines) + 1;
	size_t line = kind == NULL ? NONE : kind->first;

	if (after != NULL && strcmp(after->words[0].text, keyword) == 0)
		line = after->same;
	while (line != NONE && line < behind)
		line = outline->lines[line].same;
	return line == NONE ? NULL : &outline->lines[line];
}

/* As many words as a row of the table says: up to what may be left out. */
static size_t argument_count(const char *arguments)
{
	size_t count = *arguments != '\0' && *arguments != '[';

	for (const char *at = arguments; (at = strchr(at, ' ')) != NULL && at[1] != '['; at++)
		count++;
	return count;
}

static bool is_named(const struct keyword *keyword, const char *word)
{
	const char *argument = strchr(keyword->name, '(');

	if (argument != NULL)
		return strncmp(word, keyword->name, (size_t)(argument - keyword->name) + 1) == 0;
	return strcmp(word, keyword->name) == 0;
}

static bool word_is(const struct edit_line *line, size_t at, const char *text)
{
	return at < line->count && strcmp(line->words[at].text, text) == 0;
}

size_t outline_parameter(const struct edit_line *line, size_t at, unsigned where)
{
	const char *word = line->words[at].text;
	size_t count = 1, left = line->count - at;
	const struct keyword *keyword;
	struct foreign foreign;

	if (word_is(line, at, "source")) {
		count = 2;
		while (word_is(line, at + count, "usesrc") ||
			word_is(line, at + count, "interface"))
			count += 2;
	} else if (word_is(line, at, "check-usesrc")) {
		count = word_is(line, at + 1, "net") ? 3 : 2;
	} else if (foreign_find(word, where, &foreign)) {
		count += foreign.argument_count;
	} else {
		for (size_t i = 0; (keyword = keyword_at(i)) != NULL; i++)
			if ((keyword->where & where) && is_named(keyword, word)) {
				count += argument_count(keyword->arguments);
				break;
			}
	}
	return count < left ? count : left;
}

size_t outline_find_parameter(
	const struct edit_line *line, size_t at, unsigned where, const char *name)
{
	for (; at < line->count; at += outline_parameter(line, at, where))
		if (strcmp(line->words[at].text, name) == 0)
			return at;
	return NONE;
}

size_t outline_server_parameters(const struct edit_line *line)
{
	if (word_is(line, 0, "default-server"))
		return 1;
	return word_is(line, 0, "server-template") ? 4 : 3;
}

unsigned outline_number(const struct outline *outline, const struct edit_line *line)
{
	return (unsigned)(line - outline->lines) + 1;
}
