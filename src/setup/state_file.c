/*
 * The state file; see the header.
 *
 * After a reboot nothing of what was applied is left, so a file of an earlier boot counts as none. One
 * of another network namespace is somebody's, and refused.
 *
 * The trap is a folder that others may write to: neither the file nor the fresh one beside it may be a
 * link to something else, and what others could have written is not believed.
 */
#include "state_file.h"
#include "in_use.h"
#include "tproxy/exit_status.h"
#include "tproxy/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	TRIES = 200,          /* of 50 ms each */
	SIZE_LIMIT = 64 << 20 /* bytes; a plan with all ports has less */
};

/* The id of this boot, to be freed; "" where /proc has none. */
static char *boot(void)
{
	char id[64] = "";
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (file != NULL) {
		if (fgets(id, sizeof(id), file) == NULL)
			id[0] = '\0';
		id[strcspn(id, "\n")] = '\0';
		fclose(file);
	}
	return text_copy(id);
}

/* The name of this network namespace, to be freed; "" where /proc has none. */
static char *namespace(void)
{
	char name[64];
	ssize_t length = readlink("/proc/self/ns/net", name, sizeof(name) - 1);

	name[length > 0 ? length : 0] = '\0';
	return text_copy(name);
}

static bool is(const json_t *root, const char *key, char *value)
{
	const char *kept = json_string_value(json_object_get(root, key));
	bool same = kept != NULL && strcmp(kept, value) == 0;

	free(value);
	return same;
}

static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		return text_format(".");
	return slash == path ? text_format("/") : text_format("%.*s", (int)(slash - path), path);
}

/* Programs that we run inherit the lock, hence no O_CLOEXEC. */
static int lock_folder(struct state_file *state_file)
{
	struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};
	char *folder = folder_of(state_file->path);
	int status = STATUS_USAGE;

	if (strcmp(state_file->path, STATE_FILE_DEFAULT) == 0)
		mkdir(folder, 0755);
	state_file->lock = open(folder, O_RDONLY | O_DIRECTORY);
	if (state_file->lock == -1) {
		fprintf(stderr, "tproxyctl: %s: %s\n", folder, strerror(errno));
		goto out;
	}
	status = STATUS_OK;
	for (int i = 0; flock(state_file->lock, LOCK_EX | LOCK_NB) == -1; i++) {
		if (i < TRIES && (errno == EWOULDBLOCK || errno == EINTR)) {
			nanosleep(&pause, NULL);
			continue;
		}
		status = STATUS_PROBLEM;
		if (errno == EWOULDBLOCK || errno == EINTR)
			fprintf(stderr,
				"tproxyctl: another tproxyctl, or a program that it started, is "
				"still at work (%s is locked)\n",
				folder);
		else
			fprintf(stderr,
				"tproxyctl: %s cannot be locked: %s. Nothing was changed; --state "
				"names a file in a folder that can be, such as " STATE_FILE_DEFAULT
				"\n",
				folder, strerror(errno));
		break;
	}
out:
	free(folder);
	return status;
}

/* Why a state file is not believed; nothing but looking at the host says then what is ours. */
static int refuse(const struct state_file *state_file, const char *why)
{
	fprintf(stderr,
		"tproxyctl: the state file %s is damaged: %s. Nothing was changed. Put a copy in "
		"its "
		"place, or take back by hand what these show, and then move the file away:\n"
		"  ip rule show protocol " OUR_PROTOCOL "; ip -6 rule show protocol " OUR_PROTOCOL
		"\n"
		"  ip route show table all proto " OUR_PROTOCOL
		"; ip -6 route show table all proto " OUR_PROTOCOL "\n"
		"  nft list table ip " OUR_NAME "; nft list table ip6 " OUR_NAME "\n"
		"  iptables-save | grep -i " OUR_NAME "; ip6tables-save | grep -i " OUR_NAME "\n",
		state_file->path, why);
	return STATUS_USAGE;
}

