/*
 * The folder of versions.
 *
 * Names are sorted by time: a version that is added is always later than the newest one, whatever the clock says. The folder
 * belongs to the owner of the file, and may be read by those who may read it, since versions say what the file said. A
 * version is complete or not there: it is written under another name, and renamed.
 */
#include "version_store.h"

#include "tproxy/array.h"
#include "tproxy/digest.h"
#include "tproxy/file.h"
#include "tproxy/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define DIGITS     "0123456789"
#define HEX_DIGITS DIGITS "abcdef"

enum {
	TIME_DIGITS = 16,
	DIGEST_DIGITS = 16
};

bool version_is_id(const char *name)
{
	return strspn(name, DIGITS) == TIME_DIGITS && name[TIME_DIGITS] == '-' &&
	       strspn(name + TIME_DIGITS + 1, HEX_DIGITS) == DIGEST_DIGITS &&
	       name[TIME_DIGITS + 1 + DIGEST_DIGITS] == '\0';
}

static long long microseconds_of(const char *id)
{
	return strtoll(id, NULL, 10);
}

long long version_time(const char *id)
{
	return microseconds_of(id) / 1000000;
}

static int compare_ids(const void *left, const void *right)
{
	return strcmp(right, left);
}

bool version_read_list(const char *folder, struct version_list *list)
{
	DIR *directory = opendir(folder);
	const struct dirent *entry;

	*list = (struct version_list){NULL, 0};
	if (directory == NULL)
		return errno == ENOENT;
	/* cppcheck-suppress readdirCalled ; no other thread uses the folder */
	while ((entry = readdir(directory)) != NULL) {
		if (!version_is_id(entry->d_name))
			continue;
		list->ids = array_room(list->ids, list->count, sizeof(*list->ids));
		memcpy(list->ids[list->count++], entry->d_name, VERSION_ID);
	}
	closedir(directory);
	if (list->count > 0)
		qsort(list->ids, list->count, sizeof(*list->ids), compare_ids);
	return true;
}

/* --- files --- */

static bool write_all(int fd, const char *text, size_t length)
{
	for (size_t done = 0; done < length;) {
		ssize_t written = write(fd, text + done, length - done);

		if (written == -1 && errno != EINTR)
			return false;
		done += written == -1 ? 0 : (size_t)written;
	}
	return true;
}

/* Its owner first: a mode of set-user-id would be lost by the change. */
static bool set_owner(int fd, const struct stat *owner)
{
	struct stat now;

	if (fstat(fd, &now) == -1)
		return false;
	if ((now.st_uid != owner->st_uid || now.st_gid != owner->st_gid) &&
		fchown(fd, owner->st_uid, owner->st_gid) == -1)
		return false;
	return fchmod(fd, owner->st_mode & 07777) == 0;
}

bool version_write_file(const char *path, const char *text, size_t length, const struct stat *owner)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600), error;
	bool done;

	if (fd == -1)
		return false;
	done = set_owner(fd, owner) && write_all(fd, text, length) && fsync(fd) == 0;
	error = errno;
	if (close(fd) == -1 && done) {
		error = errno;
		done = false;
	}
	if (!done)
		unlink(path);
	errno = error;
	return done;
}

void version_sync_folder(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd == -1)
		return; /* it may be written and not read; the names get there later */
	fsync(fd);
	close(fd);
}

static bool make_folder(const char *folder, const struct stat *owner)
{
	struct stat of_folder = *owner;
	int fd;
	bool done;

	if (mkdir(folder, 0700) == -1)
		return errno == EEXIST;
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd == -1)
		return false;
	/* Who may read or write the file may search the folder. */
	of_folder.st_mode = (owner->st_mode & 0666) | 0700 | (owner->st_mode & 0444) >> 2;
	done = set_owner(fd, &of_folder);
	close(fd);
	return done;
}

/* The lock is a file that other users cannot open, or they could keep it for ever. */
int version_lock(const char *folder, const struct stat *owner)
{
	struct stat of_lock = *owner;
	char *path;
	int fd, error;

	if (!make_folder(folder, owner))
		return -1;
	path = text_format("%s/lock", folder);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	free(path);
	if (fd == -1)
		return -1;
	of_lock.st_mode = 0600;
	while (flock(fd, LOCK_EX) == -1) {
		error = errno;
		if (error == EINTR)
			continue;
		close(fd);
		errno = error;
		return -1;
	}
	if (geteuid() == 0)
		set_owner(fd, &of_lock); /* else this user made it, or could open it */
	return fd;
}

/* --- versions --- */

static long long now_in_microseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Writes "who" beside a version; a version without it is as good. */
static void write_who(const char *path, const char *who, const struct stat *owner)
{
	char *beside = text_format("%s.who", path);

	if (who != NULL && *who != '\0')
		version_write_file(beside, who, strlen(who), owner);
	free(beside);
}

static bool write_version(const char *folder, const char *id, const char *text, size_t length,
	const char *who, const struct stat *owner)
{
	char *path = text_format("%s/%s", folder, id);
	char *unfinished = text_format("%s/%s.new", folder, id);
	bool done = version_write_file(unfinished, text, length, owner);
	int error;

	if (done)
		write_who(path, who, owner);
	if (done && rename(unfinished, path) == -1) {
		error = errno;
		unlink(unfinished);
		errno = error;
		done = false;
	}
	free(path);
	free(unfinished);
	return done;
}

bool version_add(const char *folder, const char *text, size_t length, const char *who,
	const struct stat *owner, char id[VERSION_ID])
{
	long long time = now_in_microseconds();
	char digest[DIGEST_TEXT], *made;
	struct version_list list;
	bool is_newest = false, done;

	if (!version_read_list(folder, &list))
		return false;
	digest_text(text, length, digest);
	if (list.count > 0) {
		is_newest = strncmp(list.ids[0] + TIME_DIGITS + 1, digest, DIGEST_DIGITS) == 0;
		if (microseconds_of(list.ids[0]) >= time)
			time = microseconds_of(list.ids[0]) + 1;
	}
	made = text_format("%016lld-%.*s", time, (int)DIGEST_DIGITS, digest);
	snprintf(id, VERSION_ID, "%s", is_newest ? "" : made);
	free(made);
	done = is_newest || write_version(folder, id, text, length, who, owner);
	free(list.ids);
	return done;
}

void version_remove(const char *folder, const char *id)
{
	char *path = text_format("%s/%s", folder, id), *who = text_format("%s.who", path);

	unlink(path);
	unlink(who);
	free(path);
	free(who);
}

void version_prune(const char *folder, size_t kept)
{
	struct version_list list;

	if (!version_read_list(folder, &list))
		return;
	for (size_t i = kept; i < list.count; i++)
		version_remove(folder, list.ids[i]);
	free(list.ids);
}

char *version_who(const char *folder, const char *id)
{
	char *path = text_format("%s/%s.who", folder, id), *who;
	size_t length;

	who = file_read_no_link(path, &length);
	free(path);
	return who == NULL ? text_copy("") : who;
}
