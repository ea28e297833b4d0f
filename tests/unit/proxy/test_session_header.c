/*
 * PROXY headers of sessions: what a client sends first, and what a server gets first.
 */
#include "rig.h"

#include "proxy/interest.h"
#include "tproxy/socket.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define HEADER "PROXY TCP4 198.51.100.10 192.0.2.80 51234 443\r\n"

static void assert_ended_with(struct rig *rig, enum reason reason)
{
	rig_until(rig, rig_has_ended);
	assert_string_equal(reason_name(rig->last.reason), reason_name(reason));
}

static void assert_client_is(const struct session *session, const char *expected)
{
	char text[ADDR_TEXT_MAX];

	assert_string_equal(addr_format(&session->client, text), expected);
}

static int accepting(struct rig *rig)
{
	rig->bind.accept_proxy = true;
	return rig_client(rig);
}

static bool has_read_all(struct rig *rig)
{
	int left = -1;

	assert_int_equal(ioctl(rig_session(rig)->sides[CLIENT].fd, FIONREAD, &left), 0);
	return left == 0;
}

static void the_client_is_the_one_that_the_header_names(void **state)
{
	static const enum session_state expected[] = {
		SESSION_ACCEPTED, SESSION_HEADER, SESSION_CONNECTING, SESSION_RELAYING};
	struct rig *rig = *state;
	int client = accepting(rig), server;

	rig_write(client, HEADER "request");
	server = rig_accept(rig, 0);
	rig_assert_reads(rig, server, "request");
	assert_client_is(rig_session(rig), "198.51.100.10:51234");
	assert_int_equal(addr_port(&rig_session(rig)->destination), 443);
	assert_int_equal(rig->state_count, 4);
	assert_memory_equal(rig->states, expected, sizeof(expected));
	assert_null(rig_session(rig)->header.bytes);
	close(client);
	close(server);
}

static void a_header_may_come_byte_by_byte(void **state)
{
	struct rig *rig = *state;
	int client = accepting(rig), server;

	for (const char *at = HEADER; *at != '\0'; at++) {
		assert_int_equal(rig_session(rig)->state, SESSION_HEADER);
		assert_int_equal(send(client, at, 1, MSG_NOSIGNAL), 1);
		rig_until(rig, has_read_all); /* left in the socket, it would make the loop spin */
	}
	server = rig_accept(rig, 0);
	rig_write(client, "request");
	rig_assert_reads(rig, server, "request");
	close(client);
	close(server);
}

static void a_header_without_addresses_leaves_the_client_as_it_is(void **state)
{
	struct rig *rig = *state;
	int client = accepting(rig), server;
	char text[ADDR_TEXT_MAX];
	struct addr local;

	assert_true(socket_local_address(client, &local));
	rig_write(client, "PROXY UNKNOWN\r\n");
	server = rig_accept(rig, 0);
	assert_client_is(rig_session(rig), addr_format(&local, text));
	assert_int_equal(addr_family(&rig_session(rig)->destination), AF_UNSPEC);
	close(client);
	close(server);
}

/* 60,000 bytes of fields, more than fits in what a socket is given at a time. */
static void a_header_of_many_bytes_is_read_whole(void **state)
{
	static char header[16 + 60000 + 4] = "\r\n\r\n\0\r\nQUIT\n";
	static const unsigned char fixed[] = {0x21, 0x11, 60000 >> 8, 60000 & 0xff, 198, 51, 100,
		10, 192, 0, 2, 80, 0xc8, 0x22, 1, 0xbb, 0x04, (60000 - 15) >> 8,
		(60000 - 15) & 0xff};
	struct rig *rig = *state;
	int client = accepting(rig), server;

	memcpy(header + 12, fixed, sizeof(fixed));
	copy_bytes(header + 16 + 60000, "data", 4);
	for (size_t sent = 0; sent < sizeof(header);) {
		ssize_t part = send(client, header + sent, sizeof(header) - sent, MSG_NOSIGNAL);

		rig_turn(rig);
		sent += part > 0 ? (size_t)part : 0;
	}
	server = rig_accept(rig, 0);
	rig_assert_reads(rig, server, "data");
	assert_client_is(rig_session(rig), "198.51.100.10:51234");
	close(client);
	close(server);
}

