/* Names of hosts: which texts are names, and the ways to look them up. */
#include "tproxy/lookup.h"

#include <ctype.h>
#include <netdb.h>
#include <string.h>

static struct {
	lookup_way way;
	void *context;
} in_use;

void lookup_use(lookup_way way, void *context)
{
	in_use.way = way;
	in_use.context = context;
}

const char *lookup_name(const char *name, int family, struct addr *found)
{
	if (in_use.way == NULL)
		return "names are not looked up here";
	return in_use.way(in_use.context, name, family, found);
}

/* The last label of a name has a letter (RFC 1123, section 2.1), and no address of numbers has. */
bool lookup_is_name(const char *text)
{
	const char *last = strrchr(text, '.');
	bool has_letter = false;

	if (*text == '\0' || strlen(text) >= LOOKUP_NAME_MAX)
		return false;
	for (const char *at = text; *at != '\0'; at++)
		if (!isalnum((unsigned char)*at) && strchr("._-", *at) == NULL)
			return false;
	for (last = last == NULL || last[1] == '\0' ? text : last; *last != '\0'; last++)
		has_letter |= isalpha((unsigned char)*last) != 0;
	return has_letter;
}

const char *lookup_by_library(void *context, const char *name, int family, struct addr *found)
{
	const struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;
	int error = getaddrinfo(name, NULL, &hints, &list);
	const char *problem = "the name has no IPv4 or IPv6 address";

	(void)context;
	if (error != 0)
		return gai_strerror(error);
	for (const struct addrinfo *each = list; each != NULL && problem != NULL;
		each = each->ai_next) {
		if (each->ai_addrlen > sizeof(*found) ||
			(each->ai_family != AF_INET && each->ai_family != AF_INET6))
			continue;
		memset(found, 0, sizeof(*found));
		memcpy(found, each->ai_addr, each->ai_addrlen);
		problem = NULL;
	}
	freeaddrinfo(list);
	return problem;
}
