/*
 * `nft -j list ruleset`: tables, chains, and where a rule begins.
 *
 * nft's JSON does not have the text of a rule, so a rule is named by its place, "ip transparent PREROUTING handle 7",
 * as `nft delete rule` takes it. A verdict map or a match of several fields becomes a rule for each of its elements: only one of them can match,
 * so the result is the same.
 *
 * The objects are read one by one. nft lists a table before its contents, and sets and chains before rules. A
 * listing in another order has rules without a chain, and is refused.
 *
 * The trap is iptables, whose tables are listed here, too, with {"xt": ...} for what nft cannot print. They are read
 * like any other; ruleset_join() removes those that iptables-save printed.
 */
#include "nftables.h"
#include "ruleset_build.h"
#include "tproxy/array.h"
#include "tproxy/json_list.h"
#include "tproxy/text.h"

#include <stdlib.h>
#include <string.h>

struct reader {
	struct ruleset parsed;
	struct names tables;   /* "FAMILY NAME": their places among the parsed tables */
	struct nft_sets *sets; /* of each table, in the same order */
	char *problem;
};

static bool fail(struct reader *reader, const char *what, const char *name)
{
	reader->problem = text_format("%s: '%s'", what, name);
	return false;
}

/* A dormant table is loaded, but no packet passes it. */
static bool is_dormant(const json_t *table)
{
	const json_t *flags = json_object_get(table, "flags"), *flag;
	size_t i;

	if (json_is_string(flags))
		return strcmp(json_string_value(flags), "dormant") == 0;
	json_array_foreach(
		flags, i, flag) if (json_is_string(flag) &&
				    strcmp(json_string_value(flag), "dormant") == 0) return true;
	return false;
}

static bool read_table(struct reader *reader, const json_t *object)
{
	int family = nft_family(json_text(object, "family"));
	const char *name = json_text(object, "name");
	size_t count = reader->parsed.table_count;
	struct table *table;
	char *key;
	bool fresh;

	if (family == -1 || is_dormant(object))
		return true;
	if (*name == '\0')
		return fail(reader, "a table has no name", json_text(object, "family"));
	key = text_format("%s %s", json_text(object, "family"), name);
	fresh = names_add(&reader->tables, key, count);
	free(key);
	if (!fresh)
		return fail(reader, "a table of this name was listed before", name);
	reader->sets = array_room(reader->sets, count, sizeof(*reader->sets));
	table = ruleset_add_table(&reader->parsed, TOOL_NFT, family, name);
	table->netdev = strcmp(json_text(object, "family"), "netdev") == 0;
	table->order = count + 1;
	return true;
}

/* Notes a table of a family that traces do not follow: it drops something. */
static void note_dropping(struct reader *reader, const json_t *object)
{
	const char *family = json_text(object, "family"), *name = json_text(object, "table");
	char **list = strcmp(family, "arp") == 0      ? &reader->parsed.arp
		      : strcmp(family, "bridge") == 0 ? &reader->parsed.bridge
						      : NULL;

	if (list != NULL && (*list == NULL || strstr(*list, name) == NULL))
		text_add(list, "%s%s", *list != NULL ? " " : "", name);
}

static bool drops_something(const json_t *expressions)
{
	static const char *const words[] = {"drop", "reject", "vmap"};
	const json_t *each;
	size_t i;

	json_array_foreach(expressions, i, each)
	{
		for (size_t j = 0; j < sizeof(words) / sizeof(words[0]); j++)
			if (json_object_get(each, words[j]) != NULL)
				return true;
	}
	return false;
}

/* The place of the table that OBJECT is in; false: that table was skipped. */
static bool find_table(const struct reader *reader, const json_t *object, size_t *place)
{
	char *key = text_format("%s %s", json_text(object, "family"), json_text(object, "table"));
	bool found = names_find(&reader->tables, key, place);

	free(key);
	return found;
}

static bool read_set(struct reader *reader, const json_t *object)
{
	json_t *elements = json_object_get(object, "elem");
	struct nft_sets *sets;
	size_t place;

	if (!find_table(reader, object, &place))
		return true;
	sets = &reader->sets[place];
	if (elements != NULL && !json_is_array(elements))
		return fail(
			reader, "the elements of a set are not a list", json_text(object, "name"));
	if (!names_add(&sets->names, json_text(object, "name"), sets->count))
		return fail(
			reader, "a set of this name was listed before", json_text(object, "name"));
	sets->list = array_room(sets->list, sets->count, sizeof(*sets->list));
	sets->list[sets->count++].elements = json_incref(elements);
	return true;
}

static enum hook hook_of(const char *name)
{
	static const char *const names[] = {[HOOK_PREROUTING] = "prerouting",
		[HOOK_INPUT] = "input",
		[HOOK_FORWARD] = "forward",
		[HOOK_OUTPUT] = "output",
		[HOOK_POSTROUTING] = "postrouting",
		[HOOK_INGRESS] = "ingress"};

