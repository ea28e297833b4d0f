/* Names of texts by their bytes: two texts with the same one are the same. */
#ifndef TPROXY_DIGEST_H
#define TPROXY_DIGEST_H

#include <stddef.h>

enum {
	DIGEST_TEXT = 64 + 1,
};

/* Writes SHA-256 of the bytes as 64 hexadecimal digits, with a final NUL. BYTES may be NULL where LENGTH is 0. */
void digest_text(const void *bytes, size_t length, char text[DIGEST_TEXT]);

#endif
