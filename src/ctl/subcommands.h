/*
 * The subcommands of tproxyctl. Each gets its own arguments, argv[0] being its name, prints to stdout
 * what was asked for and to stderr what went wrong, and returns the exit status:
 *
 *   0  all is well      1  something is missing, harmful or failed      2  wrong arguments or input
 *   3  nothing is missing or harmful, but not all of it was judged (check)
 */
#ifndef TPROXY_SUBCOMMANDS_H
#define TPROXY_SUBCOMMANDS_H

#include "tproxy/exit_status.h"

int check_command(int argc, char **argv);
int plan_command(int argc, char **argv);
int apply_command(int argc, char **argv);
int revert_command(int argc, char **argv);
int status_command(int argc, char **argv);
int prove_command(int argc, char **argv);
int sessions_command(int argc, char **argv);
int top_command(int argc, char **argv);
int web_command(int argc, char **argv);

/* After getopt_long() has refused an option of subcommand NAME: prints where help is; STATUS_USAGE. */
int subcommand_refused(const char *name);

/* -1; or STATUS_USAGE with a message where getopt_long() left words that are not options. */
int subcommand_options_only(int argc, char **argv);

#endif
