/*
 * Time for deadlines, in milliseconds.
 */
#ifndef TPROXY_CLOCK_H
#define TPROXY_CLOCK_H

/* Milliseconds of CLOCK_MONOTONIC, since an unspecified start (clock_gettime(2)). */
long long clock_ms(void);

#endif
