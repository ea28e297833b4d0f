/*
 * Sysctls by their path below /proc/sys: "net/ipv4/conf/eth0.5/rp_filter". The name of a link may have dots, so the
 * form of sysctl(8) with dots is only for people.
 */
#ifndef TPROXY_SYSCTL_H
#define TPROXY_SYSCTL_H

#include <stdbool.h>

/* Whether the kernel has this sysctl in this namespace, readable or not. */
bool sysctl_exists(const char *path);

/* The value up to its first newline, to be freed; NULL where it cannot be read. */
char *sysctl_read(const char *path);

/* Reads a value that is a whole number into *NUMBER. False: it is not one; *NUMBER stays. */
bool sysctl_number(const char *path, int *number);

/* Writes VALUE. Returns 0 or an errno: EIO where the kernel took only a part of it. */
int sysctl_write(const char *path, const char *value);

/* The name that sysctl(8) takes: "/" and "." exchanged; to be freed. */
char *sysctl_name(const char *path);

#endif
