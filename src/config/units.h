/* Numbers of a configuration. Each returns NULL, or what is wrong with the text. */
#ifndef TPROXY_CONFIG_UNITS_H
#define TPROXY_CONFIG_UNITS_H

/* A whole number, digits only, from MINIMUM to MAXIMUM. */
const char *number_parse(const char *text, unsigned minimum, unsigned maximum, unsigned *value);

/* A duration with its unit (us ms s m h d; none means ms), in milliseconds. */
const char *duration_parse(const char *text, unsigned *milliseconds);

#endif
