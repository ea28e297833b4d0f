/*
 * A kernel's configuration, and which capabilities it allows.
 *
 * The form is that of the kernel's own .config: CONFIG_NAME=VALUE, or "# CONFIG_NAME is not set". A whole
 * configuration begins with a heading that tells the kernel's version ("# Linux/x86 6.1.0 Kernel
 * Configuration"); it leaves out what depends on something that is off, so what it does not mention is
 * off. A fragment, which has no such heading, says nothing about what it does not mention.
 *
 * Reading is strict: text that is anything else, or that is cut off, is refused with the place.
 */
#ifndef TPROXY_KERNEL_CONFIG_H
#define TPROXY_KERNEL_CONFIG_H

#include "capability.h"

#include <stdbool.h>
#include <stddef.h>

#define KERNEL_CONFIG_ERROR_MAX 512

enum kernel_option {
	KERNEL_OPTION_ABSENT, /* not mentioned at all */
	KERNEL_OPTION_NO,
	KERNEL_OPTION_MODULE,
	KERNEL_OPTION_YES /* any value but n and m: numbers and strings, too */
};

enum kernel_allows {
	KERNEL_ALLOWS_UNKNOWN, /* a fragment that leaves an option open */
	KERNEL_ALLOWS_YES,     /* each option is built in or a module */
	KERNEL_ALLOWS_NO
};

struct kernel_config;

/*
 * From a file, plain or compressed by gzip. Returns NULL with the reason, path included, in ERROR. The
 * result is the caller's: kernel_config_free().
 */
struct kernel_config *kernel_config_load(const char *path, char error[KERNEL_CONFIG_ERROR_MAX]);

/*
 * The running kernel's: /proc/config.gz, /boot/config-RELEASE or /lib/modules/RELEASE/config, the
 * first that exists, under ROOT ("" for the host's own). One that exists and cannot be read is an error.
 */
struct kernel_config *kernel_config_running(const char *root, char error[KERNEL_CONFIG_ERROR_MAX]);

/* From text; SOURCE is what errors call it. */
struct kernel_config *kernel_config_parse(
	const char *text, size_t length, const char *source, char error[KERNEL_CONFIG_ERROR_MAX]);

void kernel_config_free(struct kernel_config *config);

/* Where it was read from. */
const char *kernel_config_source(const struct kernel_config *config);

/* The version that its heading tells: "6.1.176"; NULL for a fragment. */
const char *kernel_config_version(const struct kernel_config *config);

/* What it says of "CONFIG_X". */
enum kernel_option kernel_config_option(const struct kernel_config *config, const char *option);

/*
 * Whether a capability's options are on, as capabilities[] lists them. Fills in those that stand in the
 * way, off or left open, and their number.
 */
enum kernel_allows kernel_config_allows(const struct kernel_config *config,
	enum capability_name name, int family, const char *options[CAPABILITY_OPTIONS_MAX],
	size_t *count);

/* "on", "off" or "unknown". */
const char *kernel_allows_name(enum kernel_allows allows);

#endif
