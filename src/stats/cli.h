/*
 * A conversation by HAProxy's commands (management guide, section 9.3), without the socket that carries it.
 *
 * What a command has to say goes into the conversation's buffer. A long list goes there a piece at a time: the command is then not
 * done, and is asked to go on once the piece was taken away.
 */
#ifndef TPROXY_STATS_CLI_H
#define TPROXY_STATS_CLI_H

#include "row.h"
#include "view.h"

#include <event2/buffer.h>

enum query_fate {
	QUERY_SENT,
	QUERY_BUSY, /* the worker has another one: later */
	QUERY_LOST  /* the worker has ended */
};

/* What commands need of the daemon. All is called by the main thread. */
struct stats_host {
	void *arg;
	enum query_fate (*ask)(void *arg, struct session_query *query);
	void (*set_state)(void *arg, const struct proxy *backend, const struct server *server,
		enum server_state state);
	uint64_t (*lost_lines)(void *arg); /* of the log */
	/* No worker has a query any more, so configurations that are not in use may go. */
	void (*rest)(void *arg);
};

/* What all conversations share. */
struct stats_core {
	struct stats_subject subject;
	struct stats_host host;
	struct standing process; /* of all frontends */
	long long started;       /* monotonic milliseconds */
	time_t started_at;
	char node[64];                 /* the host's name */
	unsigned asking;               /* queries that a worker has */
	struct session_query *orphans; /* those whose conversation has ended */
};

struct cli {
	struct stats_core *core;
	enum stats_level level;
	bool prompts; /* shows a prompt, and goes on after a line */
	bool quits;
	unsigned timeout; /* milliseconds that its client may be silent */
	struct evbuffer *out;
	/* Of a command that is not done: returns false where it has to wait. NULL: there is none. */
	bool (*go_on)(struct cli *cli);
	struct session_query *query; /* what it has asked, or is to ask */
	bool sent;
	uint64_t wanted; /* the one session that it lists; 0: all */
};

/* Says TEXT and ends the line, as all messages. */
void cli_say(struct cli *cli, const char *text);

/* Goes on with a command that is not done. True where it is done now. */
bool cli_go_on(struct cli *cli);

/* A query was answered, and is not looked at any more. */
void core_answered(struct stats_core *core);

/* Ends what the conversation was doing; the buffer stays the caller's. */
void cli_end(struct cli *cli);

/* Some queries may have been answered: frees those whose conversation has ended. */
void core_collect(struct stats_core *core);

/* How much may be in the buffer before a list waits, in bytes. */
enum {
	CLI_OUTPUT_MAX = 128 * 1024
};

#endif
