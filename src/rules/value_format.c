/*
 * A format is a list of pieces, each literal text or one value. What is no value here is an error when the
 * configuration is read, so that writing cannot fail.
 *
 * Numbers in hexadecimal have four digits or more, and addresses all of their bytes, as HAProxy writes them.
 */
#include "tproxy/value_format.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum piece_kind {
	PIECE_TEXT,
	PIECE_SOURCE,
	PIECE_SOURCE_PORT,
	PIECE_DESTINATION,
	PIECE_DESTINATION_PORT,
	PIECE_TIME,
	PIECE_PROCESS,
	PIECE_AUTHORITY,
	PIECE_UNIQUE_ID,
};

struct format_piece {
	enum piece_kind kind;
	bool is_hexadecimal;
	const char *text; /* of PIECE_TEXT */
	size_t length;
};

static const struct {
	const char *name; /* with what is around it, behind the percent sign */
	enum piece_kind kind;
} names[] = {
	{"ci", PIECE_SOURCE},
	{"cp", PIECE_SOURCE_PORT},
	{"fi", PIECE_DESTINATION},
	{"fp", PIECE_DESTINATION_PORT},
	{"Ts", PIECE_TIME},
	{"pid", PIECE_PROCESS},
	{"[src]", PIECE_SOURCE},
	{"[src_port]", PIECE_SOURCE_PORT},
	{"[dst]", PIECE_DESTINATION},
	{"[dst_port]", PIECE_DESTINATION_PORT},
	{"[fc_pp_authority]", PIECE_AUTHORITY},
	{"[fc_pp_unique_id]", PIECE_UNIQUE_ID},
};

static void add_piece(
	struct value_format *format, struct config_memory *memory, struct format_piece piece)
{
	struct format_piece *grown =
		memory_grow(memory, format->pieces, format->count, sizeof(*grown));

	if (grown == NULL)
		return;
	format->pieces = grown;
	format->pieces[format->count++] = piece;
}

/* Takes "{+X}" or "{-X}" from *AT. False: it is something else in braces. */
static bool take_flags(const char **at, bool *is_hexadecimal)
{
	if (**at != '{')
		return true;
	if (strncmp(*at, "{+X}", 4) != 0 && strncmp(*at, "{-X}", 4) != 0)
		return false;
	*is_hexadecimal = (*at)[1] == '+';
	*at += 4;
	return true;
}

/* Takes what follows a percent sign at *AT. The first name that fits is the only one. */
static const char *parse_value(struct value_format *format, struct config_memory *memory,
	const char **at, bool *all_hexadecimal)
{
	bool has_flags = **at == '{', is_hexadecimal = *all_hexadecimal;

	if (**at == '%') {
		add_piece(format, memory, (struct format_piece){.text = *at, .length = 1});
		*at += 1;
		return NULL;
	}
	if (!take_flags(at, &is_hexadecimal))
		return "of the flags in braces only +X and -X are supported";
	if (has_flags && **at == 'o') {
		*all_hexadecimal = is_hexadecimal;
		*at += 1;
		*at += strspn(*at, " "); /* they only part it from what follows */
		return NULL;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t length = strlen(names[i].name);

		if (strncmp(*at, names[i].name, length) != 0)
			continue;
		add_piece(format, memory,
			(struct format_piece){
				.kind = names[i].kind, .is_hexadecimal = is_hexadecimal});
		*at += length;
		return NULL;
	}
	return "a value that is not supported; there are %ci, %cp, %fi, %fp, %Ts, %pid, "
	       "%[fc_pp_authority] and %[fc_pp_unique_id], and %% is a percent sign";
}

const char *value_format_parse(
	struct value_format *format, struct config_memory *memory, const char *text)
{
	const char *at = memory_copy(memory, text), *error = NULL;
	bool all_hexadecimal = false;

	*format = (struct value_format){0};
	while (at != NULL && *at != '\0' && error == NULL) {
		size_t length = strcspn(at, "%");

		if (length > 0)
			add_piece(format, memory,
				(struct format_piece){.text = at, .length = length});
		at += length;
		if (*at++ == '%')
			error = parse_value(format, memory, &at, &all_hexadecimal);
		else
			break;
	}
	return error;
}

/* --- writing --- */

struct output {
	char *at;
	size_t left;
};

static void put_bytes(struct output *output, const void *bytes, size_t length)
{
	if (length > output->left)
		length = output->left;
	if (length > 0)
		memcpy(output->at, bytes, length);
	output->at += length;
	output->left -= length;
}

static void put_number(struct output *output, unsigned long number, bool is_hexadecimal)
{
	char text[32];
	int length = snprintf(text, sizeof(text), is_hexadecimal ? "%04lX" : "%lu", number);

	put_bytes(output, text, (size_t)length);
}

static void put_address(struct output *output, const struct addr *address, bool is_hexadecimal)
{
	const uint8_t *bytes = addr_bytes(address);
	char text[ADDR_TEXT_MAX];

	if (addr_family(address) == AF_UNSPEC)
		return; /* it is not known */
	if (!is_hexadecimal) {
		addr_format_ip(address, text);
		put_bytes(output, text, strlen(text));
		return;
	}
	for (unsigned i = 0; i < family_bits(addr_family(address)) / 8; i++) {
		snprintf(text, sizeof(text), "%02X", bytes[i]);
		put_bytes(output, text, 2);
	}
}

static void put_piece(
	struct output *output, const struct format_piece *piece, const struct format_values *values)
{
	bool is_hexadecimal = piece->is_hexadecimal;

	switch (piece->kind) {
	case PIECE_TEXT:
		put_bytes(output, piece->text, piece->length);
		break;
	case PIECE_SOURCE:
		put_address(output, &values->source, is_hexadecimal);
		break;
	case PIECE_SOURCE_PORT:
		put_number(output, addr_port(&values->source), is_hexadecimal);
		break;
	case PIECE_DESTINATION:
		put_address(output, &values->destination, is_hexadecimal);
		break;
	case PIECE_DESTINATION_PORT:
		put_number(output, addr_port(&values->destination), is_hexadecimal);
		break;
	case PIECE_TIME:
		put_number(output, (unsigned long)values->came_at, is_hexadecimal);
		break;
	case PIECE_PROCESS:
		put_number(output, (unsigned long)getpid(), is_hexadecimal);
		break;
	case PIECE_AUTHORITY:
		put_bytes(output, values->authority.value, values->authority.length);
		break;
	case PIECE_UNIQUE_ID:
		put_bytes(output, values->unique_id.value, values->unique_id.length);
		break;
	}
}

size_t value_format_write(const struct value_format *format, const struct format_values *values,
	char *out, size_t room)
{
	struct output output = {out, room};

	for (size_t i = 0; i < format->count; i++)
		put_piece(&output, &format->pieces[i], values);
	return room - output.left;
}
