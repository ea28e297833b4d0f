/*
 * What needs root is done by a helper, a process of its own, at the request of the one that talks to browsers.
 *
 * A call is a socket that the caller sends over the control socket. The caller writes a JSON object into its own end,
 * {"verb": NAME, …}, and shuts that direction; the helper writes the answer, an object too, and closes.
 * An answer has "status", one of HTTP's: 200, or another one with "message". The verbs are a fixed list
 * (verbs.c); paths and programs come from the command line alone, never from a call.
 */
#ifndef TPROXY_WEB_HELPER_H
#define TPROXY_WEB_HELPER_H

#include <jansson.h>
#include <stdbool.h>

enum {
	HELPER_CALLS_MAX = 8,         /* at a time */
	HELPER_SECONDS_MAX = 180,     /* for one */
	HELPER_MESSAGE_MAX = 32 << 20 /* bytes of a request or an answer */
};

/* What the command line fixed. Texts stay; NULL where nothing was given. */
struct helper_settings {
	const char *config;       /* the configuration's file */
	const char *versions;     /* the folder of its versions; NULL: beside it */
	const char *stats_socket; /* the proxy's stats socket */
	const char *reload;       /* the command that makes the proxy read the file again */
	const char *pidfile;      /* or the file with the number of the process that gets SIGHUP */
	const char *const *options; /* further options of plan and apply, a list that NULL ends */
	bool allow_apply;
	int lock; /* a descriptor; a change locks it (fcntl(2)) */
};

/* Serves calls until the other side of CONTROL is closed, or a signal's handler shuts it. Each call has a process of its own. */
void helper_serve(int control, const struct helper_settings *settings);

/* Carries out one verb; the answer belongs to the caller. May take long, and run programs. */
json_t *helper_verb(const struct helper_settings *settings, const json_t *call);

#endif
