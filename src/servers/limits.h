/*
 * Limits: how many sessions there are, of the process, of each section and of each server, how
 * many pipes, and whose turn it is, and which servers are up.
 *
 * A limit holds for all workers together, and so does the balance of servers. So this is the one piece of state
 * that workers share and change. It is made of atomic counts. Everything else that workers count is their own.
 *
 * Each configuration has its own limits. After a reload those of the new one and of the one before count
 * together what they have in common, so no limit is passed while sessions of both are open: the process,
 * its pipes, and sections and servers with counterparts. The main thread makes, changes and frees limits;
 * any thread may call the other functions.
 */
#ifndef TPROXY_SERVERS_LIMITS_H
#define TPROXY_SERVERS_LIMITS_H

#include "clients.h"
#include "counterparts.h"
#include "queue.h"
#include "reason.h"
#include "setting.h"
#include "tproxy/config.h"
#include "tproxy/wakers.h"

struct limits;
struct process_limits; /* what all configurations of the process share */

/*
 * MAXCONN: sessions of the process at the same time. CONFIG is read here only. Returns NULL where
 * memory is missing. The caller frees it when no worker runs any more.
 */
struct limits *limits_new(const struct config *config, unsigned maxconn);

/*
 * Makes the limits of a configuration that is to follow the one of BEFORE; each of them may be freed first.
 * The maxconn of the process stays until limits_set_maxconn(). NULL: no memory.
 */
struct limits *limits_renew(struct limits *before, const struct config *config,
	const struct counterparts *counterparts);

/* Sessions beyond a lower limit go on; none begins until enough of them have ended. */
void limits_set_maxconn(struct limits *limits, unsigned maxconn);

/*
 * The maxconn of servers are those of CONFIG, or of their agents, from now on, which is that of the limits, also for sessions of older configurations that
 * wait for these servers. limits_new() does it, and a newer configuration when it is put in force.
 */
void limits_set_places(struct limits *limits, const struct config *config);

/* NULL is allowed. */
void limits_free(struct limits *limits);

/* Valid while any limits that share it are there. */
struct process_limits *limits_process(struct limits *limits);

/* The threads that may wait for what others change. */
struct wakers *limits_wakers(struct process_limits *process);
/* The clients of datagrams, of all configurations; valid as long. */
struct clients *limits_clients(const struct limits *limits);

/*
 * Takes one of the process's pipes for splicing, which are a quarter of maxconn, as HAProxy computes
 * (`maxpipes`, configuration manual, section 3.2). False, and nothing is taken, where none is left. A
 * pipe counts from pipe2() to close(), whether it is in use or kept for later.
 */
bool limits_take_pipe(struct process_limits *process);

/* Gives back what limits_take_pipe() took, once the pipe is closed. */
void limits_give_pipe(struct process_limits *process);

/* Takes a place for a session of this frontend. False, and nothing is taken, where none is free. */
bool limits_enter(struct limits *limits, const struct proxy *frontend);

/* Gives back what limits_enter() took. */
void limits_leave(struct limits *limits, const struct proxy *frontend);

/*
 * Counts a session of BACKEND and SERVER, until limits_unuse(). False, and nothing is counted, where the server has
 * as many as its maxconn.
 */
bool limits_use(struct limits *limits, const struct proxy *backend, const struct server *server);

/* The same where the server has exactly as many SESSIONS, which are below its maxconn. False: it has not. */
bool limits_use_at(struct limits *limits, const struct proxy *backend, const struct server *server,
	unsigned sessions);

void limits_unuse(struct limits *limits, const struct proxy *backend, const struct server *server);

unsigned limits_server_sessions(const struct limits *limits, const struct server *server);

/*
 * How many sessions SERVER may have now; 0: as many as come. An agent may set it, where the server has one; a change wakes all workers.
 * It holds over a reload, as long as the configuration has the same maxconn for the server. The main thread alone sets it.
 */
unsigned limits_maxconn(const struct limits *limits, const struct server *server);
void limits_set_server_maxconn(
	struct limits *limits, const struct server *server, unsigned maxconn);

/* Whether SERVER has fewer sessions than its maxconn, or none of its own. */
bool limits_has_place(const struct limits *limits, const struct server *server);