static void a_client_without_a_header_is_reset(void **state)
{
	struct rig *rig = *state;
	int client = accepting(rig);
	char byte;

	rig_write(client, "GET / HTTP/1.0\r\n\r\n");
	assert_ended_with(rig, REASON_HEADER_MALFORMED);
	assert_int_equal(rig_read(rig, client, &byte, 1), -1);
	assert_null(rig->last.server);
	close(client);
}

static void a_client_that_ends_within_its_header_is_refused(void **state)
{
	struct rig *rig = *state;
	int client = accepting(rig);

	rig_write(client, "PROXY TCP4");
	close(client);
	assert_ended_with(rig, REASON_HEADER_CUT);
}

static void a_client_that_resets_within_its_header_is_said_to(void **state)
{
	struct rig *rig = *state;
	int client = accepting(rig);

	rig_write(client, "PROXY TCP4");
	rig_until(rig, has_read_all);
	rig_reset(client);
	assert_ended_with(rig, REASON_CLIENT_RESET);
	assert_int_not_equal(rig->last.error, 0);
}

/* Each byte in time is not enough: the whole header has its time. */
static void a_header_has_the_clients_timeout(void **state)
{
	struct rig *rig = *state;
	uint64_t due;
	int client;

	rig->section.timeouts[TIMEOUT_CLIENT] = 60000;
	client = accepting(rig);
	due = rig_session(rig)->wait_due;
	assert_in_range(due, session_now() + 50000, session_now() + 60000);
	rig_write(client, "PROXY");
	rig_until(rig, has_read_all);
	assert_int_equal(rig_session(rig)->wait_due, due);
	session_close_all(&rig->sessions);
	close(client);

	rig->ended = 0;
	rig->section.timeouts[TIMEOUT_CLIENT] = 20;
	client = accepting(rig);
	assert_ended_with(rig, REASON_HEADER_TIMEOUT);
	close(client);
}

static void assert_address_is_refused(struct rig *rig, const char *header)
{
	int client = accepting(rig);

	rig->ended = 0;
	rig_write(client, header);
	assert_ended_with(rig, REASON_HEADER_ADDRESS);
	close(client);
}

static void no_connection_comes_from_an_address_that_no_client_can_have(void **state)
{
	struct rig *rig = *state;

	rig->servers[0].source.mode = rig->servers[1].source.mode = SOURCE_CLIENTIP;
	assert_address_is_refused(rig, "PROXY TCP4 127.0.0.1 192.0.2.80 1 80\r\n");
	assert_address_is_refused(rig, "PROXY TCP4 0.0.0.0 192.0.2.80 1 80\r\n");
	assert_address_is_refused(rig, "PROXY TCP4 224.0.0.1 192.0.2.80 1 80\r\n");
	assert_address_is_refused(rig, "PROXY TCP4 255.255.255.255 192.0.2.80 1 80\r\n");
	assert_address_is_refused(rig, "PROXY TCP6 ::1 2001:db8::80 1 80\r\n");
	assert_address_is_refused(rig, "PROXY TCP6 ff02::1 2001:db8::80 1 80\r\n");
	assert_address_is_refused(rig, "PROXY TCP6 :: 2001:db8::80 1 80\r\n");
	rig->servers[0].source.mode = rig->servers[1].source.mode = SOURCE_CLIENT;
	assert_address_is_refused(rig, "PROXY TCP6 ::ffff:127.0.0.1 2001:db8::80 1 80\r\n");
}

static void such_an_address_does_no_harm_where_it_is_not_used(void **state)
{
	struct rig *rig = *state;
	int client = accepting(rig), server;

	rig_write(client, "PROXY TCP4 127.0.0.1 127.0.0.1 1 80\r\nrequest");
	server = rig_accept(rig, 0);
	rig_assert_reads(rig, server, "request");
	close(client);
	close(server);
}

static void a_server_gets_its_header_before_the_client_has_sent_anything(void **state)
{
	struct rig *rig = *state;
	struct addr local, vip;
	char header[PROXY_HEADER_WRITTEN_MAX + 1] = "";
	int client, server;

	rig->servers[0].send_proxy = PROXY_HEADER_V1;
	client = rig_client(rig);
	server = rig_accept(rig, 0);
	assert_true(socket_local_address(client, &local) && socket_local_address(rig->vip, &vip));
	proxy_header_write(header, PROXY_HEADER_V1, &local, &vip);
	rig_assert_reads(rig, server, header);
	rig_write(server, "220 ready");
	rig_assert_reads(rig, client, "220 ready");
	rig_write(client, "request");
	rig_assert_reads(rig, server, "request");
	close(client);
	close(server);
}

