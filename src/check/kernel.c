/*
 * Judges which kernel options the proxy lacks, by the kernel's configuration.
 *
 * The configuration is read, nothing is tried: an option that is off explains why something cannot work,
 * but one that is on does not prove that it works (`tproxyctl prove` does). Packet rules need one of the
 * firewall tools, so the options of the tool that comes closest are judged, and the other tools' are not.
 */
#include "fixes.h"
#include "hoststate/capability.h"
#include "report.h"
#include "tproxy/text.h"

#include <stdlib.h>

enum {
	OPTIONS_MAX = 16
};

/* What the configuration says of several capabilities together. */
struct kernel_options {
	const char *missing[OPTIONS_MAX]; /* that are off, or that a fragment leaves open */
	size_t count;
	enum kernel_allows allows; /* the worst of all */
};

static void add_capability(const struct check *check, struct kernel_options *options,
	enum capability_name name, int family)
{
	const char *list[CAPABILITY_OPTIONS_MAX];
	size_t count = 0;
	enum kernel_allows allows =
		kernel_config_allows(check->snapshot->kernel, name, family, list, &count);

	if (allows == KERNEL_ALLOWS_YES)
		return;
	for (size_t i = 0; i < count; i++)
		options->count = capability_add_option(
			options->missing, options->count, OPTIONS_MAX, list[i]);
	if (options->allows != KERNEL_ALLOWS_NO)
		options->allows = allows;
}

static struct kernel_options options_of_tool(
	const struct check *check, enum firewall_tool tool, int family)
{
	struct kernel_options options = {.allows = KERNEL_ALLOWS_YES};

	add_capability(check, &options, capability_of_rules(tool, RULES_TABLE), family);
	add_capability(check, &options, capability_of_rules(tool, RULES_SOCKET), family);
	add_capability(check, &options, capability_of_rules(tool, RULES_MARK), family);
	return options;
}

/* Of the tool that comes closest: one that works, else one that may work, else the one in use. */
static struct kernel_options options_of_best_tool(const struct check *check, int family)
{
	struct kernel_options best = options_of_tool(check, check_tool(check), family);

	for (enum firewall_tool tool = 0; tool < FIREWALL_TOOLS; tool++) {
		struct kernel_options options = options_of_tool(check, tool, family);

		if (options.allows == KERNEL_ALLOWS_YES)
			return options;
		if (options.allows == KERNEL_ALLOWS_UNKNOWN && best.allows == KERNEL_ALLOWS_NO)
			best = options;
	}
	return best;
}

static void judge_options(struct check *check, int family)
{
	struct kernel_options options = options_of_best_tool(check, family);
	const char *subject = family_name(family);
	const char *source = kernel_config_source(check->snapshot->kernel);
	char *names = NULL;

	add_capability(check, &options, CAPABILITY_TRANSPARENT, family);
	add_capability(check, &options, CAPABILITY_POLICY_RULE, family);
	add_capability(check, &options, CAPABILITY_LOCAL_ROUTE, family);
	for (size_t i = 0; i < options.count; i++)
		text_add(&names, "%s%s", i > 0 ? ", " : "", options.missing[i]);
	if (options.allows == KERNEL_ALLOWS_YES)
		check_add(check, CHECK_KERNEL, CHECK_OK, subject, "%s has all options", source);
	else if (options.allows == KERNEL_ALLOWS_NO)
		check_add(check, CHECK_KERNEL, CHECK_MISSING, subject,
			"%s lacks %s. Use a kernel that has them", source, names);
	else
		check_unknown(check, CHECK_KERNEL, REMEDY_KERNEL, subject, "%s does not mention %s",
			source, names);
	free(names);
}

/* Rules, routes and sockets that the kernel has made prove that it has the options for them. */
static bool options_are_proved(const struct check *check)
{
	static const enum check_item items[] = {CHECK_LISTENER, CHECK_TRANSPARENT, CHECK_DIVERT,
		CHECK_MARK, CHECK_IP_RULE, CHECK_IP_ROUTE};

	for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++)
		if (check_worst(check->report, items[i]) != CHECK_OK)
			return false;
	return true;
}

void check_kernel(struct check *check)
{
	const struct snapshot *snapshot = check->snapshot;
	static const int families[] = {AF_INET, AF_INET6};

	check->report->kernel = snapshot->kernel;
	for (size_t i = 0; snapshot->kernel != NULL && i < 2; i++)
		if (service_needs_divert(snapshot->service, families[i], IPPROTO_TCP) ||
			service_needs_divert(snapshot->service, families[i], IPPROTO_UDP))
			judge_options(check, families[i]);
	if (snapshot->kernel != NULL)
		return;
	if (options_are_proved(check))
		check_add(check, CHECK_KERNEL, CHECK_OK, "",
			"%s; but the host has rules, routes and sockets that need the options",
			snapshot->kernel_problem);
	else
		check_unknown(
			check, CHECK_KERNEL, REMEDY_KERNEL, "", "%s", snapshot->kernel_problem);
}
