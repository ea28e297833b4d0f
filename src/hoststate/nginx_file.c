/*
 * Reads a configuration of nginx: `listen`, `proxy_pass`, `proxy_bind … transparent`, and the servers of `upstream`.
 *
 * A block `server` of `stream` or `http` is a proxy. Which servers it connects to is known only at the end, because an
 * upstream may come after it. Listeners of nginx are never transparent: it has no such option.
 */
#include "foreign_files.h"
#include "tproxy/array.h"
#include "tproxy/file.h"
#include "tproxy/text.h"

#include <stdlib.h>
#include <string.h>

enum {
	WORDS_MAX = 32,
	DEPTH_MAX = 16
};

struct member {     /* a server of an upstream, or what a proxy_pass names */
	char *name; /* of the upstream; "": it is an address itself */
	char *address;
	bool passed;
	bool decided; /* the next two are those of a proxy_bind */
	bool spoofed;
	struct addr source; /* without a family: the client's */
	unsigned line;
};

struct block {
	char *name;     /* its first word */
	char *argument; /* its second, or "" */
	bool binds;     /* it has a proxy_bind of its own */
	bool spoofed;   /* which is `transparent` */
	struct addr source;
	size_t first_member; /* that it, or one inside it, has added */
};

struct reader {
	struct service *service;
	const char *path;
	unsigned line;
	char **notes;
	struct block blocks[DEPTH_MAX];
	size_t depth;
	struct member *members;
	size_t member_count;
};

static void note(const struct reader *reader, unsigned line, const char *what, const char *word)
{
	text_add(reader->notes, "%s:%u: %s '%s' is skipped\n", reader->path, line, what, word);
}

static void add_member(struct reader *reader, const char *name, const char *address, bool passed)
{
	struct member *made;

	reader->members =
		array_room(reader->members, reader->member_count, sizeof(*reader->members));
	made = &reader->members[reader->member_count++];
	*made = (struct member){text_copy(name), text_copy(address), passed, false, false,
		addr_any(AF_INET), reader->line};
}

static void read_listen(struct reader *reader, char *words[], size_t count)
{
	struct service_listener listener = {.protocol = IPPROTO_TCP, .v6_mode = V6_ONLY};
	unsigned last, port;

	for (size_t i = 2; i < count; i++) {
		if (strcmp(words[i], "udp") == 0 || strcmp(words[i], "quic") == 0)
			listener.protocol = IPPROTO_UDP;
		if (strcmp(words[i], "ipv6only=off") == 0)
			listener.v6_mode = V6_AND_V4;
	}
	if (text_number(words[1], &port) && port <= UINT16_MAX) { /* a port alone */
		listener.address = addr_any(AF_INET);
		addr_set_port(&listener.address, (uint16_t)port);
		service_put_listener(reader->service, listener);
		return;
	}
	if (!foreign_address(words[1], AF_INET, &listener.address, &last)) {
		note(reader, reader->line, "listen", words[1]);
		return;
	}
	for (port = addr_port(&listener.address); port <= last; port++) {
		addr_set_port(&listener.address, (uint16_t)(port == 0 ? 80 : port));
		service_put_listener(reader->service, listener);
	}
}

/* `proxy_bind $remote_addr[:$remote_port] transparent`, `proxy_bind ADDR transparent`, `proxy_bind off` */
static void read_proxy_bind(struct reader *reader, char *words[], size_t count)
{
	struct block *block = &reader->blocks[reader->depth - 1];
	unsigned last;

	block->binds = true;
	block->spoofed = count > 2 && strcmp(words[count - 1], "transparent") == 0;
	block->source = addr_any(AF_UNSPEC);
	if (block->spoofed && words[1][0] != '$' &&
		!foreign_address(words[1], AF_INET, &block->source, &last)) {
		block->source = addr_any(AF_UNSPEC);
		note(reader, reader->line, "proxy_bind", words[1]);
	}
}

static void read_statement(struct reader *reader, char *words[], size_t count)
{
	const struct block *block = reader->depth > 0 ? &reader->blocks[reader->depth - 1] : NULL;

	if (count >= 2 && strcmp(words[0], "include") == 0)
		note(reader, reader->line, "include", words[1]);
	if (block == NULL || count < 2)
		return;
	if (strcmp(words[0], "listen") == 0 && strcmp(block->name, "server") == 0)
		read_listen(reader, words, count);
	else if (strcmp(words[0], "server") == 0 && strcmp(block->name, "upstream") == 0)
		add_member(reader, block->argument, words[1], false);
	else if (strcmp(words[0], "proxy_bind") == 0)
		read_proxy_bind(reader, words, count);
	else if (strcmp(words[0], "proxy_pass") == 0)
		add_member(reader, "", words[1], true);
}

