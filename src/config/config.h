/* What the unit tests reach of the configuration beside its public header. */
#ifndef TPROXY_CONFIG_CONFIG_H
#define TPROXY_CONFIG_CONFIG_H

#include "tproxy/config.h"

/* config_parse() with a limit for the configuration's memory, in bytes; TEXT_ALONE: as config_parse_text(). */
struct config *config_parse_within(const char *name, const char *text, size_t length,
	struct diag *diag, size_t memory_limit, bool text_alone);

#endif