static void a_clients_header_is_passed_on_in_the_servers_version(void **state)
{
	struct rig *rig = *state;
	char header[PROXY_HEADER_WRITTEN_MAX], got[PROXY_HEADER_WRITTEN_MAX];
	struct addr source, destination;
	int client, server;
	size_t length, have = 0;

	assert_true(addr_parse(&source, "198.51.100.10") && addr_parse(&destination, "192.0.2.80"));
	addr_set_port(&source, 51234);
	addr_set_port(&destination, 443);
	length = proxy_header_write(header, PROXY_HEADER_V2, &source, &destination);
	rig->servers[0].send_proxy = PROXY_HEADER_V2;
	client = accepting(rig);
	rig_write(client, HEADER);
	server = rig_accept(rig, 0);
	while (have < length) {
		ssize_t part = rig_read(rig, server, got + have, length - have);

		assert_true(part > 0);
		have += (size_t)part;
	}
	assert_memory_equal(got, header, length);
	close(client);
	close(server);
}

/* Reads the header that a server got, whose length is not known before. */
static struct proxy_header read_header(struct rig *rig, int server, char *got, size_t room)
{
	struct proxy_header header = {0};
	size_t have = 0;

	while (proxy_header_parse(&header, got, have) == PROXY_HEADER_PARTIAL) {
		ssize_t part = rig_read(rig, server, got + have, header.length - have);

		assert_true(part > 0);
		have += (size_t)part;
		assert_true(have < room);
	}
	assert_int_equal(proxy_header_parse(&header, got, have), PROXY_HEADER_WHOLE);
	return header;
}

/* A client whose own header has an authority and a unique id. */
static int client_with_authority(struct rig *rig, const char *authority)
{
	struct addr source, destination;
	char header[256];
	int client = accepting(rig);
	size_t length;

	assert_true(addr_parse(&source, "198.51.100.10") && addr_parse(&destination, "192.0.2.80"));
	addr_set_port(&source, 51234);
	addr_set_port(&destination, 443);
	length = proxy_header_write(header, PROXY_HEADER_V2, &source, &destination);
	length = proxy_header_add(header, length, sizeof(header), PROXY_FIELD_AUTHORITY, authority,
		strlen(authority));
	length = proxy_header_add(header, length, sizeof(header), PROXY_FIELD_UNIQUE_ID, "id", 2);
	assert_int_equal(send(client, header, length, MSG_NOSIGNAL), length);
	return client;
}

static int client_with_fields(struct rig *rig)
{
	return client_with_authority(rig, "host");
}

static void a_servers_header_has_the_fields_of_its_line(void **state)
{
	struct rig *rig = *state;
	struct config_memory *memory = memory_new(1 << 16);
	struct header_field list[] = {{.type = 0xe1}, {.type = 0xe2}};
	struct header_fields *fields = &rig->servers[0].send_proxy_fields;
	struct proxy_header header;
	char got[512];
	int client, server;

	assert_null(value_format_parse(
		&rig->section.unique_id, memory, "%[fc_pp_unique_id]-%ci:%cp", FORMAT_OF_HEADER));
	assert_null(value_format_parse(&list[0].value, memory, "one", FORMAT_OF_HEADER));
	assert_null(value_format_parse(&list[1].value, memory, "fixed", FORMAT_OF_HEADER));
	*fields = (struct header_fields){
		.checksum = true, .authority = true, .unique_id = true, .list = list, .count = 2};
	rig->servers[0].send_proxy = PROXY_HEADER_V2;
	client = client_with_fields(rig);
	server = rig_accept(rig, 0);
	header = read_header(rig, server, got, sizeof(got));
	assert_int_equal(got[28], PROXY_FIELD_CRC32C);
	assert_int_equal(header.authority.length, 4);
	assert_memory_equal(header.authority.value, "host", 4);
	assert_int_equal(header.unique_id.length, strlen("id-198.51.100.10:51234"));
	assert_memory_equal(
		header.unique_id.value, "id-198.51.100.10:51234", header.unique_id.length);
	assert_memory_equal(got + header.length - 14, "\xe1\0\3one\xe2\0\5fixed", 14);
	assert_null(rig_session(rig)->header.bytes);
	assert_int_equal(rig_session(rig)->greeting, header.length);
	close(client);
	close(server);
	rig_until(rig, rig_has_ended);
	memory_free(memory);
}

