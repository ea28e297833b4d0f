/*
 * The PROXY header that a server gets first.
 */
#ifndef PROXY_SERVER_HEADER_H
#define PROXY_SERVER_HEADER_H

#include "session.h"

enum {
	SERVER_HEADER_MAX = 4096 /* fields that do not fit are left out */
};

/*
 * Writes the header that the session's server is to get, as its line of the configuration says. Returns its length; 0
 * where the address that the client connected to is not known.
 */
size_t server_header_write(const struct session *session, char out[SERVER_HEADER_MAX]);

#endif
