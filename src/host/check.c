/*
 * Judging the situation: one judge after the other, then whatever none of them could judge.
 *
 * The order matters where one finding explains another: whatever waits in vain is put down to the servers'
 * way back only when nothing on this host explains it.
 */
#include "check_report.h"
#include "tproxy/text.h"

/* Why an item could not be judged, or NULL. */
static const char *obstacle(const struct situation *at, unsigned by)
{
	if ((by & BY_RULES) && !at->rules_known)
		return at->rules_problem;
	if ((by & (BY_RULES | BY_NETWORK)) && !at->network_known)
		return at->network_problem;
	if ((by & BY_SOCKETS) && !at->sockets_known)
		return at->sockets_problem;
	if ((by & BY_SERVERS) && at->needs->spoofs && at->needs->server_count == 0)
		return "no server is known; --server names one";
	return NULL;
}

/* An item that nobody could judge is not well. */
static void unjudged(struct check *check)
{
	for (int item = 0; item < CHECK_ITEMS; item++) {
		const char *why = obstacle(check->at, check_rows[item].by);

		if (why != NULL)
			check_add(check, (enum check_item)item, CHECK_UNKNOWN, "", "%s", why);
	}
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

static void tell_listener(char **text, const struct needs *needs, size_t index)
{
	const char *what =
		needs->example ? "listeners (the walk-through's example): " : "listeners: ";
	const struct need_listener *listener = &needs->listeners[index];
	char address[ADDR_TEXT_MAX];

	text_add(text, "%s%s%s%s", index == 0 ? what : ", ",
		addr_format(&listener->address, address),
		listener->protocol == IPPROTO_UDP ? "/udp" : "",
		index + 1 == needs->listener_count ? "\n" : "");
}

/* What was thought of: a guess among it should be seen as one. */
static char *about(const struct check *check)
{
	const struct needs *needs = check->at->needs;
	struct addr clients[2 * CLIENTS_MAX];
	char *text = text_format("%s", "");
	size_t count;

	for (size_t i = 0; i < needs->listener_count; i++)
		tell_listener(&text, needs, i);
	count = needs_family(needs, AF_INET) ? check_clients(check, AF_INET, clients) : 0;
	if (needs_family(needs, AF_INET6))
		count += check_clients(check, AF_INET6, clients + count);
	tell_addresses(&text,
		needs->spoofs ? "servers, called from the client's address: " : "servers: ",
		needs->servers, needs->server_count, true);
	tell_addresses(&text,
		needs->client_count > 0
			? "clients: "
			: "clients (one for each link that may have some; --client names others): ",
		clients, count, false);
	return text;
}

void check_run(struct check_report *report, const struct situation *situation)
{
	struct check check = {.at = situation, .report = report};

	*report = (struct check_report){
		.items = situation->kernel_alone ? CHECK_KERNEL + 1 : CHECK_ITEMS};
	report->about = situation->kernel_alone ? text_format("%s", "") : about(&check);
	check_kernel(&check);
	if (situation->kernel_alone)
		return;
	check_proxy(&check);
	check_flows(&check);
	check_links(&check);
	check_answers(&check);
	unjudged(&check);
}
