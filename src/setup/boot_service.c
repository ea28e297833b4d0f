/*
 * Writes and removes the service that applies a plan at boot.
 *
 * It starts after whatever makes or deletes rules and routes at boot, and is restarted with those that delete what is not
 * theirs (PartOf=). At boot apply is run with the same options, not with the same steps: a host that has changed gets the
 * plan that it needs then.
 *
 * The trap is a word with `%`, `$`, blanks or quotes: systemd.service(5) gives each of them a meaning.
 */
#include "boot_service.h"
#include "tproxy/file.h"
#include "tproxy/subprocess.h"
#include "tproxy/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char mark[] =
	"# Written by `tproxyctl apply --persist`. `tproxyctl revert` removes it.\n";

static const char wants[] = "multi-user.target.wants";

static const char unit[] =
	"[Unit]\n"
	"Description=Rules and routes of a transparent proxy\n"
	"Documentation=man:tproxyctl(8)\n"
	"# These make rules and routes at boot. Those of PartOf= delete what is not theirs when they start again.\n"
	"After=network.target systemd-sysctl.service systemd-networkd.service NetworkManager.service networking.service\n"
	"After=nftables.service netfilter-persistent.service firewalld.service ufw.service docker.service\n"
	"PartOf=systemd-networkd.service nftables.service netfilter-persistent.service firewalld.service\n"
	"Before=tproxyd.service haproxy.service nginx.service squid.service\n"
	"\n"
	"[Service]\n"
	"Type=oneshot\n"
	"RemainAfterExit=yes\n";

static char *path_of(const char *folder, bool link)
{
	return text_format(
		"%s/%s%s%s", folder, link ? wants : "", link ? "/" : "", BOOT_SERVICE_NAME);
}

enum boot_service_found boot_service_look(const char *folder)
{
	char *path = path_of(folder, false), *text;
	enum boot_service_found found = BOOT_SERVICE_FOREIGN;
	size_t length;

	if (access(folder, F_OK) == -1)
		found = BOOT_SERVICE_NO_SYSTEMD;
	else if ((text = file_read_regular(path, &length)) != NULL) {
		if (strncmp(text, mark, strlen(mark)) == 0)
			found = BOOT_SERVICE_OURS;
		free(text);
	} else if (errno == ENOENT)
		found = BOOT_SERVICE_NONE;
	free(path);
	return found;
}

/* Prints a word as systemd reads it. False: it has a control character. */
static bool put_word(FILE *out, const char *word)
{
	bool plain = *word != '\0' && word[strcspn(word, " \t\"'\\;")] == '\0';

	fputs(plain ? "" : "\"", out);
	for (; *word != '\0'; word++) {
		if ((unsigned char)*word < ' ' || *word == 0x7f)
			return false;
		if (*word == '%' || *word == '$')
			fputc(*word, out);
		else if (*word == '"' || *word == '\\')
			fputc('\\', out);
		fputc(*word, out);
	}
	if (!plain)
		fputc('"', out);
	return true;
}

static bool put_line(FILE *out, const char *key, const char *const words[], size_t count)
{
	bool well = true;

	fprintf(out, "%s=", key);
	for (size_t i = 0; i < count; i++)
		well = well && (i == 0 || fputc(' ', out) == ' ') && put_word(out, words[i]);
	fputc('\n', out);
	return well;
}

char *boot_service_text(
	const char *program, const char *const words[], size_t count, const char *state)
{
	const char *stop[] = {program, "revert", "--keep-service", "--state", state};
	const char **start = calloc(count + 2, sizeof(*start));
	struct text_stream text;
	char *made;
	bool well;

	if (start == NULL)
		abort(); /* out of memory */
	start[0] = program;
	start[1] = "apply";
	for (size_t i = 0; i < count; i++)
		start[2 + i] = words[i];
	text_begin(&text);
	fprintf(text.out, "%s%s", mark, unit);
	well = put_line(text.out, "ExecStart", start, count + 2);
	well = put_line(text.out, "ExecStop", stop, sizeof(stop) / sizeof(stop[0])) && well;
	fputs("\n[Install]\nWantedBy=multi-user.target\n", text.out);
	made = text_end(&text);
	free(start);
	if (well)
		return made;
	free(made);
	return NULL;
}

/* Replaces the file as a whole. */
static bool write_file(const char *path, const char *text)
{
	char *new = text_format("%s.new", path);
	int fd = open(new, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	size_t length = strlen(text);
	bool well = fd != -1 && write(fd, text, length) == (ssize_t)length && fsync(fd) == 0;
	int error = errno;

	if (fd != -1)
		close(fd);
	if (well && rename(new, path) == -1) {
		error = errno;
		well = false;
	}
	if (fd != -1 && !well)
		unlink(new);
	free(new);
	errno = error;
	return well;
}

/* The folder of the link stays if it was there, and goes with the link if not: rmdir() refuses one with other links. */
static bool make_link(const char *folder)
{
	char *wanted = text_format("%s/%s", folder, wants), *link = path_of(folder, true);
	bool made = mkdir(wanted, 0755) == 0;
	bool well = (made || errno == EEXIST) &&
		    (symlink("../" BOOT_SERVICE_NAME, link) == 0 || errno == EEXIST);
	int error = errno;

	if (!well && made)
		rmdir(wanted);
	free(link);
	free(wanted);
	errno = error;
	return well;
}

bool boot_service_install(const char *folder, const char *text)
{
	bool was_there = boot_service_look(folder) == BOOT_SERVICE_OURS;
	char *path = path_of(folder, false);
	bool well = write_file(path, text) && make_link(folder);
	int error = errno;

	if (!well && !was_there)
		unlink(path);
	free(path);
	errno = error;
	return well;
}

/* Whether the file reverts by the state file STATE: that of another network namespace is not this host's. */
static bool reverts_by(const char *folder, const char *state)
{
	char *path = path_of(folder, false), *text, *line;
	struct text_stream words;
	bool found;
	size_t length;

	text_begin(&words);
	fputs("revert --keep-service --state ", words.out);
	put_word(words.out, state);
	fputc('\n', words.out);
	line = text_end(&words);
	text = file_read_regular(path, &length);
	found = text != NULL && strstr(text, line) != NULL;
	free(text);
	free(line);
	free(path);
	return found;
}

int boot_service_remove(const char *folder, const char *state)
{
	char *path, *link, *wanted;
	bool well;

	if (boot_service_look(folder) != BOOT_SERVICE_OURS || !reverts_by(folder, state))
		return 0;
	path = path_of(folder, false);
	link = path_of(folder, true);
	wanted = text_format("%s/%s", folder, wants);
	well = (unlink(link) == 0 || errno == ENOENT) && unlink(path) == 0;
	if (well)
		rmdir(wanted);
	free(wanted);
	free(link);
	free(path);
	return well ? 1 : -1;
}

void boot_service_reload(void)
{
	struct subprocess_result result;

	if (access("/run/systemd/system", F_OK) == -1)
		return;
	subprocess_run_line("systemctl daemon-reload", NULL, &result);
	subprocess_free(&result);
}