/* The whole file, to be freed; NULL with errno, EFBIG where it is longer than any of ours. */
static char *read_whole(int fd, size_t *length)
{
	char part[65536], *whole;
	struct text_stream text;
	ssize_t more = 1;
	int error = 0;

	text_begin(&text);
	for (*length = 0; more != 0 && error == 0; *length += more > 0 ? (size_t)more : 0) {
		more = read(fd, part, sizeof(part));
		if (more > 0)
			fwrite(part, 1, (size_t)more, text.out);
		if (more == -1 && errno != EINTR)
			error = errno;
		else if (*length > SIZE_LIMIT)
			error = EFBIG;
	}
	whole = text_end(&text);
	if (error == 0)
		return whole;
	free(whole);
	errno = error;
	return NULL;
}

static int parse(struct state_file *state_file, const char *text, size_t length)
{
	json_error_t error = {0};
	char *problem;
	int status;

	state_file->root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
	if (state_file->root == NULL)
		return refuse(state_file, error.text);
	problem = state_file_problem(state_file->root);
	status = problem == NULL ? STATUS_OK : refuse(state_file, problem);
	free(problem);
	return status;
}

/* Whether others than root and us may have written it. */
static bool is_safe(const struct stat *about)
{
	return S_ISREG(about->st_mode) && (about->st_mode & (S_IWGRP | S_IWOTH)) == 0 &&
	       (about->st_uid == 0 || about->st_uid == geteuid());
}

static int load(struct state_file *state_file)
{
	int fd = open(state_file->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	int status = STATUS_USAGE;
	struct stat about;
	char *text = NULL;
	size_t length;

	if (fd == -1 && errno == ENOENT)
		return STATUS_OK;
	if (fd == -1 || fstat(fd, &about) == -1)
		fprintf(stderr, "tproxyctl: %s: %s\n", state_file->path,
			errno == ELOOP ? "the state file must not be a link" : strerror(errno));
	else if (!is_safe(&about))
		fprintf(stderr,
			"tproxyctl: the state file %s may be written by others than root: what is "
			"in "
			"it is not believed. Look at it, then `chown root` and `chmod 644` it\n",
			state_file->path);
	else if ((text = read_whole(fd, &length)) == NULL)
		fprintf(stderr, "tproxyctl: %s: %s\n", state_file->path, strerror(errno));
	else
		status = parse(state_file, text, length);
	free(text);
	if (fd != -1)
		close(fd);
	return status;
}

/* Whether this boot and network namespace can be identified, which the file is compared with. */
static int know_host(void)
{
	char *here = boot(), *there = namespace();
	bool well = *here != '\0' && *there != '\0';

	free(here);
	free(there);
	if (!well)
		fputs("tproxyctl: cannot identify this boot and network namespace "
		      "(/proc/sys/kernel/random/boot_id, /proc/self/ns/net): mount /proc\n",
			stderr);
	return well ? STATUS_OK : STATUS_USAGE;
}

int state_file_open(struct state_file *state_file, const char *path, bool changes)
{
	int status;

	*state_file = (struct state_file){.path = path, .lock = -1};
	status = know_host();
	if (status == STATUS_OK && changes)
		status = lock_folder(state_file);
	if (status == STATUS_OK)
		status = load(state_file);
	if (status == STATUS_OK && state_file->root != NULL &&
		!is(state_file->root, "boot", boot())) {
		json_decref(state_file->root);
		state_file->root = NULL;
	}
	if (status == STATUS_OK && state_file->root != NULL &&
		!is(state_file->root, "namespace", namespace())) {
		fprintf(stderr,
			"tproxyctl: the state file %s is of another network namespace; --state "
			"names one for this\n",
			path);
		status = STATUS_USAGE;
	}
	if (status != STATUS_OK)
		state_file_close(state_file);
	return status;
}

static json_t *own(char *text)
{
	json_t *made = json_string(text);

	free(text);
	return made;
}

void state_file_start(struct state_file *state_file, json_t *plan)
{
	time_t now = time(NULL);
	struct tm when;
	char since[32];
	json_t *step;
	size_t i;

	strftime(since, sizeof(since), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &when));
	for (i = 0; (step = json_array_get(json_object_get(plan, "steps"), i)) != NULL; i++)
		json_object_set_new(step, "state", json_string("planned"));
	json_decref(state_file->root);
	state_file->root = json_object();
	json_object_set_new(state_file->root, "format", json_integer(STATE_FILE_FORMAT));
	json_object_set_new(state_file->root, "since", json_string(since));
	json_object_set_new(state_file->root, "boot", own(boot()));
	json_object_set_new(state_file->root, "namespace", own(namespace()));
	json_object_set_new(state_file->root, "plan", plan);
}

