/*
 * What a line of the log says of a session or a flow, and the line in the form that the frontend asks for: `option tcplog`,
 * `log-format` or `option jsonlog`.
 */
#ifndef TPROXY_PROCESS_SESSION_LOG_H
#define TPROXY_PROCESS_SESSION_LOG_H

#include "tproxy/config.h"

enum {
	UNIQUE_ID_MAX = 1024
};

/* All that a line may have. */
struct line_values {
	struct format_values values; /* its `log` is LOG */
	struct log_values log;
	enum mode mode;
	const char *reason;
	char unique_id[UNIQUE_ID_MAX];
};

/* Fills in what both kinds have from the others: the host's name, and the frontend's unique id. */
void line_values_complete(struct line_values *values, const struct proxy *frontend);

/* Writes the line into OUT, cut at ROOM bytes, with its final NUL. */
void line_write(
	const struct line_values *values, const struct proxy *frontend, char *out, size_t room);

#endif
