/*
 * Which errors of a socket become which reports, and how many at most: a client's address may be anyone's, so a flood of
 * datagrams must not become a flood of reports.
 */
#include "error_report.h"

#include "tproxy/clock.h"
#include "tproxy/unreachable.h"

#include <errno.h>

enum {
	REPORTS_MAX = 1000, /* in a second, as Linux sends by itself (icmp_msgs_per_sec) */
};

static bool may_report(struct flow_loop *loop)
{
	uint64_t second = (uint64_t)clock_ms() / 1000;

	if (second != loop->report_second) {
		loop->report_second = second;
		loop->reports = 0;
	}
	return loop->reports++ < REPORTS_MAX;
}

void error_report(struct flow_loop *loop, int error, const struct addr *sender,
	const struct addr *destination)
{
	enum unreachable what = UNREACHABLE_PORT;

	if (error == EHOSTUNREACH || error == EHOSTDOWN)
		what = UNREACHABLE_HOST;
	else if (error == ENETUNREACH || error == ENETDOWN)
		what = UNREACHABLE_NETWORK;
	else if (error != ECONNREFUSED)
		return;
	if (may_report(loop))
		unreachable_report(what, sender, destination);
}

void error_report_to_client(const struct flow *flow, int error)
{
	struct addr sender = flow->key.sender;

	addr_unmap(&sender);
	error_report(flow->set->loop, error, &sender, &flow->key.destination);
}

bool error_is_of_an_earlier_one(int error)
{
	switch (error) {
	case ECONNREFUSED:
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EHOSTDOWN:
	case ENETDOWN:
	case ENOPROTOOPT:
	case EPROTO:
	case EACCES:
	case EMSGSIZE:
		return true;
	default:
		return false;
	}
}
