/* What the two readers of checks share. */
#ifndef CONFIG_CHECKS_H
#define CONFIG_CHECKS_H

#include "parser.h"

#define CHECKS_NO_FORMAT "a log format is not supported here; write a text without '%'"

/* The lines of `http-check` of the section that is read. */
struct check_rules *checks_http_rules(struct parser *parser);

/* Takes `comment` and its text, if they are next. */
bool checks_take_comment(struct parser *parser, struct health_step *step);

#endif
