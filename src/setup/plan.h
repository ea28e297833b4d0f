/*
 * What apply does, as data: steps in their order, each with a reason.
 *
 * The order protects traffic: no packet is marked before marked packets can be delivered. A plan is made
 * from a service and from what is in use on the host; making it changes nothing and needs no host.
 */
#ifndef TPROXY_PLAN_H
#define TPROXY_PLAN_H

#include "firewall/tool.h"
#include "hoststate/service.h"
#include "in_use.h"

#include <jansson.h>
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

/* How far a step is; see state_file.h. */
enum step_state {
	STEP_PLANNED,
	STEP_BEGUN,
	STEP_DONE,
	STEP_UNDOING,
	STEP_UNDONE
};

/* One change of the host. Fields of other kinds are zero; texts belong to the step. */
struct step {
	enum step_kind kind;
	enum step_state state;
	int family; /* AF_INET or AF_INET6 */
	char *why;  /* a reason for people */

	/* STEP_SYSCTL */
	char *sysctl; /* its path below /proc/sys */
	char *value;  /* that is set */
	char *was;    /* its value before: when the plan was made, then when the step began */

	/* STEP_ROUTE (a local route on lo) and STEP_RULE */
	char *to; /* the route's prefix, "192.0.2.80/32" */
	unsigned table;
	unsigned preference; /* of the rule */
	uint32_t mark;       /* of the rule */

	/* STEP_FIREWALL; from chains_before on it is filled in by our_rules.h */
	enum firewall_tool tool;
	char *input; /* what the tool reads to load the rules */
	json_t *chains_before; /* names of the chains in the table mangle, JSON null: no such table; or NULL */
	bool registers; /* iptables-legacy registers its table with the kernel for the first time */
	char *seen;     /* our rules as the tool lists them, or NULL */
};

/* All zero but for recipe, tool, mark, table and fail_open: a plan that plan_build() completes. */
struct plan {
	enum plan_recipe recipe;
	enum firewall_tool tool;
	uint32_t mark;
	unsigned table;
	bool fail_open; /* intercepted packets pass while the proxy is down; else they are dropped */
	bool marks;     /* packets are marked: always, except for a plain local route */
	struct step *steps;
	size_t step_count;
	char *notes; /* lines for people about what the plan does not do, or NULL */
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

/* By their enums, NULL behind the last. */
extern const char *const plan_recipe_names[];
extern const char *const plan_format_names[];

/* Adds steps and notes to PLAN. SERVICE and IN_USE are only read. Give the plan to plan_free(). */
void plan_build(struct plan *plan, const struct service *service, const struct in_use *in_use);

/* Frees steps and notes, so that the plan can be built again. */
void plan_free(struct plan *plan);

/*
 * Whether APPLIED does already what WANTED would do. The preference of the policy rule may differ: it
 * depends on the rules of the host, ours included. A sysctl that WANTED still has to set is a difference.
 */
bool plan_same(const struct plan *applied, const struct plan *wanted);

/* Of plan_rules.c: the input of the firewall tool that loads the rules of a family; to be freed. */
char *plan_rules(const struct plan *plan, const struct service *service, int family);

/* Of plan_text.c: prints the plan as commands, as files of other tools, or as JSON. */
void plan_print(const struct plan *plan, enum plan_format format, FILE *out);

/* "policy rule fwmark 0x1 table 100", for people; to be freed. */
char *step_name(const struct step *step);

/*
 * The command for a step that is a route or a policy rule: VERB is "add", "del" or "show" (which prints
 * something while it exists). Ours have the protocol OUR_PROTOCOL. To be freed.
 */
char *step_command(const struct step *step, const char *verb);

#endif
