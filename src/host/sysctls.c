/*
 * Sysctls by their path; see the header.
 */
#include "tproxy/sysctls.h"
#include "tproxy/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int open_it(const char *path, int flags)
{
	char *whole = text_format("/proc/sys/%s", path);
	int fd = open(whole, flags | O_CLOEXEC);

	free(whole);
	return fd;
}

bool sysctl_exists(const char *path)
{
	int fd = open_it(path, O_RDONLY);

	if (fd != -1)
		close(fd);
	return fd != -1;
}

char *sysctl_read(const char *path)
{
	char value[4096];
	int fd = open_it(path, O_RDONLY);
	ssize_t length;

	if (fd == -1)
		return NULL;
	length = read(fd, value, sizeof(value) - 1);
	close(fd);
	if (length == -1)
		return NULL;
	value[length] = '\0';
	value[strcspn(value, "\n")] = '\0';
	return text_format("%s", value);
}

int sysctl_write(const char *path, const char *value)
{
	int fd = open_it(path, O_WRONLY), error = 0;

	if (fd == -1)
		return errno;
	if (write(fd, value, strlen(value)) == -1)
		error = errno;
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
