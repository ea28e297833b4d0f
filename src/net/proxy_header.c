/*
 * The PROXY protocol's two headers, read and written.
 *
 * What is read comes from anybody who can connect, at any length and cut anywhere. So each step first asks whether
 * its bytes are there; what is missing is PARTIAL only while the bytes so far can become a header. That is the
 * invariant: a prefix of a good header is never MALFORMED, and no header is WHOLE before its last byte.
 *
 * The trap is version 1. Its end is not announced, so it is found as the first CR, and a line without one in 107
 * bytes is no header. Its numbers and addresses have one form each (section 2.1): no sign, no leading zero, no
 * second space; inet_pton(3) is strict enough for the addresses, and strtoul(3) is not for the ports.
 */
#include "tproxy/proxy_header.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define LINE_BEGIN "PROXY "
#define SIGNATURE  "\r\n\r\n\0\r\nQUIT\n"

enum {
	SIGNATURE_LENGTH = sizeof(SIGNATURE) - 1
};

/* What a header of version 2 names the addresses of (section 2.2). */
enum transport {
	CONNECTION = 1,
	DATAGRAM = 2
};

static enum proxy_header_state malformed(struct proxy_header *header, const char *problem)
{
	header->problem = problem;
	return PROXY_HEADER_MALFORMED;
}

/* Whether the first LENGTH bytes at DATA, or all of WANTED, are the beginning of WANTED. */
static bool begins_with(const char *data, size_t length, const char *wanted, size_t wanted_length)
{
	return memcmp(data, wanted, length < wanted_length ? length : wanted_length) == 0;
}

/* --- version 1 --- */

/* The next word of a line, which one space ends, or NULL. The words of a header are never empty. */
static char *next_word(char **rest)
{
	char *word = *rest, *space;

	if (word == NULL || *word == '\0' || *word == ' ')
		return NULL;
	space = strchr(word, ' ');
	if (space != NULL)
		*space = '\0';
	*rest = space == NULL ? NULL : space + 1;
	return word;
}

/* A port: 0 to 65535, without a sign or a leading zero. */
static bool parse_port(const char *word, struct addr *addr)
{
	unsigned port = 0;

	if (word == NULL || (word[0] == '0' && word[1] != '\0') || strlen(word) > 5)
		return false;
	for (const char *at = word; *at != '\0'; at++) {
		if (*at < '0' || *at > '9')
			return false;
		port = port * 10 + (unsigned)(*at - '0');
	}
	addr_set_port(addr, (uint16_t)port);
	return port <= UINT16_MAX;
}

static bool parse_address(const char *word, int family, struct addr *addr)
{
	unsigned char bytes[16];

	if (word == NULL || inet_pton(family, word, bytes) != 1)
		return false;
	*addr = addr_from_bytes(family, bytes);
	return true;
}

/* The words after "PROXY ", without the end of the line. */
static enum proxy_header_state parse_words(struct proxy_header *header, char *rest)
{
	const char *protocol = next_word(&rest), *source, *destination, *source_port;
	int family;

	if (protocol != NULL && strcmp(protocol, "UNKNOWN") == 0)
		return PROXY_HEADER_WHOLE;
	if (protocol == NULL || (strcmp(protocol, "TCP4") != 0 && strcmp(protocol, "TCP6") != 0))
		return malformed(header, "its protocol is not TCP4, TCP6 or UNKNOWN");
	family = protocol[3] == '4' ? AF_INET : AF_INET6;
	source = next_word(&rest);
	destination = next_word(&rest);
	if (!parse_address(source, family, &header->source) ||
		!parse_address(destination, family, &header->destination))
		return malformed(header, "an address is wrong");
	source_port = next_word(&rest);
	if (!parse_port(source_port, &header->source) ||
		!parse_port(next_word(&rest), &header->destination))
		return malformed(header, "a port is wrong");
	if (rest != NULL)
		return malformed(header, "something follows its last port");
	return PROXY_HEADER_WHOLE;
}