static void open_block(struct reader *reader, char *words[], size_t count)
{
	struct block *block = &reader->blocks[reader->depth];

	*block = (struct block){.name = text_copy(count > 0 ? words[0] : ""),
		.argument = text_copy(count > 1 ? words[1] : ""),
		.source = addr_any(AF_UNSPEC),
		.first_member = reader->member_count};
	reader->depth++;
}

/* The innermost proxy_bind counts, wherever it stands in its block. */
static void close_block(struct reader *reader)
{
	struct block *block = &reader->blocks[--reader->depth];

	for (size_t i = block->first_member; block->binds && i < reader->member_count; i++)
		if (!reader->members[i].decided) {
			reader->members[i].decided = true;
			reader->members[i].spoofed = block->spoofed;
			reader->members[i].source = block->source;
		}
	free(block->name);
	free(block->argument);
}

/* Reads one word or sign into WORD; 0 at the end, else its kind: 'w', ';', '{' or '}'. */
static int next_word(struct reader *reader, const char **at, char *word, size_t room)
{
	size_t length = 0;
	char quote = '\0';

	for (;;) {
		for (; **at != '\0' && strchr(" \t\r\n", **at) != NULL; (*at)++)
			reader->line += **at == '\n';
		if (**at != '#')
			break;
		*at += strcspn(*at, "\n");
	}
	if (**at == '\0' || strchr(";{}", **at) != NULL)
		return **at == '\0' ? 0 : *(*at)++;
	for (; **at != '\0' && (quote != '\0' || strchr(" \t\r\n;{}", **at) == NULL); (*at)++) {
		reader->line += **at == '\n';
		if (**at == quote)
			quote = '\0';
		else if (quote == '\0' && length == 0 && (**at == '"' || **at == '\''))
			quote = **at;
		else if (length + 1 < room)
			word[length++] = **at;
		/* ${name} is part of a word */
		if (**at == '$' && (*at)[1] == '{')
			quote = '}';
	}
	word[length] = '\0';
	return 'w';
}

/* Adds the server of a member: it is connected to from the source of what passes to it. */
static void add_server(
	struct reader *reader, const struct member *member, bool spoofed, struct addr source)
{
	struct addr address;
	unsigned last;

	if (!foreign_address(member->address, AF_INET, &address, &last)) {
		note(reader, member->line, "server", member->address);
		return;
	}
	if (addr_port(&address) == 0)
		addr_set_port(&address, 80);
	reader->service->spoofs |= spoofed;
	service_put_server(
		reader->service, address, spoofed ? source : addr_any(addr_family(&address)));
}

/* The servers of an upstream, or the one that is named by its address. */
static void add_passed(struct reader *reader, const struct member *pass)
{
	static const char http[] = "http://";
	char *target = text_copy(strncmp(pass->address, http, strlen(http)) == 0
					 ? pass->address + strlen(http)
					 : pass->address);
	bool found = false;

	target[strcspn(target, "/")] = '\0';
	for (size_t i = 0; i < reader->member_count; i++) {
		const struct member *member = &reader->members[i];

		if (!member->passed && strcmp(member->name, target) == 0) {
			add_server(reader, member, pass->spoofed, pass->source);
			found = true;
		}
	}
	if (!found)
		add_server(reader, &(struct member){.address = target, .line = pass->line},
			pass->spoofed, pass->source);
	free(target);
}

static void read_all(struct reader *reader, const char *text)
{
	char *words[WORDS_MAX], word[512];
	size_t count = 0;
	int kind;

	while ((kind = next_word(reader, &text, word, sizeof(word))) != 0) {
		if (kind == 'w') {
			if (count < WORDS_MAX)
				words[count++] = text_copy(word);
			continue;
		}
		if (kind == ';')
			read_statement(reader, words, count);
		else if (kind == '{' && reader->depth < DEPTH_MAX)
			open_block(reader, words, count);
		else if (kind == '}' && reader->depth > 0)
			close_block(reader);
		while (count > 0)
			free(words[--count]);
	}
	while (count > 0)
		free(words[--count]);
	while (reader->depth > 0)
		close_block(reader);
}

void service_parse_nginx(struct service *service, const char *text, const char *path, char **notes)
{
	struct reader reader = {.service = service, .path = path, .line = 1, .notes = notes};

	read_all(&reader, text);
	for (size_t i = 0; i < reader.member_count; i++)
		if (reader.members[i].passed)
			add_passed(&reader, &reader.members[i]);
	for (size_t i = 0; i < reader.member_count; i++) {
		free(reader.members[i].name);
		free(reader.members[i].address);
	}
	free(reader.members);
}

bool service_add_nginx(struct service *service, const char *path, char **notes)
{
	size_t length;
	char *text = file_read(path, &length);

	if (text == NULL)
		return false;
	service_parse_nginx(service, text, path, notes);
	free(text);
	return true;
}
