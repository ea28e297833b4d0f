/*
 * Saving: compare, keep, replace.
 *
 * A lock in the folder of versions covers it all, so that of two who save at once the second finds the first one's text, and is
 * refused. Both texts are in the folder of versions before the file changes; a save that fails takes its version
 * away again. Then the text is written beside the file and renamed onto it. The trap is a symbolic link: the file that it
 * leads to is replaced, and the link stays.
 */
#include "versions.h"

#include "messages.h"
#include "version_store.h"

#include "tproxy/file.h"
#include "tproxy/text.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A file while it is saved or looked at. All texts are freed by place_end(). */
struct place {
	char *file;   /* without symbolic links */
	char *parent; /* its folder */
	char *folder; /* of its versions */
	struct stat status;
	bool exists;
	char *text; /* "" where there is no file */
	size_t length;
	char digest[DIGEST_TEXT];
	int lock; /* -1: none */
};

static void place_end(struct place *place)
{
	if (place->lock != -1)
		close(place->lock);
	free(place->file);
	free(place->parent);
	free(place->folder);
	free(place->text);
}

/* A folder's path without symbolic links; NULL with errno. */
static char *parent_of(const char *file)
{
	char *copy = text_copy(file), *parent = realpath(dirname(copy), NULL);

	free(copy);
	return parent;
}

/* Finds the file itself. A file that is not there is named in its folder. */
static bool find_file(struct place *place, const char *file, char **problem)
{
	struct stat link;
	char *copy;

	place->file = realpath(file, NULL);
	if (place->file == NULL && errno == ENOENT && lstat(file, &link) == 0) {
		*problem = text_format(
			"%s is a symbolic link to a file that is not there; make that file, or remove the link",
			file);
		return false;
	}
	if (place->file != NULL || errno == ENOENT)
		place->parent = parent_of(place->file == NULL ? file : place->file);
	if (place->parent == NULL) {
		*problem = text_format("%s: %s", file, strerror(errno));
		return false;
	}
	if (place->file != NULL)
		return true;
	copy = text_copy(file);
	place->file = text_format("%s/%s", place->parent, basename(copy));
	free(copy);
	return true;
}

/* Whose it is. A new file is this user's. */
static void look_at_file(struct place *place)
{
	place->exists = stat(place->file, &place->status) == 0;
	if (!place->exists)
		place->status = (struct stat){
			.st_uid = geteuid(), .st_gid = getegid(), .st_mode = S_IFREG | 0644};
}

/* Reads the file as it is now. */
static bool read_file(struct place *place, char **problem)
{
	if (place->exists)
		place->text = file_read_regular(place->file, &place->length);
	else
		place->text = text_copy("");
	if (place->text == NULL) {
		*problem = text_format("%s cannot be read: %s", place->file,
			errno == EINVAL ? "not a regular file" : strerror(errno));
		return false;
	}
	digest_text(place->text, place->length, place->digest);
	return true;
}

/* What is wrong, by errno, and who could do it. */
static void explain(char **problem, const char *what, const char *path, const char *folder)
{
	int error = errno;

	if (error == EACCES || error == EROFS)
		*problem =
			text_format("%s cannot be %s: %s; the user needs the right to write in %s",
				path, what, strerror(error), folder);
	else if (error == EPERM)
		*problem = text_format(
			"%s cannot be %s: the file belongs to another user, and so must the new one; do it as that user, or as root",
			path, what);
	else
		*problem = text_format("%s cannot be %s: %s", path, what, strerror(error));
}

static bool place_begin(
	struct place *place, const char *file, const char *folder, bool lock, char **problem)
{
	*place = (struct place){.lock = -1};
	*problem = NULL;
	if (!find_file(place, file, problem))
		return false;
	place->folder =
		folder != NULL ? text_copy(folder) : text_format("%s.versions", place->file);
	look_at_file(place);
	if (lock)
		place->lock = version_lock(place->folder, &place->status);
	if (lock && place->lock == -1) {
		explain(problem, "used for versions", place->folder, place->parent);
		return false;
	}
	look_at_file(place); /* it may have been replaced before the lock was had */
	return read_file(place, problem);
}

/* --- saving --- */

