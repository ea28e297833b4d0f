/*
 * iptables-save and ip6tables-save, line by line: tables, chains, and where a rule begins.
 *
 * Both iptables write the same text. A table stands between its "*name" and its COMMIT, and its chains stand before
 * its rules. So a text that is cut off has no COMMIT at its end, unless it ends between two tables: that cannot be
 * detected. Comments are skipped. One of them says that a table belongs to nft; ruleset_join() then takes nft's
 * listing of it.
 */
#include "xtables.h"
#include "ruleset_build.h"
#include "tproxy/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	int priority;
} tables[] = {{"raw", -300}, {"mangle", -150}, {"nat", -100}, {"filter", 0}, {"security", 50}};

struct reader {
	struct ruleset parsed;
	bool in_table;
	int priority; /* of the table */
	bool listed[sizeof(tables) / sizeof(tables[0])];
	enum firewall_tool tool;
	int family;
	unsigned line;
	char *problem;
};

static const char *const hooks[] = {[HOOK_PREROUTING] = "PREROUTING",
	[HOOK_INPUT] = "INPUT",
	[HOOK_FORWARD] = "FORWARD",
	[HOOK_OUTPUT] = "OUTPUT",
	[HOOK_POSTROUTING] = "POSTROUTING"};

enum {
	SOURCE_NAT_PRIORITY = 100
};

static int fail(struct reader *reader, const char *what, const char *text)
{
	reader->problem = text_format("line %u: %s: '%s'", reader->line, what, text);
	return -1;
}

static struct table *current_table(struct reader *reader)
{
	return &reader->parsed.tables[reader->parsed.table_count - 1];
}

static int begin_table(struct reader *reader, const char *name)
{
	size_t i = 0;

	if (reader->in_table)
		return fail(reader, "the previous table has no COMMIT", name);
	while (i < sizeof(tables) / sizeof(tables[0]) && strcmp(tables[i].name, name) != 0)
		i++;
	if (i == sizeof(tables) / sizeof(tables[0]))
		return fail(reader, "unknown table", name);
	if (reader->listed[i])
		return fail(reader, "the table was listed before", name);
	ruleset_add_table(&reader->parsed, reader->tool, reader->family, name);
	reader->in_table = reader->listed[i] = true;
	reader->priority = tables[i].priority;
	return 0;
}

static enum hook hook_of(const char *name)
{
	for (int hook = HOOK_PREROUTING; hook <= HOOK_POSTROUTING; hook++)
		if (strcmp(hooks[hook], name) == 0)
			return (enum hook)hook;
	return HOOK_NONE;
}

/* A built-in chain. The nat chains that change sources come after all others, those for destinations early. */
static int base_chain(struct reader *reader, struct chain *chain, const char *policy)
{
	const struct table *table = current_table(reader);

	chain->hook = hook_of(chain->name);
	if (chain->hook == HOOK_NONE)
		return fail(reader, "no built-in chain has that name", chain->name);
	if (strcmp(policy, "ACCEPT") != 0 && strcmp(policy, "DROP") != 0)
		return fail(reader, "unknown policy", policy);
	chain->drops = strcmp(policy, "DROP") == 0;
	chain->nat = strcmp(table->name, "nat") == 0;
	chain->priority = reader->priority;
	chain->routes_again = chain->hook == HOOK_OUTPUT && strcmp(table->name, "mangle") == 0;
	if (chain->nat && (chain->hook == HOOK_INPUT || chain->hook == HOOK_POSTROUTING))
		chain->priority = SOURCE_NAT_PRIORITY;
	return 0;
}

/* "NAME POLICY [packets:bytes]"; a user's chain has the policy "-". */
static int declare_chain(struct reader *reader, char *line)
{
	char *rest = NULL, *name = strtok_r(line, " ", &rest);
	const char *policy = strtok_r(NULL, " ", &rest);
	struct chain *chain;

	if (!reader->in_table)
		return fail(reader, "a chain outside of a table", line);
	if (name == NULL || policy == NULL)
		return fail(reader, "a chain has no policy", line);
	chain = ruleset_add_chain(current_table(reader), name);
	if (chain == NULL)
		return fail(reader, "the chain was listed before", name);
	return strcmp(policy, "-") == 0 ? 0 : base_chain(reader, chain, policy);
}

/* "-A CHAIN ...", without counters. */
static int append_rule(struct reader *reader, const char *line)
{
	char *copy = text_copy(line), *name = copy + 3, *words = name + strcspn(name, " ");
	const char *what = NULL;
	struct chain *chain = NULL;
	struct rule *rule;

	if (*words != '\0')
		*words++ = '\0';
	if (!reader->in_table)
		what = "a rule outside of a table";
	else if ((chain = ruleset_chain(current_table(reader), name)) == NULL)
		what = "the chain of a rule is not listed";
	else {
		rule = ruleset_add_rule(chain);
		rule->text = text_copy(line);
		what = xtables_rule(current_table(reader), chain->hook, rule, words);
	}
	free(copy);
	return what == NULL ? 0 : fail(reader, what, line);
}

/* The text behind "[packets:bytes] ", or the line itself. NULL: the brackets have something else in them. */
static char *after_counters(char *line)
{
	size_t length;

	if (*line != '[')
		return line;
	length = 1 + strspn(line + 1, "0123456789:");
	return strncmp(line + length, "] ", 2) == 0 ? line + length + 2 : NULL;
}

static int read_line(struct reader *reader, char *line)
{
	char *rule = after_counters(line);

	if (*line == '\0' || *line == '#')
		return 0;
	if (*line == '*')
		return begin_table(reader, line + 1);
	if (*line == ':')
		return declare_chain(reader, line + 1);
	if (rule != NULL && strncmp(rule, "-A ", 3) == 0)
		return append_rule(reader, rule);
	if (strcmp(line, "COMMIT") != 0 || !reader->in_table)
		return fail(reader, "not a line of iptables-save", line);
	reader->in_table = false;
	return 0;
}

static int read_lines(struct reader *reader, const char *text)
{
	int result = 0;

	for (char *line; result == 0 && (line = text_line(&text)) != NULL; free(line)) {
		reader->line++;
		result = read_line(reader, line);
	}
	if (result == -1 || !reader->in_table)
		return result;
	return fail(reader, "the text ends before the table's COMMIT", current_table(reader)->name);
}

int ruleset_parse_iptables(struct ruleset *ruleset, enum firewall_tool tool, int family,
	const char *text, char **problem)
{
	struct reader reader = {.tool = tool, .family = family};

	if (read_lines(&reader, text) == -1) {
		ruleset_free(&reader.parsed);
		*problem = reader.problem;
		return -1;
	}
	ruleset_join(ruleset, &reader.parsed);
	return 0;
}
