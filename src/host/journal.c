/*
 * The state file; see the header.
 *
 * After a reboot nothing of what was applied is left, so a file of an earlier boot counts as none. One
 * of another network namespace is somebody's, and refused.
 */
#include "tproxy/journal.h"
#include "tproxy/subcommands.h"
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
	FORMAT = 1,
	TRIES = 200, /* of 50 ms each */
};

static char *boot(void)
{
	char id[64] = "";
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (file != NULL) {
		if (fgets(id, sizeof(id), file) != NULL)
			id[strcspn(id, "\n")] = '\0';
		fclose(file);
	}
	return text_format("%s", id);
}

static char *namespace(void)
{
	char name[64];
	ssize_t length = readlink("/proc/self/ns/net", name, sizeof(name) - 1);

	name[length > 0 ? length : 0] = '\0';
	return text_format("%s", name);
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
static int lock_folder(struct journal *journal)
{
	struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};
	char *folder = folder_of(journal->path);
	int status = STATUS_USAGE;

	if (strcmp(journal->path, JOURNAL_DEFAULT) == 0)
		mkdir(folder, 0755);
	journal->lock = open(folder, O_RDONLY | O_DIRECTORY);
	if (journal->lock == -1) {
		fprintf(stderr, "tproxyctl: %s: %s\n", folder, strerror(errno));
		goto out;
	}
	status = STATUS_WELL;
	for (int i = 0; flock(journal->lock, LOCK_EX | LOCK_NB) == -1; i++) {
		if (i < TRIES && (errno == EWOULDBLOCK || errno == EINTR)) {
			nanosleep(&pause, NULL);
			continue;
		}
		fprintf(stderr,
			"tproxyctl: another tproxyctl, or a program that it started, is still at "
			"work (%s is locked)\n",
			folder);
		status = STATUS_NOT_WELL;
		break;
	}
out:
	free(folder);
	return status;
}

static bool is_step(const json_t *step)
{
	static const char *const keys[] = {"kind", "family", "name", "state"};
	const char *kind = json_string_value(json_object_get(step, "kind"));

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (!json_is_string(json_object_get(step, keys[i])))
			return false;
	if (strcmp(kind, "sysctl") == 0)
		return json_is_string(json_object_get(step, "value"));
	if (strcmp(kind, "firewall") == 0)
		return json_is_string(json_object_get(step, "backend"));
	return json_is_string(json_object_get(step, "undo")) &&
	       json_is_string(json_object_get(step, "probe"));
}

static bool is_whole(const json_t *root)
{
	const json_t *steps = json_object_get(json_object_get(root, "plan"), "steps"), *step;
	size_t i;

	if (json_integer_value(json_object_get(root, "format")) != FORMAT ||
		!json_is_array(steps) || !json_is_string(json_object_get(root, "boot")) ||
		!json_is_string(json_object_get(root, "namespace")))
		return false;
	for (i = 0; (step = json_array_get(steps, i)) != NULL; i++)
		if (!is_step(step))
			return false;
	return true;
}

static int load(struct journal *journal)
{
	FILE *file = fopen(journal->path, "re");
	json_error_t error = {0};

	if (file == NULL) {
		if (errno == ENOENT)
			return STATUS_WELL;
		fprintf(stderr, "tproxyctl: %s: %s\n", journal->path, strerror(errno));
		return STATUS_USAGE;
	}
	journal->root = json_loadf(file, JSON_REJECT_DUPLICATES, &error);
	fclose(file);
	if (journal->root == NULL || !is_whole(journal->root)) {
		fprintf(stderr,
			"tproxyctl: the state file %s is damaged (%s). Nothing was changed. What "
			"tproxyctl makes is named tproxyctl (rules, tables) or has protocol 197 "
			"(policy rules, routes); move the file away once none of it is left.\n",
			journal->path,
			journal->root == NULL ? error.text : "something is missing in it");
		return STATUS_USAGE;
	}
	return STATUS_WELL;
}

