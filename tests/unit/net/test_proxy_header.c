/*
 * PROXY headers: those of fixtures/proxy-protocol, each cut at every byte, and what no fixture has.
 */
#include "tproxy/proxy_header.h"

#include "unit.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOLDER "fixtures/proxy-protocol/"

enum {
	ROOM = 70000
};

static unsigned char bytes[ROOM];

/* Reads the hexadecimal digits of a fixture, comments left out; SOURCE gets what it says of its address. */
static size_t read_fixture(const char *path, char source[128])
{
	FILE *file = fopen(path, "r");
	char line[4096];
	size_t length = 0;

	source[0] = '\0';
	assert_non_null(file);
	while (fgets(line, sizeof(line), file) != NULL) {
		const char *named = strstr(line, "# source: ");
		char *comment = strchr(line, '#'), *next = line;

		if (named != NULL)
			snprintf(source, 128, "%.*s", (int)strcspn(named + 10, "\n"), named + 10);
		if (comment != NULL)
			*comment = '\0';
		for (char *byte; (byte = strsep(&next, " \n")) != NULL;)
			if (*byte != '\0')
				bytes[length++] = (unsigned char)strtoul(byte, NULL, 16);
	}
	fclose(file);
	return length;
}

/* Runs CHECK(path) for every header of a folder. */
static void for_each_fixture(const char *folder, void (*check)(const char *path))
{
	DIR *directory = opendir(folder);
	unsigned count = 0;

	assert_non_null(directory);
	for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
		char path[512];

		if (strstr(entry->d_name, ".hex") == NULL)
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		check(path);
		count++;
	}
	closedir(directory);
	assert_true(count >= 10);
}

static void assert_source(const struct proxy_header *header, const char *source, const char *path)
{
	char address[64] = "", text[ADDR_TEXT_MAX];
	unsigned port = 0;

	if (strcmp(source, "real") == 0 || *source == '\0') {
		assert_int_equal(addr_family(&header->source), AF_UNSPEC);
		return;
	}
	assert_int_equal(sscanf(source, "%63s %u", address, &port), 2);
	assert_string_equal(addr_format_ip(&header->source, text), address);
	if (addr_port(&header->source) != port)
		fail_msg("%s: port %u", path, addr_port(&header->source));
}

/*
 * Reads the first LENGTH bytes, with others behind them each time: those are not there yet, and may not matter.
 */
static enum proxy_header_state parse_beginning(
	struct proxy_header *header, size_t length, const char *path)
{
	static const unsigned char behind[] = {0x00, 0xff, '\r', '\n', 0x11};
	static unsigned char beginning[ROOM];
	enum proxy_header_state state = PROXY_HEADER_MALFORMED;
	struct proxy_header before = {0};

	memcpy(beginning, bytes, length);
	for (size_t i = 0; i < sizeof(behind); i++) {
		enum proxy_header_state last = state;

		memset(beginning + length, behind[i], 16);
		state = proxy_header_parse(header, beginning, length);
		if (i > 0 && (state != last || header->length != before.length))
			fail_msg("%s: %02x behind %zu bytes is read", path, behind[i], length);
		before = *header;
	}
	return state;
}

static void check_good(const char *path)
{
	struct proxy_header header;
	char source[128];
	size_t length = read_fixture(path, source);

	for (size_t cut = 0; cut < length; cut++) {
		if (parse_beginning(&header, cut, path) != PROXY_HEADER_PARTIAL)
			fail_msg("%s is not partial after %zu bytes", path, cut);
		assert_in_range(header.length, cut + 1, ROOM);
	}
	copy_bytes(bytes + length, "data", 4);
	for (size_t more = 0; more <= 4; more++) {
		if (proxy_header_parse(&header, bytes, length + more) != PROXY_HEADER_WHOLE)
			fail_msg("%s: %s", path, header.problem);
		assert_int_equal(header.length, length);
		assert_source(&header, source, path);
	}
}