/* The clients that wait for any server of BACKEND, and for SERVER alone; of a backend with `queues`. */
struct queue *limits_backend_queue(const struct limits *limits, const struct proxy *backend);
struct queue *limits_server_queue(const struct limits *limits, const struct server *server);

/* Counts a client of BACKEND that waits for a server, until limits_wait_no_more(). */
void limits_wait(struct limits *limits, const struct proxy *backend);
void limits_wait_no_more(struct limits *limits, const struct proxy *backend);

/* Who says that a server is down; bits of limits_down(). */
enum down_by {
	DOWN_BY_CHECK =
		1, /* or by clients' connections, or because the server that it tracks is down */
	DOWN_BY_AGENT = 2,
};

/*
 * Whether clients can come to SERVER, as checks and agents say. It is so until one of them says otherwise. A change wakes all workers. The
 * main thread alone sets it.
 */
void limits_set_up(struct limits *limits, const struct server *server, enum down_by by, bool up);
unsigned limits_down(const struct limits *limits, const struct server *server);
bool limits_is_up(const struct limits *limits, const struct server *server);

/*
 * What an operator says of SERVER. A change wakes all workers. A server that tracks another one is in maintenance or drains with
 * that one, too, but for limits_own_state(). BACKEND is the server's.
 */
void limits_set_state(struct limits *limits, const struct proxy *backend,
	const struct server *server, enum server_state state);
enum server_state limits_state(const struct limits *limits, const struct server *server);
enum server_state limits_own_state(const struct limits *limits, const struct server *server);
void limits_set_weight(struct limits *limits, const struct proxy *backend,
	const struct server *server, unsigned weight);
unsigned limits_weight(const struct limits *limits, const struct server *server);

/* Whether that was ever said of a server of BACKEND, so that its turns do not hold any more. */
bool limits_are_set(const struct limits *limits, const struct proxy *backend);

/*
 * Where SERVER, which has `resolvers`, is now, without its port; NULL, and false: nowhere. A change between the two wakes all workers. The
 * main thread alone sets it; limits_new() does where the configuration has an address.
 */
void limits_set_address(
	struct limits *limits, const struct server *server, const struct addr *address);
bool limits_address(const struct limits *limits, const struct server *server, struct addr *address);

/* server_address() of config.h, also where the server moves. */
struct addr limits_target(
	const struct limits *limits, const struct server *server, const struct addr *asked);

/* SERVER has come up just now: its `slowstart` begins. */
void limits_start_slowly(struct limits *limits, const struct server *server);

/* How far its `slowstart` has come, in percent; 100 without one. */
unsigned limits_progress(const struct limits *limits, const struct server *server);

/*
 * All sessions that SERVER has now are to end with REASON, one of REASON_SERVER_DOWN, _UP and REASON_KILLED. Each worker ends its own: it is woken, and looks which of its servers
 * have a later number than the last one that it has seen, which limits_ends() returns.
 */
void limits_end_sessions(struct limits *limits, const struct server *server, enum reason reason);
unsigned limits_ends(struct process_limits *process);

/* The reason for a session of SERVER to end, where that was said since the number SEEN; else REASON_DONE. */
enum reason limits_end_reason(
	const struct limits *limits, const struct server *server, unsigned seen);

/*
 * A connection of a client to SERVER, which `observe`s, has come about, or not. Where it is the last of too many errors, the thread of
 * number LIMITS_OBSERVER is woken. limits_take_errors() is for that thread: how often there were too many since it asked last.
 */
void limits_observe(struct limits *limits, const struct server *server, bool good);
unsigned limits_take_errors(struct limits *limits, const struct server *server);

/* How many errors in a row are too many. */
unsigned limits_error_limit(const struct server *server);

enum {
	LIMITS_OBSERVER = WAKERS_MAX - 1
};

/* Counts the turns of BACKEND's servers: each call returns the next number, over all workers. */
unsigned limits_next_turn(struct limits *limits, const struct proxy *backend);

/* Sessions, and pipes, of the process. */
unsigned limits_sessions(const struct process_limits *process);
unsigned limits_pipes(const struct process_limits *process);

/* Sessions at one moment. */
struct limits_counts {
	unsigned process, frontend, backend, server;
};

/* The counts of HAProxy's log line. BACKEND and SERVER may be NULL: their counts are 0 then. */
struct limits_counts limits_counts(const struct limits *limits, const struct proxy *frontend,
	const struct proxy *backend, const struct server *server);

#endif
