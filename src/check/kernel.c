/*
 * What the kernel's configuration allows of what the proxy needs.
 *
 * It is read, not tried: an option that is off tells why something cannot work, one that is on does not
 * prove that it does (`tproxyctl prove` does). Of the tools that load packet rules one is enough.
 */
#include "hoststate/capability.h"
#include "report.h"
#include "setup/plan.h"
#include "tproxy/text.h"

#include <stdlib.h>

enum {
	WANTED_MAX = 16
};

struct wanted {
	const char *options[WANTED_MAX]; /* that are off, or left open */
	size_t count;
	enum kernel_allows worst;
};

static void want(
	const struct check *check, struct wanted *wanted, enum capability_name name, int family)
{
	const char *options[CAPABILITY_OPTIONS_MAX];
	size_t count = 0;
	enum kernel_allows allows =
		kernel_config_allows(check->at->kernel, name, family, options, &count);

	for (size_t i = 0; allows != KERNEL_ALLOWS_YES && i < count; i++)
		wanted->count = capability_add_option(
			wanted->options, wanted->count, WANTED_MAX, options[i]);
	if (allows == KERNEL_ALLOWS_NO ||
		(allows == KERNEL_ALLOWS_UNKNOWN && wanted->worst == KERNEL_ALLOWS_YES))
		wanted->worst = allows;
}

static struct wanted of_rules(const struct check *check, enum firewall_tool tool, int family)
{
	struct wanted wanted = {.worst = KERNEL_ALLOWS_YES};

	want(check, &wanted, capability_of_rules(tool, RULES_TABLE), family);
	want(check, &wanted, capability_of_rules(tool, RULES_SOCKET), family);
	want(check, &wanted, capability_of_rules(tool, RULES_MARK), family);
	return wanted;
}

/* The best of the tools: one that will do, else one that may, else the one in use or iptables. */
static struct wanted of_any_rules(const struct check *check, int family)
{
	static const enum firewall_tool of[] = {TOOL_IPTABLES, TOOL_LEGACY, TOOL_NFT};
	struct wanted best = of_rules(check, of[check_tool(check)], family);

	for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
		struct wanted wanted = of_rules(check, of[i], family);

		if (wanted.worst == KERNEL_ALLOWS_YES)
			return wanted;
		if (wanted.worst == KERNEL_ALLOWS_UNKNOWN && best.worst == KERNEL_ALLOWS_NO)
			best = wanted;
	}
	return best;
}

static char *list(const struct wanted *wanted)
{
	char *text = NULL;

	for (size_t i = 0; i < wanted->count; i++)
		text_add(&text, "%s%s", i > 0 ? ", " : "", wanted->options[i]);
	return text;
}

static void judge(struct check *check, int family)
{
	struct wanted wanted = of_any_rules(check, family);
	const char *subject = check_family_name(family);
	const char *source = kernel_config_source(check->at->kernel);
	char *options;

	want(check, &wanted, CAPABILITY_TRANSPARENT, family);
	want(check, &wanted, CAPABILITY_POLICY_RULE, family);
	want(check, &wanted, CAPABILITY_LOCAL_ROUTE, family);
	options = list(&wanted);
	if (wanted.worst == KERNEL_ALLOWS_YES)
		check_add(check, CHECK_KERNEL, CHECK_OK, subject, "%s has what is needed", source);
	else if (wanted.worst == KERNEL_ALLOWS_NO)
		check_add(check, CHECK_KERNEL, CHECK_MISSING, subject,
			"%s: turned off are %s. A kernel with them is needed", source, options);
	else
		check_unknown(check, CHECK_KERNEL, REMEDY_KERNEL, subject, "%s says nothing of %s",
			source, options);
	free(options);
}

/* What the kernel let be made shows that it has the options for it. */
static bool is_in_place(const struct check *check)
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
	const struct service *service = check->at->service;

	check->report->kernel = check->at->kernel;
	if (check->at->kernel == NULL && is_in_place(check)) {
		check_add(check, CHECK_KERNEL, CHECK_OK, "",
			"%s, but all that needs its options is in place",
			check->at->kernel_problem);
		return;
	}
	if (check->at->kernel == NULL) {
		check_unknown(
			check, CHECK_KERNEL, REMEDY_KERNEL, "", "%s", check->at->kernel_problem);
		return;
	}
	for (int i = 0; i < 2; i++) {
		int family = i == 0 ? AF_INET : AF_INET6;

		if (service_needs_divert(service, family, IPPROTO_TCP) ||
			service_needs_divert(service, family, IPPROTO_UDP))
			judge(check, family);
	}
}
