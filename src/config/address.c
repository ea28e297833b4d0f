/*
 * Addresses as HAProxy writes them: [ipv4@|ipv6@]ADDRESS[:PORT[-PORT]].
 *
 * The port is what follows the last colon, for IPv6 too: 2001:db8::1:80 is port 80 of 2001:db8::1,
 * and :::80 port 80 of any address. That is the trap: an IPv6 address without brackets and without
 * a port loses its last group to the port, and is either refused or, worse, still a valid address.
 * HAProxy reads it so, hence this does. No name is ever resolved.
 */
#include "address.h"

#include "units.h"
#include "words.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

/* Prefixes that HAProxy has for transports that are not supported here. */
static const char *const foreign_prefixes[] = {"abns@", "fd@", "quic4@", "quic6@", "ring@",
	"sockpair@", "tcp@", "tcp4@", "tcp6@", "udp@", "udp4@", "udp6@", "unix@", "uxdg@", "uxst@"};

static bool starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Takes off ipv4@ or ipv6@, and says which family it asks for. */
static const char *prefix_parse(const char **text, int *family)
{
	*family = AF_UNSPEC;
	if (starts_with(*text, "ipv4@"))
		*family = AF_INET;
	else if (starts_with(*text, "ipv6@"))
		*family = AF_INET6;
	if (*family != AF_UNSPEC) {
		*text += strlen("ipv4@");
		return NULL;
	}
	if (**text == '/')
		return "a UNIX socket is not supported here; write ADDRESS:PORT";
	for (size_t i = 0; i < sizeof(foreign_prefixes) / sizeof(foreign_prefixes[0]); i++)
		if (starts_with(*text, foreign_prefixes[i]))
			return "of the address prefixes only ipv4@ and ipv6@ are supported";
	return NULL;
}

/* The address alone; empty and * are any address of the family, which is IPv4 unless said. */
static const char *ip_parse(const char *text, int family, struct addr *addr)
{
	struct addr parsed;

	if (*text == '\0' || strcmp(text, "*") == 0) {
		*addr = addr_any(family == AF_UNSPEC ? AF_INET : family);
		return NULL;
	}
	if (!addr_parse(&parsed, text))
		return "not an IP address; names are not looked up, write the number";
	if (family == AF_INET && addr_family(&parsed) != AF_INET)
		return "not an IPv4 address, as ipv4@ asks for";
	if (family == AF_INET6 && addr_family(&parsed) != AF_INET6)
		return "not an IPv6 address, as ipv6@ asks for";
	*addr = parsed;
	return NULL;
}

static const char *one_port_parse(const char *text, unsigned options, unsigned *port)
{
	if (number_parse(text, options & PORT_REQUIRED ? 1 : 0, 65535, port) != NULL)
		return "the port is not a number from 1 to 65535";
	return NULL;
}

/* PORT or FIRST-LAST; TEXT may be written to. */
static const char *port_parse(char *text, unsigned options, unsigned *first, unsigned *last)
{
	char *dash = strchr(text, '-');
	const char *error;

	if (*text == '+' || *text == '-')
		return "an offset to the client's port is not supported; without a port, the "
		       "client's own is used";
	if (dash != NULL && !(options & PORT_RANGE))
		return "a port range is not supported here; write one port";
	if (dash != NULL)
		*dash = '\0';
	error = one_port_parse(text, options, first);
	*last = *first;
	if (error == NULL && dash != NULL)
		error = one_port_parse(dash + 1, options, last);
	if (error == NULL && *last < *first)
		error = "the port range ends before it begins";
	return error;
}

/* Cuts TEXT at the colon before the port. Returns the port, empty where there is none. */
static char *split_port(char *text)
{
	char *end = text + strlen(text), *at = end;

	while (at > text && *at != ':' && *at != ']')
		at--;
	if (*at != ':')
		return end;
	*at = '\0';
	return at + 1;
}

const char *address_parse(const char *text, unsigned options, struct address *address)
{
	char copy[2 * LINE_LENGTH_MAX];
	unsigned first = 0, last = 0;
	struct in6_addr unused;
	const char *error;
	size_t length;
	char *port;
	int family;

	if (*text == '\0')
		return "an address is missing here";
	error = prefix_parse(&text, &family);
	if (error != NULL)
		return error;
	length = strlen(text);
	if (length >= sizeof(copy))
		return "not an address";
	memcpy(copy, text, length + 1);
	port = split_port(copy);
	error = ip_parse(copy, family, &address->addr);
	if (error != NULL && family != AF_INET && inet_pton(AF_INET6, text, &unused) == 1)
		return "the port follows the last colon; write an IPv6 address in [brackets]";
	if (error == NULL && *port != '\0')
		error = port_parse(port, options, &first, &last);
	else if (error == NULL && (options & PORT_REQUIRED))
		error = "the port is missing; write ADDRESS:PORT";
	addr_set_port(&address->addr, (uint16_t)first);
	address->last_port = (uint16_t)last;
	return error;
}
