/*
 * Time for deadlines.
 */
#ifndef TPROXY_CLOCK_H
#define TPROXY_CLOCK_H

/* Milliseconds of CLOCK_MONOTONIC. */
long long clock_ms(void);

#endif
