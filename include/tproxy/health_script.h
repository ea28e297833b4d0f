/*
 * A check's conversation with a server, as a list of steps: connect, send these bytes, expect those.
 *
 * `tcp-check` and `http-check` lines are such a list, and so are `option mysql-check` and the like, which are fixed. The
 * rules are those of HAProxy (configuration manual, sections 4.2 and 5.2), and so are the words for what was found. A script is
 * part of a configuration: it lies in its memory, and nothing in it changes. Nothing here opens a socket.
 */
#ifndef TPROXY_HEALTH_SCRIPT_H
#define TPROXY_HEALTH_SCRIPT_H

#include "tproxy/addr.h"
#include "tproxy/memory.h"

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>

enum {
	HEALTH_INPUT_MAX = 16384, /* bytes of an answer, as HAProxy's tune.bufsize has it */
	HEALTH_INFO_MAX = 128
};

/* What a check found. */
enum health_status {
	HEALTH_SOCKERR, /* the connection broke once it was there */
	HEALTH_L4OK,
	HEALTH_L4TOUT,
	HEALTH_L4CON,
	HEALTH_L6OK,
	HEALTH_L6TOUT,
	HEALTH_L6RSP,
	HEALTH_L7OK,
	HEALTH_L7TOUT,
	HEALTH_L7RSP,   /* what came is not of the protocol */
	HEALTH_L7STS,   /* what came says that the server does not serve */
	HEALTH_CHECKED, /* of an agent: nothing was said of whether the server is up */
};

struct health_verdict {
	enum health_status status;
	unsigned code;              /* of HEALTH_L7OK and HEALTH_L7STS, or 0 */
	char info[HEALTH_INFO_MAX]; /* "": none; of the server's own bytes in part */
};

/* Bytes that may hold any value; there is no final NUL. */
struct health_bytes {
	const char *bytes;
	size_t length;
};

enum health_action {
	HEALTH_CONNECT,
	HEALTH_SEND,
	HEALTH_EXPECT
};

enum health_match {
	MATCH_STRING,       /* the bytes are somewhere in what came */
	MATCH_BINARY,       /* the same, written in hexadecimal */
	MATCH_REGEX,        /* the expression matches what came */
	MATCH_BINARY_REGEX, /* it matches what came, in hexadecimal */
	MATCH_STATUS,       /* of HTTP: the code is in one of the ranges */
	MATCH_STATUS_REGEX, /* of HTTP: the expression matches the code */
	MATCH_BODY,         /* of HTTP: the bytes are somewhere in the body */
	MATCH_BODY_REGEX,   /* of HTTP */
	MATCH_MYSQL,        /* a packet of MySQL that is no error */
	MATCH_LINE,         /* anything, up to the end of a line or of what comes */
};

/* What the log says of an expectation. */
struct health_note {
	enum {
		NOTE_NONE,
		NOTE_TEXT,
		NOTE_LINE,  /* the line that came, from byte SKIP on, without spaces before it */
		NOTE_BYTES, /* what came, from byte SKIP on, up to a NUL */
	} kind;
	const char *text;
	size_t skip;
};

/* Codes of HTTP, from LOW to HIGH. */
struct health_codes {
	unsigned low, high;
};

struct health_step {
	enum health_action action;
	unsigned number; /* in messages; 0: the connection that is not written down */
	const char *comment;

	/* HEALTH_CONNECT; port 0, and an address of family AF_UNSPEC: the server's */
	struct addr address;
	unsigned port;
	bool send_proxy; /* a PROXY header comes first */
	bool as_server;  /* else no header but by send_proxy, whatever the server's line says */
	bool linger;     /* it is closed in order, and not by a reset */

	/* HEALTH_SEND */
	struct health_bytes data;

	/* HEALTH_EXPECT */
	enum health_match match;
	struct health_bytes wanted;
	const regex_t *regex;
	struct health_codes *codes;
	size_t code_count;
	unsigned packet; /* MATCH_MYSQL: which one, from 0 */
	bool negated;
	int least; /* bytes that must be there; without a match: -1 waits for more, else none do */
	enum health_status passed, failed, silent;
	struct health_note on_success, on_error;
	bool has_code; /* the answer begins with a code of three digits */
};

enum health_kind {
	HEALTH_BY_RULES, /* `option tcp-check`: messages name the step */
	HEALTH_BY_HTTP,
	HEALTH_BY_PROTOCOL,
};

struct health_script {
	enum health_kind kind;
	struct health_step *steps; /* the first one connects */
	size_t count;
};

/* --- making one; what is missing then is memory, which memory_exhausted() says --- */

/* An expectation with HAProxy's defaults. */
struct health_step health_expectation(enum health_match match, enum health_kind kind);

/* Adds a step to a list that always grew by this function. */
void health_add_step(
	struct health_script *script, struct config_memory *memory, struct health_step step);

/* Compiles HAProxy's regular expressions, as far as POSIX has them. Returns what is wrong with TEXT, or NULL. Static. */
const char *health_compile(struct config_memory *memory, const char *text, const regex_t **regex);

struct health_field {
	const char *name, *value;
};

/* A request of HTTP; what is NULL has HAProxy's default: OPTIONS, /, HTTP/1.0, no body. */
struct health_request {
	const char *method, *uri, *version, *body;
	struct health_field *fields;
	size_t field_count;
};

/* Its bytes, as HAProxy writes them; fields about the connection and the body's length are added. */
struct health_bytes health_write_request(
	struct config_memory *memory, const struct health_request *request);

/* The fixed ones. USER may be NULL for MySQL. */
struct health_script health_script_redis(struct config_memory *memory);
struct health_script health_script_smtp(struct config_memory *memory, const char *hello);
struct health_script health_script_mysql(
	struct config_memory *memory, const char *user, bool before_41);
struct health_script health_script_postgres(struct config_memory *memory, const char *user);
struct health_script health_script_tls(struct config_memory *memory);

/* --- using it --- */

/* What came since the connection, or since the last bytes were sent. */
struct health_input {
	const char *bytes; /* and a '\0' behind them */
	size_t length;
	bool last; /* no more will come, or can be kept */
};

enum health_progress {
	HEALTH_GOES_ON, /* the step is done */
	HEALTH_WAITS,   /* for more input */
	HEALTH_ENDS     /* the verdict is there */
};

/* Judges an expectation. VERDICT's code is filled in any case, and the rest where it ends. */
enum health_progress health_judge(const struct health_script *script,
	const struct health_step *step, const struct health_input *input,
	struct health_verdict *verdict);

/* The verdict behind the last step of a script, or, where SCRIPT is NULL, of a connection. Its code stays. */
void health_pass(const struct health_script *script, const struct health_input *input,
	struct health_verdict *verdict);

/* The verdict of a connection that broke or was silent at STEP. ERROR is an errno, or 0. SCRIPT and STEP may be NULL. */
void health_break(const struct health_script *script, const struct health_step *step,
	enum health_status status, int error, struct health_verdict *verdict);

/* The verdict as HAProxy's log has it, such as `Layer7 wrong status, code: 503, info: "no"`; cut off at ROOM bytes. */
void health_verdict_format(const struct health_verdict *verdict, char *out, size_t room);

/* "L4OK" and "Layer4 check passed": HAProxy's words for it. Static. */
const char *health_status_code(enum health_status status);
const char *health_status_text(enum health_status status);

/* Whether the server is fit. */
bool health_is_passed(enum health_status status);

#endif
