/*
 * Reads a kernel's configuration.
 *
 * The text is kept, with a NUL at the end of each line, and a list of its options points into it. Of two lines
 * about one option Kconfig takes the last, so the list is searched from its end.
 *
 * The trap is an option that is not mentioned. In a complete configuration it is off, because Kconfig leaves out
 * options whose dependencies are off. But an option may also be newer than the kernel, which then works without
 * it: see versioned[].
 */
#include "kernel_config.h"
#include "tproxy/array.h"
#include "tproxy/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <zlib.h>

#define DIGITS  "0123456789"
#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define PREFIX  "CONFIG_"
#define NOT_SET " is not set"
#define HEADING " Kernel Configuration"

enum {
	SIZE_MAX_READ = 16 * 1024 * 1024, /* bytes; a distribution's has a fortieth */
	SHOWN_MAX = 40                    /* bytes of a line in an error */
};

struct line {
	const char *name; /* not terminated */
	size_t length;
	enum kernel_option value;
};

struct kernel_config {
	char *source, *text, *version;
	struct line *lines;
	size_t count;
};

/*
 * Options that Linux has only since a version. For an older or unknown version it is enough that `user`, which
 * needs the option, is on.
 */
static const struct {
	const char *option, *user;
	unsigned major, minor;
} versioned[] = {
	{"CONFIG_IP_NF_IPTABLES_LEGACY", "CONFIG_IP_NF_MANGLE", 6, 9},
	{"CONFIG_IP6_NF_IPTABLES_LEGACY", "CONFIG_IP6_NF_MANGLE", 6, 9},
};

/* --- one line --- */

static bool is_string(const char *value)
{
	size_t length = strlen(value);

	if (length < 2 || value[0] != '"' || value[length - 1] != '"')
		return false;
	for (const char *at = value + 1; at < value + length - 1; at++)
		if (*at == '"' || (*at == '\\' && ++at == value + length - 1))
			return false;
	return true;
}

static bool is_number(const char *value)
{
	const char *digits = DIGITS;

	if (strncmp(value, "0x", 2) == 0 || strncmp(value, "0X", 2) == 0) {
		value += 2;
		digits = DIGITS "abcdefABCDEF";
	} else if (*value == '-') {
		value++;
	}
	return *value != '\0' && value[strspn(value, digits)] == '\0';
}

static bool read_value(const char *text, enum kernel_option *value)
{
	if (strcmp(text, "n") == 0)
		*value = KERNEL_OPTION_NO;
	else if (strcmp(text, "m") == 0)
		*value = KERNEL_OPTION_MODULE;
	else if (strcmp(text, "y") == 0 || is_string(text) || is_number(text))
		*value = KERNEL_OPTION_YES;
	else
		return false;
	return true;
}

/* The length of an option's name at the beginning of the text, or 0. */
static size_t name_length(const char *text)
{
	size_t prefix = strlen(PREFIX), length;

	if (strncmp(text, PREFIX, prefix) != 0)
		return 0;
	length = strspn(text + prefix, LETTERS DIGITS "_");
	return length == 0 ? 0 : prefix + length;
}

static void add_option(
	struct kernel_config *config, const char *name, size_t length, enum kernel_option value)
{
	config->lines = array_room(config->lines, config->count, sizeof(*config->lines));
	config->lines[config->count++] = (struct line){name, length, value};
}

/* "# Linux/x86 6.1.176 Kernel Configuration" */
static void read_heading(struct kernel_config *config, const char *line)
{
	const char *version = strstr(line, " Linux/"), *end = strstr(line, HEADING);

	if (version == NULL || end == NULL || config->version != NULL || version > end)
		return;
	version = strchr(version + 1, ' ');
	if (version != NULL && version < end)
		config->version = text_format("%.*s", (int)(end - version - 1), version + 1);
}

static void read_comment(struct kernel_config *config, const char *line)
{
	size_t length = strncmp(line, "# ", 2) == 0 ? name_length(line + 2) : 0;

	if (length > 0 && strcmp(line + 2 + length, NOT_SET) == 0)
		add_option(config, line + 2, length, KERNEL_OPTION_NO);
	else
		read_heading(config, line);
}

