/*
 * The options of plan and apply, and the plan for this host that follows from them.
 */
#ifndef TPROXY_PLAN_OPTIONS_H
#define TPROXY_PLAN_OPTIONS_H

#include "host_options.h"
#include "setup/plan.h"
#include "setup/state_file.h"

/* Give it to plan_options_free(), whatever plan_options_read() returned. */
struct plan_options {
	struct host_options host;
	struct in_use in_use; /* empty before plan_options_make() */
	struct plan plan;
	enum plan_format format;
	const char *state; /* the path of the state file */
	bool json;
	bool tool_given;
	bool persist; /* apply is to be run at boot, too */
	char **words; /* the options but for --persist and --json, paths in full, as apply takes them */
	size_t word_count;
};

/*
 * Reads the options; FORMATS: --format is one of them. USAGE is printed for --help. Returns -1 to go on, or the
 * exit status, with a message where it is STATUS_USAGE.
 */
int plan_options_read(
	struct plan_options *options, int argc, char **argv, const char *usage, bool formats);

/*
 * Reads the host and makes the plan. OURS: a state file lists what has our name on the host, so it counts as
 * free. Returns STATUS_OK, or STATUS_USAGE with a message where a program is missing or the host cannot be
 * read.
 */
int plan_options_make(struct plan_options *options, bool ours);

/* STATUS_OK; or STATUS_PROBLEM with a message where the mark, the table or our names are already in use. */
int plan_options_conflicts(const struct plan_options *options);

void plan_options_free(struct plan_options *options);

#define PLAN_OPTIONS_HELP                                                                            \
	HOST_OPTIONS_HELP                                                                            \
	"  --firewall-tool NAME     iptables, iptables-legacy or nft (default: the first of them\n"  \
	"                           that is there: iptables, nft, iptables-legacy)\n"                \
	"  --recipe NAME            divert (default): packets of transparent sockets are marked;\n"  \
	"                           tproxy: the same, and each listener has a rule;\n"               \
	"                           local-route: packets to the listeners' addresses are\n"          \
	"                           delivered to this host\n"                                        \
	"  --fail-open              let intercepted packets pass while the proxy is down; without\n" \
	"                           it, packets for a listener on a wildcard address are dropped\n"  \
	"                           then\n"                                                          \
	"  --mark N, --table N      fwmark and routing table (default: 1 and 100)\n"                 \
	"  --state FILE             the state file (default: " STATE_FILE_DEFAULT ")\n"

#endif
