/*
 * The lines of the log about health. They are HAProxy's, word for word, so that what reads its logs reads these.
 */
#include "health.h"

#include <stdio.h>

enum {
	VERDICT_TEXT_MAX = 1024
};

static void format_reason(const struct health_change *change, char *out, size_t room)
{
	char verdict[VERDICT_TEXT_MAX];

	health_verdict_format(&change->verdict, verdict, sizeof(verdict));
	snprintf(out, room, ", reason: %s, check duration: %ums", verdict, change->duration);
}

/* `option log-health-checks`: one check. */
static void format_check(const struct health_change *change, char *out, size_t room)
{
	char reason[VERDICT_TEXT_MAX + 64];

	format_reason(change, reason, sizeof(reason));
	snprintf(out, room, "%s check for %sserver %s/%s %s%s, status: %u/%u %s.",
		change->by_agent ? "Agent" : "Health", change->server->backup ? "backup " : "",
		change->backend->name, change->server->name,
		health_is_passed(change->verdict.status) ? "succeeded" : "failed", reason,
		change->points, change->of,
		change->drains ? "DRAIN"
		: change->up   ? "UP"
			       : "DOWN");
}

/* What has changed the server. The line of a check has its reason, where there is one. */
static void format_cause(const struct health_change *change, char *out, size_t room)
{
	*out = '\0';
	if (change->via != NULL)
		snprintf(out, room, " via %s/%s", change->via_backend->name, change->via->name);
	else if (change->errors > 0)
		snprintf(out, room,
			", reason: Health analyze, info: \"Detected %u consecutive errors, last one was: L4 unsuccessful connection\"",
			change->errors);
	else if (!(change->backend->options & OPTION_LOG_HEALTH_CHECKS))
		format_reason(change, out, room);
}

void health_format(const struct health_change *change, char *out, size_t room)
{
	char reason[VERDICT_TEXT_MAX + 64], rest[128];

	if (change->of_check) {
		format_check(change, out, room);
		return;
	}
	format_cause(change, reason, sizeof(reason));
	if (change->up)
		snprintf(rest, sizeof(rest), "online. %u sessions requeued, %u total in queue.",
			change->requeued, change->waiting);
	else
		snprintf(rest, sizeof(rest),
			"left.%s %u sessions active, %u requeued, %u remaining in queue.",
			change->active == 0 && change->backups > 0 && !change->server->backup
				? " Running on backup."
				: "",
			change->sessions, change->requeued, change->waiting);
	snprintf(out, room, "%sServer %s/%s is %s%s. %u active and %u backup servers %s",
		change->server->backup ? "Backup " : "", change->backend->name,
		change->server->name, change->up ? "UP" : "DOWN", reason, change->active,
		change->backups, rest);
}