static bool read_line(struct kernel_config *config, const char *line)
{
	size_t length = name_length(line);
	enum kernel_option value;

	if (line[0] == '\0')
		return true;
	if (line[0] == '#') {
		read_comment(config, line);
		return true;
	}
	if (length == 0 || line[length] != '=' || !read_value(line + length + 1, &value))
		return false;
	add_option(config, line, length, value);
	return true;
}

/* --- the text --- */

static void set_error(char *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void set_error(char *error, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(error, KERNEL_CONFIG_ERROR_MAX, format, list);
	va_end(list);
	text_make_plain(error);
}

/* Reads config->text, SIZE bytes and a NUL. */
static bool read_lines(struct kernel_config *config, size_t size, char *error)
{
	char *line = config->text, *behind = config->text + size, *end;

	for (unsigned number = 1; line < behind; number++, line = end + 1) {
		end = memchr(line, '\n', (size_t)(behind - line));
		if (end == NULL) {
			set_error(error, "%s:%u: the last line has no end; the file is cut off",
				config->source, number);
			return false;
		}
		*end = '\0';
		if (strlen(line) != (size_t)(end - line) || !read_line(config, line)) {
			set_error(error, "%s:%u: '%.*s' is not a line of a kernel configuration",
				config->source, number, SHOWN_MAX, line);
			return false;
		}
	}
	if (config->count == 0)
		set_error(error, "%s: no option of a kernel found", config->source);
	return config->count != 0;
}

/* Takes ownership of TEXT, SIZE bytes and a NUL. */
static struct kernel_config *make_config(char *text, size_t size, const char *source, char *error)
{
	struct kernel_config *config = calloc(1, sizeof(*config));

	if (config == NULL)
		abort(); /* out of memory */
	config->text = text;
	config->source = text_format("%s", source);
	if (!read_lines(config, size, error)) {
		kernel_config_free(config);
		return NULL;
	}
	return config;
}

struct kernel_config *kernel_config_parse(
	const char *text, size_t length, const char *source, char error[KERNEL_CONFIG_ERROR_MAX])
{
	char *copy = malloc(length + 1);

	if (copy == NULL)
		abort(); /* out of memory */
	memcpy(copy, text, length);
	copy[length] = '\0';
	return make_config(copy, length, source, error);
}

void kernel_config_free(struct kernel_config *config)
{
	if (config == NULL)
		return;
	free(config->source);
	free(config->text);
	free(config->version);
	free(config->lines);
	free(config);
}

/* --- files --- */

/* Why gzread() returned nothing more; NULL: the file ended. */
static const char *read_error(gzFile file, int length)
{
	int status;

	gzerror(file, &status);
	if (status == Z_BUF_ERROR)
		return "the compressed file is cut off";
	if (status == Z_ERRNO)
		return strerror(errno);
	return length == -1 ? "the compressed file is damaged" : NULL;
}

/* The text of FILE with a NUL behind it, *SIZE bytes, or NULL with ERROR. */
static char *read_all(gzFile file, const char *path, size_t *size, char *error)
{
	char *text = malloc(SIZE_MAX_READ + 1), *smaller;
	const char *why;
	int length;

	if (text == NULL)
		abort(); /* out of memory */
	*size = 0;
	while ((length = gzread(file, text + *size, (unsigned)(SIZE_MAX_READ - *size))) > 0)
		*size += (size_t)length;
	why = read_error(file, length);
	if (why != NULL)
		set_error(error, "%s: %s", path, why);
	else if (*size == SIZE_MAX_READ)
		set_error(error, "%s: larger than any kernel configuration", path);
	if (why != NULL || *size == SIZE_MAX_READ) {
		free(text);
		return NULL;
	}
	text[*size] = '\0';
	smaller = realloc(text, *size + 1);
	return smaller != NULL ? smaller : text;
}

/* As kernel_config_load(); errno says why the file could not be opened, 0: it was opened. */
static struct kernel_config *load_file(const char *path, char *error)
{
	struct kernel_config *config = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC), failed = errno;
	gzFile file;
	size_t size;
	char *text;

	if (fd == -1) {
		set_error(error, "%s: %s", path, strerror(failed));
		errno = failed;
		return NULL;
	}
	file = gzdopen(fd, "rb");
	if (file == NULL)
		abort(); /* out of memory */
	text = read_all(file, path, &size, error);
	gzclose(file);
	if (text != NULL)
		config = make_config(text, size, path, error);
	errno = 0;
	return config;
}

