/*
 * Which requests are let in, judged from their head alone.
 *
 * A page of another site can send requests to this host's loopback addresses, and with a name of its own that it
 * has point there (DNS rebinding) it can read the answers. So a request has to name this host by a
 * loopback address or `localhost` (Host), and what changes something has to come from our own page (Origin).
 * Every function is pure; texts may have any bytes, as they came.
 */
#ifndef TPROXY_WEB_GUARD_H
#define TPROXY_WEB_GUARD_H

#include <stdbool.h>
#include <stddef.h>

enum {
	GUARD_SECRET_TEXT =
		64 + 1, /* a token, a session or a CSRF token: hexadecimal digits and a NUL */
	GUARD_PATH_MAX = 128
};

/* A target of a request, taken apart. */
struct guard_target {
	char path[GUARD_PATH_MAX];
	const char *query; /* behind the "?", part of the target; "" where there is none */
};

/* Whether HOST is `localhost`, an address of 127.0.0.0/8 or [::1], with or without a port. NULL is not. */
bool guard_host(const char *host);

/* Whether ORIGIN is "http://" and HOST: our own page. NULL is not. */
bool guard_origin(const char *origin, const char *host);

/* Whether a browser says that the request comes from our page or from the user (Sec-Fetch-Site); NULL: it says nothing. */
bool guard_fetch_site(const char *site);

/* Takes a target apart. False: it is not a path from the root on, of letters, digits and "./_-", or it is too long. */
bool guard_target(const char *target, struct guard_target *parts);

/*
 * Copies the value of NAME=VALUE in a query to VALUE of SIZE bytes. False: it is not there, does not fit, or has another
 * character than letters, digits and "._-".
 */
bool guard_query(const char *query, const char *name, char *value, size_t size);

/*
 * Copies the cookie NAME of a Cookie header to VALUE. False: HEADER is NULL, the cookie is not there, is there twice,
 * or is not 64 hexadecimal digits.
 */
bool guard_cookie(const char *header, const char *name, char value[GUARD_SECRET_TEXT]);

/* Whether TYPE is application/json, with or without parameters. NULL is not. */
bool guard_is_json(const char *type);

/* Whether two texts are the same. The time that it takes depends on the length of GIVEN alone. */
bool guard_same_secret(const char *given, const char *secret);

#endif
