/*
 * Judges a snapshot: one judge after the other, then the items that no judge reached.
 *
 * Every item begins without a finding, that is: unknown. Before the first judge, items that this proxy
 * does not use become ok, and items that depend on something unreadable get their reason. After the last
 * judge, each item that is still without a finding gets one that says so. So a judge may leave early, and
 * leaves nothing ok behind.
 *
 * The order of judges matters. check_connections() blames the servers' way back only if no finding about this
 * host explains that answers are lost; check_kernel() takes what works as proof of the kernel's options.
 */
#include "endpoints.h"
#include "report.h"
#include "tproxy/text.h"

/* Why an item with these bases could not be judged, with its remedy; NULL if all bases are there. */
static const char *missing_basis(
	const struct check *check, unsigned bases, enum check_remedy *remedy)
{
	const struct snapshot *snapshot = check->snapshot;

	*remedy = check_remedy_of_reading(check);
	if ((bases & BY_RULES) && !snapshot->rules_known)
		return snapshot->rules_problem;
	if ((bases & (BY_RULES | BY_NETWORK)) && !snapshot->network_known)
		return snapshot->network_problem;
	if ((bases & BY_SOCKETS) && !snapshot->sockets_known)
		return snapshot->sockets_problem;
	*remedy = REMEDY_SERVER;
	if ((bases & BY_SERVERS) && snapshot->service->server_count == 0)
		return "no server is known";
	return NULL;
}

static void report_missing_bases(struct check *check)
{
	for (int item = 0; item < CHECK_ITEMS; item++) {
		enum check_remedy remedy;
		const char *why = missing_basis(check, check_rows[item].bases, &remedy);

		if (why != NULL && !check->not_used[item])
			check_unknown(check, (enum check_item)item, remedy, "", "%s", why);
	}
}

/* Whether a listener serves TCP or UDP, for clients of either family. */
static bool serves(const struct service *service, int protocol)
{
	return service_has_protocol(service, AF_INET, protocol) ||
	       service_has_protocol(service, AF_INET6, protocol);
}

/* Why this proxy does not use items for USE; NULL if it does. */
static const char *reason_not_used(const struct service *service, enum check_use use)
{
	static const char own[] = "the proxy connects to servers from its own address";

	if (use == FOR_SPOOFING && !service->spoofs)
		return own;
	if (use == FOR_SERVERS && !service->spoofs && service->server_count == 0)
		return own;
	if (use == FOR_TCP && !serves(service, IPPROTO_TCP))
		return "the proxy does not serve TCP";
	if (use == FOR_UDP && !serves(service, IPPROTO_UDP))
		return "the proxy does not serve UDP";
	if (use == FOR_IPV4 && !service_has_family(service, AF_INET))
		return "the proxy does not serve IPv4, and IPv6 has no such check";
	return NULL;
}

static void report_not_used(struct check *check)
{
	for (int item = 0; item < CHECK_ITEMS; item++) {
		const char *reason =
			reason_not_used(check->snapshot->service, check_rows[item].use);

		check->not_used[item] = reason != NULL;
		if (reason != NULL)
			check_add(check, (enum check_item)item, CHECK_OK, "", "%s", reason);
	}
}

/* The remedy of items that no judge reached. */
static enum check_remedy remedy_of_unreached(const struct check_report *report)
{
	if (check_verdict(report) == CHECK_WRONG)
		return REMEDY_FIRST;
	for (size_t i = 0; i < report->count; i++)
		if (report->findings[i].state == CHECK_UNKNOWN &&
			report->findings[i].remedy == REMEDY_RULES)
			return REMEDY_RULES;
	return REMEDY_TRY;
}

static void report_unreached(struct check *check)
{
	enum check_remedy remedy = remedy_of_unreached(check->report);

	for (int item = 0; item < check->report->items; item++)
		if (!check_has_findings(check->report, (enum check_item)item))
			check_unknown(check, (enum check_item)item, remedy, "", "%s",
				remedy == REMEDY_FIRST
					? "not judged: it depends on an item that is missing or harmful"
					: "not judged: no simulated packet got this far");
}

/* A line with addresses, and with their ports if PORTS; none where there are no addresses. */
static void print_addresses(
	FILE *out, const char *heading, const struct addr *list, size_t count, bool ports)
{
	char each[ADDR_TEXT_MAX];

	for (size_t i = 0; i < count; i++)
		fprintf(out, "%s%s", i == 0 ? heading : ", ",
			ports && addr_port(&list[i]) != 0 ? addr_format(&list[i], each)
							  : addr_format_ip(&list[i], each));
	if (count > 0)
		fputc('\n', out);
}

/* What the report is about. A person has to see which of it is a guess. To be freed. */
static char *describe_scope(const struct check *check)
{
	const struct service *service = check->snapshot->service;
	struct addr clients[2 * CLIENTS_MAX];
	struct text_stream text;
	size_t count;

	text_begin(&text);
	for (size_t i = 0; i < service->listener_count; i++) {
		const struct service_listener *listener = &service->listeners[i];
		char address[ADDR_TEXT_MAX];

		if (i == 0)
			fputs(service->example
					? "listeners (an example; name yours with --config or --listen): "
				: service->found
					? "listeners (found by their sockets; name others with --config or --listen): "
					: "listeners: ",
				text.out);
		fprintf(text.out, "%s%s%s", addr_format(&listener->address, address),
			listener->protocol == IPPROTO_UDP ? "/udp" : "",
			i + 1 < service->listener_count ? ", " : "\n");
	}
	count = service_has_family(service, AF_INET) ? check_clients(check, AF_INET, clients) : 0;
	if (service_has_family(service, AF_INET6))
		count += check_clients(check, AF_INET6, clients + count);
	print_addresses(text.out,
		service->spoofs
			? "servers (the proxy connects from addresses that are not this host's): "
			: "servers: ",
		service->servers, service->server_count, true);
	print_addresses(text.out,
		service->client_count > 0
			? "clients: "
			: "clients (one guess for each link; name yours with --client): ",
		clients, count, false);
	return text_end(&text);
}

void check_run(struct check_report *report, const struct snapshot *snapshot)
{
	struct check check = {.snapshot = snapshot, .report = report};

	*report = (struct check_report){
		.items = snapshot->kernel_alone ? CHECK_KERNEL + 1 : CHECK_ITEMS,
		.watched = snapshot->captured_known};
	report->scope = snapshot->kernel_alone ? text_copy("") : describe_scope(&check);
	if (!snapshot->kernel_alone) {
		report_not_used(&check);
		report_missing_bases(&check);
		check_listeners(&check);
		check_flows(&check);
		check_links(&check);
		check_connections(&check);
		check_probes(&check);
		check_unanswered(&check);
		check_persistence(&check);
	}
	check_kernel(&check);
	report_unreached(&check);
}