static bool sync_folder(const struct state_file *state_file)
{
	char *folder = folder_of(state_file->path);
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool well = fd != -1 && fsync(fd) == 0;

	if (fd != -1)
		close(fd);
	free(folder);
	return well;
}

/* Writes all of TEXT, and has it on the disk. */
static bool write_whole(int fd, const char *text)
{
	size_t length = strlen(text);

	for (size_t written = 0; written < length;) {
		ssize_t more = write(fd, text + written, length - written);

		if (more > 0)
			written += (size_t)more;
		else if (more == 0 || errno != EINTR)
			return false;
	}
	return fsync(fd) == 0;
}

/* Writes TEXT to a file of its own and puts that in the place of the other. */
static bool replace(const struct state_file *state_file, const char *text)
{
	char *fresh = text_format("%s.new", state_file->path);
	int fd, error;
	bool well;

	unlink(fresh); /* one that a killed run left */
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	well = fd != -1 && write_whole(fd, text);
	error = errno;
	if (fd != -1)
		close(fd);
	if (well) {
		well = rename(fresh, state_file->path) == 0 && sync_folder(state_file);
		error = errno;
	}
	if (!well && fd != -1)
		unlink(fresh);
	free(fresh);
	errno = error;
	return well;
}

bool state_file_write(const struct state_file *state_file)
{
	char *text = json_dumps(state_file->root, JSON_INDENT(1));
	bool well = text != NULL && replace(state_file, text);

	if (!well)
		fprintf(stderr, "tproxyctl: the state file %s cannot be written: %s\n",
			state_file->path, strerror(errno));
	free(text);
	return well;
}

bool state_file_mark(const struct state_file *state_file, json_t *step, const char *state)
{
	json_object_set_new(step, "state", json_string(state));
	return state_file_write(state_file);
}

bool state_file_remove(struct state_file *state_file)
{
	char *fresh = text_format("%s.new", state_file->path);
	bool well = unlink(state_file->path) == 0 || errno == ENOENT;

	unlink(fresh);
	free(fresh);
	if (!well || !sync_folder(state_file)) {
		fprintf(stderr, "tproxyctl: the state file %s cannot be taken away: %s\n",
			state_file->path, strerror(errno));
		return false;
	}
	json_decref(state_file->root);
	state_file->root = NULL;
	return true;
}

void state_file_close(struct state_file *state_file)
{
	json_decref(state_file->root);
	state_file->root = NULL;
	if (state_file->lock != -1)
		close(state_file->lock);
	state_file->lock = -1;
}

json_t *state_file_steps(const struct state_file *state_file)
{
	return json_object_get(json_object_get(state_file->root, "plan"), "steps");
}

bool state_file_complete(const struct state_file *state_file)
{
	const json_t *step;
	size_t i;

	for (i = 0; (step = json_array_get(state_file_steps(state_file), i)) != NULL; i++)
		if (strcmp(json_string_value(json_object_get(step, "state")), "done") != 0)
			return false;
	return state_file->root != NULL;
}
