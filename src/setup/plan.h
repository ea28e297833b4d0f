/*
 * What apply is to do, as data: steps in their order, each with what runs, what takes it back, and why.
 *
 * The order spares the traffic: nothing is marked before a marked packet can be delivered. Making a plan
 * touches nothing, so all of it is tested without a host.
 */
#ifndef TPROXY_PLAN_H
#define TPROXY_PLAN_H

#include "firewall/ruleset.h"
#include "hoststate/service.h"
#include "in_use.h"

#include <stdio.h>

enum plan_recipe {
	RECIPE_DIVERT,
	RECIPE_TPROXY,
	RECIPE_LOCAL_ROUTE
};

enum step_kind {
	STEP_SYSCTL,
	STEP_ROUTE,
	STEP_RULE,
	STEP_FIREWALL
};

struct step {
	enum step_kind kind;
	int family;  /* AF_INET or AF_INET6 */
	char *name;  /* of a sysctl: its path below /proc/sys; else what people call it */
	char *value; /* of a sysctl: what it is set to */
	char *was;   /* of a sysctl: what it is now */
	char *run;   /* a command line; of a sysctl: the one that does the same */
	char *input; /* what that reads, or NULL */
	char *undo;  /* of a route or policy rule: what takes it back */
	char *probe; /* of those: prints something as long as it is there */
	const char *why;
};

struct plan {
	enum plan_recipe recipe;
	enum firewall_tool tool;
	uint32_t mark;
	unsigned table;
	bool marks; /* packets get a mark: all but a plain local route */
	struct step *steps;
	size_t step_count;
	char *notes; /* what is not done and has to be known; lines, or NULL */
};

enum plan_format {
	FORMAT_SHELL,
	FORMAT_NFT,
	FORMAT_SYSCTL,
	FORMAT_NETWORKD,
	FORMAT_IFUPDOWN,
	FORMAT_JSON,
	FORMAT_COUNT
};

extern const char *const plan_recipe_names[];
extern const char *const plan_format_names[];

/* PLAN has recipe, tool, mark and table; the rest is made. */
void plan_build(struct plan *plan, const struct service *service, const struct in_use *in_use);
void plan_free(struct plan *plan);

/* Of plan_rules.c: what the firewall tool reads to load the rules of a family. */
char *plan_rules(const struct plan *plan, const struct service *service, int family);

/* Of plan_print.c: as a person would type it, as files of other tools, or as JSON. */
void plan_print(const struct plan *plan, enum plan_format format, FILE *out);

#endif
