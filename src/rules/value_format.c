/*
 * A format is a list of pieces, each literal text or one value. What is no value here is an error when the
 * configuration is read, so that writing cannot fail.
 *
 * Numbers in hexadecimal have four digits or more, and addresses all of their bytes, as HAProxy writes them. Which values
 * a flag changes is HAProxy's choice, too: quotes stand around texts and addresses, and not around ports.
 */
#include "tproxy/value_format.h"

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
	/* of the log alone */
	PIECE_BACKEND_SOURCE,
	PIECE_BACKEND_SOURCE_PORT,
	PIECE_SERVER,
	PIECE_SERVER_PORT,
	PIECE_DATE,
	PIECE_UTC_DATE,
	PIECE_LOCAL_DATE,
	PIECE_MILLISECONDS,
	PIECE_STATE,
	PIECE_STATE_WITH_COOKIE,
	/* names of the log, in the order of name_of() */
	PIECE_FRONTEND_NAME,
	PIECE_BACKEND_NAME,
	PIECE_SERVER_NAME,
	PIECE_HOST,
	PIECE_ID,
	/* its numbers, in the order of put_count_of() */
	PIECE_QUEUE_TIME,
	PIECE_CONNECT_TIME,
	PIECE_TOTAL_TIME,
	PIECE_TO_CLIENT,
	PIECE_TO_SERVER,
	PIECE_PROCESS_SESSIONS,
	PIECE_FRONTEND_SESSIONS,
	PIECE_BACKEND_SESSIONS,
	PIECE_SERVER_SESSIONS,
	PIECE_RETRIES,
	PIECE_SERVER_QUEUE,
	PIECE_BACKEND_QUEUE,
};

struct flags {
	bool hexadecimal, quotes, escapes;
};

struct format_piece {
	enum piece_kind kind;
	struct flags flags;
	bool is_of_log;
	const char *text; /* of PIECE_TEXT */
	size_t length;
};

