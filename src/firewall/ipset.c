/*
 * Sets of ipset, for the rules of iptables that ask them (`-m set --match-set NAME src`).
 *
 * A set of addresses, networks or ports becomes a list of ranges, as nft's sets are. Of a set of several fields
 * (hash:net,port) only the first is read: where no element has the packet's address, the rule does not apply, and
 * elsewhere that stays unknown. The same holds for a set with exceptions (nomatch).
 *
 * The trap is a set that rules themselves change (target SET). What is in it depends on earlier packets, so it stays
 * unknown. So do sets of sets, and all that is no list of addresses or ports.
 */
#include "ruleset_build.h"
#include "tproxy/array.h"
#include "tproxy/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	WORD_MAX = 64 /* names have at most 31 bytes, and IPv6 networks 43 */
};

/* What is known of a set. */
struct ipset {
	struct match values; /* of the first field of its elements */
	bool known;          /* all elements could be read, and no rule changes them */
	bool ports;          /* the first field is a port */
	bool exact;          /* values are all that decides */
	unsigned length;     /* of a network whose elements do not say it; 0: all bits */
};

struct reader {
	struct names names;
	struct ipset *list;
	size_t count;
};

/* The set of that name, or NULL. */
static struct ipset *find_set(const struct reader *reader, const char *name)
{
	size_t place;

	return reader->list != NULL && names_find(&reader->names, name, &place)
		       ? &reader->list[place]
		       : NULL;
}

/* The number behind " KEY " in a line; 0: there is none. */
static unsigned option_of(const char *line, const char *key)
{
	const char *at = strstr(line, key);

	return at != NULL ? (unsigned)strtoul(at + strlen(key), NULL, 10) : 0;
}

static bool read_create(struct reader *reader, const char *line)
{
	char name[WORD_MAX], type[WORD_MAX];
	const char *field;
	struct ipset *set;

	if (sscanf(line, "create %63s %63s", name, type) != 2 ||
		!names_add(&reader->names, name, reader->count))
		return false;
	reader->list = array_room(reader->list, reader->count, sizeof(*reader->list));
	set = &reader->list[reader->count++];
	field = strchr(type, ':');
	if (field == NULL)
		return true; /* unknown */
	set->ports = strncmp(field, ":port", 5) == 0;
	set->length = option_of(line, " netmask ");
	/* What masks an address before it is looked for; of a network, that is more than its length. */
	set->known = (set->ports || strncmp(field, ":ip", 3) == 0 ||
			     (strncmp(field, ":net", 4) == 0 && set->length == 0)) &&
		     strstr(line, " bitmask ") == NULL;
	set->exact = strchr(field, ',') == NULL;
	return true;
}

/* Adds "192.0.2.80", "192.0.2.0/24" or a port to the values of a set. */
static bool add_value(struct ipset *set, char *value)
{
	char *slash = strchr(value, '/');
	unsigned number = set->length;
	struct addr address;

	if (set->ports) {
		if (!text_number(value, &number) || number > UINT16_MAX)
			return false;
		ruleset_add_numbers(&set->values, (uint16_t)number, (uint16_t)number);
		return true;
	}
	if (slash != NULL) {
		*slash = '\0';
		if (!text_number(slash + 1, &number))
			return false;
	}
	if (!addr_parse(&address, value))
		return false;
	if (slash == NULL && number == 0)
		number = family_bits(addr_family(&address));
	return ruleset_add_prefix(&set->values, address, number);
}

static bool read_add(struct reader *reader, const char *line)
{
	char name[WORD_MAX], value[WORD_MAX];
	const char *exception = strstr(line, " nomatch"), *comment = strstr(line, " comment \"");
	struct ipset *set;

	if (sscanf(line, "add %63s %63[^ ,]", name, value) != 2)
		return false;
	set = find_set(reader, name);
	if (set == NULL)
		return false;
	if (exception != NULL && (comment == NULL || exception < comment))
		set->exact = false;
	else if (set->known)
		set->known = add_value(set, value);
	return true;
}

/* A comment may have any text but a quote, so its next line may look like an element. */
static bool has_open_quote(const char *line)
{
	bool open = false;

	while ((line = strchr(line, '"')) != NULL) {
		open = !open;
		line++;
	}
	return open;
}

/* Returns what is wrong with a line, or NULL. */
static const char *read_line(struct reader *reader, const char *line, bool whole)
{
	if (!whole)
		return "it is cut off";
	if (has_open_quote(line))
		return "a quote is not closed";
	return read_create(reader, line) || read_add(reader, line) ? NULL
								   : "expected `create` or `add`";
}

static bool read_lines(struct reader *reader, const char *text, char **problem)
{
	size_t number = 0;

	for (char *line; *problem == NULL && (line = text_line(&text)) != NULL; free(line)) {
		const char *wrong = read_line(reader, line, text[-1] == '\n');

		number++;
		if (wrong != NULL)
			*problem = text_format("line %zu: %s: %s", number, wrong, line);
	}
	for (size_t i = 0; i < reader->count; i++)
		ruleset_sort_ranges(&reader->list[i].values);
	return *problem == NULL;
}

