/*
 * Splices: all that a change does to the text is a list of pieces that are replaced, so what is not in a piece stays.
 *
 * Pieces are found in the text as it was, and applied together at the end, in the order of their places; those of one place
 * in the order in which they came. A line that is added ends as its neighbour does (LF or CRLF). Behind a last
 * line without a line feed, the new one has none either.
 */
#include "editing.h"

#include "tproxy/array.h"
#include "tproxy/text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool edit_refuse(struct editing *editing, const char *format, ...)
{
	va_list list;

	if (editing->problem != NULL)
		return false;
	va_start(list, format);
	if (vasprintf(&editing->problem, format, list) == -1)
		abort(); /* out of memory */
	va_end(list);
	return false;
}

const char *edit_text(const struct editing *editing, const char *key)
{
	return json_string_value(json_object_get(editing->change, key));
}

static const struct edit_section *find_section(
	struct editing *editing, const char *key, unsigned where, const char *what)
{
	const char *name = edit_text(editing, key);
	const struct edit_section *section = NULL;

	if (name != NULL)
		section = outline_find(&editing->outline, where, name);
	if (section == NULL)
		edit_refuse(editing, "no %s is named '%s'", what, name == NULL ? "" : name);
	return section;
}

const struct edit_section *edit_listener(struct editing *editing, const char *key)
{
	return find_section(editing, key, IN_FRONTEND, "listener");
}

const struct edit_section *edit_farm(struct editing *editing, const char *key)
{
	return find_section(editing, key, IN_BACKEND, "farm");
}

json_t *edit_expected(struct editing *editing, const struct edit_section *section)
{
	return json_array_get(json_object_get(editing->expected, "sections"), section->proxy);
}

/* --- words --- */

char *edit_quoted(const char *text)
{
	static const char special[] = " #\\'\"\n\r\t", letters[] = " #\\'\"nrt";
	struct text_stream stream;
	const char *found;

	text_begin(&stream);
	if (*text == '\0')
		fputs("\"\"", stream.out);
	for (; *text != '\0'; text++) {
		found = strchr(special, *text);
		if (found != NULL)
			fprintf(stream.out, "\\%c", letters[found - special]);
		else if ((unsigned char)*text < 0x20)
			fprintf(stream.out, "\\x%02x", (unsigned char)*text);
		else
			fputc(*text, stream.out);
	}
	return text_end(&stream);
}

static void splice(struct editing *editing, size_t from, size_t to, char *text)
{
	editing->splices =
		array_room(editing->splices, editing->splice_count, sizeof(*editing->splices));
	editing->splices[editing->splice_count++] = (struct splice){from, to, text};
}

void edit_word(struct editing *editing, const struct edit_word *word, const char *text)
{
	if (strcmp(word->text, text) != 0)
		splice(editing, word->from, word->to, edit_quoted(text));
}

bool edit_piece(struct editing *editing, const struct edit_word *word, size_t from, size_t to,
	const char *text)
{
	const char *written = editing->outline.text + word->from;
	size_t length = word->to - word->from;
	char *whole;

	if (length == strlen(word->text) && memcmp(written, word->text, length) == 0) {
		splice(editing, word->from + from, word->from + to,
			*text == '\0' ? text_copy("") : edit_quoted(text));
		return true;
	}
	if (memchr(written, '$', length) != NULL && (from > 0 || to < strlen(word->text)))
		return edit_refuse(editing,
			"'%.*s' is written with a variable; change it in the text", (int)length,
			written);
	whole = text_format("%.*s%s%s", (int)from, word->text, text, word->text + to);
	splice(editing, word->from, word->to, edit_quoted(whole));
	free(whole);
	return true;
}

void edit_add_words_behind(
	struct editing *editing, const struct edit_line *line, size_t at, const char *words)
{
	splice(editing, line->words[at].to, line->words[at].to, text_format(" %s", words));
}

void edit_add_words(struct editing *editing, const struct edit_line *line, const char *words)
{
	edit_add_words_behind(editing, line, line->count - 1, words);
}

void edit_remove_words(
	struct editing *editing, const struct edit_line *line, size_t first, size_t count)
{
	splice(editing, line->words[first - 1].to, line->words[first + count - 1].to,
		text_copy(""));
}