static enum proxy_header_state parse_line(
	struct proxy_header *header, const char *data, size_t length)
{
	char line[PROXY_HEADER_LONGEST_LINE + 1];
	size_t seen = length < PROXY_HEADER_LONGEST_LINE ? length : PROXY_HEADER_LONGEST_LINE, end;
	const char *cr = memchr(data, '\r', seen);

	header->length = PROXY_HEADER_LONGEST_LINE;
	if (cr == NULL && length < PROXY_HEADER_LONGEST_LINE - 1)
		return memchr(data, '\n', seen) != NULL || memchr(data, '\0', seen) != NULL
			       ? malformed(header, "its line does not end with CR LF")
			       : PROXY_HEADER_PARTIAL;
	if (cr == NULL)
		return malformed(header, "its line is too long");
	end = (size_t)(cr - data);
	if (memchr(data, '\n', end) != NULL || memchr(data, '\0', end) != NULL ||
		(end + 1 < seen && cr[1] != '\n') || end + 2 > PROXY_HEADER_LONGEST_LINE)
		return malformed(header, "its line does not end with CR LF");
	header->length = end + 2;
	if (end + 1 == length)
		return PROXY_HEADER_PARTIAL;
	memcpy(line, data, end);
	line[end] = '\0';
	return parse_words(header, line + strlen(LINE_BEGIN));
}

/* --- version 2 --- */

/* CRC32C (RFC 3720, appendix B.4) of LENGTH bytes, added to SUM, which is ~0 at first; inverted at the end. */
static uint32_t add_crc32c(uint32_t sum, const unsigned char *data, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		sum ^= data[i];
		for (int bit = 0; bit < 8; bit++)
			sum = sum & 1 ? sum >> 1 ^ 0x82f63b78 : sum >> 1;
	}
	return sum;
}

/* The checksum of the whole header, with zeros in its own place, which is AT. */
static uint32_t checksum(const unsigned char *data, size_t length, size_t at)
{
	static const unsigned char zeros[PROXY_CHECKSUM_LENGTH];
	uint32_t sum = add_crc32c(~0U, data, at);

	sum = add_crc32c(sum, zeros, sizeof(zeros));
	return ~add_crc32c(sum, data + at + sizeof(zeros), length - at - sizeof(zeros));
}

static size_t field_length(const unsigned char *field)
{
	return (size_t)field[1] << 8 | field[2];
}

/* What is wrong with one field, whose value is at DATA + AT; NULL: nothing. */
static const char *check_field(struct proxy_header *header, const unsigned char *data,
	unsigned type, size_t at, size_t length)
{
	struct proxy_field field = {(const char *)data + at, length};
	uint32_t sent;

	switch (type) {
	case PROXY_FIELD_CRC32C:
		if (length != sizeof(sent))
			return "its checksum has a wrong length";
		memcpy(&sent, data + at, sizeof(sent));
		return ntohl(sent) == checksum(data, header->length, at) ? NULL
									 : "its checksum is wrong";
	case PROXY_FIELD_AUTHORITY:
		header->authority = field;
		return length <= PROXY_AUTHORITY_MAX ? NULL : "its authority is too long";
	case PROXY_FIELD_UNIQUE_ID:
		header->unique_id = field;
		return length <= PROXY_UNIQUE_ID_MAX ? NULL : "its unique id is too long";
	default:
		return NULL;
	}
}

/* The fields behind the addresses, from AT to the end of the header. */
static enum proxy_header_state check_fields(
	struct proxy_header *header, const unsigned char *data, size_t at)
{
	while (at < header->length) {
		size_t left = header->length - at, length;
		const char *problem;

		if (left < PROXY_FIELD_HEAD || field_length(data + at) > left - PROXY_FIELD_HEAD)
			return malformed(header, "a field behind its addresses is cut off");
		length = field_length(data + at);
		problem = check_field(header, data, data[at], at + PROXY_FIELD_HEAD, length);
		if (problem != NULL)
			return malformed(header, problem);
		at += PROXY_FIELD_HEAD + length;
	}
	return PROXY_HEADER_WHOLE;
}

