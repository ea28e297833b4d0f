/*
 * Logs: lines to the configuration's targets.
 *
 * A log never holds a thread up: a target that takes nothing at the moment loses the line, the loss
 * is counted, and a line says so once the target takes lines again. The one exception is a regular
 * file, whose disk may be slow. Lines are cut at LOG_LINE_MAX. All functions may be called by
 * several threads.
 */
#ifndef TPROXY_LOG_H
#define TPROXY_LOG_H

#include "tproxy/config.h"
#include "tproxy/privileges.h"

#include <stdint.h>
#include <syslog.h>

enum {
	LOG_LINE_MAX = 1024
};

struct log;

/*
 * Opens stderr and every target of the configuration. Files that do not exist are made, and given to
 * OWNER. Returns NULL where one can't be opened, or memory is missing; stderr has then been written
 * which. Call it before privileges are dropped. CONFIG must outlive the log.
 */
struct log *log_new(const struct config *config, const struct identity *owner);
void log_free(struct log *log);

/*
 * Writes one line at a level of <syslog.h>. SECTION names whose targets are meant; NULL, and a
 * section without targets, mean those of `global`. Where there are none either, warnings and what
 * is more urgent go to stderr.
 */
void log_line(struct log *log, const struct proxy *section, int level, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Whether such a line would go anywhere: spares the work of making it. */
bool log_wants(const struct log *log, const struct proxy *section, int level);

/* Writes one line to stderr, whatever the targets: for the person who starts the daemon. */
void log_complain(struct log *log, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Complains of syslog targets that cannot be reached now. Call it once privileges are dropped. */
void log_check(struct log *log);

/* Opens the log files again, by their paths, and says in the log what came of it. */
void log_reopen(struct log *log);

/* Lines that were not taken by their target. */
uint64_t log_lost(const struct log *log);

#endif
