/*
 * The pidfile: the number of the running process, in a file that no other instance can take over.
 */
#ifndef TPROXY_OPS_PIDFILE_H
#define TPROXY_OPS_PIDFILE_H

#include "tproxy/log.h"

/* A zeroed one with an fd of -1 is valid: it is not taken. */
struct pidfile {
	const char *path;
	int fd;
};

/*
 * Makes the file, locks it for as long as the process lives, and writes the process's number. PATH
 * must outlive it. Returns -1 after a complaint; a file that was made is then gone again.
 */
int pidfile_take(struct pidfile *pidfile, const char *path, struct log *log);

/* Removes the file; where the folder does not let this user do so, leaves it behind empty. */
void pidfile_drop(struct pidfile *pidfile);

#endif