	for (int hook = HOOK_PREROUTING; hook <= HOOK_INGRESS; hook++)
		if (strcmp(names[hook], name) == 0)
			return (enum hook)hook;
	return HOOK_NONE;
}

static bool read_priority(const json_t *value, int *priority)
{
	static const struct {
		const char *name;
		int priority;
	} names[] = {{"raw", -300}, {"mangle", -150}, {"dstnat", -100}, {"filter", 0},
		{"security", 50}, {"srcnat", 100}};
	json_int_t number = json_integer_value(value);

	for (size_t i = 0; json_is_string(value) && i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i].name, json_string_value(value)) == 0) {
			*priority = names[i].priority;
			return true;
		}
	*priority = (int)number;
	return json_is_integer(value) && number >= INT32_MIN && number <= INT32_MAX;
}

/* Names with blanks between them; NULL where nft does not list them, as before version 1.0.9. */
static char *links_of(const json_t *devices)
{
	const json_t *each;
	char *names = NULL;
	size_t i;

	if (json_is_string(devices))
		return text_copy(json_string_value(devices));
	json_array_foreach(devices, i, each)
	{
		if (!json_is_string(each))
			continue;
		if (names == NULL)
			names = text_copy(json_string_value(each));
		else
			text_add(&names, " %s", json_string_value(each));
	}
	return names;
}

static bool read_chain(struct reader *reader, const json_t *object)
{
	const char *name = json_text(object, "name");
	struct chain *chain;
	size_t place;

	if (!find_table(reader, object, &place)) {
		if (strcmp(json_text(object, "policy"), "drop") == 0)
			note_dropping(reader, object);
		return true;
	}
	chain = *name != '\0' ? ruleset_add_chain(&reader->parsed.tables[place], name) : NULL;
	if (chain == NULL)
		return fail(reader, "a chain has no name, or its name was listed before", name);
	chain->hook = hook_of(json_text(object, "hook"));
	chain->nat = strcmp(json_text(object, "type"), "nat") == 0;
	chain->drops = strcmp(json_text(object, "policy"), "drop") == 0;
	chain->routes_again = strcmp(json_text(object, "type"), "route") == 0;
	if (chain->hook == HOOK_INGRESS)
		chain->links = links_of(json_object_get(object, "dev"));
	return chain->hook == HOOK_NONE ||
	       read_priority(json_object_get(object, "prio"), &chain->priority) ||
	       fail(reader, "a base chain has no priority", name);
}

/* --- rules --- */

const json_t *nft_elements(const struct nft_parse *parse, const json_t *data)
{
	const char *name = json_string_value(data);
	size_t place;

	if (name == NULL)
		return json_object_get(data, "set");
	if (*name != '@' || !names_find(&parse->sets->names, name + 1, &place))
		return NULL;
	return parse->sets->list[place].elements;
}

/* A choice: one of several values or fields decides, and only one element can match. */
struct choice {
	const json_t *key;      /* what is looked at */
	const json_t *elements; /* NULL: the expression is no choice */
	bool verdicts;          /* each element has a verdict: a verdict map */
};

/* A verdict map, or a match of several fields at once (`ip daddr . tcp dport @SET`). */
static struct choice find_choice(const struct nft_parse *parse, const json_t *expression)
{
	const json_t *map = json_object_get(expression, "vmap");
	const json_t *match = json_object_get(expression, "match");
	const json_t *left = json_object_get(match, "left");

	if (map != NULL)
		return (struct choice){json_object_get(map, "key"),
			nft_elements(parse, json_object_get(map, "data")), true};
	if (json_object_get(left, "concat") != NULL && strcmp(json_text(match, "op"), "==") == 0)
		return (struct choice){
			left, nft_elements(parse, json_object_get(match, "right")), false};
	return (struct choice){0};
}

/* Adds the match of a key; of several fields, one match for each. */
static void add_key(struct nft_parse *parse, const json_t *key, const json_t *value)
{
	const json_t *wrapped = json_object_get(json_object_get(value, "elem"), "val");
	const json_t *fields = json_object_get(key, "concat"), *field;
	const json_t *values = json_object_get(wrapped != NULL ? wrapped : value, "concat");
	size_t i;

	if (json_array_size(fields) != json_array_size(values) || fields == NULL) {
		nft_match(parse, "==", key, wrapped != NULL ? wrapped : value);
		return;
	}
	json_array_foreach(fields, i, field)
	{
		nft_match(parse, "==", field, json_array_get(values, i));
	}
}

/* Adds one element of a choice: its match and, of a verdict map, its verdict. */
static void add_element(struct nft_parse *parse, const struct choice *choice, const json_t *element)
{
	void *at;

	if (!choice->verdicts) {
		add_key(parse, choice->key, element);
		return;
	}
	add_key(parse, choice->key, json_array_get(element, 0));
	at = json_object_iter(json_array_get(element, 1));
	if (at != NULL)
		nft_statement(parse, json_object_iter_key(at), json_object_iter_value(at));
	else
		nft_statement(parse, "vmap", element);
}