static void every_good_header_is_read_and_none_of_its_beginnings(void **state)
{
	(void)state;
	for_each_fixture(FOLDER "good", check_good);
}

/* A header that is wrong is reported at some byte, and at every later one; and never whole before. */
static void check_bad(const char *path)
{
	struct proxy_header header;
	char source[128];
	size_t length = read_fixture(path, source);
	bool was_malformed = false;

	for (size_t cut = 0; cut <= length; cut++) {
		enum proxy_header_state found = parse_beginning(&header, cut, path);

		if (found == PROXY_HEADER_WHOLE || (was_malformed && found == PROXY_HEADER_PARTIAL))
			fail_msg("%s is taken after %zu bytes", path, cut);
		was_malformed |= found == PROXY_HEADER_MALFORMED;
	}
	if (!was_malformed)
		fail_msg("%s is not malformed", path);
	assert_non_null(header.problem);
}

static void no_bad_header_is_read(void **state)
{
	(void)state;
	for_each_fixture(FOLDER "bad", check_bad);
}

static enum proxy_header_state parse_text(struct proxy_header *header, const char *text)
{
	return proxy_header_parse(header, text, strlen(text));
}

static void assert_line(const char *text, enum proxy_header_state expected)
{
	struct proxy_header header;

	if (parse_text(&header, text) != expected)
		fail_msg("%s", text);
}

static void a_line_has_one_form(void **state)
{
	struct proxy_header header;

	(void)state;
	assert_line("PROXY TCP4 192.0.2.1 192.0.2.80 0 65535\r\n", PROXY_HEADER_WHOLE);
	assert_line("PROXY TCP4 192.0.2.1 192.0.2.80 9 49999\r\n", PROXY_HEADER_WHOLE);
	assert_line("PROXY TCP4 192.0.2.1 192.0.2.80 1 65536\r\n", PROXY_HEADER_MALFORMED);
	assert_line("PROXY TCP4 192.0.2.1 192.0.2.80 1 8/\r\n", PROXY_HEADER_MALFORMED);
	assert_line("PROXY TCP4 192.0.2.1 192.0.2.80 1 8:\r\n", PROXY_HEADER_MALFORMED);
	assert_line("PROXY TCP4 192.0.2.1 192.0.2.80 01 80\r\n", PROXY_HEADER_MALFORMED);
	assert_line("PROXY TCP4 192.0.2.1 192.0.2.80 +1 80\r\n", PROXY_HEADER_MALFORMED);
	assert_line("PROXY TCP4 192.0.2.1 192.0.2.80 1 100000000000\r\n", PROXY_HEADER_MALFORMED);
	assert_line("PROXY TCP4 192.0.2.1 192.0.2.80 1 80 \r\n", PROXY_HEADER_MALFORMED);
	assert_line("PROXY TCP4 192.0.2.1 192.0.2.80 1 80 x\r\n", PROXY_HEADER_MALFORMED);
	assert_line("PROXY TCP4 192.0.2.1 192.0.2.80 1\r\n", PROXY_HEADER_MALFORMED);
	assert_line("PROXY TCP4 192.0.2.1 192.0.2.80 1 \r\n", PROXY_HEADER_MALFORMED);
	assert_line("PROXY TCP4 192.0.2.01 192.0.2.80 1 80\r\n", PROXY_HEADER_MALFORMED);
	assert_line("PROXY TCP4 2001:db8::1 192.0.2.80 1 80\r\n", PROXY_HEADER_MALFORMED);
	assert_line("PROXY TCP6 2001:db8::1%1 2001:db8::2 1 80\r\n", PROXY_HEADER_MALFORMED);
	assert_line("PROXY TCP6 2001:db8::1 2001:db8::2 1 80\r\n", PROXY_HEADER_WHOLE);
	assert_line("PROXY TCP\r\n", PROXY_HEADER_MALFORMED);
	assert_line("PROXY TCP44 192.0.2.1 192.0.2.80 1 80\r\n", PROXY_HEADER_MALFORMED);
	assert_line("PROXY \r\n", PROXY_HEADER_MALFORMED);
	assert_line("PROXY UNKNOWN\r\n", PROXY_HEADER_WHOLE);
	assert_line("PROXY UNKNOWN  what ever\r\n", PROXY_HEADER_WHOLE);
	assert_line("PROXY UNKNOWNS\r\n", PROXY_HEADER_MALFORMED);
	assert_line("PROXY UNKNOWN\rX", PROXY_HEADER_MALFORMED);
	assert_line("PROXY UNKNOWN x\n", PROXY_HEADER_MALFORMED);
	assert_line("PROXY UNKNOWN x\ny\r\n", PROXY_HEADER_MALFORMED);
	assert_int_equal(
		proxy_header_parse(&header, "PROXY UNKNOWN \0\r\n", 17), PROXY_HEADER_MALFORMED);
	assert_string_equal(header.problem, "its line does not end with CR LF");
}

