/*
 * The options of plan and apply, and a plan for this host from them.
 */
#ifndef TPROXY_PLAN_OPTIONS_H
#define TPROXY_PLAN_OPTIONS_H

#include "host_options.h"
#include "setup/plan.h"
#include "setup/state_file.h"

struct plan_options {
	struct host_options host;
	struct in_use in_use;
	struct plan plan;
	enum plan_format format;
	const char *state; /* the state file */
	bool json;
	bool tool_given;
};

/*
 * Reads the options; FORMATS: --format is one of them, too. Returns -1 to go on, or the exit status.
 */
int plan_options_read(
	struct plan_options *options, int argc, char **argv, const char *usage, bool formats);

/* Makes the plan. OURS: what bears our name on the host is known, and in nobody's way. */
int plan_options_make(struct plan_options *options, bool ours);

/* Returns STATUS_PROBLEM with a message where mark, table or names are somebody else's. */
int plan_options_conflicts(const struct plan_options *options);

void plan_options_free(struct plan_options *options);

#define PLAN_OPTIONS_HELP                                                                          \
	HOST_OPTIONS_HELP                                                                          \
	"  --firewall-tool NAME     iptables, iptables-legacy or nft (default: iptables where "    \
	"it\n"                                                                                     \
	"                           runs)\n"                                                       \
	"  --recipe NAME            divert (default): packets of transparent sockets get a "       \
	"mark;\n"                                                                                  \
	"                           tproxy: and a rule for each listener names it;\n"              \
	"                           local-route: listeners' addresses count as the host's own\n"   \
	"  --mark N, --table N      fwmark and routing table (default: 1 and 100)\n"               \
	"  --state FILE             the state file (default: " STATE_FILE_DEFAULT ")\n"

#endif