/* --- lines --- */

static bool has_feed(const struct outline *outline, const struct edit_line *line)
{
	return line->next > line->to && outline->text[line->next - 1] == '\n';
}

/* How lines end where this one is. */
static char *ending_at(const struct outline *outline, size_t index)
{
	const struct edit_line *line = &outline->lines[index];

	if (!has_feed(outline, line) && index > 0)
		line = &outline->lines[index - 1];
	if (!has_feed(outline, line))
		return text_copy("\n");
	return text_format("%.*s", (int)(line->next - line->to), outline->text + line->to);
}

/* The blanks before the first line of the section with words; NULL: it has none. */
static char *own_indentation(const struct outline *outline, const struct edit_section *section)
{
	for (size_t i = section->first + 1; i < section->end; i++) {
		const struct edit_line *line = &outline->lines[i];

		if (line->count > 0)
			return text_format("%.*s", (int)(line->words[0].from - line->from),
				outline->text + line->from);
	}
	return NULL;
}

/* That of the section, or of the nearest one before it, or of any. */
static char *indentation(const struct outline *outline, size_t section)
{
	char *found = NULL;

	for (size_t i = section + 1; i-- > 0 && found == NULL;)
		if (i < outline->section_count)
			found = own_indentation(outline, &outline->sections[i]);
	for (size_t i = section + 1; i < outline->section_count && found == NULL; i++)
		found = own_indentation(outline, &outline->sections[i]);
	return found == NULL ? text_copy("    ") : found;
}

void edit_add_line(struct editing *editing, const struct edit_section *section, size_t after,
	const char *words)
{
	const struct outline *outline = &editing->outline;
	const struct edit_line *line = &outline->lines[after];
	char *indent = indentation(outline, (size_t)(section - outline->sections));
	char *ending = ending_at(outline, after), *text;

	if (has_feed(outline, line)) {
		text = text_format("%s%s%s", indent, words, ending);
		splice(editing, line->next, line->next, text);
	} else {
		text = text_format("%s%s%s", ending, indent, words);
		splice(editing, line->to, line->to, text);
	}
	free(indent);
	free(ending);
}

/* The last line of the section that begins with one of the keywords; NONE: there is none. */
static size_t last_of(const struct outline *outline, const struct edit_section *section,
	const char *keyword, const char *other)
{
	for (size_t i = section->end; i-- > section->first + 1;) {
		const struct edit_line *line = &outline->lines[i];

		if (line->count > 0 && (strcmp(line->words[0].text, keyword) == 0 ||
					       strcmp(line->words[0].text, other) == 0))
			return i;
	}
	return NONE;
}

/* The last line of the section before its first server. */
static size_t before_servers(const struct outline *outline, const struct edit_section *section)
{
	size_t place = section->first;

	for (size_t i = section->first + 1; i < section->end; i++) {
		const struct edit_line *line = &outline->lines[i];

		if (line->count > 0 &&
			strncmp(line->words[0].text, "server", strlen("server")) == 0)
			break;
		if (line->count > 0)
			place = i;
	}
	return place;
}

/* Listening addresses first, then what holds for all servers, then the servers: as files are written. */
size_t edit_place_of(
	const struct editing *editing, const struct edit_section *section, const char *keyword)
{
	const struct outline *outline = &editing->outline;
	size_t last;

	if (strcmp(keyword, "mode") == 0)
		return section->first;
	if (strcmp(keyword, "bind") == 0) {
		last = last_of(outline, section, "bind", "mode");
		return last != NONE ? last : section->first;
	}
	if (strcmp(keyword, "server") == 0) {
		last = last_of(outline, section, "server", "server-template");
		return last != NONE ? last : section->end - 1;
	}
	return before_servers(outline, section);
}

void edit_remove_lines(struct editing *editing, size_t first, size_t end)
{
	splice(editing, editing->outline.lines[first].from, editing->outline.lines[end - 1].next,
		text_copy(""));
}

void edit_remove_line(struct editing *editing, const struct edit_line *line)
{
	splice(editing, line->from, line->next, text_copy(""));
}