/* 107 bytes are the most: 105 and the end of the line. */
static void a_line_is_no_longer_than_the_longest(void **state)
{
	struct proxy_header header;
	char line[PROXY_HEADER_LONGEST_LINE + 8];

	(void)state;
	memset(line, 'x', sizeof(line));
	copy_bytes(line, "PROXY UNKNOWN ", 14);
	assert_int_equal(proxy_header_parse(&header, line, 105), PROXY_HEADER_PARTIAL);
	assert_int_equal(proxy_header_parse(&header, line, 106), PROXY_HEADER_MALFORMED);
	assert_string_equal(header.problem, "its line is too long");
	copy_bytes(line + 105, "\r\n", 2);
	assert_int_equal(proxy_header_parse(&header, line, 106), PROXY_HEADER_PARTIAL);
	assert_int_equal(proxy_header_parse(&header, line, sizeof(line)), PROXY_HEADER_WHOLE);
	assert_int_equal(header.length, PROXY_HEADER_LONGEST_LINE);
	copy_bytes(line + 105, "x\r\n", 3);
	assert_int_equal(proxy_header_parse(&header, line, sizeof(line)), PROXY_HEADER_MALFORMED);
}

static void a_mapped_address_is_its_ipv4_address(void **state)
{
	struct proxy_header header;
	char text[ADDR_TEXT_MAX];

	(void)state;
	assert_int_equal(
		parse_text(&header, "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.80 7 80\r\n"),
		PROXY_HEADER_WHOLE);
	assert_string_equal(addr_format(&header.source, text), "192.0.2.1:7");
	assert_string_equal(addr_format(&header.destination, text), "192.0.2.80:80");
}

/* A version 2 header of a command and a family with LENGTH bytes of BLOCK behind the fixed part. */
static enum proxy_header_state parse_block(struct proxy_header *header, unsigned command,
	unsigned family, const void *block, size_t length)
{
	copy_bytes(bytes, "\r\n\r\n\0\r\nQUIT\n", 12);
	bytes[12] = (unsigned char)(0x20 | command);
	bytes[13] = (unsigned char)family;
	bytes[14] = (unsigned char)(length >> 8);
	bytes[15] = (unsigned char)length;
	memcpy(bytes + 16, block, length);
	return proxy_header_parse(header, bytes, 16 + length);
}

static void only_local_connections_and_those_of_tcp_are_taken(void **state)
{
	static const unsigned others[] = {
		0x00, 0x01, 0x10, 0x12, 0x20, 0x22, 0x30, 0x31, 0x32, 0x41};
	static unsigned char block[216];
	struct proxy_header header;

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_int_equal(parse_block(&header, 1, others[i], block, sizeof(block)),
			PROXY_HEADER_MALFORMED);
	assert_int_equal(parse_block(&header, 0, 0xff, block, 5), PROXY_HEADER_WHOLE);
	assert_int_equal(parse_block(&header, 1, 0x11, block, 12), PROXY_HEADER_WHOLE);
	assert_int_equal(parse_block(&header, 1, 0x11, block, 11), PROXY_HEADER_MALFORMED);
	assert_int_equal(parse_block(&header, 1, 0x21, block, 36), PROXY_HEADER_WHOLE);
	assert_int_equal(parse_block(&header, 1, 0x21, block, 35), PROXY_HEADER_MALFORMED);
	assert_int_equal(parse_block(&header, 2, 0x11, block, 12), PROXY_HEADER_MALFORMED);
}

