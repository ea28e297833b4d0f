/*
 * `show stat`, in the three forms of HAProxy: CSV, one field a line with its type, and JSON.
 *
 * The whole answer is made at once: it is as long as the configuration, not as the traffic.
 */
#include "command.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* --- how they are written --- */

struct writing {
	struct evbuffer *out;
	bool is_first;
	bool hides; /* what only an operator may see */
};

static bool is_shown(const struct writing *writing, unsigned field, const struct stat_value *value)
{
	bool is_private = field == STAT_ADDR || field == STAT_ALGO;

	return value->kind != STAT_EMPTY && !(writing->hides && is_private);
}

/* A comma and a quote would end the field. */
static void add_quoted(struct evbuffer *out, const char *text)
{
	bool is_plain = strpbrk(text, ",\"\r\n") == NULL;

	if (is_plain) {
		evbuffer_add(out, text, strlen(text));
		return;
	}
	evbuffer_add(out, "\"", 1);
	for (; *text != '\0'; text++)
		evbuffer_add(out, *text == '"' ? "\"\"" : text, *text == '"' ? 2 : 1);
	evbuffer_add(out, "\"", 1);
}

static void add_number(struct evbuffer *out, const struct stat_value *value)
{
	if (value->kind == STAT_S32)
		evbuffer_add_printf(out, "%" PRId32, (int32_t)value->number);
	else
		evbuffer_add_printf(out, "%" PRIu64, value->number);
}

static void write_csv(void *arg, const struct stat_row *row)
{
	struct writing *writing = arg;

	for (unsigned i = 0; i < STAT_FIELDS; i++) {
		const struct stat_value *value = &row->values[i];

		if (is_shown(writing, i, value) && value->kind == STAT_TEXT)
			add_quoted(writing->out, value->text);
		else if (is_shown(writing, i, value))
			add_number(writing->out, value);
		evbuffer_add(writing->out, ",", 1);
	}
	evbuffer_add(writing->out, "\n", 1);
}

static void write_csv_header(struct evbuffer *out)
{
	evbuffer_add_printf(out, "# ");
	for (unsigned i = 0; i < STAT_FIELDS; i++)
		evbuffer_add_printf(out, "%s,", stat_name((enum stat_field)i));
	evbuffer_add_printf(out, "\n");
}

static const char *type_name(enum stat_kind kind)
{
	static const char *const names[] = {
		[STAT_U32] = "u32", [STAT_S32] = "s32", [STAT_U64] = "u64", [STAT_TEXT] = "str"};

	return names[kind];
}

static void write_typed(void *arg, const struct stat_row *row)
{
	struct writing *writing = arg;
	const char *object = row->object == STAT_IS_FRONTEND ? "F"
			     : row->object == STAT_IS_SERVER ? "S"
							     : "B";

	for (unsigned i = 0; i < STAT_FIELDS; i++) {
		const struct stat_value *value = &row->values[i];

		if (!is_shown(writing, i, value))
			continue;
		evbuffer_add_printf(writing->out, "%s.%u.%u.%u.%s.1:%s:%s:", object, row->section,
			row->server, i, stat_name((enum stat_field)i), stat_tag((enum stat_field)i),
			type_name(value->kind));
		if (value->kind == STAT_TEXT)
			evbuffer_add(writing->out, value->text, strlen(value->text));
		else
			add_number(writing->out, value);
		evbuffer_add(writing->out, "\n", 1);
	}
}

/* What a server sent may be in a text. */
static void add_json_text(struct evbuffer *out, const char *text)
{
	evbuffer_add(out, "\"", 1);
	for (; *text != '\0'; text++) {
		unsigned char byte = (unsigned char)*text;

		if (byte < ' ' || byte > '~' || byte == '"' || byte == '\\')
			evbuffer_add_printf(out, "\\u%04x", byte);
		else
			evbuffer_add(out, text, 1);
	}
	evbuffer_add(out, "\"", 1);
}

static const char *tag_word(char letter)
{
	static const struct {
		char letter;
		const char *word;
	} words[] = {
		{'M', "Metric"}, {'S', "Status"}, {'K', "Key"}, {'C', "Config"}, {'P', "Product"}};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (words[i].letter == letter)
			return words[i].word;
	return "";
}

