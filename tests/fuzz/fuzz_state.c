/*
 * The state file of `tproxyctl apply`. The words @boot@ and @namespace@ become those of this machine, so
 * that a file is taken for one of this boot and this network namespace.
 */
#include "fuzz.h"
#include "setup/state_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static char boot[64], namespace[64];

static void learn(void)
{
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "r");
	ssize_t length = readlink("/proc/self/ns/net", namespace, sizeof(namespace) - 1);

	if (file == NULL || length <= 0 || fgets(boot, sizeof(boot), file) == NULL)
		abort();
	boot[strcspn(boot, "\n")] = '\0';
	fclose(file);
}

static void write_replaced(FILE *out, const char *text)
{
	while (*text != '\0') {
		if (strncmp(text, "@boot@", 6) == 0) {
			fputs(boot, out);
			text += 6;
		} else if (strncmp(text, "@namespace@", 11) == 0) {
			fputs(namespace, out);
			text += 11;
		} else {
			fputc(*text++, out);
		}
	}
}

static void open_file(const char *path)
{
	struct state_file state_file;

	if (state_file_open(&state_file, path, false) != 0)
		return;
	if (state_file.applied)
		state_file_complete(&state_file);
	state_file_close(&state_file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("state", MFD_CLOEXEC);
	char path[64], *text = fuzz_text(data, size);
	FILE *out = fdopen(fd, "w");

	if (out == NULL)
		abort();
	if (boot[0] == '\0')
		learn();
	write_replaced(out, text);
	fflush(out);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	open_file(path);
	fclose(out);
	free(text);
	return 0;
}
