/*
 * The section `global`: limits and identity of the process.
 *
 * Several `global` sections are one, as in HAProxy; a keyword may still stand only once, since
 * HAProxy takes the first of two in some cases and the last in others.
 */
#include "parser.h"

#include <limits.h>

static struct global *global(struct parser *parser)
{
	return &parser->config->global;
}

void parse_global(struct parser *parser)
{
	parser->where = IN_GLOBAL;
	parser->section = NULL;
}

void parse_daemon(struct parser *parser)
{
	fail(parser, "daemon",
		"not supported: tproxyd stays in the foreground; the service manager puts it in "
		"the background");
}

void parse_group(struct parser *parser)
{
	global(parser)->group = want_text(parser, "the group's name");
}

void parse_global_maxconn(struct parser *parser)
{
	want_number(parser, 0, INT_MAX, &global(parser)->maxconn);
}

void parse_nbthread(struct parser *parser)
{
	want_number(parser, 1, 64, &global(parser)->nbthread);
}

void parse_nosplice(struct parser *parser)
{
	global(parser)->nosplice = true;
}

void parse_pidfile(struct parser *parser)
{
	global(parser)->pidfile = want_text(parser, "the file's path");
}

void parse_user(struct parser *parser)
{
	global(parser)->user = want_text(parser, "the user's name");
}
