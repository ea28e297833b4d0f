/*
 * Reads the configurations of other proxies for what matters here: listeners, servers, and which source address the proxy
 * connects from.
 *
 * They are read leniently. What does not matter is skipped in silence; what could matter and is not understood (a host name,
 * a variable, a file that is included) is skipped with a note.
 */
#ifndef TPROXY_FOREIGN_FILES_H
#define TPROXY_FOREIGN_FILES_H

#include "service.h"

/*
 * Each adds the listeners and servers of the file at PATH to SERVICE; PATH has to outlive it. *NOTES (NULL before, to be freed)
 * gets a line "PATH:LINE: …" for each thing that was skipped. False with errno where the file cannot be read.
 */
bool service_add_haproxy(struct service *service, const char *path, char **notes);
bool service_add_nginx(struct service *service, const char *path, char **notes);

/* The pure part: the same of a file's TEXT. PATH is for notes. */
void service_parse_haproxy(
	struct service *service, const char *text, const char *path, char **notes);
void service_parse_nginx(struct service *service, const char *text, const char *path, char **notes);

/*
 * Reads HOST:PORT, where HOST is an address, or empty or `*` for all of FAMILY; PORT may be left out, and may be a range. False:
 * it is something else, such as a name or the path of a socket. *LAST is the last port of the range.
 */
bool foreign_address(const char *text, int family, struct addr *address, unsigned *last);

#endif
