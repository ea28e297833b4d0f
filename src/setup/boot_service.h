/*
 * The service of systemd that applies a plan at boot, before the proxy starts, and reverts it at its stop.
 *
 * It is one file and the link that enables it. The file's first line says that it is ours: another one is never
 * replaced or removed.
 */
#ifndef TPROXY_BOOT_SERVICE_H
#define TPROXY_BOOT_SERVICE_H

#include <stdbool.h>
#include <stddef.h>

#define BOOT_SERVICE_FOLDER "/etc/systemd/system"
#define BOOT_SERVICE_NAME   "tproxyctl.service"

enum boot_service_found {
	BOOT_SERVICE_NONE,
	BOOT_SERVICE_OURS,
	BOOT_SERVICE_FOREIGN, /* a file of that name that is not ours, or that cannot be read */
	BOOT_SERVICE_NO_SYSTEMD
};

/* What FOLDER, that of systemd's units, has. */
enum boot_service_found boot_service_look(const char *folder);

/*
 * The file that runs PROGRAM with the arguments of apply, WORDS[COUNT], and reverts by the state file STATE. To be freed.
 * NULL: a word has a control character, which a line of systemd's cannot have.
 */
char *boot_service_text(
	const char *program, const char *const words[], size_t count, const char *state);

/* Writes TEXT into FOLDER and enables it. False with errno, and then FOLDER is as before. */
bool boot_service_install(const char *folder, const char *text);

/*
 * Removes the file and the link, if they are ours and revert by the state file STATE. Returns 1 if they were removed, 0 if
 * there is none of that kind, -1 with errno.
 */
int boot_service_remove(const char *folder, const char *state);

/* Has a running systemd read its units again; without one, or where that fails, nothing happens. */
void boot_service_reload(void);

#endif
