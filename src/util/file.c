/*
 * Files are read to their end before anything is made of them, so that a file that changes meanwhile is taken as it was
 * at one time or fails. The size that fstat() says is not believed: files of /proc have none.
 *
 * The trap: opening a pipe waits until another program writes to it. Where that must not be, the file is opened without
 * waiting, and looked at.
 */
#include "tproxy/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX ((size_t)16 << 20)

/* Reads all that is left of FD. Returns NULL with errno set. */
static char *read_all(int fd, size_t *length)
{
	size_t room = 4096;
	char *text = malloc(room), *larger;
	ssize_t got;

	for (*length = 0; text != NULL; *length += (size_t)got) {
		got = read(fd, text + *length, room - *length);
		if (got == 0) {
			text[*length] = '\0';
			return text;
		}
		if (got == -1)
			break;
		if (*length + (size_t)got < room)
			continue;
		errno = EFBIG;
		larger = room < FILE_MAX ? realloc(text, 2 * room) : NULL;
		if (larger == NULL)
			break;
		text = larger;
		room *= 2;
	}
	free(text);
	return NULL;
}

static bool is_regular(int fd)
{
	struct stat status;

	if (fstat(fd, &status) == -1)
		return false;
	errno = EINVAL;
	return S_ISREG(status.st_mode);
}

static char *read_path(const char *path, int flags, bool only_regular, size_t *length)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | flags), error;
	char *text = NULL;

	if (fd == -1)
		return NULL;
	if (!only_regular || is_regular(fd))
		text = read_all(fd, length);
	error = errno;
	close(fd);
	errno = error;
	return text;
}

char *file_read(const char *path, size_t *length)
{
	return read_path(path, 0, false, length);
}

char *file_read_regular(const char *path, size_t *length)
{
	return read_path(path, O_NONBLOCK, true, length);
}

char *file_read_no_link(const char *path, size_t *length)
{
	return read_path(path, O_NONBLOCK | O_NOFOLLOW, true, length);
}
