/*
 * What comes at a command socket: each line is run as a command at the level of an admin, in a daemon whose workers answer at once.
 */
#include "fuzz.h"
#include "stats/command.h"

static const char text[] =
	"global\n maxconn 10\n"
	"defaults\n timeout client 1s\n timeout server 1s\n timeout connect 1s\n"
	"frontend f\n bind 127.0.0.1:1\n default_backend b\n"
	"backend b\n server s1 127.0.0.1:2 check weight 10\n server s2 127.0.0.1:3 backup maxconn 2\n"
	"listen l\n bind 127.0.0.1:4\n balance source\n server s1 127.0.0.1:5 disabled\n server s2 127.0.0.1:6 track b/s1\n";

static struct config *config;

/* A worker with two sessions, of which it shows one at a time. */
static enum query_fate answer(void *arg, struct session_query *query)
{
	uint64_t next = query->after < 0x80 ? 0x80 : 0x100;

	(void)arg;
	if (query->worker > 0)
		return QUERY_LOST;
	query->found = query->kind == QUERY_END && query->after == 0x80;
	if (query->kind == QUERY_LIST && !query->flows && query->after < 0x100) {
		query->views[0] = (struct session_view){
			.id = next, .frontend = &config->proxies[0], .expires = UINT64_MAX};
		query->count = 1;
		query->more = next == 0x80;
	}
	atomic_store(&query->answered, true);
	return QUERY_SENT;
}

static void set_state(void *arg, const struct proxy *backend, const struct server *server,
	enum server_state state)
{
	const struct stats_core *core = arg;

	limits_set_state(core->subject.limits, backend, server, state);
}

static void rest(void *arg)
{
	(void)arg;
}

static uint64_t lost_lines(void *arg)
{
	(void)arg;
	return 0;
}

static struct stats_core *make_core(void)
{
	static struct stats_core core;
	struct diag *diag = diag_new();

	config = config_parse("fuzz", text, strlen(text), diag);
	diag_free(diag);
	if (config == NULL)
		abort();
	core.subject = (struct stats_subject){.config = config,
		.limits = limits_new(config, 10),
		.tallies = tallies_new(config, 1),
		.maxconn = 10,
		.workers = 1};
	core.host = (struct stats_host){&core, answer, set_state, lost_lines, rest};
	if (core.subject.limits == NULL || core.subject.tallies == NULL)
		abort();
	return &core;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct stats_core *core;
	char *input = fuzz_text(data, size), *rest = NULL;
	struct cli cli = {.level = STATS_ADMIN, .out = evbuffer_new()};

	if (core == NULL)
		core = make_core();
	cli.core = core;
	for (char *line = strtok_r(input, "\n;", &rest); line != NULL && !cli.quits;
		line = strtok_r(NULL, "\n;", &rest)) {
		cli.level = STATS_ADMIN;
		command_run(&cli, line);
		while (!cli_go_on(&cli))
			evbuffer_drain(cli.out, evbuffer_get_length(cli.out));
	}
	cli_end(&cli);
	core_collect(core);
	if (core->asking != 0)
		abort();
	evbuffer_free(cli.out);
	free(input);
	return 0;
}
