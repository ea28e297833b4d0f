/*
 * Limits: how many sessions there are, of the process, of each section and of each server, and how
 * many pipes.
 *
 * A limit holds for all workers together, so this is the one piece of state that they share; it is
 * made of atomic counts that are never locked. Everything else that workers count is their own.
 */
#ifndef TPROXY_LIMITS_H
#define TPROXY_LIMITS_H

#include "tproxy/config.h"

struct limits;

/* MAXCONN is of the process. NULL: no memory. CONFIG must outlive the limits. */
struct limits *limits_new(const struct config *config, unsigned maxconn);
void limits_free(struct limits *limits);

/*
 * Takes one of the process's pipes for splicing, which are a quarter of maxconn, as HAProxy reckons
 * (`maxpipes`). False, and nothing is taken, where none is left. A pipe counts from pipe2() to
 * close(), whether it is in use or kept for later.
 */
bool limits_take_pipe(struct limits *limits);
void limits_give_pipe(struct limits *limits);

/* Takes a place for a session of this frontend. False, and nothing is taken, where none is free. */
bool limits_enter(struct limits *limits, const struct proxy *frontend);
void limits_leave(struct limits *limits, const struct proxy *frontend);

/* Counts a session on a backend's server, for as long as it uses it. */
void limits_use(struct limits *limits, const struct proxy *backend, const struct server *server);
void limits_unuse(struct limits *limits, const struct proxy *backend, const struct server *server);

/* The counts of HAProxy's log line. BACKEND and SERVER may be NULL: their counts are 0. */
struct limits_counts {
	unsigned process, frontend, backend, server;
};
struct limits_counts limits_counts(const struct limits *limits, const struct proxy *frontend,
	const struct proxy *backend, const struct server *server);

#endif
