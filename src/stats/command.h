/*
 * Commands: a row of a table each (commands.c).
 */
#ifndef TPROXY_STATS_COMMAND_H
#define TPROXY_STATS_COMMAND_H

#include "cli.h"

enum {
	ARGUMENTS_MAX = 16
};

/* The words after the command's own; what is missing is "". */
struct arguments {
	const char *words[ARGUMENTS_MAX + 1];
	unsigned count;
};

struct command {
	const char *name; /* one to three words */
	const char *arguments;
	enum stats_level level;
	void (*run)(struct cli *cli, const struct arguments *arguments);
	const char *help;
};

/* Runs one command, whose text is changed. CLI->go_on is NULL afterwards, or to be called again until it returns true. */
void command_run(struct cli *cli, char *text);

/* show_*.c */
void run_show_info(struct cli *cli, const struct arguments *arguments);
void run_show_proc(struct cli *cli, const struct arguments *arguments);
void run_show_stat(struct cli *cli, const struct arguments *arguments);
void run_show_errors(struct cli *cli, const struct arguments *arguments);
void run_show_reasons(struct cli *cli, const struct arguments *arguments);
void run_show_servers_conn(struct cli *cli, const struct arguments *arguments);
void run_show_servers_state(struct cli *cli, const struct arguments *arguments);

/* show_sessions.c */
void run_show_sess(struct cli *cli, const struct arguments *arguments);
void run_shutdown_session(struct cli *cli, const struct arguments *arguments);

/* change.c */
void run_clear_counters(struct cli *cli, const struct arguments *arguments);
void run_disable_server(struct cli *cli, const struct arguments *arguments);
void run_enable_server(struct cli *cli, const struct arguments *arguments);
void run_get_weight(struct cli *cli, const struct arguments *arguments);
void run_set_server(struct cli *cli, const struct arguments *arguments);
void run_set_weight(struct cli *cli, const struct arguments *arguments);
void run_shutdown_sessions_server(struct cli *cli, const struct arguments *arguments);

#endif
