/*
 * The verbs of the helper (helper.h), by what they are about. Each returns an answer.
 */
#ifndef TPROXY_WEB_VERBS_H
#define TPROXY_WEB_VERBS_H

#include "helper.h"
#include "verb_base.h"

/*
 * Runs a subcommand of this program: {"status": 200, "exit", "output": what it printed as JSON, or null, "messages"}.
 * check and plan change nothing; prove does its work in namespaces of its own.
 */
json_t *verb_check(const struct helper_settings *settings, const json_t *call);
json_t *verb_plan(const struct helper_settings *settings, const json_t *call);
json_t *verb_prove(const struct helper_settings *settings, const json_t *call);

/* The same for apply and revert, with --allow-apply alone. */
json_t *verb_apply(const struct helper_settings *settings, const json_t *call);
json_t *verb_revert(const struct helper_settings *settings, const json_t *call);

/*
 * Runs one command of a finding, "run", with --allow-apply alone. It is compared with the commands for this host that check
 * prints now, so nothing else can be run. {"status": 200, "exit", "messages"}.
 */
json_t *verb_fix(const struct helper_settings *settings, const json_t *call);

/*
 * The proxy's counters: {"status": 200, "info", "stat", "reasons" (null of HAProxy)}, as the stats socket writes them; with
 * "sessions": true, "info" and "sess".
 */
json_t *verb_stats(const struct helper_settings *settings, const json_t *call);

/* The configuration's file: {"status": 200, "text", "version": its digest}. A file that is not there is empty. */
json_t *verb_read(const struct helper_settings *settings, const json_t *call);

/* {"status": 200, "versions": as versions_list() says}; and the text of one, "id", as verb_read() gives it. */
json_t *verb_versions(const struct helper_settings *settings, const json_t *call);
json_t *verb_version(const struct helper_settings *settings, const json_t *call);

/*
 * Saves "text" in place of the version "base", "who" stands beside it, and makes the proxy read it: {"status": 200, "version",
 * "reloaded"}. 409 with the file's "text" and "version": it is another one by now. 422 with "errors": the daemon would not
 * take it. 502: it cannot be written, or the proxy did not take it, and the text before is back.
 */
json_t *verb_save(const struct helper_settings *settings, const json_t *call);

#endif
