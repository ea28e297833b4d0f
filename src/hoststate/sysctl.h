/*
 * Sysctls, by their path below /proc/sys: "net/ipv4/conf/eth0.5/rp_filter". A link's name may have dots
 * in it, so the form with dots is for people only.
 */
#ifndef TPROXY_SYSCTLS_H
#define TPROXY_SYSCTLS_H

#include <stdbool.h>

/* Whether the kernel has it for this namespace, be it readable or not. */
bool sysctl_exists(const char *path);

/* The value without its final newline, to be freed; NULL where it cannot be read. */
char *sysctl_read(const char *path);

/* A value that is a whole number, in *NUMBER; false, with *NUMBER as it was, where it is none. */
bool sysctl_number(const char *path, int *number);

/* 0, or errno. */
int sysctl_write(const char *path, const char *value);

/* As sysctl(8) takes it: slashes for dots, and the other way round; to be freed. */
char *sysctl_name(const char *path);

#endif
