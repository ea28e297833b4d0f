/*
 * A reload begins like a start: the file is read, and everything that is wrong with it is reported. Then
 * follows what only a running process asks: whether it still may do what the new file needs, since it has
 * dropped its privileges, and which words come too late.
 *
 * The generation that comes out shares with the one before what both have: log files, counts, and, when the
 * workers put it in force, the sockets of listeners.
 */
#include "reload.h"

#include "workers.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* --- what cannot change --- */

static char *copy_word(const char *word, int *status)
{
	char *copy = word == NULL ? NULL : strdup(word);

	if (word != NULL && copy == NULL)
		*status = -1;
	return copy;
}

int permanent_set(struct permanent *permanent, const struct global *global)
{
	int status = 0;

	permanent->user = copy_word(global->user, &status);
	permanent->group = copy_word(global->group, &status);
	permanent->pidfile = copy_word(global->pidfile, &status);
	permanent->chroot = copy_word(global->chroot, &status);
	permanent->ulimit_n = global->ulimit_n;
	return status;
}

void permanent_clear(struct permanent *permanent)
{
	free(permanent->user);
	free(permanent->group);
	free(permanent->pidfile);
	free(permanent->chroot);
	*permanent = (struct permanent){0};
}

static void warn_of_word(
	struct diag *diag, const char *path, const char *word, const char *stays, const char *now)
{
	const char *before = stays == NULL ? "" : stays, *wanted = now == NULL ? "" : now;

	if (strcmp(before, wanted) == 0)
		return;
	diag_add(diag, DIAG_WARNING, path, 0, word,
		"cannot change in a running process: %s%s stays; restart tproxyd for %s%s",
		stays == NULL ? "none" : "", before, now == NULL ? "none" : "", wanted);
}

static void warn_of_number(
	struct diag *diag, const char *path, const char *word, unsigned stays, unsigned now)
{
	if (stays != now)
		diag_add(diag, DIAG_WARNING, path, 0, word,
			"cannot change in a running process: %u stays; restart tproxyd for %u",
			stays, now);
}

static void warn_of_permanent(struct diag *diag, const char *path, const struct config *config,
	const struct permanent *permanent)
{
	const struct global *global = &config->global;

	warn_of_number(
		diag, path, "nbthread", permanent->descriptors.workers, workers_wanted(config));
	warn_of_number(diag, path, "ulimit-n", permanent->ulimit_n, global->ulimit_n);
	warn_of_word(diag, path, "user", permanent->user, global->user);
	warn_of_word(diag, path, "group", permanent->group, global->group);
	warn_of_word(diag, path, "pidfile", permanent->pidfile, global->pidfile);
	warn_of_word(diag, path, "chroot", permanent->chroot, global->chroot);
}

/* --- reading --- */

static void report_message(void *log, enum diag_severity severity, const char *text)
{
	log_line(log, NULL, severity == DIAG_ERROR ? LOG_ERR : LOG_WARNING, "SIGHUP: %s", text);
}

/* A start may wait for a pipe (`-f <(…)`). A running daemon must not, and a pipe has its text only once. */
static bool is_no_file(const char *path)
{
	struct stat file;

	return stat(path, &file) == 0 && !S_ISREG(file.st_mode);
}

static struct config *read_config(
	const char *path, struct log *log, const struct permanent *permanent)
{
	struct diag *diag;
	struct config *config;

	if (is_no_file(path)) {
		log_complain(log,
			"SIGHUP: %s is not a regular file, so it cannot be read again; start tproxyd with the path of one",
			path);
		return NULL;
	}
	diag = diag_new();
	if (diag == NULL) {
		log_complain(log, "SIGHUP: out of memory");
		return NULL;
	}
	config = config_load(path, diag);
	if (config != NULL)
		warn_of_permanent(diag, path, config, permanent);
	if (config == NULL && permanent->chroot != NULL)
		diag_add(diag, DIAG_WARNING, path, 0, NULL,
			"since tproxyd started with `chroot`: it is looked for below %s, and so are the files that it names",
			permanent->chroot);
	diag_report(diag, report_message, log);
	diag_free(diag);
	return config;
}

/* Receivers of older generations, which still drain. The list goes on from the newest to the oldest. */
static bool find_draining(struct generation *made, const struct generation *before)
{
	const struct generation *older = SLIST_NEXT(before, link);

	for (; older != NULL; older = SLIST_NEXT(older, link))
		if (!atomic_load(&older->silent) && !counterparts_add_receivers(made->counterparts,
							    made->config, older->config))
			return false;
	return true;
}

struct generation *reload_read(
	const char *path, struct generation *before, const struct permanent *permanent)
{
	struct config *config = read_config(path, before->log, permanent);
	struct generation *made;

	if (config == NULL)
		return NULL;
	made = generation_new(config);
	if (made == NULL)
		goto no_memory;
	if (descriptors_check_inherited(config, path, before->log) == -1)
		goto fail;
	if (privileges_check(config, path, permanent->privileges, true, before->log) == -1)
		goto fail;
	made->log = log_renew(before->log, config);
	if (made->log == NULL)
		goto fail;
	if (descriptors_plan(&permanent->descriptors, config, log_places(made->log), before->log,
		    &made->maxconn) == -1)
		goto fail;
	made->counterparts = counterparts_find(config, before->config);
	if (made->counterparts == NULL || !find_draining(made, before))
		goto no_memory;
	made->limits = limits_renew(before->limits, config, made->counterparts);
	made->tallies = tallies_renew(before->tallies, config, made->counterparts);
	if (made->limits != NULL && made->tallies != NULL)
		return made;
no_memory:
	log_complain(before->log, "SIGHUP: out of memory");
fail:
	generation_free(made);
	return NULL;
}
