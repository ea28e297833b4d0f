/*
 * HAProxy's tcplog line:
 *
 *   client:port [date] frontend backend/server Tw/Tc/Tt bytes state counts/retries queues
 *
 * Tw is the time that it waited for a server, and the queues say how many had their turn before it; -1 is a phase that was not
 * reached. The second letter of the state says in which phase the session ended. Retries are the
 * attempts after the first one.
 *
 * A line that comes before the end (`option logasap`) has a + before what may still grow. As in HAProxy, so has every
 * line of such a frontend.
 *
 * The trap is what the counts include. When HAProxy writes the line of a session that has ended, that has given up its
 * server and its backend, but not its place in the process and in the frontend. Here it has given up
 * all four, so one is added to the first two.
 */
#include "tcplog.h"

#include "proxy/waiting.h"

#include <stdio.h>
#include <syslog.h>
#include <time.h>

void tcplog_date(const struct timespec *at, char *out, size_t room)
{
	struct tm tm;
	char date[32];

	localtime_r(&at->tv_sec, &tm);
	strftime(date, sizeof(date), "%d/%b/%Y:%H:%M:%S", &tm);
	snprintf(out, room, "%s.%03ld", date, at->tv_nsec / 1000000);
}

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

	if (session->frontend->logs.count == 0 || !(options & OPTION_TCPLOG) ||
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

void tcplog_format(const struct session *session, char *out, size_t room)
{
	static const struct waiting none;
	const struct waiting *waiting = session->waiting != NULL ? session->waiting : &none;
	const struct server *chosen = server_of(session);
	struct limits_counts counts =
		limits_counts(session->set->limits, session->frontend, session->backend, chosen);
	const char *backend =
		session->backend == NULL ? session->frontend->name : session->backend->name;
	const char *server = chosen == NULL ? "<NOSRV>" : chosen->name;
	const char *more = session->frontend->options & OPTION_LOGASAP ? "+" : "";
	bool ended = session->state != SESSION_RELAYING;
	char client[ADDR_TEXT_MAX], date[64];

	tcplog_date(&session->accepted_at, date, sizeof(date));
	snprintf(out, room, "%s:%u [%s] %s %s/%s %ld/%ld/%s%ld %s%llu %c%c %u/%u/%u/%u/%s%u %u/%u",
		addr_format_ip(&session->client, client), addr_port(&session->client), date,
		session->frontend->name, backend, server, waited(session),
		since_accept(session, session->connected), more,
		since_accept(session, ended ? session->closed : session->connected), more,
		(unsigned long long)session->directions[SERVER].bytes,
		reason_cause(session->reason), end_phase(session), counts.process + ended,
		counts.frontend + ended, counts.backend, counts.server,
		session->redispatched ? "+" : "", count_retries(session), waiting->server_place,
		waiting->backend_place);
}
