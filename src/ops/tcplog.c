/*
 * HAProxy's tcplog line:
 *
 *   client:port [date] frontend backend/server Tw/Tc/Tt bytes state counts/retries queues
 *
 * Tw is always 0 and both queues are empty, since tproxyd has no queues; a phase that was never
 * reached has -1. The second letter of the state says in which phase the session ended.
 *
 * The counts are those of the moment at which HAProxy writes the line: the session has given up its
 * server and its backend, and still has its place in the process and in the frontend. Here all four
 * are given up by then, so the session's own place is added to the first two. Retries are attempts
 * after the first one.
 */
#include "tproxy/tcplog.h"

#include <stdio.h>
#include <time.h>

static void format_date(const struct timespec *at, char *out, size_t room)
{
	struct tm tm;
	char date[32];

	localtime_r(&at->tv_sec, &tm);
	strftime(date, sizeof(date), "%d/%b/%Y:%H:%M:%S", &tm);
	snprintf(out, room, "%s.%03ld", date, at->tv_nsec / 1000000);
}

static char phase(const struct session *session)
{
	const struct direction *server = &session->directions[SERVER];

	if (session->reason == REASON_DONE)
		return '-';
	if (session->connected == 0)
		return 'C';
	return server->eof_in && !server->cut_short ? 'L' : 'D';
}

static long since_accept(const struct session *session, uint64_t at)
{
	return at == 0 ? -1 : (long)(at - session->accepted);
}

/* Each failed attempt was followed by a retry, but for the one that ended the session. */
static unsigned retries(const struct session *session)
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

	format_date(&session->accepted_at, date, sizeof(date));
	snprintf(out, room, "%s:%u [%s] %s %s/%s %d/%ld/%ld %llu %c%c %u/%u/%u/%u/%u 0/0",
		addr_format_ip(&session->client, client), addr_port(&session->client), date,
		session->frontend->name, backend, server, session->server == NULL ? -1 : 0,
		since_accept(session, session->connected), since_accept(session, session->closed),
		(unsigned long long)session->directions[SERVER].bytes,
		reason_cause(session->reason), phase(session), counts.process + 1,
		counts.frontend + 1, counts.backend, counts.server, retries(session));
}