static void fields_must_end_where_the_header_does(void **state)
{
	unsigned char block[12 + 8] = {[12] = 0x04, [14] = 5};
	struct proxy_header header;

	(void)state;
	assert_int_equal(parse_block(&header, 1, 0x11, block, 20), PROXY_HEADER_WHOLE);
	assert_int_equal(parse_block(&header, 1, 0x11, block, 19), PROXY_HEADER_MALFORMED);
	assert_int_equal(parse_block(&header, 1, 0x11, block, 14), PROXY_HEADER_MALFORMED);
	block[14] = 4; /* then one byte is left */
	assert_int_equal(parse_block(&header, 1, 0x11, block, 20), PROXY_HEADER_MALFORMED);
	block[12] = 0x03; /* a checksum has four bytes */
	block[14] = 5;
	assert_int_equal(parse_block(&header, 1, 0x11, block, 20), PROXY_HEADER_MALFORMED);
}

/* Any other byte makes the checksum wrong. */
static void a_wrong_checksum_is_malformed(void **state)
{
	struct proxy_header header;
	char source[128];
	size_t length = read_fixture(FOLDER "good/v2-with-checksum-tcp4.hex", source);

	(void)state;
	assert_int_equal(proxy_header_parse(&header, bytes, length), PROXY_HEADER_WHOLE);
	for (size_t at = 16; at < 28; at++) {
		bytes[at] ^= 1;
		assert_int_equal(
			proxy_header_parse(&header, bytes, length), PROXY_HEADER_MALFORMED);
		bytes[at] ^= 1;
	}
}

static void the_longest_binary_header_is_read(void **state)
{
	static unsigned char block[65535] = {[12] = 0x04, [13] = 0xff, [14] = 0xff - 15};
	struct proxy_header header;

	(void)state;
	assert_int_equal(parse_block(&header, 1, 0x11, block, sizeof(block)), PROXY_HEADER_WHOLE);
	assert_int_equal(header.length, 16 + 65535);
	assert_int_equal(proxy_header_parse(&header, bytes, 16 + 65534), PROXY_HEADER_PARTIAL);
}

static struct addr endpoint(const char *text, uint16_t port)
{
	struct addr addr;

	assert_true(addr_parse(&addr, text));
	addr_set_port(&addr, port);
	return addr;
}

/* What is written is read again as the same; mixed families become IPv6. */
static void assert_written(const char *source, const char *destination, const char *line)
{
	struct addr from = endpoint(source, 51234), to = endpoint(destination, 8080);
	char text[PROXY_HEADER_WRITTEN_MAX];
	struct proxy_header header;
	size_t length = proxy_header_write(text, PROXY_HEADER_V1, &from, &to);

	assert_int_equal(length, strlen(line));
	assert_memory_equal(text, line, length);
	for (int version = PROXY_HEADER_V1; version <= PROXY_HEADER_V2; version++) {
		length = proxy_header_write(text, (enum proxy_header_version)version, &from, &to);
		assert_int_equal(proxy_header_parse(&header, text, length), PROXY_HEADER_WHOLE);
		assert_int_equal(header.length, length);
		assert_true(addr_equal(&header.source, &from));
		assert_true(addr_equal(&header.destination, &to));
	}
}

