/*
 * `show sess` asks one worker after the other, a few sessions at a time, and goes on where the last answer ended. So a session
 * that is open all the while is shown once, and neither a worker nor the buffer ever has more than one answer to hold.
 */
#include "command.h"

#include "servers/session_id.h"
#include "tproxy/clock.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* --- asking --- */

/* Whether the answer has come; asks where that was not done yet. */
static bool has_answer(struct cli *cli)
{
	struct stats_core *core = cli->core;
	enum query_fate fate;

	if (!cli->sent) {
		fate = core->host.ask(core->host.arg, cli->query);
		if (fate == QUERY_LOST)
			return true;
		if (fate == QUERY_BUSY)
			return false;
		cli->sent = true;
		core->asking++;
	}
	if (!atomic_load(&cli->query->answered))
		return false;
	cli->sent = false;
	core_answered(core);
	return true;
}

/* False: no memory, which was said. */
static bool begin_query(struct cli *cli, enum query_kind kind, uint64_t id)
{
	cli->query = calloc(1, sizeof(*cli->query));
	if (cli->query == NULL) {
		cli_say(cli, "Out of memory.");
		return false;
	}
	cli->query->kind = kind;
	cli->query->after = id;
	cli->query->flows = id != 0 && session_id_is_flow(id);
	cli->query->worker = id != 0 ? session_id_worker(id) : 0;
	return true;
}

static void end_query(struct cli *cli)
{
	free(cli->query);
	cli->query = NULL;
	cli->go_on = NULL;
}

/* --- a list --- */

/* As HAProxy: the two largest units. */
static const char *age_text(uint64_t milliseconds, char *text, size_t size)
{
	uint64_t seconds = milliseconds / 1000;

	if (milliseconds == UINT64_MAX)
		return "";
	if (seconds >= 86400)
		snprintf(text, size, "%" PRIu64 "d%" PRIu64 "h", seconds / 86400,
			seconds / 3600 % 24);
	else if (seconds >= 3600)
		snprintf(text, size, "%" PRIu64 "h%" PRIu64 "m", seconds / 3600, seconds / 60 % 60);
	else if (seconds >= 60)
		snprintf(text, size, "%" PRIu64 "m%" PRIu64 "s", seconds / 60, seconds % 60);
	else
		snprintf(text, size, "%" PRIu64 "s", seconds);
	return text;
}

static const char *address_text(const struct addr *address, char text[ADDR_TEXT_MAX])
{
	return addr_family(address) == AF_UNSPEC ? "" : addr_format(address, text);
}

static void print_view(struct evbuffer *out, const struct session_view *view)
{
	char client[ADDR_TEXT_MAX], asked[ADDR_TEXT_MAX], source[ADDR_TEXT_MAX],
		target[ADDR_TEXT_MAX], age[32], expires[32];

	evbuffer_add_printf(out,
		"%#" PRIx64 ": proto=%sv%d src=%s fe=%s be=%s srv=%s age=%s exp=%s state=%s"
		" dst=%s from=%s to=%s in=%" PRIu64 " out=%" PRIu64 " age_ms=%" PRIu64
		" idle_ms=%" PRIu64 "\n",
		view->id, view->is_flow ? "udp" : "tcp", family_version(addr_family(&view->client)),
		address_text(&view->client, client), view->frontend->name,
		view->backend == NULL ? "<NONE>" : view->backend->name,
		view->server == NULL ? "<none>" : view->server->name,
		age_text(view->age, age, sizeof(age)),
		age_text(view->expires, expires, sizeof(expires)), session_state_name(view->state),
		address_text(&view->asked, asked), address_text(&view->source, source),
		address_text(&view->target, target), view->to_server, view->to_client, view->age,
		view->idle);
}

/* From what the last answer says, what is to be asked next. False: nothing is left. */
static bool move_on(struct cli *cli)
{
	struct session_query *query = cli->query;
	struct session_query next = {.worker = query->worker,
		.flows = query->flows,
		.after = query->after,
		.bucket = query->bucket,
		.buckets = query->buckets};

	if (query->more && !query->flows)
		next.after = query->views[query->count - 1].id;
	else if (!query->more && !query->flows)
		next = (struct session_query){.worker = query->worker, .flows = true};
	else if (!query->more)
		next = (struct session_query){.worker = query->worker + 1};
	query->worker = next.worker;
	query->flows = next.flows;
	query->after = next.after;
	query->bucket = next.bucket;
	query->buckets = next.buckets;
	query->count = 0;
	query->more = false;
	atomic_store(&query->answered, false);
	return query->worker < cli->core->subject.workers;
}

static bool go_on_listing(struct cli *cli)
{
	struct session_query *query = cli->query;

	while (evbuffer_get_length(cli->out) < CLI_OUTPUT_MAX) {
		if (!has_answer(cli))
			return false;
		for (unsigned i = 0; i < query->count; i++)
			print_view(cli->out, &query->views[i]);
		if (!move_on(cli)) {
			end_query(cli);
			return true;
		}
	}
	return false;
}

/* --- one of them --- */

static bool go_on_showing(struct cli *cli)
{
	struct session_query *query = cli->query;
	bool found = false;

	if (!has_answer(cli))
		return false;
	for (unsigned i = 0; i < query->count && !found; i++) {
		found = query->views[i].id == cli->wanted;
		if (found)
			print_view(cli->out, &query->views[i]);
	}
	if (!found && query->flows && move_on(cli) && query->flows)
		return go_on_showing(cli);
	if (!found)
		cli_say(cli, "Session not found.");
	end_query(cli);
	return true;
}

static uint64_t id_of(const char *text)
{
	return strtoull(text, NULL, 0);
}

void run_show_sess(struct cli *cli, const struct arguments *arguments)
{
	uint64_t id = arguments->count > 0 && strcmp(arguments->words[0], "all") != 0
			      ? id_of(arguments->words[0])
			      : 0;
	bool is_one = arguments->count > 0 && strcmp(arguments->words[0], "all") != 0;

	if (is_one && (id == 0 || session_id_worker(id) >= cli->core->subject.workers)) {
		cli_say(cli, "Session not found.");
		return;
	}
	if (!begin_query(cli, QUERY_LIST, id))
		return;
	cli->wanted = id;
	cli->query->after = id == 0 ? 0 : id - 1;
	cli->go_on = is_one ? go_on_showing : go_on_listing;
	cli->go_on(cli);
}

static bool go_on_ending(struct cli *cli)
{
	if (!has_answer(cli))
		return false;
	if (!cli->query->found)
		cli_say(cli, "No such session (use 'show sess').");
	end_query(cli);
	return true;
}

void run_shutdown_session(struct cli *cli, const struct arguments *arguments)
{
	uint64_t id = id_of(arguments->words[0]);

	if (arguments->count == 0) {
		cli_say(cli, "Session pointer expected (use 'show sess').");
		return;
	}
	if (id == 0 || session_id_worker(id) >= cli->core->subject.workers) {
		cli_say(cli, "No such session (use 'show sess').");
		return;
	}
	if (!begin_query(cli, QUERY_END, id))
		return;
	cli->go_on = go_on_ending;
	cli->go_on(cli);
}
