/*
 * Reads and writes sysctls as the files below /proc/sys.
 *
 * The trap: some values are longer than one read() returns, and a write() that is too long may set a part.
 */
#include "sysctl.h"
#include "tproxy/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int open_sysctl(const char *path, int flags)
{
	char *whole = text_format("/proc/sys/%s", path);
	int fd = open(whole, flags | O_CLOEXEC);

	free(whole);
	return fd;
}

bool sysctl_exists(const char *path)
{
	char *whole = text_format("/proc/sys/%s", path);
	bool there = access(whole, F_OK) == 0;

	free(whole);
	return there;
}

char *sysctl_read(const char *path)
{
	char part[4096];
	struct text_stream value;
	int fd = open_sysctl(path, O_RDONLY);
	ssize_t length;
	char *text;

	if (fd == -1)
		return NULL;
	text_begin(&value);
	/* Some values are longer than the kernel hands over at once. */
	while ((length = read(fd, part, sizeof(part))) > 0)
		fwrite(part, 1, (size_t)length, value.out);
	close(fd);
	text = text_end(&value);
	if (length == -1) {
		free(text);
		return NULL;
	}
	text[strcspn(text, "\n")] = '\0';
	return text;
}

bool sysctl_number(const char *path, int *number)
{
	char *text = sysctl_read(path), *end = NULL;
	long value = 0;
	bool well = text != NULL && *text != '\0';

	errno = 0;
	if (well)
		value = strtol(text, &end, 10);
	well = well && *end == '\0' && errno == 0 && value >= INT_MIN && value <= INT_MAX;
	if (well)
		*number = (int)value;
	free(text);
	return well;
}

int sysctl_write(const char *path, const char *value)
{
	int fd = open_sysctl(path, O_WRONLY), error = 0;
	size_t length = strlen(value);
	ssize_t written;

	if (fd == -1)
		return errno;
	written = write(fd, value, length);
	if (written == -1)
		error = errno;
	else if ((size_t)written != length)
		error = EIO; /* the kernel took a part of it as the value */
	close(fd);
	return error;
}

char *sysctl_name(const char *path)
{
	char *name = text_format("%s", path);

	for (char *at = name; *at != '\0'; at++) {
		if (*at == '/')
			*at = '.';
		else if (*at == '.')
			*at = '/';
	}
	return name;
}
