/*
 * Judging the situation: one judge after the other, then the items that none of them could judge.
 *
 * An item begins as not judged, and only a judgement makes it ok. Before the first judge items are told apart
 * that this proxy has no use for, and those that hang on what could not be read; behind the last one each
 * item without a word is unknown. So a judge that leaves early leaves nothing ok behind.
 *
 * The order matters where one finding explains another: requests without an answer are put down to the
 * servers' way back only when nothing on this host explains them.
 */
#include "report.h"
#include "tproxy/text.h"

/* Why an item could not be judged, and what would help, or NULL. */
static const char *obstacle(const struct check *check, unsigned by, enum check_remedy *remedy)
{
	const struct snapshot *at = check->at;

	*remedy = check_remedy_of_reading(check);
	if ((by & BY_RULES) && !at->rules_known)
		return at->rules_problem;
	if ((by & (BY_RULES | BY_NETWORK)) && !at->network_known)
		return at->network_problem;
	if ((by & BY_SOCKETS) && !at->sockets_known)
		return at->sockets_problem;
	*remedy = REMEDY_SERVER;
	if ((by & BY_SERVERS) && at->service->server_count == 0)
		return "no server is known";
	return NULL;
}

static void could_not_be_read(struct check *check)
{
	for (int item = 0; item < CHECK_ITEMS; item++) {
		enum check_remedy remedy;
		const char *why = obstacle(check, check_rows[item].by, &remedy);

		if (why != NULL && !check->unconcerned[item])
			check_unknown(check, (enum check_item)item, remedy, "", "%s", why);
	}
}

static void no_use_for(struct check *check, const enum check_item *items, const char *why)
{
	for (; *items != CHECK_ITEMS; items++) {
		check->unconcerned[*items] = true;
		check_add(check, *items, CHECK_OK, "", "%s", why);
	}
}

/* Items that are about something which this proxy does not do. */
static void unconcerned(struct check *check)
{
	static const enum check_item spoofing[] = {CHECK_NAT_SOURCE, CHECK_ICMP, CHECK_RETURN_PATH,
		CHECK_PATH_MTU, CHECK_SOURCE_PORTS, CHECK_ITEMS};
	static const enum check_item routes[] = {CHECK_SERVER_ROUTE, CHECK_ITEMS};
	static const enum check_item datagrams[] = {CHECK_FRAGMENTS, CHECK_ITEMS};
	static const enum check_item connections[] = {
		CHECK_FWMARK_ACCEPT, CHECK_SYNCOOKIES, CHECK_ITEMS};
	static const enum check_item sources[] = {
		CHECK_SRC_VALID_MARK, CHECK_RP_FILTER, CHECK_ITEMS};
	static const char own[] = "the proxy connects to servers from its own address";
	const struct service *service = check->at->service;
	bool tcp = service_has_protocol(service, AF_INET, IPPROTO_TCP) ||
		   service_has_protocol(service, AF_INET6, IPPROTO_TCP);
	bool udp = service_has_protocol(service, AF_INET, IPPROTO_UDP) ||
		   service_has_protocol(service, AF_INET6, IPPROTO_UDP);

	if (!service->spoofs)
		no_use_for(check, spoofing, own);
	if (!service->spoofs && service->server_count == 0)
		no_use_for(check, routes, own);
	if (!udp)
		no_use_for(check, datagrams, "no datagrams are served");
	if (!tcp)
		no_use_for(check, connections, "no connections are served");
	if (!service_has_family(service, AF_INET))
		no_use_for(check, sources, "no IPv4 is served, and IPv6 has no such check");
}

/* What helps where no packet was followed as far as an item. */
static enum check_remedy remedy_of_the_rest(const struct check_report *report)
{
	if (check_verdict(report) == CHECK_WRONG)
		return REMEDY_FIRST;
	for (size_t i = 0; i < report->count; i++)
		if (report->findings[i].state == CHECK_UNKNOWN &&
			report->findings[i].remedy == REMEDY_RULES)
			return REMEDY_RULES;
	return REMEDY_TRY;
}

/* Items that no judge came to. */
static void not_judged(struct check *check)
{
	enum check_remedy remedy = remedy_of_the_rest(check->report);

	for (int item = 0; item < check->report->items; item++)
		if (!check_has_findings(check->report, (enum check_item)item))
			check_unknown(check, (enum check_item)item, remedy, "", "%s",
				remedy == REMEDY_FIRST
					? "not judged: what it hangs on is missing or harmful"
					: "not judged: no packet was followed as far as this");
}

static void tell_addresses(
	char **text, const char *what, const struct addr *list, size_t count, bool ports)
{
	char each[ADDR_TEXT_MAX];

	for (size_t i = 0; i < count; i++)
		text_add(text, "%s%s", i == 0 ? what : ", ",
			ports && addr_port(&list[i]) != 0 ? addr_format(&list[i], each)
							  : addr_format_ip(&list[i], each));
	if (count > 0)
		text_add(text, "\n");
}

static void tell_listener(char **text, const struct service *service, size_t index)
{
	const char *what =
		service->example ? "listeners (the walk-through's example): " : "listeners: ";
	const struct service_listener *listener = &service->listeners[index];
	char address[ADDR_TEXT_MAX];

	text_add(text, "%s%s%s%s", index == 0 ? what : ", ",
		addr_format(&listener->address, address),
		listener->protocol == IPPROTO_UDP ? "/udp" : "",
		index + 1 == service->listener_count ? "\n" : "");
}

/* What was thought of: a guess among it should be seen as one. */
static char *about(const struct check *check)
{
	const struct service *service = check->at->service;
	struct addr clients[2 * CLIENTS_MAX];
	char *text = text_format("%s", "");
	size_t count;

	for (size_t i = 0; i < service->listener_count; i++)
		tell_listener(&text, service, i);
	count = service_has_family(service, AF_INET) ? check_clients(check, AF_INET, clients) : 0;
	if (service_has_family(service, AF_INET6))
		count += check_clients(check, AF_INET6, clients + count);
	tell_addresses(&text,
		service->spoofs ? "servers, connected to from addresses that are not this host's: "
				: "servers: ",
		service->servers, service->server_count, true);
	tell_addresses(&text,
		service->client_count > 0
			? "clients: "
			: "clients (one for each link that may have some; --client names others): ",
		clients, count, false);
	return text;
}

void check_run(struct check_report *report, const struct snapshot *snapshot)
{
	struct check check = {.at = snapshot, .report = report};

	*report = (struct check_report){
		.items = snapshot->kernel_alone ? CHECK_KERNEL + 1 : CHECK_ITEMS};
	report->about = snapshot->kernel_alone ? text_format("%s", "") : about(&check);
	if (!snapshot->kernel_alone) {
		unconcerned(&check);
		could_not_be_read(&check);
		check_proxy(&check);
		check_flows(&check);
		check_links(&check);
		check_answers(&check);
	}
	check_kernel(&check);
	not_judged(&check);
}
