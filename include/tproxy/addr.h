/*
 * Addresses: one IPv4 or IPv6 address with a port, as a value.
 *
 * A struct addr has the form that the kernel takes, so bind() and connect() take it without conversion. Ports are in
 * host byte order in all parameters and results. Nothing here allocates, opens a socket or asks a resolver.
 */
#ifndef TPROXY_ADDR_H
#define TPROXY_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in in4;
		struct sockaddr_in6 in6;
	};
};

/* Room for the longest text that addr_format() writes, with its final NUL. */
#define ADDR_TEXT_MAX (INET6_ADDRSTRLEN + sizeof("[]:65535"))

/* The wildcard address of a family (AF_INET or AF_INET6), port 0. */
struct addr addr_any(int family);

/* Reads a numeric address without a port; IPv6 may be in brackets. False: it is something else; ADDR stays. */
bool addr_parse(struct addr *addr, const char *text);

/* Copies an address from the kernel (accept, getsockname). False: another family; ADDR stays. */
bool addr_from_sockaddr(struct addr *addr, const struct sockaddr *sa);

/* Writes "192.0.2.1:80" or "[2001:db8::1]:80" into text, and returns text. */
const char *addr_format(const struct addr *addr, char text[ADDR_TEXT_MAX]);

/* Writes the address without its port, "192.0.2.1" or "2001:db8::1", and returns text. */
const char *addr_format_ip(const struct addr *addr, char text[ADDR_TEXT_MAX]);

/* The address whose family_bits() / 8 bytes are at BYTES, in network order; port 0. */
struct addr addr_from_bytes(int family, const void *bytes);

/* The bytes of the address without its port, in network order: family_bits() / 8 of them, part of ADDR. */
const uint8_t *addr_bytes(const struct addr *addr);

/* AF_INET or AF_INET6; AF_UNSPEC for a zeroed address. */
int addr_family(const struct addr *addr);

/* 4 or 6: the version of IP, and the option of iproute2. */
static inline int family_version(int family)
{
	return family == AF_INET6 ? 6 : 4;
}

/* "IPv4" or "IPv6". */
static inline const char *family_name(int family)
{
	return family == AF_INET6 ? "IPv6" : "IPv4";
}

/* Bits of an address: 32 or 128. */
static inline unsigned family_bits(int family)
{
	return family == AF_INET6 ? 128 : 32;
}

/* Bytes of the whole structure, as bind() and connect() take them. */
socklen_t addr_length(const struct addr *addr);

/* The port, in host byte order; 0: none. */
uint16_t addr_port(const struct addr *addr);
void addr_set_port(struct addr *addr, uint16_t port);

/* Whether it is the wildcard address of its family, with any port. */
bool addr_is_any(const struct addr *addr);

/* Whether a single host can have it: neither unspecified, loopback, multicast nor the broadcast address. */
bool addr_is_unicast(const struct addr *addr);

/* Whether family, address, port, and the scope of IPv6 are equal. */
bool addr_equal(const struct addr *a, const struct addr *b);

/* Orders by family, then by the address; ports and scopes do not matter. As memcmp(). */
int addr_compare_ip(const struct addr *a, const struct addr *b);

/*
 * Converts an IPv4-mapped IPv6 address (::ffff:192.0.2.1, RFC 4291 section 2.5.5.2) into its IPv4 address; others
 * stay. A dual-stack listener reports an IPv4 client in the mapped form, and connections to the server must come
 * from its IPv4 address.
 */
void addr_unmap(struct addr *addr);

/* A number of this process that no client knows: where a hash of what clients send begins. */
uint64_t addr_hash_start(void);

/*
 * Mixes the address and its port into HASH, the result for what was mixed before or addr_hash_start(). All bits of the
 * result depend on all that was mixed; scopes do not matter.
 */
uint64_t addr_hash(uint64_t hash, const struct addr *addr);

#endif
