/*
 * Which requests are let in.
 *
 * Each reader takes what it knows letter by letter and refuses the rest, so nothing here decodes: a percent sign in a
 * path, a quoted cookie or a second one of the same name is no request of our page.
 */
#include "guard.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool is_word(const char *text, const char *more)
{
	for (; *text != '\0'; text++)
		if (!isalnum((unsigned char)*text) && strchr(more, *text) == NULL)
			return false;
	return true;
}

/* ":PORT" or nothing. */
static bool is_port(const char *text)
{
	size_t digits;

	if (*text == '\0')
		return true;
	digits = strspn(text + 1, "0123456789");
	return *text == ':' && digits > 0 && digits <= 5 && text[1 + digits] == '\0';
}

bool guard_host(const char *host)
{
	static const char *const names[] = {"localhost", "[::1]"};
	char address[INET_ADDRSTRLEN];
	unsigned char bytes[4];
	size_t length;

	if (host == NULL)
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strncasecmp(host, names[i], strlen(names[i])) == 0)
			return is_port(host + strlen(names[i]));
	length = strspn(host, "0123456789.");
	if (length >= sizeof(address))
		return false;
	snprintf(address, sizeof(address), "%.*s", (int)length, host);
	return inet_pton(AF_INET, address, bytes) == 1 && bytes[0] == 127 && is_port(host + length);
}

bool guard_origin(const char *origin, const char *host)
{
	static const char scheme[] = "http://";

	return origin != NULL && host != NULL && strncmp(origin, scheme, strlen(scheme)) == 0 &&
	       strcasecmp(origin + strlen(scheme), host) == 0;
}

bool guard_fetch_site(const char *site)
{
	return site == NULL || strcmp(site, "same-origin") == 0 || strcmp(site, "none") == 0;
}

bool guard_target(const char *target, struct guard_target *parts)
{
	size_t length = strcspn(target, "?");

	if (*target != '/' || length >= sizeof(parts->path))
		return false;
	memcpy(parts->path, target, length);
	parts->path[length] = '\0';
	parts->query = target[length] == '?' ? target + length + 1 : "";
	return is_word(parts->path, "./_-");
}

bool guard_query(const char *query, const char *name, char *value, size_t size)
{
	size_t named = strlen(name);

	while (*query != '\0') {
		size_t length = strcspn(query, "&");

		if (length > named && strncmp(query, name, named) == 0 && query[named] == '=') {
			length -= named + 1;
			if (length == 0 || length >= size)
				return false;
			memcpy(value, query + named + 1, length);
			value[length] = '\0';
			return is_word(value, "._-");
		}
		query += length + (query[length] == '&');
	}
	return false;
}

bool guard_cookie(const char *header, const char *name, char value[GUARD_SECRET_TEXT])
{
	size_t named = strlen(name), count = 0;

	while (header != NULL && *header != '\0') {
		size_t length;

		header += strspn(header, " \t;");
		length = strcspn(header, ";");
		if (length > named && strncmp(header, name, named) == 0 && header[named] == '=') {
			const char *begin = header + named + 1;

			count++;
			if (length - named - 1 != GUARD_SECRET_TEXT - 1 ||
				strspn(begin, "0123456789abcdef") < GUARD_SECRET_TEXT - 1)
				return false;
			memcpy(value, begin, GUARD_SECRET_TEXT - 1);
			value[GUARD_SECRET_TEXT - 1] = '\0';
		}
		header += length;
	}
	return count == 1;
}

bool guard_is_json(const char *type)
{
	static const char json[] = "application/json";

	if (type == NULL || strncasecmp(type, json, strlen(json)) != 0)
		return false;
	type += strlen(json);
	return *type == '\0' || *type == ';' || *type == ' ';
}

bool guard_same_secret(const char *given, const char *secret)
{
	size_t length = strlen(given), known = strlen(secret);
	unsigned char differs = length != known;

	for (size_t i = 0; i < length; i++)
		differs |= (unsigned char)(given[i] ^ secret[known > 0 ? i % known : 0]);
	return differs == 0;
}
