/*
 * A condition is a list of alternatives, each a list of terms that must all hold; a term is an ACL or its negation.
 *
 * As in HAProxy a test of something that is not known is not passed, so the negation of its ACL holds.
 */
#include "tproxy/condition.h"

static bool in_networks(const struct acl_test *test, const struct addr *address)
{
	return addr_family(address) != AF_UNSPEC && networks_contain(&test->networks, address);
}

static bool in_ranges(const struct acl_test *test, unsigned number)
{
	for (size_t i = 0; i < test->range_count; i++)
		if (number >= test->ranges[i].first && number <= test->ranges[i].last)
			return true;
	return false;
}

static bool port_in_ranges(const struct acl_test *test, const struct addr *address)
{
	return addr_family(address) != AF_UNSPEC && in_ranges(test, addr_port(address));
}

static bool test_passes(const struct acl_test *test, const struct connection_facts *facts)
{
	switch (test->subject) {
	case SUBJECT_SOURCE:
		return in_networks(test, &facts->source);
	case SUBJECT_DESTINATION:
		return in_networks(test, &facts->destination);
	case SUBJECT_SOURCE_PORT:
		return port_in_ranges(test, &facts->source);
	case SUBJECT_DESTINATION_PORT:
		return port_in_ranges(test, &facts->destination);
	case SUBJECT_SERVERS:
		return in_ranges(test, facts->usable_servers(facts->context, test->backend));
	case SUBJECT_TRUE:
		return true;
	case SUBJECT_FALSE:
		return false;
	}
	return false;
}

static bool acl_matches(const struct acl *acl, const struct connection_facts *facts)
{
	for (const struct acl_test *test = acl->tests; test != NULL; test = test->next)
		if (test_passes(test, facts))
			return true;
	return false;
}

bool condition_holds(const struct condition *condition, const struct connection_facts *facts)
{
	bool holds = true;

	for (size_t i = 0; i < condition->term_count; i++) {
		const struct condition_term *term = &condition->terms[i];

		if (term->after_or && holds)
			break;
		if (term->after_or)
			holds = true;
		holds = holds && acl_matches(term->acl, facts) != term->negated;
	}
	return holds != condition->unless;
}
