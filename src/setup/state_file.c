/*
 * Opens, locks and writes the state file.
 *
 * After a reboot nothing that was applied is left, so a file of an earlier boot counts as none. A file of
 * another network namespace says nothing about this one, and is refused.
 *
 * The trap is a folder that other users can write to: neither the file nor the new one beside it may be a
 * link, and a file that others can write is not used.
 */
#include "state_file.h"
#include "in_use.h"
#include "plan_json.h"
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
				"still running (%s is locked). Try again later\n",
				folder);
		else
			fprintf(stderr,
				"tproxyctl: %s cannot be locked: %s. Nothing was changed. Use --state "
				"with a file in another folder, such as " STATE_FILE_DEFAULT "\n",
				folder, strerror(errno));
		break;
	}
out:
	free(folder);
	return status;
}

/* Says why a state file is refused, and what shows what is ours on the host. */
static int refuse(const struct state_file *state_file, const char *why)
{
	fprintf(stderr,
		"tproxyctl: the state file %s is damaged: %s. Nothing was changed. Restore a copy "
		"of it, or remove by hand what these commands show, and then the file:\n"
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

/* The plan of the file and what it is about, but for the lock. */
static void forget(struct state_file *state_file)
{
	free(state_file->since);
	free(state_file->boot);
	free(state_file->namespace);
	plan_free(&state_file->plan);
	*state_file = (struct state_file){.path = state_file->path, .lock = state_file->lock};
}

static int parse_file(struct state_file *state_file, const char *text, size_t length)
{
	json_error_t error = {0};
	json_t *root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
	char *problem = root != NULL ? state_file_read(state_file, root) : text_copy(error.text);
	int status = problem == NULL ? STATUS_OK : refuse(state_file, problem);

	state_file->applied = problem == NULL;
	free(problem);
	json_decref(root);
	return status;
}

/* Whether only root and we can have written it. */
static bool is_safe(const struct stat *about)
{
	return S_ISREG(about->st_mode) && (about->st_mode & (S_IWGRP | S_IWOTH)) == 0 &&
	       (about->st_uid == 0 || about->st_uid == geteuid());
}

static int load_file(struct state_file *state_file)
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
			"tproxyctl: users other than root can write the state file %s, so it is not "
			"used. Check its content, then run `chown root` and `chmod 644` on it\n",
			state_file->path);
	else if ((text = read_whole(fd, &length)) == NULL)
		fprintf(stderr, "tproxyctl: %s: %s\n", state_file->path, strerror(errno));
	else
		status = parse_file(state_file, text, length);
	free(text);
	if (fd != -1)
		close(fd);
	return status;
}

/* Whether this boot and network namespace can be identified: the file is compared with them. */
static int identify_host(void)
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

/* Compares what was loaded with this boot and this network namespace. */
static int compare_host(struct state_file *state_file)
{
	char *here = boot(), *there = namespace();
	int status = STATUS_OK;

	if (strcmp(state_file->boot, here) != 0)
		forget(state_file);
	else if (strcmp(state_file->namespace, there) != 0) {
		fprintf(stderr,
			"tproxyctl: the state file %s belongs to another network namespace; use "
			"--state with another file\n",
			state_file->path);
		status = STATUS_USAGE;
	}
	free(here);
	free(there);
	return status;
}

int state_file_open(struct state_file *state_file, const char *path, bool changes)
{
	int status;

	*state_file = (struct state_file){.path = path, .lock = -1};
	status = identify_host();
	if (status == STATUS_OK && changes)
		status = lock_folder(state_file);
	if (status == STATUS_OK)
		status = load_file(state_file);
	if (status == STATUS_OK && state_file->applied)
		status = compare_host(state_file);
	if (status != STATUS_OK)
		state_file_close(state_file);
	return status;
}

void state_file_start(struct state_file *state_file, struct plan *plan)
{
	time_t now = time(NULL);
	struct tm when;
	char since[32];

	strftime(since, sizeof(since), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &when));
	forget(state_file);
	state_file->applied = true;
	state_file->since = text_copy(since);
	state_file->boot = boot();
	state_file->namespace = namespace();
	state_file->plan = *plan;
	*plan = (struct plan){0};
}

json_t *state_file_json(const struct state_file *state_file, bool commands)
{
	if (!state_file->applied)
		return json_null();
	return json_pack("{s:i, s:s, s:s, s:s, s:o}", "format", STATE_FILE_FORMAT, "since",
		state_file->since, "boot", state_file->boot, "namespace", state_file->namespace,
		"plan", plan_json(&state_file->plan, commands));
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

/* Writes TEXT to a new file and renames that to the state file. */
static bool replace_file(const struct state_file *state_file, const char *text)
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
	json_t *root = state_file_json(state_file, false);
	char *text = json_dumps(root, JSON_INDENT(1));
	bool well = text != NULL && replace_file(state_file, text);

	if (!well)
		fprintf(stderr, "tproxyctl: the state file %s cannot be written: %s\n",
			state_file->path, strerror(errno));
	free(text);
	json_decref(root);
	return well;
}

bool state_file_mark(const struct state_file *state_file, struct step *step, enum step_state state)
{
	step->state = state;
	return state_file_write(state_file);
}

bool state_file_remove(struct state_file *state_file)
{
	char *fresh = text_format("%s.new", state_file->path);
	bool well = unlink(state_file->path) == 0 || errno == ENOENT;

	unlink(fresh);
	free(fresh);
	if (!well || !sync_folder(state_file)) {
		fprintf(stderr, "tproxyctl: the state file %s cannot be removed: %s\n",
			state_file->path, strerror(errno));
		return false;
	}
	forget(state_file);
	return true;
}

void state_file_close(struct state_file *state_file)
{
	forget(state_file);
	if (state_file->lock != -1)
		close(state_file->lock);
	state_file->lock = -1;
}

bool state_file_complete(const struct state_file *state_file)
{
	for (size_t i = 0; i < state_file->plan.step_count; i++)
		if (state_file->plan.steps[i].state != STEP_DONE)
			return false;
	return state_file->applied;
}
