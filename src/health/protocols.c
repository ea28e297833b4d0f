/*
 * The fixed conversations of HAProxy's options, each as a list of steps with HAProxy's bytes and words.
 *
 * Bytes: Redis, RESP (redis.io/docs/reference/protocol-spec); SMTP, RFC 5321; MySQL, client/server protocol, handshake
 * response 41 and 320; PostgreSQL, frontend/backend protocol 3.0, StartupMessage; TLS, RFC 6101, client hello.
 */
#include "tproxy/health_script.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Static bytes, without the final NUL. */
#define BYTES(text) ((struct health_bytes){(text), sizeof(text) - 1})

static struct health_script begin(struct config_memory *memory, bool linger)
{
	struct health_script script = {.kind = HEALTH_BY_PROTOCOL};

	health_add_step(&script, memory,
		(struct health_step){.action = HEALTH_CONNECT,
			.as_server = true,
			.linger = linger,
			.number = linger ? 1 : 0});
	return script;
}

static void add_step(
	struct health_script *script, struct config_memory *memory, struct health_step step)
{
	const struct health_step *before =
		script->count == 0 ? NULL : &script->steps[script->count - 1];

	step.number = before == NULL ? 1 : before->number + 1;
	health_add_step(script, memory, step);
}

static void add_send(
	struct health_script *script, struct config_memory *memory, struct health_bytes data)
{
	add_step(script, memory, (struct health_step){.action = HEALTH_SEND, .data = data});
}

/* The expressions here are known to be right; without memory there is none, and the configuration fails. */
static struct health_step expect_regex(
	struct config_memory *memory, enum health_match match, const char *text, int least)
{
	struct health_step step = health_expectation(match, HEALTH_BY_PROTOCOL);

	health_compile(memory, text, &step.regex);
	step.least = least;
	return step;
}

/* A copy of LENGTH bytes; empty without memory. */
static struct health_bytes copy_bytes(
	struct config_memory *memory, const char *bytes, size_t length)
{
	char *copy = memory_alloc(memory, length);

	if (copy == NULL)
		return (struct health_bytes){"", 0};
	memcpy(copy, bytes, length);
	return (struct health_bytes){copy, length};
}

struct health_script health_script_redis(struct config_memory *memory)
{
	struct health_script script = begin(memory, false);
	struct health_step pong = health_expectation(MATCH_STRING, HEALTH_BY_PROTOCOL);

	pong.wanted = BYTES("+PONG\r\n");
	pong.failed = HEALTH_L7STS;
	pong.on_error.kind = NOTE_LINE;
	pong.on_success = (struct health_note){NOTE_TEXT, "Redis server is ok", 0};
	add_send(&script, memory, BYTES("*1\r\n$4\r\nPING\r\n"));
	add_step(&script, memory, pong);
	return script;
}

/* A reply whose code is 2xx; what follows the code is for the log. */
static struct health_step expect_smtp(
	struct config_memory *memory, const char *text, int least, bool says_success)
{
	struct health_step step = expect_regex(memory, MATCH_REGEX, text, least);

	step.failed = HEALTH_L7STS;
	step.on_error = (struct health_note){NOTE_LINE, NULL, 4};
	if (says_success)
		step.on_success = step.on_error;
	step.has_code = true;
	return step;
}

struct health_script health_script_smtp(struct config_memory *memory, const char *hello)
{
	struct health_script script = begin(memory, true);
	struct health_step greeting = expect_regex(memory, MATCH_REGEX, "^[0-9]{3}[ \r]", 4);
	char line[1024];
	int length = snprintf(line, sizeof(line), "%s\r\n", hello);

	greeting.on_error.kind = NOTE_LINE;
	add_step(&script, memory, greeting);
	add_step(&script, memory, expect_smtp(memory, "^2[0-9]{2}[ \r]", 4, false));
	add_send(&script, memory, copy_bytes(memory, line, (size_t)length));
	add_step(&script, memory,
		expect_smtp(memory, "^(2[0-9]{2}-[^\r]*\r\n)*2[0-9]{2}[ \r]", -1, true));
	add_send(&script, memory, BYTES("QUIT\r\n"));
	add_step(&script, memory, expect_smtp(memory, "^2[0-9]{2}[- \r]", 4, true));
	return script;
}

