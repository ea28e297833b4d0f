/*
 * Text made piece by piece; see the header.
 */
#include "tproxy/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
	va_list list;
	char *more, *old = *text;

	va_start(list, format);
	if (vasprintf(&more, format, list) == -1)
		abort(); /* out of memory */
	va_end(list);
	*text = text_format("%s%s", old != NULL ? old : "", more);
	free(more);
	free(old);
}

char *text_line(const char **at)
{
	size_t length = strcspn(*at, "\n");
	const char *line = *at;

	if (*line == '\0')
		return NULL;
	*at += length + (line[length] == '\n' ? 1 : 0);
	return text_format("%.*s", (int)length, line);
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
