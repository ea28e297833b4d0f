/*
 * The versions of a configuration's file, and saving it.
 *
 * The last VERSIONS_KEPT texts that were saved lie in a folder, one file each: FILE.versions beside the file, unless
 * another one is given. A text is named by its digest (tproxy/digest.h). What was written into the file in another way
 * becomes a version, too, when the next text is saved over it.
 *
 * A path may be a symbolic link: the file that it leads to is what is meant. FOLDER is NULL for the one beside the
 * file. Each function that can fail sets *PROBLEM then, to be freed: what is wrong, and what to do.
 */
#ifndef TPROXY_EDIT_VERSIONS_H
#define TPROXY_EDIT_VERSIONS_H

#include "tproxy/digest.h"

#include <jansson.h>
#include <stddef.h>

enum {
	VERSIONS_KEPT = 20,
};

enum save_result {
	SAVE_DONE,
	SAVE_STALE,  /* the file is not the one that the change began with */
	SAVE_FAILED, /* the file is as before */
};

/*
 * Puts the text in place of the file's, if the file's digest is BASE; a file that is not there has the digest of
 * an empty text. The new file has the old one's owner, group and mode (0644 where there was none), and it is on the disk
 * when this returns: the text is written beside it and renamed, so that each reader has the old or the new
 * text as a whole. Extended attributes do not stay. WHO (NULL: not known) stands beside the version. The text is not
 * checked here. It waits for another save of the same file.
 *
 * SAVE_STALE: *OTHER is the file's text, to be freed, and *OTHER_LENGTH its length.
 */
enum save_result versions_save(const char *file, const char *folder, const char *text,
	size_t length, const char *base, const char *who, char **other, size_t *other_length,
	char **problem);

/*
 * The versions, the newest first: [{"id", "time" (seconds since 1970), "who" (or ""), "bytes", "digest", "current" (bool:
 * the file has this text)}…]. An empty list where nothing was saved. NULL: the folder cannot be read.
 */
json_t *versions_list(const char *file, const char *folder, char **problem);

/* The text of the version ID, to be freed, and its length. NULL: there is none, or it cannot be read. */
char *versions_read(
	const char *file, const char *folder, const char *id, size_t *length, char **problem);

#endif
