/*
 * A sink: one place that log lines go to, open for writing, and written to without ever waiting.
 *
 * A sink is used by one thread at a time; its owner holds a lock. Errors are returned as errno
 * values, 0 is success.
 */
#ifndef TPROXY_OPS_SINK_H
#define TPROXY_OPS_SINK_H

#include "tproxy/config.h"
#include "tproxy/log.h"
#include "tproxy/privileges.h"

enum {
	SINK_WRITE_MAX = 2 * LOG_LINE_MAX /* bytes that are written at once */
};

/* How a line gets to its place without waiting for it. */
enum sink_way {
	SINK_WRITE,  /* an open file of our own that never blocks */
	SINK_SEND,   /* a socket that others share: this one call does not block */
	SINK_ASK,    /* a file that others share and that may block: asked first */
	SINK_SENDTO, /* a datagram socket of our own, for syslog */
};

struct sink {
	const struct log_target *target; /* must outlive the sink */
	int fd;
	enum sink_way way;
	bool torn; /* a line was taken in part: the next one begins on a new line */
};

/*
 * Opens the place of a target. A file that is made belongs to OWNER; NULL leaves it to the process's
 * own user. On failure nothing is left open.
 */
int sink_open(struct sink *sink, const struct log_target *target, const struct identity *owner);
void sink_close(struct sink *sink);

/* Whether syslog could take a line now: for a target of its kinds only, others always can. */
int sink_reach(const struct sink *sink);

/* Writes lines, which end with a newline unless the sink takes datagrams; all of it or an error. */
int sink_write(struct sink *sink, const char *line, size_t length);
bool sink_takes_datagrams(const struct sink *sink);

#endif
