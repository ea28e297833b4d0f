/*
 * Reads a configuration of HAProxy: `bind`, `server`, and `source … usesrc …`, which `defaults` and `default-server` hand on.
 *
 * Every `bind` of a frontend or listen is a listener, and every `server` of a backend or listen a server, whatever rules
 * choose between them. The trap is a server's own `source`, which comes before that of its section.
 */
#include "foreign_files.h"
#include "tproxy/file.h"
#include "tproxy/text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum {
	WORDS_MAX = 64
};

struct connect_source {
	bool spoofed;
	struct addr address; /* without a family: the client's */
};

struct reader {
	struct service *service;
	const char *path;
	unsigned line;
	char **notes;
	char section[32];
	struct connect_source defaults,
		own; /* of the section `defaults`, and of the one that is read */
};

static void note(const struct reader *reader, const char *what, const char *word)
{
	text_add(reader->notes, "%s:%u: %s '%s' is skipped\n", reader->path, reader->line, what,
		word);
}

bool foreign_address(const char *text, int family, struct addr *address, unsigned *last)
{
	char host[ADDR_TEXT_MAX], ports[16];
	const char *colon = strrchr(text, ':'), *bracket = strchr(text, ']');
	unsigned port = 0;
	char *dash;
	size_t length;

	*last = 0;
	if (addr_parse(address, text) && bracket == NULL)
		return true; /* no port */
	if (colon == NULL || (bracket != NULL && colon < bracket))
		colon = text + strlen(text);
	length = (size_t)(colon - text);
	if (length >= sizeof(host) || strlen(colon) >= sizeof(ports))
		return false;
	snprintf(host, sizeof(host), "%.*s", (int)length, text);
	snprintf(ports, sizeof(ports), "%s", *colon == ':' ? colon + 1 : "");
	dash = strchr(ports, '-');
	if (dash != NULL)
		*dash = '\0';
	if (*ports != '\0' && (!text_number(ports, &port) || port > UINT16_MAX))
		return false;
	*last = port;
	if (dash != NULL && (!text_number(dash + 1, last) || *last > UINT16_MAX || *last < port))
		return false;
	if (*host == '\0' || strcmp(host, "*") == 0)
		*address = addr_any(family);
	else if (!addr_parse(address, host))
		return false;
	addr_set_port(address, (uint16_t)port);
	return true;
}

/* Splits a line into words; quotes and backslashes are taken away, a comment ends it. */
static size_t split(char *line, char *words[WORDS_MAX])
{
	size_t count = 0;
	char *from = line, *to = line;

	while (count < WORDS_MAX) {
		char quote = '\0';

		from += strspn(from, " \t\r\n");
		if (*from == '\0' || *from == '#')
			break;
		words[count++] = to;
		for (; *from != '\0' && (quote != '\0' || strchr(" \t\r\n#", *from) == NULL);
			from++) {
			if (*from == quote)
				quote = '\0';
			else if (quote == '\0' && (*from == '"' || *from == '\''))
				quote = *from;
			else if (*from == '\\' && quote != '\'' && from[1] != '\0')
				*to++ = *++from;
			else
				*to++ = *from;
		}
		if (*from == '#')
			*from = '\0';
		else if (*from != '\0')
			from++;
		*to++ = '\0';
	}
	return count;
}

/* `source ADDR [usesrc WHAT]`, from its place in the words on. */
static struct connect_source read_source(char *words[], size_t count)
{
	struct connect_source source = {.address = addr_any(AF_INET)};
	unsigned last;

	if (count < 4 || strcmp(words[2], "usesrc") != 0)
		return source;
	source.spoofed = true;
	source.address = addr_any(AF_UNSPEC); /* the client's, or one from a header field */
	if (isdigit((unsigned char)words[3][0]) || strchr(words[3], ':') != NULL)
		foreign_address(words[3], AF_INET, &source.address, &last);
	return source;
}

static const char *without_prefix(const char *address, int *family)
{
	static const struct {
		const char *text;
		int family;
	} prefixes[] = {{"ipv4@", AF_INET}, {"ipv6@", AF_INET6}, {"tcp4@", AF_INET},
		{"tcp6@", AF_INET6}, {"tcp@", AF_INET}};

	*family = AF_INET;
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (strncmp(address, prefixes[i].text, strlen(prefixes[i].text)) == 0) {
			*family = prefixes[i].family;
			return address + strlen(prefixes[i].text);
		}
	return address;
}

