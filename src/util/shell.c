/*
 * Text for terminals and shells.
 *
 * The trap is UTF-8: on some terminals bytes from 0x80 to 0x9f begin escape sequences, on others U+0080 to U+009F do.
 * So text is read character by character (RFC 3629), and only complete and harmless characters pass.
 */
#include "tproxy/shell.h"
#include "tproxy/text.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads the character at AT into *CODE. Returns its length in bytes; 0: it is not UTF-8. */
static size_t character_at(const unsigned char *at, uint32_t *code)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t length = *at < 0x80 ? 1 : *at >= 0xf0 ? 4 : *at >= 0xe0 ? 3 : 2;

	if ((*at >= 0x80 && *at < 0xc2) || *at > 0xf4)
		return 0;
	*code = length == 1 ? *at : *at & (0x7fU >> length);
	for (size_t i = 1; i < length; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		*code = *code << 6 | (at[i] & 0x3f);
	}
	if (*code < least[length] || *code > 0x10ffff || (*code >= 0xd800 && *code <= 0xdfff))
		return 0;
	return length;
}

/* Control characters, and those that change the direction or the lines of the text behind them. */
static bool is_control(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x200e || code == 0x200f ||
	       (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

char *shell_printable(const char *text)
{
	char *made = malloc(4 * strlen(text) + 1), *end = made;
	const unsigned char *at = (const unsigned char *)text;

	if (made == NULL)
		abort(); /* out of memory */
	while (*at != '\0') {
		uint32_t code;
		size_t length = character_at(at, &code);

		if (*at == '\n' || *at == '\t') {
			*end++ = ' ';
			at++;
		} else if (length > 0 && !is_control(code)) {
			memcpy(end, at, length);
			end += length;
			at += length;
		} else
			end += sprintf(end, "\\x%02x", *at++);
	}
	*end = '\0';
	return made;
}

/* False where WORD cannot be typed. */
static bool add_quoted(char **text, const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "_-+=./:,@%";
	char *shown = shell_printable(word);
	bool typable = strcmp(shown, word) == 0;

	free(shown);
	if (*word != '\0' && word[strspn(word, plain)] == '\0') {
		text_add(text, "%s", word);
		return typable;
	}
	text_add(text, "'");
	while (*word != '\0') {
		size_t length = strcspn(word, "'");

		text_add(text, "%.*s%s", (int)length, word, word[length] == '\'' ? "'\\''" : "");
		word += length + (word[length] == '\'' ? 1 : 0);
	}
	text_add(text, "'");
	return typable;
}

char *shell_format(const char *format, ...)
{
	char *text = text_format("%s", "");
	bool typable = true;
	va_list list;

	va_start(list, format);
	while (*format != '\0') {
		size_t length = strcspn(format, "%");

		text_add(&text, "%.*s", (int)length, format);
		format += length;
		if (*format == '\0')
			break;
		if (format[1] == 's')
			typable &= add_quoted(&text, va_arg(list, const char *));
		else if (format[1] == '%')
			text_add(&text, "%%");
		else if (format[1] == 'c')
			text_add(&text, "%c", va_arg(list, int));
		else if (format[1] == 'x')
			text_add(&text, "%x", va_arg(list, unsigned));
		else if (format[1] == 'u')
			text_add(&text, "%u", va_arg(list, unsigned));
		else if (format[1] == 'd')
			text_add(&text, "%d", va_arg(list, int));
		else
			abort(); /* a format that this function does not know */
		format += 2;
	}
	va_end(list);
	if (typable)
		return text;
	free(text);
	return NULL;
}
