/*
 * Writes a report to hand on: everything that a stranger needs to see what check saw.
 *
 * The listings are those that check itself reads, as the tools print them. Hardware addresses, names of hosts and command
 * lines of processes are no part of it. The file is for its owner alone: rules may say more than their writer remembers.
 */
#include "printers.h"
#include "redact.h"
#include "tproxy/shell.h"
#include "tproxy/subprocess.h"
#include "tproxy/text.h"
#include "tproxy/version.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static const char *const versions[] = {"ip -V", "iptables -V", "nft -v"};

static const char *const listings[] = {"ip -br address", "ip -4 rule", "ip -4 route show table all",
	"ip -6 rule", "ip -6 route show table all", "ip neigh show proxy", "iptables-save",
	"ip6tables-save", "iptables-legacy-save", "ip6tables-legacy-save", "nft list ruleset"};

/* A command with its output, each line made printable. */
static void put_output(const char *line, FILE *out)
{
	struct subprocess_result result;
	bool well = subprocess_run_line(line, NULL, &result);
	char *problem = well ? NULL : subprocess_problem(line, &result);
	const char *at = result.out;

	fprintf(out, "\n$ %s\n", line);
	for (char *each; at != NULL && (each = text_line(&at)) != NULL; free(each)) {
		char *shown = shell_printable(each);

		fprintf(out, "%s\n", shown);
		free(shown);
	}
	if (problem != NULL)
		fprintf(out, "(%s)\n", problem);
	free(problem);
	subprocess_free(&result);
}

static char *whole_text(const struct check_report *report, bool redact)
{
	struct utsname names = {0};
	struct text_stream text;
	char *made, *redacted;

	text_begin(&text);
	uname(&names);
	fprintf(text.out, "A report of tproxyctl %s on %s %s (%s).%s\n\n", TPROXYD_VERSION,
		names.sysname, names.release, names.machine,
		redact ? " Public addresses are replaced, each by the same one everywhere." : "");
	report_print(report, true, text.out);
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
		put_output(versions[i], text.out);
	for (size_t i = 0; i < sizeof(listings) / sizeof(listings[0]); i++)
		put_output(listings[i], text.out);
	made = text_end(&text);
	if (!redact)
		return made;
	redacted = redact_addresses(made);
	free(made);
	return redacted;
}

bool report_write(const struct check_report *report, const char *path, bool redact)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600), error;
	size_t length, done = 0;
	char *text;

	if (fd == -1)
		return false;
	text = whole_text(report, redact);
	length = strlen(text);
	errno = 0;
	for (ssize_t count; done < length; done += (size_t)count)
		if ((count = write(fd, text + done, length - done)) <= 0)
			break;
	if (close(fd) == -1)
		done = 0;
	error = errno;
	free(text);
	if (done < length)
		unlink(path);
	errno = error;
	return done == length;
}
