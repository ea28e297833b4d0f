/*
 * The line that a session leaves in the log when it ends: HAProxy's tcplog format, so that what
 * reads HAProxy's logs reads these (configuration manual, sections 8.2.2 and 8.5), or the one that `log-format` or
 * `option jsonlog` asks for.
 */
#ifndef TPROXY_PROCESS_TCPLOG_H
#define TPROXY_PROCESS_TCPLOG_H

#include "proxy/session.h"

/* The line's level of <syslog.h> of a session. */
int tcplog_level(const struct session *session);

/*
 * Whether a session has a line now, in the state that it has come to: at its end, or with `option logasap` as soon as its
 * server is reached.
 */
bool tcplog_is_due(const struct session *session);

/*
 * Writes the line of a session into OUT, without a newline; it is cut where it is longer than
 * ROOM, the bytes of OUT.
 */
void tcplog_format(const struct session *session, char *out, size_t room);

#endif