static const struct {
	const char *name; /* with what is around it, behind the percent sign */
	enum piece_kind kind;
	enum format_use use;
	bool needs_sockets;
} names[] = {
	{"ci", PIECE_SOURCE, FORMAT_OF_HEADER, false},
	{"cp", PIECE_SOURCE_PORT, FORMAT_OF_HEADER, false},
	{"fi", PIECE_DESTINATION, FORMAT_OF_HEADER, true},
	{"fp", PIECE_DESTINATION_PORT, FORMAT_OF_HEADER, true},
	{"Ts", PIECE_TIME, FORMAT_OF_HEADER, false},
	{"pid", PIECE_PROCESS, FORMAT_OF_HEADER, false},
	{"[src]", PIECE_SOURCE, FORMAT_OF_HEADER, false},
	{"[src_port]", PIECE_SOURCE_PORT, FORMAT_OF_HEADER, false},
	{"[dst]", PIECE_DESTINATION, FORMAT_OF_HEADER, true},
	{"[dst_port]", PIECE_DESTINATION_PORT, FORMAT_OF_HEADER, true},
	{"[fc_pp_authority]", PIECE_AUTHORITY, FORMAT_OF_HEADER, false},
	{"[fc_pp_unique_id]", PIECE_UNIQUE_ID, FORMAT_OF_HEADER, false},
	/* A name that begins like another one stands before it. */
	{"bi", PIECE_BACKEND_SOURCE, FORMAT_OF_LOG, true},
	{"bp", PIECE_BACKEND_SOURCE_PORT, FORMAT_OF_LOG, true},
	{"si", PIECE_SERVER, FORMAT_OF_LOG, false},
	{"sp", PIECE_SERVER_PORT, FORMAT_OF_LOG, false},
	{"bc", PIECE_BACKEND_SESSIONS, FORMAT_OF_LOG, false},
	{"bq", PIECE_BACKEND_QUEUE, FORMAT_OF_LOG, false},
	{"sc", PIECE_SERVER_SESSIONS, FORMAT_OF_LOG, false},
	{"sq", PIECE_SERVER_QUEUE, FORMAT_OF_LOG, false},
	{"fc", PIECE_FRONTEND_SESSIONS, FORMAT_OF_LOG, false},
	{"ft", PIECE_FRONTEND_NAME, FORMAT_OF_LOG, false},
	{"f", PIECE_FRONTEND_NAME, FORMAT_OF_LOG, false},
	{"b", PIECE_BACKEND_NAME, FORMAT_OF_LOG, false},
	{"s", PIECE_SERVER_NAME, FORMAT_OF_LOG, false},
	{"ac", PIECE_PROCESS_SESSIONS, FORMAT_OF_LOG, false},
	{"rc", PIECE_RETRIES, FORMAT_OF_LOG, false},
	{"H", PIECE_HOST, FORMAT_OF_LOG, false},
	{"ID", PIECE_ID, FORMAT_OF_LOG, true},
	{"Tw", PIECE_QUEUE_TIME, FORMAT_OF_LOG, false},
	{"Tc", PIECE_CONNECT_TIME, FORMAT_OF_LOG, false},
	{"Tt", PIECE_TOTAL_TIME, FORMAT_OF_LOG, false},
	{"Tl", PIECE_LOCAL_DATE, FORMAT_OF_LOG, false},
	{"T", PIECE_UTC_DATE, FORMAT_OF_LOG, false},
	{"tsc", PIECE_STATE_WITH_COOKIE, FORMAT_OF_LOG, false},
	{"ts", PIECE_STATE, FORMAT_OF_LOG, false},
	{"t", PIECE_DATE, FORMAT_OF_LOG, false},
	{"ms", PIECE_MILLISECONDS, FORMAT_OF_LOG, false},
	{"B", PIECE_TO_CLIENT, FORMAT_OF_LOG, false},
	{"U", PIECE_TO_SERVER, FORMAT_OF_LOG, false},
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

/* Takes "{+X,-Q}" from *AT; parted by commas or not. False: it is something else in braces. */
static bool take_flags(const char **at, enum format_use use, struct flags *flags)
{
	if (**at != '{')
		return true;
	for (*at += 1; **at == '+' || **at == '-';) {
		bool on = **at == '+';
		char letter = (*at)[1];

		if (letter == 'X')
			flags->hexadecimal = on;
		else if (letter == 'Q' && use == FORMAT_OF_LOG)
			flags->quotes = on;
		else if (letter == 'E' && use == FORMAT_OF_LOG)
			flags->escapes = on;
		else
			return false;
		*at += 2;
		*at += **at == ',';
	}
	if (**at != '}')
		return false;
	*at += 1;
	return true;
}

static const char *advice(enum format_use use)
{
	if (use == FORMAT_OF_LOG)
		return "a value that is not supported; there are those of the log of TCP: %ci %cp %fi %fp %bi %bp %si %sp %f %ft %b %s %t %T %Tl %Ts %ms %Tw %Tc %Tt %B %U %ts %ac %fc %bc %sc %rc %sq %bq %ID %H %pid, and %% is a percent sign";
	return "a value that is not supported; there are %ci, %cp, %fi, %fp, %Ts, %pid, "
	       "%[fc_pp_authority] and %[fc_pp_unique_id], and %% is a percent sign";
}

/* Takes what follows a percent sign at *AT. The first name that fits is the only one. */
static const char *parse_value(struct value_format *format, struct config_memory *memory,
	const char **at, enum format_use use, struct flags *all)
{
	bool has_flags = **at == '{';
	struct flags flags = *all;

	if (**at == '%') {
		add_piece(format, memory, (struct format_piece){.text = *at, .length = 1});
		*at += 1;
		return NULL;
	}
	if (!take_flags(at, use, &flags))
		return use == FORMAT_OF_LOG ? "of the flags in braces only X, Q and E are supported"
					    : "of the flags in braces only +X and -X are supported";
	if (has_flags && **at == 'o') {
		*all = flags;
		*at += 1;
		*at += strspn(*at, " "); /* they only part it from what follows */
		return NULL;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t length = strlen(names[i].name);

		if (names[i].use > use || strncmp(*at, names[i].name, length) != 0)
			continue;
		if (**at == '[' && use == FORMAT_OF_LOG)
			flags.hexadecimal = false; /* a sample, as HAProxy calls it */
		add_piece(format, memory,
			(struct format_piece){.kind = names[i].kind,
				.flags = flags,
				.is_of_log = use == FORMAT_OF_LOG});
		format->needs_sockets |= names[i].needs_sockets;
		*at += length;
		return NULL;
	}
	return advice(use);
}

/* Spaces of a line of the log are one, as in HAProxy. */
static void add_text(struct value_format *format, struct config_memory *memory, const char *text,
	size_t length, enum format_use use)
{
	while (length > 0) {
		size_t part = length;

		for (size_t i = 1; use == FORMAT_OF_LOG && i < part; i++)
			if (text[i] == ' ' && text[i - 1] == ' ')
				part = i;
		add_piece(format, memory, (struct format_piece){.text = text, .length = part});
		while (part < length && text[part] == ' ')
			part++;
		text += part;
		length -= part;
	}
}

const char *value_format_parse(struct value_format *format, struct config_memory *memory,
	const char *text, enum format_use use)
{
	const char *at = memory_copy(memory, text), *error = NULL;
	struct flags all = {0};

	*format = (struct value_format){0};
	while (at != NULL && *at != '\0' && error == NULL) {
		size_t length = strcspn(at, "%");

		add_text(format, memory, at, length, use);
		at += length;
		if (*at++ == '%')
			error = parse_value(format, memory, &at, use, &all);
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

/* A text that is not known is a dash in the log, and nothing in a header. */
static void put_text(
	struct output *output, const struct format_piece *piece, const char *text, size_t length)
{
	if (piece->flags.quotes)
		put_bytes(output, "\"", 1);
	else if (length == 0 && piece->is_of_log)
		put_bytes(output, "-", 1);
	for (size_t i = 0; i < length; i++) {
		if (piece->flags.escapes && strchr("\"\\]", text[i]) != NULL && text[i] != '\0')
			put_bytes(output, "\\", 1);
		put_bytes(output, &text[i], 1);
	}
	if (piece->flags.quotes)
		put_bytes(output, "\"", 1);
}

static void put_string(struct output *output, const struct format_piece *piece, const char *text)
{
	put_text(output, piece, text, text == NULL ? 0 : strlen(text));
}

static void put_number(
	struct output *output, const struct format_piece *piece, unsigned long number)
{
	char text[32];
	int length =
		snprintf(text, sizeof(text), piece->flags.hexadecimal ? "%04lX" : "%lu", number);

	put_bytes(output, text, (size_t)length);
}

/* Never in hexadecimal. PLUS: it may still grow. */
static void put_count(struct output *output, long long number, bool plus)
{
	char text[32];
	int length = snprintf(text, sizeof(text), plus ? "+%lld" : "%lld", number);

	put_bytes(output, text, (size_t)length);
}

static void put_address(
	struct output *output, const struct format_piece *piece, const struct addr *address)
{
	const uint8_t *bytes = addr_bytes(address);
	char text[ADDR_TEXT_MAX];

	if (addr_family(address) == AF_UNSPEC) {
		put_text(output, piece, "", 0);
		return;
	}
	if (!piece->flags.hexadecimal) {
		addr_format_ip(address, text);
		put_string(output, piece, text);
		return;
	}
	for (unsigned i = 0; i < family_bits(addr_family(address)) / 8; i++) {
		snprintf(text, sizeof(text), "%02X", bytes[i]);
		put_bytes(output, text, 2);
	}
}

static void put_port(
	struct output *output, const struct format_piece *piece, const struct addr *address)
{
	if (addr_family(address) == AF_UNSPEC && piece->is_of_log)
		put_bytes(output, "-", 1);
	else
		put_number(output, piece, addr_port(address));
}

void value_format_date(const struct timespec *at, char *out, size_t room)
{
	struct tm tm;
	char date[32];

	localtime_r(&at->tv_sec, &tm);
	strftime(date, sizeof(date), "%d/%b/%Y:%H:%M:%S", &tm);
	snprintf(out, room, "%s.%03ld", date, at->tv_nsec / 1000000);
}

static void put_date(struct output *output, const struct timespec *at, enum piece_kind kind)
{
	char text[64];
	struct tm tm;

	if (kind == PIECE_DATE) {
		value_format_date(at, text, sizeof(text));
	} else if (kind == PIECE_UTC_DATE) {
		gmtime_r(&at->tv_sec, &tm);
		strftime(text, sizeof(text), "%d/%b/%Y:%H:%M:%S +0000", &tm);
	} else {
		localtime_r(&at->tv_sec, &tm);
		strftime(text, sizeof(text), "%d/%b/%Y:%H:%M:%S %z", &tm);
	}
	put_bytes(output, text, strlen(text));
}

static void put_milliseconds(
	struct output *output, const struct format_piece *piece, const struct timespec *at)
{
	char text[32];
	int length = snprintf(text, sizeof(text), piece->flags.hexadecimal ? "%02lX" : "%03ld",
		at->tv_nsec / 1000000);

	put_bytes(output, text, (size_t)length);
}

/* False: the piece is no address and no port. */
static bool find_address(
	enum piece_kind kind, const struct format_values *values, struct addr *address)
{
	switch (kind) {
	case PIECE_SOURCE:
	case PIECE_SOURCE_PORT:
		*address = values->source;
		return true;
	case PIECE_DESTINATION:
	case PIECE_DESTINATION_PORT:
		*address = values->destination;
		return true;
	case PIECE_BACKEND_SOURCE:
	case PIECE_BACKEND_SOURCE_PORT:
		*address = values->log->backend_source;
		return true;
	case PIECE_SERVER:
	case PIECE_SERVER_PORT:
		*address = values->log->server;
		return true;
	default:
		return false;
	}
}

static bool is_port(enum piece_kind kind)
{
	return kind == PIECE_SOURCE_PORT || kind == PIECE_DESTINATION_PORT ||
	       kind == PIECE_BACKEND_SOURCE_PORT || kind == PIECE_SERVER_PORT;
}

/* From PIECE_FRONTEND_NAME to PIECE_ID. */
static const char *name_of(enum piece_kind kind, const struct log_values *log)
{
	const char *const names_of_log[] = {
		log->frontend_name, log->backend_name, log->server_name, log->host, log->unique_id};

	return names_of_log[kind - PIECE_FRONTEND_NAME];
}

/* From PIECE_QUEUE_TIME to PIECE_BACKEND_QUEUE. */
static void put_count_of(struct output *output, enum piece_kind kind, const struct log_values *log)
{
	const struct {
		long long number;
		bool plus;
	} counts[] = {
		{log->queue_time, false},
		{log->connect_time, false},
		{log->total_time, log->early},
		{(long long)log->to_client, log->early},
		{(long long)log->to_server, log->early},
		{log->process, false},
		{log->frontend, false},
		{log->backend, false},
		{log->server_sessions, false},
		{log->retries, log->redispatched},
		{log->server_queue, false},
		{log->backend_queue, false},
	};

	put_count(output, counts[kind - PIECE_QUEUE_TIME].number,
		counts[kind - PIECE_QUEUE_TIME].plus);
}

/* What is left: each in a way of its own. */
static void put_other(
	struct output *output, const struct format_piece *piece, const struct format_values *values)
{
	switch (piece->kind) {
	case PIECE_TEXT:
		put_bytes(output, piece->text, piece->length);
		break;
	case PIECE_TIME:
		put_number(output, piece, (unsigned long)values->came_at);
		break;
	case PIECE_PROCESS:
		put_number(output, piece, (unsigned long)getpid());
		break;
	case PIECE_AUTHORITY:
		put_text(output, piece, values->authority.value, values->authority.length);
		break;
	case PIECE_UNIQUE_ID:
		put_text(output, piece, values->unique_id.value, values->unique_id.length);
		break;
	case PIECE_MILLISECONDS:
		put_milliseconds(output, piece, &values->log->came_at);
		break;
	case PIECE_STATE:
	case PIECE_STATE_WITH_COOKIE:
		put_bytes(output, values->log->state, strlen(values->log->state));
		put_bytes(output, "--", piece->kind == PIECE_STATE ? 0 : 2);
		break;
	default:
		put_date(output, &values->log->came_at, piece->kind);
	}
}

static void put_piece(
	struct output *output, const struct format_piece *piece, const struct format_values *values)
{
	enum piece_kind kind = piece->kind;
	struct addr address;

	if (find_address(kind, values, &address))
		(is_port(kind) ? put_port : put_address)(output, piece, &address);
	else if (kind >= PIECE_FRONTEND_NAME && kind <= PIECE_ID)
		put_string(output, piece, name_of(kind, values->log));
	else if (kind >= PIECE_QUEUE_TIME)
		put_count_of(output, kind, values->log);
	else
		put_other(output, piece, values);
}

size_t value_format_write(const struct value_format *format, const struct format_values *values,
	char *out, size_t room)
{
	struct output output = {out, room};

	for (size_t i = 0; i < format->count; i++)
		put_piece(&output, &format->pieces[i], values);
	return room - output.left;
}
