/*
 * Strings on the heap.
 *
 * Without memory the program ends, so no caller checks for NULL. A text_stream is a stream in memory
 * (open_memstream(3)), whose text is complete only after it is closed.
 */
#include "tproxy/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

char *text_copy(const char *text)
{
	char *made = strdup(text);

	if (made == NULL)
		abort(); /* out of memory */
	return made;
}

char *text_format(const char *format, ...)
{
	va_list list;
	char *made;

	va_start(list, format);
	if (vasprintf(&made, format, list) == -1)
		abort(); /* out of memory */
	va_end(list);
	return made;
}

void text_add(char **text, const char *format, ...)
{
	size_t length = *text != NULL ? strlen(*text) : 0, size;
	va_list list;
	char *more;

	va_start(list, format);
	if (vasprintf(&more, format, list) == -1)
		abort(); /* out of memory */
	va_end(list);
	size = strlen(more) + 1;
	*text = realloc(*text, length + size);
	if (*text == NULL)
		abort(); /* out of memory */
	memcpy(*text + length, more, size);
	free(more);
}

void text_begin(struct text_stream *stream)
{
	*stream = (struct text_stream){0};
	stream->out = open_memstream(&stream->text, &stream->length);
	if (stream->out == NULL)
		abort(); /* out of memory */
}

char *text_end(struct text_stream *stream)
{
	/* A stream in memory fails only without memory. */
	if (ferror(stream->out) || fclose(stream->out) != 0)
		abort(); /* out of memory */
	stream->out = NULL;
	return stream->text;
}

char *text_line(const char **at)
{
	const char *begin = *at, *end = begin;
	char *line;

	if (*begin == '\0')
		return NULL;
	/* No function of string.h: under a sanitizer it would read the whole text, for each line. */
	while (*end != '\0' && *end != '\n')
		end++;
	line = malloc((size_t)(end - begin) + 1);
	if (line == NULL)
		abort(); /* out of memory */
	memcpy(line, begin, (size_t)(end - begin));
	line[end - begin] = '\0';
	*at = *end == '\n' ? end + 1 : end;
	return line;
}

void text_make_plain(char *text)
{
	for (; *text != '\0'; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

bool text_number(const char *text, unsigned *number)
{
	unsigned long value;
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	value = strtoul(text, &end, strncmp(text, "0x", 2) == 0 ? 16 : 10);
	if (*end != '\0' || errno != 0 || value > UINT32_MAX)
		return false;
	*number = (unsigned)value;
	return true;
}
