/*
 * What all commands have in common: saying something, going on, and leaving.
 *
 * A question that a worker has cannot be taken back. So it stays, without its conversation, until it is answered.
 */
#include "cli.h"

#include <stdlib.h>

void cli_say(struct cli *cli, const char *text)
{
	evbuffer_add_printf(cli->out, "%s\n", text);
}

void core_answered(struct stats_core *core)
{
	if (--core->asking == 0)
		core->host.rest(core->host.arg);
}

void cli_end(struct cli *cli)
{
	cli->go_on = NULL;
	if (cli->query != NULL && cli->sent) {
		cli->query->next = cli->core->orphans;
		cli->core->orphans = cli->query;
	} else {
		free(cli->query);
	}
	cli->query = NULL;
	cli->sent = false;
}

void core_collect(struct stats_core *core)
{
	struct session_query **link = &core->orphans;

	while (*link != NULL) {
		struct session_query *query = *link;

		if (!atomic_load(&query->answered)) {
			link = &query->next;
			continue;
		}
		*link = query->next;
		core_answered(core);
		free(query);
	}
}

bool cli_go_on(struct cli *cli)
{
	return cli->go_on == NULL || cli->go_on(cli);
}
