/*
 * When a session has its line in the log, and what the line says (session_log.h).
 *
 * The trap is what the counts include. When HAProxy writes the line of a session that has ended, that has given up its
 * server and its backend, but not its place in the process and in the frontend. Here it has given up
 * all four, so one is added to the first two.
 */
#include "tcplog.h"

#include "proxy/waiting.h"
#include "session_log.h"
#include "tproxy/socket.h"

#include <syslog.h>

static char end_phase(const struct session *session)
{
	const struct direction *server = &session->directions[SERVER];

	if (session->reason == REASON_DONE || session->reason == REASON_SERVER_DOWN ||
		session->reason == REASON_SERVER_UP)
		return '-';
	if (session->reason == REASON_CONTENT_REJECTED)
		return 'R';
	if (session->waiting != NULL && session->server == NULL)
		return session->reason == REASON_CLIENT_RESET ? 'D' : 'Q'; /* as HAProxy has it */
	if (session->connected == 0)
		return 'C';
	return server->eof_in && !server->cut_short ? 'L' : 'D';
}

/* Milliseconds, or -1 where AT did not happen. */
static long since_accept(const struct session *session, uint64_t at)
{
	return at == 0 ? -1 : (long)(at - session->accepted);
}

/* Tw: milliseconds, or -1 where no server was found and none was waited for. */
static long waited(const struct session *session)
{
	const struct waiting *waiting = session->waiting;

	if (waiting == NULL)
		return session->server == NULL ? -1 : 0;
	return waiting->until == 0 ? -1 : (long)(waiting->until - waiting->since);
}

/* The one that it has come to, or that it waits for alone; or NULL. */
static const struct server *server_of(const struct session *session)
{
	if (session->server == NULL && session->waiting != NULL)
		return session->waiting->server;
	return session->server;
}

/* Each failed attempt was followed by a retry, but for the one that ended the session. */
static unsigned count_retries(const struct session *session)
{
	bool gave_up = session->failures > 0 && reason_is_refusal(session->reason);

	return gave_up ? session->failures - 1 : session->failures;
}

/* As HAProxy has it: the session ended in another way than in order, or needed another attempt. */
static bool is_an_error(const struct session *session)
{
	return session->failures > 0 || session->reason != REASON_DONE;
}

/* At the end it is known whether the session was an error. A line that comes before that is none. */
int tcplog_level(const struct session *session)
{
	bool separate = session->frontend->options & OPTION_LOG_SEPARATE_ERRORS;

	return separate && is_an_error(session) ? LOG_ERR : LOG_INFO;
}

bool tcplog_is_due(const struct session *session)
{
	unsigned options = session->frontend->options;
	bool early = session->state == SESSION_RELAYING;

	if (session->frontend->logs.count == 0 || !config_logs_sessions(session->frontend) ||
		session->reason == REASON_REJECTED)
		return false;
	if ((options & OPTION_DONTLOG_NORMAL) && !is_an_error(session))
		return false;
	if (options & OPTION_LOGASAP)
		return early || session->connected == 0;
	if (early)
		return false;
	return !(options & OPTION_DONTLOGNULL) ||
	       session->directions[CLIENT].bytes > session->greeting;
}

/* This host's end of a side, as far as the line needs it. */
static struct addr local_end(const struct session *session, enum side_name name)
{
	const struct side *side = &session->sides[name];
	struct addr local = side->local;

	if (side->fd != -1 && config_logs_sockets(session->frontend))
		socket_local_address(side->fd, &local);
	addr_unmap(&local);
	return local;
}

static void put_counts(struct log_values *log, const struct session *session)
{
	static const struct waiting none;
	const struct waiting *waiting = session->waiting != NULL ? session->waiting : &none;
	bool ended = session->state != SESSION_RELAYING;
	struct limits_counts counts = limits_counts(
		session->set->limits, session->frontend, session->backend, server_of(session));

	log->process = counts.process + ended;
	log->frontend = counts.frontend + ended;
	log->backend = counts.backend;
	log->server_sessions = counts.server;
	log->retries = count_retries(session);
	log->redispatched = session->redispatched;
	log->server_queue = waiting->server_place;
	log->backend_queue = waiting->backend_place;
}

static struct log_values values_of(const struct session *session)
{
	const struct server *chosen = server_of(session);
	bool ended = session->state != SESSION_RELAYING;
	struct log_values log = {.backend_source = local_end(session, SERVER),
		.server = session->server_address,
		.frontend_name = session->frontend->name,
		.backend_name =
			session->backend == NULL ? session->frontend->name : session->backend->name,
		.server_name = chosen == NULL ? "<NOSRV>" : chosen->name,
		.came_at = session->accepted_at,
		.queue_time = waited(session),
		.connect_time = since_accept(session, session->connected),
		.total_time = since_accept(session, ended ? session->closed : session->connected),
		.to_client = session->directions[SERVER].bytes,
		.to_server = session->directions[CLIENT].bytes > session->greeting
				     ? session->directions[CLIENT].bytes - session->greeting
				     : 0,
		.state = {reason_cause(session->reason), end_phase(session), '\0'},
		.early = session->frontend->options & OPTION_LOGASAP};

	put_counts(&log, session);
	return log;
}

void tcplog_format(const struct session *session, char *out, size_t room)
{
	struct line_values line = {.mode = MODE_TCP, .reason = reason_name(session->reason)};

	line.log = values_of(session);
	line.values.source = session->client;
	line.values.destination = addr_family(&session->destination) != AF_UNSPEC
					  ? session->destination
					  : local_end(session, CLIENT);
	line.values.came_at = session->accepted_at.tv_sec;
	line_values_complete(&line, session->frontend);
	line_write(&line, session->frontend, out, room);
}
