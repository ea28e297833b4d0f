/*
 * The folder of versions: a file for each text, named by its time and its digest, and beside it who saved it.
 */
#ifndef TPROXY_EDIT_VERSION_STORE_H
#define TPROXY_EDIT_VERSION_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

enum {
	VERSION_ID = 16 + 1 + 16 +
		     1, /* microseconds, a dash, the digest's first half of 16 bytes, a NUL */
};

struct version_list {
	char (*ids)[VERSION_ID]; /* the newest first; free() frees them */
	size_t count;
};

/* Whether NAME has the form of an id, and so of no path. */
bool version_is_id(const char *name);

/* The time of an id, in seconds since 1970. */
long long version_time(const char *id);

/* The versions in the folder; none where it is not there. False: it cannot be read, with errno. */
bool version_read_list(const char *folder, struct version_list *list);

/*
 * Makes the folder where it is not there, and waits for its lock. OWNER is the file that the versions are of. Returns the
 * descriptor that holds the lock, or -1 with errno.
 */
int version_lock(const char *folder, const struct stat *owner);

/*
 * Adds a version with OWNER's owner, group and mode, and writes its id. A text that is the newest version's is not added
 * again: its id is "". False, with errno: it cannot be written, and nothing was added.
 */
bool version_add(const char *folder, const char *text, size_t length, const char *who,
	const struct stat *owner, char id[VERSION_ID]);

/* Takes a version away, or all but the newest KEPT; what cannot be removed stays. */
void version_remove(const char *folder, const char *id);
void version_prune(const char *folder, size_t kept);

/* Who saved it, to be freed; "" where that is not known. */
char *version_who(const char *folder, const char *id);

/*
 * Writes the text into a new file at PATH, which must not be there, with OWNER's owner, group and mode, down to the disk. False,
 * with errno; then there is no file.
 */
bool version_write_file(
	const char *path, const char *text, size_t length, const struct stat *owner);

/* Writes the names in a folder down to the disk. */
void version_sync_folder(const char *folder);

#endif
