/*
 * Addresses as HAProxy writes them: [FAMILY@]ADDRESS[:PORT[-PORT]].
 *
 * The port is what follows the last colon, for IPv6 too: 2001:db8::1:80 is port 80 of 2001:db8::1,
 * and :::80 port 80 of any address. That is the trap: an IPv6 address without brackets and without
 * a port loses its last group to the port, and is either refused or, worse, still a valid address.
 * HAProxy reads it so, hence this does. A name is only recognized here; server.c has it looked up.
 */
#include "address.h"

#include "tproxy/units.h"
#include "words.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#define NO_UNIX "a UNIX socket is not supported here; write ADDRESS:PORT"
#define NO_UDP  "UDP is not supported here; write the address alone, for TCP"
#define NO_QUIC "QUIC is not supported; write the address alone, for TCP"
#define NO_MPTCP                                                                                   \
	"Multipath TCP is not supported; write the address alone, and clients fall back to TCP"
#define NO_SOCKET                                                                                  \
	"a socket has no number here; write ADDRESS:PORT, and a socket that the service manager has bound there is used"
#define NO_HTTP "it belongs to HTTP; write ADDRESS:PORT"
#define NO_LOG  "it belongs to logs; write ADDRESS:PORT"
#define NO_TARGET                                                                                  \
	"not supported: logs go to stdout, stderr, file@/PATH, a socket's path, or by UDP to an "  \
	"address, as in '127.0.0.1'"

/* HAProxy's prefixes, without the @, each with what it asks for or why it is not supported. */
static const struct prefix {
	const char *name;
	const char *error; /* NULL: supported for TCP and UDP */
	int family;        /* 0: any */
	bool only_tcp, only_udp;
} prefixes[] = {
	{.name = "ipv4", .family = AF_INET},
	{.name = "ipv6", .family = AF_INET6},
	{.name = "tcp", .only_tcp = true},
	{.name = "tcp4", .family = AF_INET, .only_tcp = true},
	{.name = "tcp6", .family = AF_INET6, .only_tcp = true},
	{.name = "udp", .only_udp = true},
	{.name = "udp4", .family = AF_INET, .only_udp = true},
	{.name = "udp6", .family = AF_INET6, .only_udp = true},
	{.name = "abns", .error = NO_UNIX},
	{.name = "abnsz", .error = NO_UNIX},
	{.name = "backend", .error = NO_LOG},
	{.name = "fd", .error = NO_SOCKET},
	{.name = "mptcp", .error = NO_MPTCP},
	{.name = "mptcp4", .error = NO_MPTCP},
	{.name = "mptcp6", .error = NO_MPTCP},
	{.name = "quic", .error = NO_QUIC},
	{.name = "quic4", .error = NO_QUIC},
	{.name = "quic6", .error = NO_QUIC},
	{.name = "rev", .error = NO_HTTP},
	{.name = "rhttp", .error = NO_HTTP},
	{.name = "ring", .error = NO_LOG},
	{.name = "sockpair", .error = NO_SOCKET},
	{.name = "unix", .error = NO_UNIX},
	{.name = "uxdg", .error = NO_UNIX},
	{.name = "uxst", .error = NO_UNIX},
};

static bool takes_prefix(const char **text, size_t length, const char *name)
{
	if (strlen(name) != length || memcmp(*text, name, length) != 0)
		return false;
	*text += length + 1;
	return true;
}

/* Takes off what goes before an @, and says which family it asks for, or AF_UNSPEC. */
static const char *prefix_parse(const char **text, unsigned options, int *family)
{
	const char *at = strchr(*text, '@');
	bool udp = options & DATAGRAMS;

	*family = AF_UNSPEC;
	if (**text == '/')
		return NO_UNIX;
	if (at == NULL)
		return NULL;
	/* HAProxy also has "stream+ipv4@" and "dgram+udp4@", which say the same twice. */
	if (strncmp(*text, "stream+", strlen("stream+")) == 0) {
		if (udp)
			return NO_TARGET;
		*text += strlen("stream+");
	} else if (strncmp(*text, "dgram+", strlen("dgram+")) == 0) {
		if (!udp)
			return NO_UDP;
		*text += strlen("dgram+");
	}
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		if (!takes_prefix(text, (size_t)(at - *text), prefixes[i].name))
			continue;
		*family = prefixes[i].family;
		if (!udp)
			return prefixes[i].only_udp ? NO_UDP : prefixes[i].error;
		return prefixes[i].only_tcp || prefixes[i].error != NULL ? NO_TARGET : NULL;
	}
	return udp ? "unknown address prefix; there are ipv4@, ipv6@, udp@, udp4@ and udp6@"
		   : "unknown address prefix; there are ipv4@, ipv6@, tcp@, tcp4@ and tcp6@";
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
		return "not an IP address; names are looked up for servers alone, write the number";
	if (family == AF_INET && addr_family(&parsed) != AF_INET)
		return "not an IPv4 address, as the prefix asks for";
	if (family == AF_INET6 && addr_family(&parsed) != AF_INET6)
		return "not an IPv6 address, as the prefix asks for";
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
	error = prefix_parse(&text, options, &family);
	if (error != NULL)
		return error;
	length = strlen(text);
	if (length >= sizeof(copy))
		return "not an address";
	memcpy(copy, text, length + 1);
	port = split_port(copy);
	address->family = family;
	address->name[0] = '\0';
	if ((options & NAMES) && lookup_is_name(copy)) {
		memcpy(address->name, copy, strlen(copy) + 1);
		address->addr = addr_any(family == AF_INET6 ? AF_INET6 : AF_INET);
		error = NULL;
	} else {
		error = ip_parse(copy, family, &address->addr);
	}
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