static void fields_of_a_client_are_not_passed_on_unless_the_line_says_so(void **state)
{
	struct rig *rig = *state;
	struct proxy_header header;
	char got[512];
	int client, server;

	rig->servers[0].send_proxy = PROXY_HEADER_V2;
	client = client_with_fields(rig);
	server = rig_accept(rig, 0);
	header = read_header(rig, server, got, sizeof(got));
	assert_int_equal(header.length, 28);
	close(client);
	close(server);
}

static void an_authority_is_passed_on_where_there_is_one(void **state)
{
	static const char *const sent[] = {"", "h"};

	for (size_t i = 0; i < 2; i++) {
		struct rig *rig = *state;
		struct proxy_header header;
		char got[512];
		int client, server;

		rig->ended = 0;
		rig->section.server_count = 1;
		rig->servers[0].send_proxy = PROXY_HEADER_V2;
		rig->servers[0].send_proxy_fields.authority = true;
		client = client_with_authority(rig, sent[i]);
		server = rig_accept(rig, 0);
		header = read_header(rig, server, got, sizeof(got));
		assert_int_equal(header.length, i == 0 ? 28 : 28 + 3 + 1);
		close(client);
		close(server);
		rig_until(rig, rig_has_ended);
	}
}

/* HAProxy's length; and it is the frontend's format, not the backend's. */
static void a_unique_id_has_127_bytes_at_most(void **state)
{
	static struct proxy backend;
	struct rig *rig = *state;
	struct config_memory *memory = memory_new(1 << 16);
	struct proxy_header header;
	char got[512], format[201];
	int client, server;

	memset(format, 'x', sizeof(format) - 1);
	format[sizeof(format) - 1] = '\0';
	backend = rig->section;
	assert_null(value_format_parse(&rig->section.unique_id, memory, format, FORMAT_OF_HEADER));
	rig->section.default_backend = &backend;
	rig->servers[0].send_proxy = PROXY_HEADER_V2;
	rig->servers[0].send_proxy_fields.unique_id = true;
	client = rig_client(rig);
	server = rig_accept(rig, 0);
	header = read_header(rig, server, got, sizeof(got));
	assert_int_equal(header.unique_id.length, 127);
	close(client);
	close(server);
	rig_until(rig, rig_has_ended);
	memory_free(memory);
}

/* HAProxy sends an empty one where the frontend has no format. */
static void without_a_format_the_unique_id_is_empty(void **state)
{
	struct rig *rig = *state;
	struct proxy_header header;
	char got[512];
	int client, server;

	rig->servers[0].send_proxy = PROXY_HEADER_V2;
	rig->servers[0].send_proxy_fields.unique_id = true;
	client = rig_client(rig);
	server = rig_accept(rig, 0);
	header = read_header(rig, server, got, sizeof(got));
	assert_int_equal(header.length, 28 + 3);
	assert_memory_equal(got + 28, "\5\0\0", 3);
	close(client);
	close(server);
}

static void a_session_may_end_while_it_waits_for_its_header(void **state)
{
	struct rig *rig = *state;
	int client = accepting(rig);

	rig_write(client, "PROXY TCP4");
	rig_until(rig, has_read_all);
	session_close_all(&rig->sessions);
	assert_ended_with(rig, REASON_SHUTDOWN);
	close(client);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_client_is_the_one_that_the_header_names),
		TEST(a_header_may_come_byte_by_byte),
		TEST(a_header_without_addresses_leaves_the_client_as_it_is),
		TEST(a_header_of_many_bytes_is_read_whole),
		TEST(a_client_without_a_header_is_reset),
		TEST(a_client_that_ends_within_its_header_is_refused),
		TEST(a_client_that_resets_within_its_header_is_said_to),
		TEST(a_header_has_the_clients_timeout),
		TEST(no_connection_comes_from_an_address_that_no_client_can_have),
		TEST(such_an_address_does_no_harm_where_it_is_not_used),
		TEST(a_server_gets_its_header_before_the_client_has_sent_anything),
		TEST(a_clients_header_is_passed_on_in_the_servers_version),
		TEST(a_servers_header_has_the_fields_of_its_line),
		TEST(fields_of_a_client_are_not_passed_on_unless_the_line_says_so),
		TEST(without_a_format_the_unique_id_is_empty),
		TEST(an_authority_is_passed_on_where_there_is_one),
		TEST(a_unique_id_has_127_bytes_at_most),
		TEST(a_session_may_end_while_it_waits_for_its_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