/* `bind ADDR[:PORT][,…] WORD …` */
static void read_bind(struct reader *reader, char *words[], size_t count)
{
	struct service_listener listener = {.protocol = IPPROTO_TCP, .line = reader->line};
	char *rest = count > 1 ? words[1] : NULL;

	for (size_t i = 2; i < count; i++) {
		listener.transparent |= strcmp(words[i], "transparent") == 0;
		if (strcmp(words[i], "v6only") == 0)
			listener.v6_mode = V6_ONLY;
		else if (strcmp(words[i], "v4v6") == 0)
			listener.v6_mode = V6_AND_V4;
	}
	for (char *each; (each = strsep(&rest, ",")) != NULL;) {
		int family;
		const char *address = without_prefix(each, &family);
		unsigned last;

		if (!foreign_address(address, family, &listener.address, &last) || last == 0) {
			note(reader, "bind", each);
			continue;
		}
		for (unsigned port = addr_port(&listener.address); port <= last; port++) {
			addr_set_port(&listener.address, (uint16_t)port);
			service_put_listener(reader->service, listener);
		}
	}
}

/* `server NAME ADDR[:PORT] WORD …` */
static void read_server(struct reader *reader, char *words[], size_t count)
{
	struct connect_source source = reader->own;
	struct addr address;
	const char *host;
	unsigned last;
	int family;

	if (count < 3)
		return;
	for (size_t i = 3; i < count; i++)
		if (strcmp(words[i], "source") == 0)
			source = read_source(words + i, count - i);
	host = without_prefix(words[2], &family);
	if (!foreign_address(host, family, &address, &last)) {
		note(reader, "server", words[2]);
		return;
	}
	if (addr_is_any(&address))
		reader->service->intercepts = true;
	else
		service_put_server(reader->service, address,
			source.spoofed ? source.address : addr_any(addr_family(&address)));
	reader->service->spoofs |= source.spoofed;
}

static bool is_section(const char *word)
{
	static const char *const names[] = {"global", "defaults", "frontend", "backend", "listen",
		"resolvers", "peers", "userlist", "mailers", "program", "ring", "cache",
		"http-errors", "fcgi-app", "log-forward", "crt-store", "traces"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(word, names[i]) == 0)
			return true;
	return false;
}

static void read_line(struct reader *reader, char *words[], size_t count)
{
	bool proxy = strcmp(reader->section, "listen") == 0;
	bool defaults = strcmp(reader->section, "defaults") == 0;
	bool front = proxy || strcmp(reader->section, "frontend") == 0;
	bool back = proxy || strcmp(reader->section, "backend") == 0;
	size_t at = 0;

	if (is_section(words[0])) {
		snprintf(reader->section, sizeof(reader->section), "%s", words[0]);
		if (strcmp(words[0], "defaults") == 0)
			reader->defaults = (struct connect_source){.address = addr_any(AF_INET)};
		reader->own = reader->defaults;
	} else if (front && strcmp(words[0], "bind") == 0)
		read_bind(reader, words, count);
	else if (back && strcmp(words[0], "server") == 0)
		read_server(reader, words, count);
	else if (back || defaults) {
		if (strcmp(words[0], "default-server") == 0)
			while (at < count && strcmp(words[at], "source") != 0)
				at++;
		if (at < count && strcmp(words[at], "source") == 0) {
			reader->own = read_source(words + at, count - at);
			if (defaults)
				reader->defaults = reader->own;
		}
	}
}

void service_parse_haproxy(
	struct service *service, const char *text, const char *path, char **notes)
{
	struct reader reader = {service, path, 0, notes, "", {false, addr_any(AF_INET)},
		{false, addr_any(AF_INET)}};
	char *words[WORDS_MAX];

	for (char *line; (line = text_line(&text)) != NULL; free(line)) {
		size_t count;

		reader.line++;
		count = split(line, words);
		if (count > 0)
			read_line(&reader, words, count);
	}
}

bool service_add_haproxy(struct service *service, const char *path, char **notes)
{
	size_t length;
	char *text = file_read(path, &length);

	if (text == NULL)
		return false;
	service->file = path;
	service_parse_haproxy(service, text, path, notes);
	free(text);
	return true;
}