static void take_addresses(struct proxy_header *header, int family, const unsigned char *block)
{
	size_t bytes = family_bits(family) / 8;
	const unsigned char *ports = block + 2 * bytes;

	header->source = addr_from_bytes(family, block);
	header->destination = addr_from_bytes(family, block + bytes);
	addr_set_port(&header->source, (uint16_t)(ports[0] << 8 | ports[1]));
	addr_set_port(&header->destination, (uint16_t)(ports[2] << 8 | ports[3]));
}

/* The addresses and what is behind them; the header is there to its end. */
static enum proxy_header_state parse_block(struct proxy_header *header, const unsigned char *data)
{
	int family = data[13] >> 4 == 1 ? AF_INET : AF_INET6;
	size_t addresses = 2 * (family_bits(family) / 8) + 4;

	if ((data[12] & 0x0f) == 0) /* LOCAL: all else is to be ignored, and may be anything */
		return PROXY_HEADER_WHOLE;
	if (header->length < PROXY_HEADER_FIXED + addresses)
		return malformed(header, "its addresses are cut off");
	take_addresses(header, family, data + PROXY_HEADER_FIXED);
	return check_fields(header, data, PROXY_HEADER_FIXED + addresses);
}

static enum proxy_header_state parse_binary(struct proxy_header *header, const unsigned char *data,
	size_t length, enum transport transport)
{
	header->length = PROXY_HEADER_FIXED;
	if (length > 12 && data[12] >> 4 != 2)
		return malformed(header, "its version is not 2");
	if (length > 12 && (data[12] & 0x0f) > 1)
		return malformed(header, "its command is neither LOCAL nor PROXY");
	if (length > 13 && (data[12] & 0x0f) == 1 && data[13] != (0x10 | transport) &&
		data[13] != (0x20 | transport))
		return malformed(header, transport == CONNECTION ? "it names no TCP address"
								 : "it names no UDP address");
	if (length < PROXY_HEADER_FIXED)
		return PROXY_HEADER_PARTIAL;
	header->length += (size_t)data[14] << 8 | data[15];
	return length < header->length ? PROXY_HEADER_PARTIAL : parse_block(header, data);
}

/* --- both --- */

enum proxy_header_state proxy_header_parse(
	struct proxy_header *header, const void *data, size_t length)
{
	enum proxy_header_state state;

	memset(header, 0, sizeof(*header));
	header->length = PROXY_HEADER_FIXED;
	if (length == 0)
		return PROXY_HEADER_PARTIAL;
	if (begins_with(data, length, SIGNATURE, SIGNATURE_LENGTH))
		state = parse_binary(header, data, length, CONNECTION);
	else if (begins_with(data, length, LINE_BEGIN, strlen(LINE_BEGIN)))
		state = parse_line(header, data, length);
	else
		return malformed(header, "there is none");
	addr_unmap(&header->source);
	addr_unmap(&header->destination);
	return state;
}

enum proxy_header_state proxy_header_parse_datagram(
	struct proxy_header *header, const void *data, size_t length)
{
	enum proxy_header_state state;

	memset(header, 0, sizeof(*header));
	if (length < SIGNATURE_LENGTH || !begins_with(data, length, SIGNATURE, SIGNATURE_LENGTH))
		return malformed(header, "there is none");
	state = parse_binary(header, data, length, DATAGRAM);
	addr_unmap(&header->source);
	addr_unmap(&header->destination);
	return state == PROXY_HEADER_PARTIAL ? malformed(header, "it is cut off") : state;
}

static struct addr mapped(const struct addr *addr)
{
	unsigned char bytes[16] = {[10] = 0xff, [11] = 0xff};
	struct addr made;

	if (addr_family(addr) == AF_INET6)
		return *addr;
	memcpy(bytes + 12, addr_bytes(addr), 4);
	made = addr_from_bytes(AF_INET6, bytes);
	addr_set_port(&made, addr_port(addr));
	return made;
}

