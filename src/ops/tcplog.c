/*
 * HAProxy's tcplog line:
 *
 *   client:port [date] frontend backend/server Tw/Tc/Tt bytes state counts/retries queues
 *
 * Tw is always 0 and both queues are empty, since tproxyd has no queues; -1 is a phase that was not
 * reached. The second letter of the state says in which phase the session ended. Retries are the
 * attempts after the first one.
 *
 * The trap is what the counts include. When HAProxy writes the line, the session has given up its
 * server and its backend, but not its place in the process and in the frontend. Here it has given up
 * all four, so one is added to the first two.
 */
#include "tcplog.h"

#include <stdio.h>
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

	if (session->reason == REASON_DONE)
		return '-';
	if (session->connected == 0)
		return 'C';
	return server->eof_in && !server->cut_short ? 'L' : 'D';
}

/* Milliseconds, or -1 where AT did not happen. */
static long since_accept(const struct session *session, uint64_t at)
{
	return at == 0 ? -1 : (long)(at - session->accepted);
}

/* Each failed attempt was followed by a retry, but for the one that ended the session. */
static unsigned count_retries(const struct session *session)
{
	bool gave_up = session->failures > 0 && reason_is_refusal(session->reason);

	return gave_up ? session->failures - 1 : session->failures;
}

void tcplog_format(const struct session *session, char *out, size_t room)
{
	struct limits_counts counts = limits_counts(
		session->set->limits, session->frontend, session->backend, session->server);
	const char *backend =
		session->backend == NULL ? session->frontend->name : session->backend->name;
	const char *server = session->server == NULL ? "<NOSRV>" : session->server->name;
	char client[ADDR_TEXT_MAX], date[64];

	tcplog_date(&session->accepted_at, date, sizeof(date));
	snprintf(out, room, "%s:%u [%s] %s %s/%s %d/%ld/%ld %llu %c%c %u/%u/%u/%u/%u 0/0",
		addr_format_ip(&session->client, client), addr_port(&session->client), date,
		session->frontend->name, backend, server, session->server == NULL ? -1 : 0,
		since_accept(session, session->connected), since_accept(session, session->closed),
		(unsigned long long)session->directions[SERVER].bytes,
		reason_cause(session->reason), end_phase(session), counts.process + 1,
		counts.frontend + 1, counts.backend, counts.server, count_retries(session));
}
