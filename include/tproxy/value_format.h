/*
 * Texts with a connection's values in them: HAProxy's log-format, as far as a relay of TCP has the values (configuration
 * manual, section 8.2.4).
 *
 *   %ci %cp   the client's address and port      %fi %fp   those that it connected to
 *   %Ts       when it came, in seconds            %pid      the process's number       %%   a percent sign
 *   %[src] %[src_port] %[dst] %[dst_port]         the same as the first four
 *   %[fc_pp_authority] %[fc_pp_unique_id]         fields of its PROXY header
 *   %{+X}o    values after it are hexadecimal; %{+X}NAME: this one
 */
#ifndef TPROXY_VALUE_FORMAT_H
#define TPROXY_VALUE_FORMAT_H

#include "tproxy/addr.h"
#include "tproxy/memory.h"
#include "tproxy/proxy_header.h"

#include <stddef.h>
#include <time.h>

struct format_piece;

/* Zeroed: the empty text. It lies in a configuration's memory. */
struct value_format {
	struct format_piece *pieces;
	size_t count;
};

struct format_values {
	struct addr source, destination;
	time_t came_at;
	struct proxy_field authority, unique_id;
};

/* Reads TEXT. Returns NULL, or what is wrong with it, for a message; without memory the format is cut off. */
const char *value_format_parse(
	struct value_format *format, struct config_memory *memory, const char *text);

/* Writes the text into OUT, without a final NUL, cut at ROOM bytes. Returns its length. */
size_t value_format_write(const struct value_format *format, const struct format_values *values,
	char *out, size_t room);

#endif
