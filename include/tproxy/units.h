/*
 * Numbers and durations of a configuration (HAProxy manual, 2.5 time format).
 *
 * Each function returns NULL, or what is wrong with the text, as a constant; then the result is not written.
 */
#ifndef TPROXY_UNITS_H
#define TPROXY_UNITS_H

/* A whole number, digits only, from MINIMUM to MAXIMUM. */
const char *number_parse(const char *text, unsigned minimum, unsigned maximum, unsigned *value);

/* A duration with its unit (us ms s m h d; none means ms), in milliseconds, rounded up; at most 2147483647. */
const char *duration_parse(const char *text, unsigned *milliseconds);

#endif
