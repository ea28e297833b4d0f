/* Small files of a configuration, read as a whole. */
#ifndef TPROXY_FILE_H
#define TPROXY_FILE_H

#include <stddef.h>

/*
 * Reads the file at PATH, which may be a pipe, too. Returns its bytes, to be freed, with a NUL byte behind them, and their number in *LENGTH; NULL
 * with errno where it cannot be read, EFBIG where it has more than 16 MiB.
 */
char *file_read(const char *path, size_t *length);

/* The same for a regular file alone; errno is EINVAL for another one. It never waits for a writer. */
char *file_read_regular(const char *path, size_t *length);

/* The same, and errno is ELOOP for a symbolic link: for files in a folder of another user. */
char *file_read_no_link(const char *path, size_t *length);

#endif