static void what_is_written_is_read_as_the_same(void **state)
{
	(void)state;
	assert_written("198.51.100.10", "192.0.2.80",
		"PROXY TCP4 198.51.100.10 192.0.2.80 51234 8080\r\n");
	assert_written("2001:db8::10", "2001:db8:f::80",
		"PROXY TCP6 2001:db8::10 2001:db8:f::80 51234 8080\r\n");
	assert_written("198.51.100.10", "2001:db8:f::80",
		"PROXY TCP6 ::ffff:198.51.100.10 2001:db8:f::80 51234 8080\r\n");
	assert_written("2001:db8::10", "192.0.2.80",
		"PROXY TCP6 2001:db8::10 ::ffff:192.0.2.80 51234 8080\r\n");
}

static void a_header_of_a_datagram_says_udp(void **state)
{
	static const struct {
		const char *source, *destination;
		size_t length;
		unsigned char protocol;
	} rows[] = {{"198.51.100.10", "192.0.2.80", 28, 0x12},
		{"2001:db8::10", "2001:db8:f::80", 52, 0x22},
		{"198.51.100.10", "2001:db8:f::80", 52, 0x22}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct addr from = endpoint(rows[i].source, 51234),
			    to = endpoint(rows[i].destination, 80);
		char text[PROXY_HEADER_WRITTEN_MAX], of_tcp[PROXY_HEADER_WRITTEN_MAX];

		proxy_header_write(of_tcp, PROXY_HEADER_V2, &from, &to);
		assert_int_equal(proxy_header_write_datagram(text, &from, &to), rows[i].length);
		assert_int_equal((unsigned char)text[13], rows[i].protocol);
		text[13] = of_tcp[13];
		assert_memory_equal(text, of_tcp, rows[i].length);
	}
}

/* The addresses are those that were written, whatever the families of the two. */
static void assert_datagram_read(const char *source, const char *destination)
{
	struct addr from = endpoint(source, 51234), to = endpoint(destination, 8080);
	struct proxy_header header;
	char text[PROXY_HEADER_WRITTEN_MAX + 4];
	size_t length = proxy_header_write_datagram(text, &from, &to);

	assert_int_equal(
		proxy_header_parse_datagram(&header, text, length + 4), PROXY_HEADER_WHOLE);
	assert_int_equal(header.length, length);
	assert_true(addr_equal(&header.source, &from));
	assert_true(addr_equal(&header.destination, &to));
	assert_int_equal(proxy_header_parse(&header, text, length), PROXY_HEADER_MALFORMED);
	for (size_t cut = 0; cut < length; cut++) {
		assert_int_equal(
			proxy_header_parse_datagram(&header, text, cut), PROXY_HEADER_MALFORMED);
		assert_string_equal(header.problem, cut < 12 ? "there is none" : "it is cut off");
	}
}

static void a_datagrams_header_is_read_again(void **state)
{
	(void)state;
	assert_datagram_read("2001:db8::10", "2001:db8:f::80");
	assert_datagram_read("198.51.100.10", "192.0.2.80");
	assert_datagram_read("198.51.100.10", "2001:db8:f::80");
	assert_datagram_read("2001:db8::10", "192.0.2.80");
}

static void a_datagram_has_no_header_of_another_kind(void **state)
{
	struct addr from = endpoint("2001:db8::10", 51234), to = endpoint("2001:db8:f::80", 80);
	struct proxy_header header;
	char text[PROXY_HEADER_WRITTEN_MAX];
	size_t length = proxy_header_write(text, PROXY_HEADER_V2, &from, &to);

	(void)state;
	assert_int_equal(
		proxy_header_parse_datagram(&header, text, length), PROXY_HEADER_MALFORMED);
	assert_string_equal(header.problem, "it names no UDP address");
	length = proxy_header_write(text, PROXY_HEADER_V1, &from, &to);
	assert_int_equal(
		proxy_header_parse_datagram(&header, text, length), PROXY_HEADER_MALFORMED);
	assert_string_equal(header.problem, "there is none");
}