/* Writes the text beside the file, and renames it. False: the file is as before. */
static bool replace(struct place *place, const char *text, size_t length, char **problem)
{
	char *beside = text_format("%s.new-%ld", place->file, (long)getpid());
	bool done;

	unlink(beside); /* of a process of this number that was killed */
	done = version_write_file(beside, text, length, &place->status);
	if (done && rename(beside, place->file) == -1) {
		done = false;
		explain(problem, "replaced", place->file, place->parent);
		unlink(beside);
	} else if (!done) {
		explain(problem, "written", beside, place->parent);
	}
	if (done)
		version_sync_folder(place->parent);
	free(beside);
	return done;
}

/* Keeps what is there and what comes, and replaces the file. */
static bool keep_and_replace(
	struct place *place, const char *text, size_t length, const char *who, char **problem)
{
	char before[VERSION_ID], id[VERSION_ID];

	if ((place->exists && place->length > 0 &&
		    !version_add(place->folder, place->text, place->length, NULL, &place->status,
			    before)) ||
		!version_add(place->folder, text, length, who, &place->status, id)) {
		explain(problem, "kept as a version", place->file, place->folder);
		return false;
	}
	version_sync_folder(place->folder);
	if (!replace(place, text, length, problem)) {
		if (id[0] != '\0')
			version_remove(place->folder, id);
		return false;
	}
	version_prune(place->folder, VERSIONS_KEPT);
	return true;
}

enum save_result versions_save(const char *file, const char *folder, const char *text,
	size_t length, const char *base, const char *who, char **other, size_t *other_length,
	char **problem)
{
	enum save_result result = SAVE_FAILED;
	char digest[DIGEST_TEXT];
	struct place place;

	digest_text(text, length, digest);
	*other = NULL;
	if (place_begin(&place, file, folder, true, problem)) {
		if (strcmp(place.digest, base) != 0) {
			result = SAVE_STALE;
			*other = place.text;
			*other_length = place.length;
			place.text = NULL;
		} else if ((place.exists && strcmp(place.digest, digest) == 0) ||
			   keep_and_replace(&place, text, length, who, problem)) {
			result = SAVE_DONE;
		}
	}
	place_end(&place);
	return result;
}

/* --- looking --- */

/* The text of a version, or NULL with errno. */
static char *read_version(const struct place *place, const char *id, size_t *length)
{
	char *path = text_format("%s/%s", place->folder, id);
	char *text = file_read_no_link(path, length);

	free(path);
	return text;
}

static json_t *version_json(const struct place *place, const char *id)
{
	char digest[DIGEST_TEXT], *who;
	size_t length;
	char *text = read_version(place, id, &length);
	json_t *object;

	if (text == NULL)
		return NULL; /* it was removed meanwhile */
	digest_text(text, length, digest);
	who = version_who(place->folder, id);
	object = json_pack("{s:s, s:I, s:o, s:I, s:s, s:b}", "id", id, "time",
		(json_int_t)version_time(id), "who", json_plain_text(who), "bytes",
		(json_int_t)length, "digest", digest, "current",
		strcmp(digest, place->digest) == 0);
	free(text);
	free(who);
	return object;
}

json_t *versions_list(const char *file, const char *folder, char **problem)
{
	json_t *versions = NULL;
	struct version_list list;
	struct place place;

	if (place_begin(&place, file, folder, false, problem)) {
		if (version_read_list(place.folder, &list)) {
			versions = json_array();
			for (size_t i = 0; i < list.count; i++) {
				json_t *version = version_json(&place, list.ids[i]);

				if (version != NULL)
					json_array_append_new(versions, version);
			}
			free(list.ids);
		} else {
			*problem =
				text_format("%s cannot be read: %s", place.folder, strerror(errno));
		}
	}
	place_end(&place);
	return versions;
}

char *versions_read(
	const char *file, const char *folder, const char *id, size_t *length, char **problem)
{
	struct place place;
	char *text = NULL;

	if (place_begin(&place, file, folder, false, problem)) {
		if (version_is_id(id))
			text = read_version(&place, id, length);
		else
			errno = ENOENT;
		if (text == NULL)
			*problem = text_format("there is no version '%s' in %s: %s", id,
				place.folder, strerror(errno));
	}
	place_end(&place);
	return text;
}