int journal_open(struct journal *journal, const char *path, bool changes)
{
	int status = STATUS_WELL;

	*journal = (struct journal){.path = path, .lock = -1};
	if (changes)
		status = lock_folder(journal);
	if (status == STATUS_WELL)
		status = load(journal);
	if (status == STATUS_WELL && journal->root != NULL && !is(journal->root, "boot", boot())) {
		json_decref(journal->root);
		journal->root = NULL;
	}
	if (status == STATUS_WELL && journal->root != NULL &&
		!is(journal->root, "namespace", namespace())) {
		fprintf(stderr,
			"tproxyctl: the state file %s is of another network namespace; --state "
			"names one for this\n",
			path);
		status = STATUS_USAGE;
	}
	if (status != STATUS_WELL)
		journal_close(journal);
	return status;
}

static json_t *own(char *text)
{
	json_t *made = json_string(text);

	free(text);
	return made;
}

void journal_start(struct journal *journal, json_t *plan)
{
	time_t now = time(NULL);
	struct tm when;
	char since[32];
	json_t *step;
	size_t i;

	strftime(since, sizeof(since), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &when));
	for (i = 0; (step = json_array_get(json_object_get(plan, "steps"), i)) != NULL; i++)
		json_object_set_new(step, "state", json_string("planned"));
	json_decref(journal->root);
	journal->root = json_object();
	json_object_set_new(journal->root, "format", json_integer(FORMAT));
	json_object_set_new(journal->root, "since", json_string(since));
	json_object_set_new(journal->root, "boot", own(boot()));
	json_object_set_new(journal->root, "namespace", own(namespace()));
	json_object_set_new(journal->root, "plan", plan);
}

static bool sync_folder(const struct journal *journal)
{
	char *folder = folder_of(journal->path);
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool well = fd != -1 && fsync(fd) == 0;

	if (fd != -1)
		close(fd);
	free(folder);
	return well;
}

/* Writes TEXT to a file of its own and puts that in the place of the other. */
static bool replace(const struct journal *journal, const char *text)
{
	char *fresh = text_format("%s.new", journal->path);
	int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	size_t length = strlen(text), written = 0;
	bool well = fd != -1;

	while (well && written < length) {
		ssize_t more = write(fd, text + written, length - written);

		well = more > 0;
		written += well ? (size_t)more : 0;
	}
	well = well && fsync(fd) == 0;
	if (fd != -1)
		close(fd);
	well = well && rename(fresh, journal->path) == 0 && sync_folder(journal);
	free(fresh);
	return well;
}

bool journal_write(const struct journal *journal)
{
	char *text = json_dumps(journal->root, JSON_INDENT(1));
	bool well = text != NULL && replace(journal, text);

	if (!well)
		fprintf(stderr, "tproxyctl: the state file %s cannot be written: %s\n",
			journal->path, strerror(errno));
	free(text);
	return well;
}

bool journal_mark(const struct journal *journal, json_t *step, const char *state)
{
	json_object_set_new(step, "state", json_string(state));
	return journal_write(journal);
}

bool journal_remove(struct journal *journal)
{
	char *fresh = text_format("%s.new", journal->path);
	bool well = unlink(journal->path) == 0 || errno == ENOENT;

	unlink(fresh);
	free(fresh);
	if (!well || !sync_folder(journal)) {
		fprintf(stderr, "tproxyctl: the state file %s cannot be taken away: %s\n",
			journal->path, strerror(errno));
		return false;
	}
	json_decref(journal->root);
	journal->root = NULL;
	return true;
}

void journal_close(struct journal *journal)
{
	json_decref(journal->root);
	journal->root = NULL;
	if (journal->lock != -1)
		close(journal->lock);
	journal->lock = -1;
}

json_t *journal_steps(const struct journal *journal)
{
	return json_object_get(json_object_get(journal->root, "plan"), "steps");
}

bool journal_complete(const struct journal *journal)
{
	const json_t *step;
	size_t i;

	for (i = 0; (step = json_array_get(journal_steps(journal), i)) != NULL; i++)
		if (strcmp(json_string_value(json_object_get(step, "state")), "done") != 0)
			return false;
	return journal->root != NULL;
}
