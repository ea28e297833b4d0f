/*
 * A packet on its way through the chains of a hook, and what a match says of it there.
 */
#ifndef TPROXY_TRACE_MATCH_H
#define TPROXY_TRACE_MATCH_H

#include "trace.h"

enum match_answer {
	NO,
	YES,
	UNKNOWN
};

struct walk {
	const struct packet *packet;
	enum hook hook;
	const struct table *table;
	const struct chain *base;
	enum ct_state ct;
	bool left_out; /* by a rule, of connection tracking */
	unsigned steps;
	struct trace trace;
};

/* Of a match, negated or not. */
enum match_answer trace_match_holds(const struct walk *walk, const struct match *match);

/* Whether the packet is known there as one of a connection, which has a mark. */
bool trace_has_connection(const struct walk *walk);

bool trace_has_ports(const struct packet *packet);

/* Whether NAME is one of PATTERNS (blanks between them); a pattern that ends with ANY is a prefix. */
bool trace_is_named(const char *patterns, const char *name, char any);

#endif
