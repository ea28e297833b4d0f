/*
 * Conditions of rules: HAProxy's ACLs and how they are combined (configuration manual, sections 7.1 and 7.2).
 *
 * They are made by the configuration and lie in its memory. Asking changes nothing, so any thread may ask.
 */
#ifndef TPROXY_CONDITION_H
#define TPROXY_CONDITION_H

#include "tproxy/addr.h"
#include "tproxy/networks.h"

#include <stdbool.h>
#include <stddef.h>

struct proxy;

/* What a test looks at. */
enum subject {
	SUBJECT_SOURCE,           /* `src` */
	SUBJECT_DESTINATION,      /* `dst` */
	SUBJECT_SOURCE_PORT,      /* `src_port` */
	SUBJECT_DESTINATION_PORT, /* `dst_port` */
	SUBJECT_SERVERS,          /* `nbsrv`: usable servers of a backend */
	SUBJECT_TRUE,             /* `always_true` */
	SUBJECT_FALSE,            /* `always_false` */
};

struct number_range {
	unsigned first, last;
};

/* One test; it is passed where the subject is in one of the networks or ranges. */
struct acl_test {
	struct acl_test *next;
	enum subject subject;
	struct networks networks;    /* of addresses */
	struct number_range *ranges; /* of numbers */
	size_t range_count;
	const struct proxy *backend; /* of SUBJECT_SERVERS */
};

/* Tests of one name, of which one must be passed. */
struct acl {
	const char *name; /* NULL: of a pair of braces */
	struct acl_test *tests;
};

struct condition_term {
	const struct acl *acl;
	bool negated;
	bool after_or; /* it begins an alternative to the terms before it */
};

/* Without terms it always holds. */
struct condition {
	struct condition_term *terms;
	size_t term_count;
	bool unless; /* it holds where its terms do not */
};

/* What is known of a connection. An address that is not known is zeroed, and in no network. */
struct connection_facts {
	struct addr source, destination;
	unsigned (*usable_servers)(void *context, const struct proxy *backend);
	void *context;
};

bool condition_holds(const struct condition *condition, const struct connection_facts *facts);

#endif
