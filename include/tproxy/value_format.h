/*
 * Texts with a connection's values in them: HAProxy's log-format, as far as a relay of TCP has the values (configuration
 * manual, section 8.2.4).
 *
 *   %ci %cp   the client's address and port      %fi %fp   those that it connected to
 *   %Ts       when it came, in seconds            %pid      the process's number       %%   a percent sign
 *   %[src] %[src_port] %[dst] %[dst_port]         the same as the first four
 *   %[fc_pp_authority] %[fc_pp_unique_id]         fields of its PROXY header
 *   %{+X}o    values after it are hexadecimal; %{+X}NAME: this one
 *
 * A line of the log has more values, as the manual names them, and the flags Q (in quotes) and E (with what would end them escaped).
 */
#ifndef TPROXY_VALUE_FORMAT_H
#define TPROXY_VALUE_FORMAT_H

#include "tproxy/addr.h"
#include "tproxy/memory.h"
#include "tproxy/proxy_header.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct format_piece;

/* Zeroed: the empty text. It lies in a configuration's memory. */
struct value_format {
	struct format_piece *pieces;
	size_t count;
	bool needs_sockets; /* it has addresses that only the session's sockets know */
};

enum format_use {
	FORMAT_OF_HEADER,
	FORMAT_OF_LOG,
};

/* What only the log knows, by the manual's names. A text that is NULL is not known, and neither is an address of AF_UNSPEC. */
struct log_values {
	struct addr backend_source, server;
	const char *frontend_name, *backend_name, *server_name, *host, *unique_id;
	struct timespec came_at;
	long queue_time, connect_time, total_time; /* milliseconds; -1: did not happen */
	uint64_t to_client, to_server;
	char state[3];
	unsigned process, frontend, backend, server_sessions, retries, server_queue, backend_queue;
	bool redispatched, early; /* EARLY: it goes on */
};

struct format_values {
	struct addr source, destination;
	time_t came_at;
	struct proxy_field authority, unique_id;
	const struct log_values *log; /* of FORMAT_OF_LOG */
};

/* Reads TEXT. Returns NULL, or what is wrong with it, for a message; without memory the format is cut off. */
const char *value_format_parse(struct value_format *format, struct config_memory *memory,
	const char *text, enum format_use use);

/* Writes the text into OUT, without a final NUL, cut at ROOM bytes. Returns its length. */
size_t value_format_write(const struct value_format *format, const struct format_values *values,
	char *out, size_t room);

/* HAProxy's date, "06/Feb/2009:12:14:14.655", in local time. */
void value_format_date(const struct timespec *at, char *out, size_t room);

#endif
