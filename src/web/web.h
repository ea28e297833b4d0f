/*
 * The admin page: one page on loopback or a unix socket, served by an ordinary user's process, and a helper with the rights
 * that this program was started with.
 */
#ifndef TPROXY_WEB_WEB_H
#define TPROXY_WEB_WEB_H

#include "helper.h"

struct web_options {
	const char *bind;         /* "ADDRESS:PORT" of loopback, or the path of a unix socket */
	const char *user;         /* who serves the page where this program was started by root */
	const char *password;     /* a file, or NULL: a token is made and printed */
	unsigned read_s, write_s; /* how long a request may take to come, and an answer to go */
	struct helper_settings helper;
};

/*
 * Serves the page until SIGINT or SIGTERM. Prints the page's address to stdout once it is served. Returns the exit status, with
 * a message where something is wrong.
 */
int web_run(const struct web_options *options);

#endif
