/*
 * Limits: how many sessions there are, of the process, of each section and of each server, and how
 * many pipes.
 *
 * A limit holds for all workers together, so this is the one piece of state that they share and
 * change. It is made of atomic counts, and any thread may call any function. Everything else that
 * workers count is their own.
 */
#ifndef TPROXY_LIMITS_H
#define TPROXY_LIMITS_H

#include "tproxy/config.h"

struct limits;

/*
 * MAXCONN: sessions of the process at the same time. CONFIG is read here only. Returns NULL where
 * memory is missing. The caller frees it when no worker runs any more.
 */
struct limits *limits_new(const struct config *config, unsigned maxconn);

/* NULL is allowed. */
void limits_free(struct limits *limits);

/*
 * Takes one of the process's pipes for splicing, which are a quarter of maxconn, as HAProxy computes
 * (`maxpipes`, configuration manual, section 3.2). False, and nothing is taken, where none is left. A
 * pipe counts from pipe2() to close(), whether it is in use or kept for later.
 */
bool limits_take_pipe(struct limits *limits);

/* Gives back what limits_take_pipe() took, once the pipe is closed. */
void limits_give_pipe(struct limits *limits);

/* Takes a place for a session of this frontend. False, and nothing is taken, where none is free. */
bool limits_enter(struct limits *limits, const struct proxy *frontend);

/* Gives back what limits_enter() took. */
void limits_leave(struct limits *limits, const struct proxy *frontend);

/* Counts a session of BACKEND and SERVER, until limits_unuse(); neither has a limit. */
void limits_use(struct limits *limits, const struct proxy *backend, const struct server *server);
void limits_unuse(struct limits *limits, const struct proxy *backend, const struct server *server);

/* Sessions at one moment. */
struct limits_counts {
	unsigned process, frontend, backend, server;
};

/* The counts of HAProxy's log line. BACKEND and SERVER may be NULL: their counts are 0 then. */
struct limits_counts limits_counts(const struct limits *limits, const struct proxy *frontend,
	const struct proxy *backend, const struct server *server);

#endif