void edit_add_section(struct editing *editing, const char *head, char *const *lines)
{
	const struct outline *outline = &editing->outline;
	size_t count = outline->line_count;
	const struct edit_line *last = count == 0 ? NULL : &outline->lines[count - 1];
	char *indent = indentation(outline, outline->section_count);
	char *ending = count == 0 ? text_copy("\n") : ending_at(outline, count - 1);
	bool closed = last == NULL || has_feed(outline, last);
	size_t place = closed ? outline->length : last->to;
	struct text_stream stream;

	text_begin(&stream);
	if (!closed)
		fputs(ending, stream.out);
	if (last != NULL && last->to > last->from)
		fputs(ending, stream.out);
	fputs(head, stream.out);
	for (; *lines != NULL; lines++)
		fprintf(stream.out, "%s%s%s", ending, indent, *lines);
	if (closed)
		fputs(ending, stream.out);
	splice(editing, place, place, text_end(&stream));
	free(indent);
	free(ending);
}

/* --- addresses --- */

char *edit_address(const char *address, const char *port)
{
	const char *colon = strchr(address, ':');
	bool needs_brackets =
		colon != NULL && strchr(colon + 1, ':') != NULL && strpbrk(address, "[@") == NULL;

	return text_format("%s%s%s%s%s", needs_brackets ? "[" : "", address,
		needs_brackets ? "]" : "", port == NULL ? "" : ":", port == NULL ? "" : port);
}

size_t edit_port_place(const char *written)
{
	size_t at = strlen(written), end = at;

	while (at > 0 && written[at] != ':' && written[at] != ']')
		at--;
	return written[at] == ':' ? at : end;
}

bool edit_address_word(struct editing *editing, const struct edit_word *word, size_t offset,
	const char *written, const char *text, const json_t *members)
{
	size_t from = 0, to = strlen(written), colon = edit_port_place(text);
	char *part;
	bool done;

	if (strcmp(written, text) == 0)
		return true;
	/* An address without brackets may stay so before a port, and needs them without one. */
	if (json_object_get(members, "address") == NULL &&
		(text[colon] == ':' || strncmp(text, written, strlen(text)) == 0)) {
		from = edit_port_place(written);
		part = text_copy(text + colon);
	} else if (json_object_get(members, "port") == NULL) {
		to = edit_port_place(written);
		part = text_format("%.*s", (int)colon, text);
	} else {
		part = text_copy(text);
	}
	done = edit_piece(editing, word, offset + from, offset + to, part);
	free(part);
	return done;
}

/* --- the result --- */

/* By place; what is added at a place comes before what is taken from there on. */
static int compare_splices(const void *left, const void *right)
{
	const struct splice *a = left, *b = right;

	if (a->from != b->from)
		return a->from < b->from ? -1 : 1;
	if (a->to != b->to)
		return a->to < b->to ? -1 : 1;
	return 0;
}

/* An insertion sort: there are few, those of one place keep their order, and most come sorted. */
static void sort_splices(struct splice *list, size_t count)
{
	for (size_t i = 1; i < count; i++)
		for (size_t j = i; j > 0 && compare_splices(&list[j - 1], &list[j]) > 0; j--) {
			struct splice later = list[j - 1];

			list[j - 1] = list[j];
			list[j] = later;
		}
}

char *edit_apply(struct editing *editing, size_t *length)
{
	const struct outline *outline = &editing->outline;
	struct text_stream stream;
	size_t at = 0;
	char *text;

	sort_splices(editing->splices, editing->splice_count);
	text_begin(&stream);
	for (size_t i = 0; i < editing->splice_count; i++) {
		const struct splice *each = &editing->splices[i];

		if (each->from < at) {
			edit_refuse(editing, "two pieces of it are at the same place");
			continue;
		}
		fwrite(outline->text + at, 1, each->from - at, stream.out);
		fputs(each->text, stream.out);
		at = each->to;
	}
	fwrite(outline->text + at, 1, outline->length - at, stream.out);
	text = text_end(&stream);
	*length = stream.length;
	return text;
}

void edit_free(struct editing *editing)
{
	for (size_t i = 0; i < editing->splice_count; i++)
		free(editing->splices[i].text);
	free(editing->splices);
	json_decref(editing->expected);
	outline_free(&editing->outline);
}