/* A proxy's own health check names no client, and what was read before it is forgotten. */
static void a_local_header_names_no_address(void **state)
{
	static const char written[] = "\r\n\r\n\0\r\nQUIT\n\x20\0\0";
	struct addr from = endpoint("2001:db8::10", 51234), to = endpoint("2001:db8:f::80", 80);
	char of_client[PROXY_HEADER_WRITTEN_MAX], text[PROXY_HEADER_WRITTEN_MAX] = "";
	size_t length = proxy_header_write_datagram(of_client, &from, &to);
	struct proxy_header header;

	(void)state;
	assert_int_equal(proxy_header_write_local(text), sizeof(written));
	assert_memory_equal(text, written, sizeof(written));
	assert_int_equal(
		proxy_header_parse_datagram(&header, of_client, length), PROXY_HEADER_WHOLE);
	assert_int_equal(
		proxy_header_parse_datagram(&header, text, sizeof(written)), PROXY_HEADER_WHOLE);
	assert_int_equal(addr_family(&header.source), AF_UNSPEC);
	assert_int_equal(addr_family(&header.destination), AF_UNSPEC);
}

static void fields_of_a_written_header_are_read_again(void **state)
{
	struct addr from = endpoint("2001:db8::10", 51234), to = endpoint("2001:db8:f::80", 80);
	struct proxy_header header;
	char text[512];
	size_t length = proxy_header_write(text, PROXY_HEADER_V2, &from, &to);

	(void)state;
	length = proxy_header_add(text, length, sizeof(text), PROXY_FIELD_AUTHORITY, "host", 4);
	length = proxy_header_add(text, length, sizeof(text), PROXY_FIELD_CRC32C, "\0\0\0", 4);
	length = proxy_header_add(text, length, sizeof(text), PROXY_FIELD_UNIQUE_ID, "id", 2);
	length = proxy_header_add(text, length, sizeof(text), 0xe0, NULL, 0);
	assert_int_equal(proxy_header_parse(&header, text, length), PROXY_HEADER_MALFORMED);
	proxy_header_sum(text, length);
	assert_int_equal(proxy_header_parse(&header, text, length), PROXY_HEADER_WHOLE);
	assert_int_equal(header.length, length);
	assert_int_equal(header.authority.length, 4);
	assert_memory_equal(header.authority.value, "host", 4);
	assert_int_equal(header.unique_id.length, 2);
	assert_memory_equal(header.unique_id.value, "id", 2);
	text[length - 1] ^= 1;
	assert_int_equal(proxy_header_parse(&header, text, length), PROXY_HEADER_MALFORMED);
}

static void a_field_may_be_longer_than_255_bytes(void **state)
{
	struct addr from = endpoint("198.51.100.10", 51234), to = endpoint("192.0.2.80", 80);
	static const char value[300];
	struct proxy_header header;
	char text[512];
	size_t length = proxy_header_write(text, PROXY_HEADER_V2, &from, &to);

	(void)state;
	length = proxy_header_add(text, length, sizeof(text), 0xe0, value, sizeof(value));
	assert_int_equal(length, 28 + 3 + sizeof(value));
	length = proxy_header_add(text, length, sizeof(text), PROXY_FIELD_UNIQUE_ID, "i", 1);
	length = proxy_header_add(text, length, sizeof(text), PROXY_FIELD_CRC32C, "\0\0\0", 4);
	proxy_header_sum(text, length);
	assert_int_equal(proxy_header_parse(&header, text, length), PROXY_HEADER_WHOLE);
	assert_int_equal(header.length, length);
	assert_int_equal(header.unique_id.length, 1);
	assert_int_equal(*header.unique_id.value, 'i');
}

