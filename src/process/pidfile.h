/*
 * The pidfile: the number of the running process, in a file that it keeps locked.
 */
#ifndef TPROXY_PROCESS_PIDFILE_H
#define TPROXY_PROCESS_PIDFILE_H

#include "log.h"

struct pidfile {
	const char *path;
	int fd; /* -1: not taken */
};

/*
 * Makes the file at PATH, which must outlive PIDFILE, locks it until pidfile_drop() or the end of the
 * process, and writes the process's number. Returns 0, or -1 with a message on stderr: another
 * instance has it, it is a symbolic link or no regular file, or the disk is full. A file that was
 * made and cannot be written is removed.
 */
int pidfile_take(struct pidfile *pidfile, const char *path, struct log *log);

/* Removes the file, or empties it where this user may not remove it. Does nothing if it is not taken. */
void pidfile_drop(struct pidfile *pidfile);

#endif
