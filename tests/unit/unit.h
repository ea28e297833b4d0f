/*
 * What every unit test needs: cmocka's headers in the order it wants them, bytes written as text,
 * and the descriptors of this process.
 */
#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>

/*
 * A size that is large for the sake of time and memory. A sanitizer takes five to ten times as long and judges neither:
 * what it reports, a tenth of the size shows as well.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LARGE(number) ((number) / 10)
#else
#define LARGE(number) (number)
#endif

/* memcpy() of bytes that are no string, though they may be written as one. */
static inline void copy_bytes(void *to, const void *from, size_t length)
{
	memcpy(to, from, length);
}

/* Of the first 256 only: no unit test opens more. */
static inline unsigned descriptors_open(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) != -1;
	return count;
}

#endif
