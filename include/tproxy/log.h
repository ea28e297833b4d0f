/*
 * Logs: lines to the configuration's targets.
 *
 * A log never holds a worker up: a target that takes nothing at the moment loses the line, and the
 * loss is counted. Lines are cut at LOG_LINE_MAX. All functions may be called by several threads.
 */
#ifndef TPROXY_LOG_H
#define TPROXY_LOG_H

#include "tproxy/config.h"

#include <stdint.h>
#include <syslog.h>

enum {
	LOG_LINE_MAX = 1024
};

struct log;

/*
 * Opens every target of the configuration. Returns NULL and prints to stderr which one could not be
 * opened. Call it before privileges are dropped. CONFIG must outlive the log.
 */
struct log *log_new(const struct config *config);
void log_free(struct log *log);

/*
 * Writes one line at a level of <syslog.h>. SECTION names whose targets are meant; NULL, and a
 * section without targets, mean those of `global`. Where there are none either, warnings and what
 * is more urgent go to stderr, since nobody would hear of them otherwise.
 */
void log_line(struct log *log, const struct proxy *section, int level, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Whether such a line would go anywhere: spares the work of making it. */
bool log_wants(const struct log *log, const struct proxy *section, int level);

/* Lines that were not taken by their target. */
uint64_t log_lost(const struct log *log);

#endif