static size_t write_line(
	char *text, int family, const struct addr *source, const struct addr *destination)
{
	char from[ADDR_TEXT_MAX], to[ADDR_TEXT_MAX], line[PROXY_HEADER_WRITTEN_MAX + 1];
	int length = snprintf(line, sizeof(line), LINE_BEGIN "TCP%d %s %s %u %u\r\n",
		family_version(family), addr_format_ip(source, from),
		addr_format_ip(destination, to), addr_port(source), addr_port(destination));

	memcpy(text, line, (size_t)length);
	return (size_t)length;
}

static size_t write_binary(
	char *text, int family, const struct addr *source, const struct addr *destination)
{
	size_t bytes = family_bits(family) / 8, length = 2 * bytes + 4;
	uint16_t ports[] = {htons(addr_port(source)), htons(addr_port(destination))};
	char head[] = {0x21, family == AF_INET ? 0x11 : 0x21, 0, (char)length};
	char *block = text + PROXY_HEADER_FIXED;

	memcpy(text, SIGNATURE, SIGNATURE_LENGTH);
	memcpy(text + SIGNATURE_LENGTH, head, sizeof(head));
	memcpy(block, addr_bytes(source), bytes);
	memcpy(block + bytes, addr_bytes(destination), bytes);
	memcpy(block + 2 * bytes, ports, sizeof(ports));
	return PROXY_HEADER_FIXED + length;
}

size_t proxy_header_write(char text[PROXY_HEADER_WRITTEN_MAX], enum proxy_header_version version,
	const struct addr *source, const struct addr *destination)
{
	bool is_ipv4 = addr_family(source) == AF_INET && addr_family(destination) == AF_INET;
	struct addr from = is_ipv4 ? *source : mapped(source);
	struct addr to = is_ipv4 ? *destination : mapped(destination);

	if (version == PROXY_HEADER_V1)
		return write_line(text, is_ipv4 ? AF_INET : AF_INET6, &from, &to);
	return write_binary(text, is_ipv4 ? AF_INET : AF_INET6, &from, &to);
}

size_t proxy_header_write_datagram(char text[PROXY_HEADER_WRITTEN_MAX], const struct addr *source,
	const struct addr *destination)
{
	size_t length = proxy_header_write(text, PROXY_HEADER_V2, source, destination);
	char *protocol = &text[SIGNATURE_LENGTH + 1];

	*protocol = (char)((*protocol & 0xf0) | 2);
	return length;
}

size_t proxy_header_write_local(char text[PROXY_HEADER_WRITTEN_MAX])
{
	static const char head[] = {0x20, 0, 0, 0};

	memcpy(text, SIGNATURE, SIGNATURE_LENGTH);
	memcpy(text + SIGNATURE_LENGTH, head, sizeof(head));
	return PROXY_HEADER_FIXED;
}

size_t proxy_header_add(char *text, size_t length, size_t room, unsigned type, const void *value,
	size_t value_length)
{
	const char head[] = {(char)type, (char)(value_length >> 8), (char)value_length};
	size_t after = length + sizeof(head) + value_length, rest = after - PROXY_HEADER_FIXED;

	if (after > room || rest > UINT16_MAX)
		return length;
	memcpy(text + length, head, sizeof(head));
	if (value_length > 0)
		memcpy(text + length + sizeof(head), value, value_length);
	text[14] = (char)(rest >> 8);
	text[15] = (char)rest;
	return after;
}

void proxy_header_sum(char *text, size_t length)
{
	const unsigned char *data = (const unsigned char *)text;
	int family = data[13] == 0x11 ? AF_INET : AF_INET6;
	size_t at = PROXY_HEADER_FIXED + 2 * (family_bits(family) / 8) + 4;

	while (at + PROXY_FIELD_HEAD < length && data[at] != PROXY_FIELD_CRC32C)
		at += PROXY_FIELD_HEAD + field_length(data + at);
	if (at + PROXY_FIELD_HEAD + PROXY_CHECKSUM_LENGTH <= length) {
		uint32_t sum = htonl(checksum(data, length, at + PROXY_FIELD_HEAD));

		memcpy(text + at + PROXY_FIELD_HEAD, &sum, sizeof(sum));
	}
}
