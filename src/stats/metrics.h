/*
 * The statistics in Prometheus' text format, under the names of HAProxy's exporter where the meaning is the same.
 */
#ifndef TPROXY_STATS_METRICS_H
#define TPROXY_STATS_METRICS_H

#include "cli.h"

/* Adds all of them to OUT. False: no memory, and OUT has a part of them. */
bool metrics_write(const struct stats_core *core, struct evbuffer *out);

#endif