/* "-j SET --add-set NAME src --exist": the sets that a rule changes are not known. */
static void forget_changed(struct reader *reader, struct rule *rule)
{
	const char *at = rule->text != NULL ? strstr(rule->text, " -j SET ") : NULL;
	char name[WORD_MAX];

	while (at != NULL && (at = strstr(at, "-set ")) != NULL) {
		struct ipset *set;

		at += strlen("-set ");
		set = sscanf(at, "%63s", name) == 1 ? find_set(reader, name) : NULL;
		if (set != NULL)
			set->known = false;
	}
}

/* Whether the match at PLACE is followed by an option of its own that no reader knows, such as --return-nomatch. */
static bool has_option(const struct rule *rule, size_t place)
{
	const struct match *next = &rule->matches[place + 1];

	return place + 1 < rule->match_count && next->kind == MATCH_UNKNOWN &&
	       (strncmp(next->text, "--", 2) == 0 || strncmp(next->text, "! --", 4) == 0);
}

/* The set that "NAME src" or "NAME dst,dst" asks, or NULL; *SOURCE: about the packet's source. */
static const struct ipset *set_of_match(
	const struct reader *reader, const struct match *match, bool *source)
{
	char name[WORD_MAX], direction[WORD_MAX], more;

	if (sscanf(match->text, "%63s %63s %c", name, direction, &more) != 2)
		return NULL;
	*source = strncmp(direction, "src", 3) == 0;
	return *source || strncmp(direction, "dst", 3) == 0 ? find_set(reader, name) : NULL;
}

/* Puts the values of its set into the match at PLACE of a rule. */
static void resolve(const struct reader *reader, struct rule *rule, size_t place)
{
	struct match *match = &rule->matches[place];
	bool source;
	const struct ipset *set = set_of_match(reader, match, &source);
	char *text = match->text;

	/* A packet without ports is in no set of ports. */
	if (set == NULL || !set->known || (match->negated && (!set->exact || set->ports)) ||
		has_option(rule, place))
		return;
	match->text = NULL;
	match->ranges = set->values.ranges;
	match->range_count = set->values.range_count;
	match->borrowed = true;
	if (set->ports)
		match->kind = source ? MATCH_SOURCE_PORT : MATCH_DESTINATION_PORT;
	else
		match->kind = source ? MATCH_SOURCE : MATCH_DESTINATION;
	if (set->exact)
		free(text);
	else
		ruleset_add_match(rule, MATCH_UNKNOWN, false)->text = text;
}

static void resolve_rule(struct reader *reader, struct rule *rule)
{
	for (size_t i = 0; i < rule->match_count; i++)
		if (rule->matches[i].kind == MATCH_SET)
			resolve(reader, rule, i);
}

static void each_rule(struct ruleset *ruleset, struct reader *reader,
	void (*visit)(struct reader *reader, struct rule *rule))
{
	for (size_t i = 0; i < ruleset->table_count; i++)
		for (size_t j = 0; j < ruleset->tables[i].chain_count; j++) {
			struct chain *chain = &ruleset->tables[i].chains[j];

			for (size_t k = 0; k < chain->rule_count; k++)
				visit(reader, &chain->rules[k]);
		}
}

static bool rule_asks_sets(const struct rule *rule)
{
	for (size_t i = 0; i < rule->match_count; i++)
		if (rule->matches[i].kind == MATCH_SET)
			return true;
	return false;
}

bool ruleset_asks_sets(const struct ruleset *ruleset)
{
	for (size_t i = 0; i < ruleset->table_count; i++)
		for (size_t j = 0; j < ruleset->tables[i].chain_count; j++) {
			const struct chain *chain = &ruleset->tables[i].chains[j];

			for (size_t k = 0; k < chain->rule_count; k++)
				if (rule_asks_sets(&chain->rules[k]))
					return true;
		}
	return false;
}

/* The values belong to the rule set from now on, or go. */
static void hand_over(struct reader *reader, struct ruleset *ruleset, bool keep)
{
	for (size_t i = 0; i < reader->count; i++) {
		if (!keep) {
			free(reader->list[i].values.ranges);
			continue;
		}
		ruleset->sets =
			array_room(ruleset->sets, ruleset->set_count, sizeof(*ruleset->sets));
		ruleset->sets[ruleset->set_count++] = reader->list[i].values;
	}
	free(reader->list);
	names_free(&reader->names);
}

int ruleset_parse_ipset(struct ruleset *ruleset, const char *text, char **problem)
{
	struct reader reader = {0};
	bool well;

	*problem = NULL;
	well = read_lines(&reader, text, problem);
	if (well) {
		each_rule(ruleset, &reader, forget_changed);
		each_rule(ruleset, &reader, resolve_rule);
	}
	hand_over(&reader, ruleset, well);
	return well ? 0 : -1;
}
