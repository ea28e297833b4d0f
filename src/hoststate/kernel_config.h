/*
 * A kernel's configuration, and which capabilities it allows.
 *
 * The form is that of the kernel's own .config: CONFIG_NAME=VALUE, or "# CONFIG_NAME is not set". A complete
 * configuration has a heading with the kernel's version ("# Linux/x86 6.1.0 Kernel Configuration"); an option that
 * it does not mention is off. A fragment has no heading, and says nothing about other options.
 *
 * Reading is strict: other text, or text that is cut off, is refused with its place.
 */
#ifndef TPROXY_KERNEL_CONFIG_H
#define TPROXY_KERNEL_CONFIG_H

#include "capability.h"

#include <stdbool.h>
#include <stddef.h>

#define KERNEL_CONFIG_ERROR_MAX 512

enum kernel_option {
	KERNEL_OPTION_ABSENT, /* not mentioned */
	KERNEL_OPTION_NO,
	KERNEL_OPTION_MODULE,
	KERNEL_OPTION_YES /* any value but n and m: numbers and strings, too */
};

enum kernel_allows {
	KERNEL_ALLOWS_UNKNOWN, /* a fragment that does not mention an option */
	KERNEL_ALLOWS_YES,     /* each option is built in or a module */
	KERNEL_ALLOWS_NO
};

struct kernel_config;

/*
 * Reads a file, plain or compressed by gzip. The result is to be freed by kernel_config_free(); NULL with the
 * reason, path included, in ERROR.
 */
struct kernel_config *kernel_config_load(const char *path, char error[KERNEL_CONFIG_ERROR_MAX]);

/*
 * Reads that of the running kernel: the first of /proc/config.gz, /boot/config-RELEASE and
 * /lib/modules/RELEASE/config that exists, below ROOT ("" for the host's own). If that one cannot be read, it is
 * an error. Returns as kernel_config_load().
 */
struct kernel_config *kernel_config_running(const char *root, char error[KERNEL_CONFIG_ERROR_MAX]);

/* Reads LENGTH bytes of TEXT; SOURCE is its name in errors. Returns as kernel_config_load(). */
struct kernel_config *kernel_config_parse(
	const char *text, size_t length, const char *source, char error[KERNEL_CONFIG_ERROR_MAX]);

void kernel_config_free(struct kernel_config *config);

/* Where it was read from. */
const char *kernel_config_source(const struct kernel_config *config);

/* The version in the heading: "6.1.176"; NULL for a fragment. */
const char *kernel_config_version(const struct kernel_config *config);

/* The value of OPTION, "CONFIG_X". */
enum kernel_option kernel_config_option(const struct kernel_config *config, const char *option);

/*
 * Whether the options of a capability are on, as capabilities[] lists them. Fills in OPTIONS with those that are
 * off or not mentioned, and *COUNT with their number.
 */
enum kernel_allows kernel_config_allows(const struct kernel_config *config,
	enum capability_name name, int family, const char *options[CAPABILITY_OPTIONS_MAX],
	size_t *count);

/* "on", "off" or "unknown". */
const char *kernel_allows_name(enum kernel_allows allows);

#endif