/* An expression is an object with one member, whose name is its kind. */
static void add_expression(struct nft_parse *parse, const json_t *expression)
{
	void *at = json_object_iter((json_t *)expression);
	const char *name = at == NULL ? "statement" : json_object_iter_key(at);
	const json_t *value = at == NULL ? expression : json_object_iter_value(at);
	const char *op = json_text(value, "op");

	if (strcmp(name, "match") != 0)
		nft_statement(parse, name, value);
	else
		nft_match(parse, *op == '\0' ? "==" : op, json_object_get(value, "left"),
			json_object_get(value, "right"));
}

/* Fills in the rule; if it has a choice, with element number INDEX of it. */
static void fill_rule(struct nft_parse *parse, const json_t *expressions, size_t index)
{
	const json_t *expression;
	bool chosen = false;
	size_t i;

	json_array_foreach(expressions, i, expression)
	{
		struct choice choice = find_choice(parse, expression);

		if (choice.elements == NULL || chosen)
			add_expression(parse, expression);
		else if (json_array_size(choice.elements) > 0)
			add_element(parse, &choice, json_array_get(choice.elements, index));
		else
			ruleset_add_match(parse->rule, MATCH_ALWAYS, true); /* an empty set */
		chosen |= choice.elements != NULL;
	}
}

/* How many rules of the model a rule becomes. */
static size_t count_copies(const struct nft_parse *parse, const json_t *expressions)
{
	const json_t *expression;
	size_t i;

	json_array_foreach(expressions, i, expression)
	{
		struct choice choice = find_choice(parse, expression);

		if (choice.elements != NULL)
			return json_array_size(choice.elements) > 0
				       ? json_array_size(choice.elements)
				       : 1;
	}
	return 1;
}

static void add_copies(
	struct nft_parse parse, struct chain *chain, uint64_t handle, const json_t *expressions)
{
	unsigned number =
		chain->rule_count > 0 ? chain->rules[chain->rule_count - 1].number + 1 : 1;
	size_t count = count_copies(&parse, expressions);

	for (size_t i = 0; i < count; i++) {
		parse.rule = ruleset_add_rule(chain);
		parse.rule->number = number;
		parse.rule->handle = handle;
		parse.rule->text = text_format("%s %s %s handle %llu", parse.family,
			parse.table_name, chain->name, (unsigned long long)handle);
		fill_rule(&parse, expressions, i);
		ruleset_sort_rule(parse.rule);
	}
}

static bool read_rule(struct reader *reader, const json_t *object)
{
	struct nft_parse parse = {
		.family = json_text(object, "family"), .table_name = json_text(object, "table")};
	const char *name = json_text(object, "chain");
	json_int_t handle = json_integer_value(json_object_get(object, "handle"));
	struct chain *chain;
	size_t place;

	if (!find_table(reader, object, &place)) {
		if (drops_something(json_object_get(object, "expr")))
			note_dropping(reader, object);
		return true;
	}
	chain = ruleset_chain(&reader->parsed.tables[place], name);
	if (chain == NULL)
		return fail(reader, "the chain of a rule is not listed", name);
	if (handle < 1)
		return fail(reader, "a rule has no handle", name);
	parse.sets = &reader->sets[place];
	parse.family_number = nft_family(parse.family);
	add_copies(parse, chain, (uint64_t)handle, json_object_get(object, "expr"));
	return true;
}

static bool read_object(void *context, json_t *object)
{
	static const struct {
		const char *kind;
		bool (*read)(struct reader *reader, const json_t *object);
	} kinds[] = {{"rule", read_rule}, {"chain", read_chain}, {"set", read_set},
		{"map", read_set}, {"table", read_table}};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const json_t *one = json_object_get(object, kinds[i].kind);

		if (one != NULL)
			return kinds[i].read(context, one);
	}
	return true;
}

/* Frees the sets; the contents that matches borrow go to the rule set. */
static void release_sets(struct nft_sets *sets, struct ruleset *parsed)
{
	for (size_t i = 0; i < sets->count; i++) {
		struct nft_set *set = &sets->list[i];

		for (size_t j = 0; j < set->value_count; j++) {
			parsed->sets =
				array_room(parsed->sets, parsed->set_count, sizeof(*parsed->sets));
			parsed->sets[parsed->set_count++] = set->values[j].match;
		}
		json_decref(set->elements);
		free(set->values);
	}
	free(sets->list);
	names_free(&sets->names);
}

int ruleset_parse_nft(struct ruleset *ruleset, const char *text, char **problem)
{
	struct reader reader = {0};
	bool well = json_list_read(text, "nftables", read_object, &reader, &reader.problem);

	for (size_t i = 0; i < reader.parsed.table_count; i++)
		release_sets(&reader.sets[i], &reader.parsed);
	free(reader.sets);
	names_free(&reader.tables);
	if (well)
		ruleset_join(ruleset, &reader.parsed);
	else
		*problem = text_format("nft: %s", reader.problem);
	ruleset_free(&reader.parsed);
	free(reader.problem);
	return well ? 0 : -1;
}