/* The answer to the greeting, without a password, and COM_QUIT. */
static struct health_bytes log_in_to_mysql(
	struct config_memory *memory, const char *user, bool before_41)
{
	static const char flags_41[] = "\0\x82\0\0" /* protocol 4.1, secure connection */
				       "\0\x80\0\1" /* longest packet */
				       "\x21"       /* UTF-8 */
				       "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
	static const char flags_320[] = "\0\x80" /* capabilities */
					"\0\0\1" /* longest packet */;
	static const char quit[] = "\1\0\0\0\1";
	struct health_bytes flags = before_41 ? BYTES(flags_320) : BYTES(flags_41);
	size_t length = flags.length + strlen(user) + 2;
	char packet[512] = {(char)(length & 0xff), (char)(length >> 8), 0, 1};
	char *at = packet + 4;

	memcpy(at, flags.bytes, flags.length);
	at = stpcpy(at + flags.length, user) + 2;
	memcpy(at, quit, sizeof(quit) - 1);
	return copy_bytes(memory, packet, 4 + length + sizeof(quit) - 1);
}

struct health_script health_script_mysql(
	struct config_memory *memory, const char *user, bool before_41)
{
	struct health_script script = begin(memory, true);
	struct health_step packet = health_expectation(MATCH_MYSQL, HEALTH_BY_PROTOCOL);

	if (user != NULL)
		add_send(&script, memory, log_in_to_mysql(memory, user, before_41));
	add_step(&script, memory, packet);
	packet.packet = 1;
	if (user != NULL)
		add_step(&script, memory, packet);
	return script;
}

static struct health_bytes log_in_to_postgres(struct config_memory *memory, const char *user)
{
	static const char version[] = "\0\3\0\0user";
	size_t length = 4 + sizeof(version) + strlen(user) + 2;
	uint32_t written = htonl((uint32_t)length);
	char packet[512] = "";

	memcpy(packet, &written, sizeof(written));
	memcpy(packet + 4, version, sizeof(version));
	stpcpy(packet + 4 + sizeof(version), user);
	return copy_bytes(memory, packet, length);
}

struct health_script health_script_postgres(struct config_memory *memory, const char *user)
{
	struct health_script script = begin(memory, true);
	struct health_step no_error = expect_regex(memory, MATCH_REGEX, "^E", 5);
	struct health_step asks = expect_regex(memory, MATCH_BINARY_REGEX,
		"^52000000[A-Z0-9]{2}000000(00|02|03|04|05|06|07|09|0A)", 9);

	no_error.negated = true;
	no_error.on_error = (struct health_note){NOTE_BYTES, NULL, 6};
	asks.failed = HEALTH_L7STS;
	asks.on_success = (struct health_note){NOTE_TEXT, "PostgreSQL server is ok", 0};
	asks.on_error = (struct health_note){NOTE_TEXT, "PostgreSQL unknown error", 0};
	add_send(&script, memory, log_in_to_postgres(memory, user));
	add_step(&script, memory, no_error);
	add_step(&script, memory, asks);
	return script;
}

/* A hello of SSL 3, to which every server has an answer, if only that it does not speak this version. */
static struct health_bytes write_hello(struct config_memory *memory)
{
	static const char head[] = "\x16\3\0\0\x79" /* a handshake of SSL 3, 121 bytes */
				   "\1\0\0\x75\3\0" /* hello, 117 bytes, SSL 3 */
				   "\0\0\0\0" /* where the time would be; it need not be right */
				   "HAPROXYSSLCHK\nHAPROXYSSLCHK\n"
				   "\0" /* no session */
				   "\0\x4e" /* 78 bytes of ciphers */;
	char hello[126], *at = hello;

	memcpy(at, head, sizeof(head) - 1);
	at += sizeof(head) - 1;
	for (unsigned cipher = 0x01; cipher <= 0x3a; cipher = cipher == 0x1b ? 0x2f : cipher + 1) {
		*at++ = 0;
		*at++ = (char)cipher;
	}
	*at++ = 1; /* one way to compress: not at all */
	*at++ = 0;
	return copy_bytes(memory, hello, (size_t)(at - hello));
}

struct health_script health_script_tls(struct config_memory *memory)
{
	struct health_script script = begin(memory, false);
	struct health_step answer = expect_regex(memory, MATCH_BINARY_REGEX, "^1[56]", 5);

	answer.passed = HEALTH_L6OK;
	answer.failed = HEALTH_L6RSP;
	answer.silent = HEALTH_L6TOUT;
	add_send(&script, memory, write_hello(memory));
	add_step(&script, memory, answer);
	return script;
}
