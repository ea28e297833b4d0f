/*
 * A sink: one place that log lines go to, open for writing. Writing to it never waits.
 *
 * A sink is used by one thread at a time; its owner holds a lock. Functions return 0 or an errno.
 */
#ifndef TPROXY_PROCESS_SINK_H
#define TPROXY_PROCESS_SINK_H

#include "log.h"
#include "privileges.h"
#include "tproxy/config.h"

enum {
	SINK_WRITE_MAX = 2 * LOG_LINE_MAX /* bytes that are written at once */
};

/* How a line gets to its place without waiting for it. */
enum sink_way {
	SINK_WRITE,  /* an open file of our own that never blocks */
	SINK_SEND,   /* a socket that others share: this one call does not block */
	SINK_ASK,    /* a file that others share and that may block: poll() is asked first */
	SINK_SENDTO, /* a datagram socket of our own, for syslog */
};

struct sink {
	const struct log_target *target; /* must outlive the sink */
	int fd;
	enum sink_way way;
	bool torn; /* a line was taken in part: the next one begins on a new line */
};

/*
 * Opens the place of TARGET, which must outlive SINK. A file that is made is given to OWNER (NULL: to
 * the process's user). A FIFO without a reader fails with ENXIO, a symbolic link with ELOOP. On
 * failure nothing is left open.
 */
int sink_open(struct sink *sink, const struct log_target *target, const struct identity *owner);

/* May be called again. */
void sink_close(struct sink *sink);

/* 0 where syslog takes lines now, and for a sink that is not syslog's; else the errno of connect(2). */
int sink_reach(const struct sink *sink);

/*
 * Writes LENGTH bytes, at most SINK_WRITE_MAX: whole lines, which end with a newline unless the sink
 * takes datagrams. An errno means that they are lost: EAGAIN where the place takes nothing now, or
 * took a part; the next line then begins with a newline.
 */
int sink_write(struct sink *sink, const char *line, size_t length);

/* Whether each line is a datagram, without a newline. */
bool sink_takes_datagrams(const struct sink *sink);

#endif
