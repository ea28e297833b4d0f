/*
 * Logs: lines to the configuration's targets.
 *
 * No thread waits for a log: a target that takes nothing at the moment loses the line. The loss is
 * counted, and reported in the log once the target takes lines again. The one exception is a regular
 * file, whose disk may be slow. Lines are cut at LOG_LINE_MAX. Several threads may call log_line(),
 * log_wants() and log_lost(); the other functions are for the main thread.
 */
#ifndef TPROXY_PROCESS_LOG_H
#define TPROXY_PROCESS_LOG_H

#include "tproxy/config.h"

#include <stdint.h>
#include <syslog.h>

enum {
	LOG_LINE_MAX = 1024 /* bytes, with what stands before the message */
};

struct identity;
struct log;

/*
 * Opens stderr and every target of CONFIG, which must outlive the log. A file that does not exist is
 * made, and given to OWNER (NULL: to this process's user). Call it before privileges are dropped.
 * Returns NULL, with a message on stderr, where a target cannot be opened or memory is missing.
 */
struct log *log_new(const struct config *config, const struct identity *owner);

/*
 * The same for a CONFIG that follows the one of BEFORE: what both write to is shared and stays open, and
 * the message about what cannot be opened goes to BEFORE. Either of the two may be freed first.
 */
struct log *log_renew(struct log *before, const struct config *config);

/* NULL is allowed. */
void log_free(struct log *log);

/*
 * Writes one line at a level of <syslog.h>, to the targets of SECTION. NULL, and a section without
 * targets, stand for those of `global`. Where there are none either, lines of LOG_WARNING and more
 * urgent ones go to stderr.
 */
void log_line(struct log *log, const struct proxy *section, int level, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Whether any target takes a line of this section and level. If not, it need not be made. */
bool log_wants(const struct log *log, const struct proxy *section, int level);

/*
 * Writes one line for the person who starts the daemon, to stderr; the targets do not get it. After
 * log_started() it is for the person who reloads it, and goes to the targets of `global`.
 */
void log_complain(struct log *log, const char *format, ...) __attribute__((format(printf, 2, 3)));

void log_started(struct log *log);

/* Complains of syslog targets that cannot be reached now. Call it once privileges are dropped. */
void log_check(struct log *log);

/*
 * Opens the log files again, by their paths, and logs the result. A file that cannot be opened stays
 * as it was.
 */
void log_reopen(struct log *log);

/* How many places it has open. */
size_t log_places(const struct log *log);

/* What is written to stderr goes to NOWHERE from now on, a descriptor of /dev/null. Makes the call dup3() only. */
void log_leave_stderr(struct log *log, int nowhere);

/* How many lines were lost, over all targets. */
uint64_t log_lost(const struct log *log);

#endif