static const char *nature_word(char letter)
{
	static const struct {
		char letter;
		const char *word;
	} words[] = {{'a', "Avg"}, {'A', "Age"}, {'C', "Counter"}, {'D', "Duration"},
		{'G', "Gauge"}, {'L', "Limit"}, {'M', "Max"}, {'N', "Name"}, {'O', "Output"},
		{'R', "Rate"}};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (words[i].letter == letter)
			return words[i].word;
	return "";
}

static void add_json_field(struct evbuffer *out, unsigned position, const char *name,
	const char *tag, const struct stat_value *value)
{
	evbuffer_add_printf(out,
		"\"field\":{\"pos\":%u,\"name\":\"%s\"},\"processNum\":1,\"tags\":{\"origin\":\"%s\",\"nature\":\"%s\",\"scope\":\"%s\"},\"value\":{\"type\":\"%s\",\"value\":",
		position, name, tag_word(tag[0]), nature_word(tag[1]),
		tag[2] == 'S' ? "Service" : "Process", type_name(value->kind));
	if (value->kind == STAT_TEXT)
		add_json_text(out, value->text);
	else
		add_number(out, value);
	evbuffer_add_printf(out, "}}");
}

static void write_json(void *arg, const struct stat_row *row)
{
	struct writing *writing = arg;
	const char *object = row->object == STAT_IS_FRONTEND ? "Frontend"
			     : row->object == STAT_IS_SERVER ? "Server"
							     : "Backend";
	const char *before = writing->is_first ? "[" : ",[";

	writing->is_first = false;
	for (unsigned i = 0; i < STAT_FIELDS; i++) {
		if (!is_shown(writing, i, &row->values[i]))
			continue;
		evbuffer_add_printf(writing->out, "%s{\"objType\":\"%s\",\"proxyId\":%u,\"id\":%u,",
			before, object, row->section, row->server);
		add_json_field(writing->out, i, stat_name((enum stat_field)i),
			stat_tag((enum stat_field)i), &row->values[i]);
		before = ",";
	}
	evbuffer_add(writing->out, "]", 1);
}

/* --- the command --- */

static const struct proxy *find_section(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->proxy_count; i++)
		if (strcmp(config->proxies[i].name, name) == 0)
			return &config->proxies[i];
	return NULL;
}

/* False: there is no such section. */
static bool parse_filter(
	const struct config *config, const struct arguments *arguments, struct row_filter *filter)
{
	char *end;
	long section = strtol(arguments->words[0], &end, 10);

	*filter = (struct row_filter){.server = -1};
	for (unsigned i = 0; i < arguments->count; i++) {
		filter->no_maint |= strcmp(arguments->words[i], "no-maint") == 0;
		filter->up |= strcmp(arguments->words[i], "up") == 0;
	}
	if (arguments->count < 3)
		return true;
	if (*end != '\0') {
		const struct proxy *proxy = find_section(config, arguments->words[0]);

		if (proxy == NULL)
			return false;
		section = row_section_id(proxy);
	}
	filter->section = section > 0 ? (unsigned)section : 0;
	filter->objects = (unsigned)strtol(arguments->words[1], NULL, 10) & 7;
	filter->server = (int)strtol(arguments->words[2], NULL, 10);
	return true;
}

static bool has_word(const struct arguments *arguments, const char *word)
{
	for (unsigned i = 0; i < arguments->count; i++)
		if (strcmp(arguments->words[i], word) == 0)
			return true;
	return false;
}

void run_show_stat(struct cli *cli, const struct arguments *arguments)
{
	const struct stats_subject *subject = &cli->core->subject;
	struct writing writing = {cli->out, true, cli->level < STATS_OPERATOR};
	struct row_filter filter;

	if (!parse_filter(subject->config, arguments, &filter)) {
		cli_say(cli, "No such proxy.");
		return;
	}
	if (has_word(arguments, "typed")) {
		rows_each(subject, &filter, write_typed, &writing);
	} else if (has_word(arguments, "json")) {
		evbuffer_add(cli->out, "[", 1);
		rows_each(subject, &filter, write_json, &writing);
		evbuffer_add(cli->out, "]\n", 2);
	} else {
		write_csv_header(cli->out);
		rows_each(subject, &filter, write_csv, &writing);
	}
}