struct kernel_config *kernel_config_load(const char *path, char error[KERNEL_CONFIG_ERROR_MAX])
{
	return load_file(path, error);
}

struct kernel_config *kernel_config_running(const char *root, char error[KERNEL_CONFIG_ERROR_MAX])
{
	struct kernel_config *config = NULL;
	char *paths[3], *tried = NULL;
	struct utsname names;
	bool missing = true;

	uname(&names);
	paths[0] = text_format("%s/proc/config.gz", root);
	paths[1] = text_format("%s/boot/config-%s", root, names.release);
	paths[2] = text_format("%s/lib/modules/%s/config", root, names.release);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		if (missing) {
			config = load_file(paths[i], error);
			missing = config == NULL && (errno == ENOENT || errno == ENOTDIR);
		}
		text_add(&tried, "%s%s", i > 0 ? ", " : "", paths[i]);
		free(paths[i]);
	}
	if (missing)
		set_error(error, "%s: %s", tried, strerror(ENOENT));
	free(tried);
	return config;
}

/* --- options --- */

const char *kernel_config_source(const struct kernel_config *config)
{
	return config->source;
}

const char *kernel_config_version(const struct kernel_config *config)
{
	return config->version;
}

enum kernel_option kernel_config_option(const struct kernel_config *config, const char *option)
{
	size_t length = strlen(option);

	for (size_t i = config->count; i-- > 0;)
		if (config->lines[i].length == length &&
			memcmp(config->lines[i].name, option, length) == 0)
			return config->lines[i].value;
	return KERNEL_OPTION_ABSENT;
}

static bool is_older(const struct kernel_config *config, unsigned major, unsigned minor)
{
	char *end;
	unsigned long first = strtoul(config->version, &end, 10);
	unsigned long second = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;

	return first < major || (first == major && second < minor);
}

/* For an option that is not mentioned: whether the kernel works without it. */
static bool works_without(const struct kernel_config *config, const char *option)
{
	for (size_t i = 0; i < sizeof(versioned) / sizeof(versioned[0]); i++) {
		if (strcmp(versioned[i].option, option) != 0)
			continue;
		if (config->version != NULL)
			return is_older(config, versioned[i].major, versioned[i].minor);
		return kernel_config_option(config, versioned[i].user) >= KERNEL_OPTION_MODULE;
	}
	return false;
}

static enum kernel_allows allows_option(const struct kernel_config *config, const char *option)
{
	switch (kernel_config_option(config, option)) {
	case KERNEL_OPTION_YES:
	case KERNEL_OPTION_MODULE:
		return KERNEL_ALLOWS_YES;
	case KERNEL_OPTION_ABSENT:
		if (works_without(config, option))
			return KERNEL_ALLOWS_YES;
		return config->version != NULL ? KERNEL_ALLOWS_NO : KERNEL_ALLOWS_UNKNOWN;
	default:
		return KERNEL_ALLOWS_NO;
	}
}

enum kernel_allows kernel_config_allows(const struct kernel_config *config,
	enum capability_name name, int family, const char *options[CAPABILITY_OPTIONS_MAX],
	size_t *count)
{
	const struct capability *capability = &capabilities[name];
	const char *const *all = capability->options[capability->families && family == AF_INET6];
	enum kernel_allows whole = KERNEL_ALLOWS_YES;

	*count = 0;
	for (size_t i = 0; i < CAPABILITY_OPTIONS_MAX && all[i] != NULL; i++) {
		enum kernel_allows one = allows_option(config, all[i]);

		if (one == KERNEL_ALLOWS_YES)
			continue;
		options[(*count)++] = all[i];
		if (whole != KERNEL_ALLOWS_NO)
			whole = one;
	}
	return whole;
}

const char *kernel_allows_name(enum kernel_allows allows)
{
	static const char *const names[] = {"unknown", "on", "off"};

	return names[allows];
}