static void a_checksum_of_another_length_is_named(void **state)
{
	struct addr from = endpoint("198.51.100.10", 51234), to = endpoint("192.0.2.80", 80);
	struct proxy_header header;
	char text[128];
	size_t length = proxy_header_write(text, PROXY_HEADER_V2, &from, &to);

	(void)state;
	length = proxy_header_add(text, length, sizeof(text), PROXY_FIELD_CRC32C, "\0\0\0\0", 5);
	assert_int_equal(proxy_header_parse(&header, text, length), PROXY_HEADER_MALFORMED);
	assert_string_equal(header.problem, "its checksum has a wrong length");
}

static void a_header_without_a_checksum_is_not_changed_by_it(void **state)
{
	struct addr from = endpoint("198.51.100.10", 51234), to = endpoint("192.0.2.80", 80);
	char text[128], before[128];
	size_t length = proxy_header_write(text, PROXY_HEADER_V2, &from, &to);

	(void)state;
	length = proxy_header_add(text, length, sizeof(text), 0xe0, "\3\0\4\0\0\0\0", 7);
	copy_bytes(before, text, length);
	proxy_header_sum(text, length);
	assert_memory_equal(before, text, length);
}

static void a_field_without_room_is_left_out(void **state)
{
	struct addr from = endpoint("198.51.100.10", 51234), to = endpoint("192.0.2.80", 80);
	char text[128], before[128];
	size_t length = proxy_header_write(text, PROXY_HEADER_V2, &from, &to);

	(void)state;
	copy_bytes(before, text, length);
	assert_int_equal(proxy_header_add(text, length, length + 5, 0xe0, "abc", 3), length);
	assert_memory_equal(before, text, length);
	assert_int_equal(proxy_header_add(text, length, length + 6, 0xe0, "abc", 3), length + 6);
}

/* As HAProxy's limits are. */
static void fields_have_their_longest_values(void **state)
{
	static const struct {
		unsigned type;
		size_t most;
	} rows[] = {{PROXY_FIELD_AUTHORITY, 255}, {PROXY_FIELD_UNIQUE_ID, 128}};
	struct addr from = endpoint("198.51.100.10", 51234), to = endpoint("192.0.2.80", 80);
	static const char value[300];
	struct proxy_header header;
	char text[512];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		size_t begin = proxy_header_write(text, PROXY_HEADER_V2, &from, &to), length;

		length = proxy_header_add(
			text, begin, sizeof(text), rows[i].type, value, rows[i].most);
		assert_int_equal(proxy_header_parse(&header, text, length), PROXY_HEADER_WHOLE);
		length = proxy_header_add(
			text, begin, sizeof(text), rows[i].type, value, rows[i].most + 1);
		assert_int_equal(proxy_header_parse(&header, text, length), PROXY_HEADER_MALFORMED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_good_header_is_read_and_none_of_its_beginnings),
		cmocka_unit_test(no_bad_header_is_read),
		cmocka_unit_test(a_line_has_one_form),
		cmocka_unit_test(a_line_is_no_longer_than_the_longest),
		cmocka_unit_test(a_mapped_address_is_its_ipv4_address),
		cmocka_unit_test(only_local_connections_and_those_of_tcp_are_taken),
		cmocka_unit_test(fields_must_end_where_the_header_does),
		cmocka_unit_test(a_wrong_checksum_is_malformed),
		cmocka_unit_test(the_longest_binary_header_is_read),
		cmocka_unit_test(what_is_written_is_read_as_the_same),
		cmocka_unit_test(a_header_of_a_datagram_says_udp),
		cmocka_unit_test(a_datagrams_header_is_read_again),
		cmocka_unit_test(a_datagram_has_no_header_of_another_kind),
		cmocka_unit_test(a_local_header_names_no_address),
		cmocka_unit_test(fields_of_a_written_header_are_read_again),
		cmocka_unit_test(a_field_may_be_longer_than_255_bytes),
		cmocka_unit_test(a_checksum_of_another_length_is_named),
		cmocka_unit_test(a_header_without_a_checksum_is_not_changed_by_it),
		cmocka_unit_test(a_field_without_room_is_left_out),
		cmocka_unit_test(fields_have_their_longest_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
