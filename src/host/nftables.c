/*
 * `nft -j list ruleset`: tables, chains, and where a rule begins.
 *
 * nft's JSON has no text of a rule, so a rule is called by its place, "ip transparent PREROUTING handle
 * 7", which is what `nft delete rule` wants. A verdict map becomes a rule for each of its elements: they
 * exclude each other, so the result is the same. The trap is iptables' nft backend, whose tables are
 * listed here as well, with {"xt": ...} where nft has no words: they are read like any other, and
 * ruleset_join() takes them out again where iptables-save has told of them.
 */
#include "nftables.h"
#include "ruleset_build.h"

#include <stdlib.h>
#include <string.h>

struct reader {
	const json_t *objects;
	struct ruleset parsed;
	char *problem;
};

static int wrong(struct reader *reader, const char *what, const char *name)
{
	reader->problem = text_printed("nft: %s: '%s'", what, name);
	return -1;
}

int nft_family(const char *name)
{
	if (strcmp(name, "ip") == 0)
		return AF_INET;
	if (strcmp(name, "ip6") == 0)
		return AF_INET6;
	return strcmp(name, "inet") == 0 ? AF_UNSPEC : -1;
}

const char *nft_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : "";
}

char *nft_words(const char *name, const json_t *value)
{
	char *dump = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	char *text = dump == NULL || json_is_null(value) ? text_copy(name)
							 : text_printed("%s %s", name, dump);

	free(dump);
	return text;
}

/* A dormant table is loaded, and asked for no packet. */
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

static int read_table(struct reader *reader, const json_t *object)
{
	int family = nft_family(nft_text(object, "family"));
	const char *name = nft_text(object, "name");

	if (family == -1 || is_dormant(object))
		return 0;
	if (*name == '\0')
		return wrong(reader, "a table without a name", nft_text(object, "family"));
	add_table(&reader->parsed, BACKEND_NFT, family, name);
	return 0;
}

static struct table *table_of(struct reader *reader, const json_t *object)
{
	int family = nft_family(nft_text(object, "family"));

	for (size_t i = 0; i < reader->parsed.table_count; i++) {
		struct table *table = &reader->parsed.tables[i];

		if (table->family == family && strcmp(table->name, nft_text(object, "table")) == 0)
			return table;
	}
	return NULL;
}

static enum hook hook_of(const char *name)
{
	static const char *const names[] = {[HOOK_PREROUTING] = "prerouting",
		[HOOK_INPUT] = "input",
		[HOOK_FORWARD] = "forward",
		[HOOK_OUTPUT] = "output",
		[HOOK_POSTROUTING] = "postrouting"};

	for (int hook = HOOK_PREROUTING; hook <= HOOK_POSTROUTING; hook++)
		if (strcmp(names[hook], name) == 0)
			return (enum hook)hook;
	return HOOK_NONE;
}

static int priority_of(const json_t *value)
{
	static const struct {
		const char *name;
		int priority;
	} names[] = {{"raw", -300}, {"mangle", -150}, {"dstnat", -100}, {"filter", 0},
		{"security", 50}, {"srcnat", 100}};

	for (size_t i = 0; json_is_string(value) && i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i].name, json_string_value(value)) == 0)
			return names[i].priority;
	return (int)json_integer_value(value);
}

static int read_chain(struct reader *reader, const json_t *object)
{
	struct table *table = table_of(reader, object);
	const char *name = nft_text(object, "name");
	struct chain *chain;

	if (table == NULL)
		return 0;
	if (*name == '\0' || table_chain(table, name) != NULL)
		return wrong(reader, "a chain without a name of its own", name);
	chain = add_chain(table, name);
	chain->hook = hook_of(nft_text(object, "hook"));
	chain->priority = priority_of(json_object_get(object, "prio"));
	chain->nat = strcmp(nft_text(object, "type"), "nat") == 0;
	chain->drops = strcmp(nft_text(object, "policy"), "drop") == 0;
	return 0;
}

/* --- rules --- */

/* The elements of a verdict map that is written into the rule, or NULL. */
static const json_t *map_of(const json_t *expression)
{
	const json_t *data = json_object_get(json_object_get(expression, "vmap"), "data");

	return json_object_get(data, "set");
}

/* One element of a verdict map: what is asked, and the verdict. */
static void add_element(struct nft_parse *parse, const json_t *map, const json_t *element)
{
	void *at = json_object_iter(json_array_get(element, 1));

	nft_match(parse, "==", json_object_get(map, "key"), json_array_get(element, 0));
	if (at != NULL)
		nft_statement(parse, json_object_iter_key(at), json_object_iter_value(at));
	else
		nft_statement(parse, "vmap", element);
}

/* An expression is an object with one member, whose name says what it is. */
static void add_expression(struct nft_parse *parse, const json_t *expression)
{
	void *at = json_object_iter((json_t *)expression);
	const char *name = at == NULL ? "statement" : json_object_iter_key(at);
	const json_t *value = at == NULL ? expression : json_object_iter_value(at);
	const char *op = nft_text(value, "op");

	if (strcmp(name, "match") != 0)
		nft_statement(parse, name, value);
	else
		nft_match(parse, *op == '\0' ? "==" : op, json_object_get(value, "left"),
			json_object_get(value, "right"));
}

/* Fills the rule; where it has a verdict map, with that map's element of this index. */
static void fill_rule(struct nft_parse *parse, const json_t *expressions, size_t index)
{
	const json_t *expression, *mapped = NULL;
	size_t i;

	json_array_foreach(expressions, i, expression)
	{
		const json_t *map = map_of(expression);

		if (map == NULL || mapped != NULL)
			add_expression(parse, expression);
		else if (json_array_size(map) > 0)
			add_element(parse, json_object_get(expression, "vmap"),
				json_array_get(map, index));
		mapped = map != NULL ? map : mapped;
	}
}

/* How many rules a rule becomes. */
static size_t copies(const json_t *expressions)
{
	const json_t *expression;
	size_t i;

	json_array_foreach(expressions, i, expression)
	{
		size_t elements = json_array_size(map_of(expression));

		if (elements > 0)
			return elements;
	}
	return 1;
}

static void add_copies(
	struct reader *reader, struct chain *chain, const json_t *object, const json_t *expressions)
{
	unsigned number =
		chain->rule_count > 0 ? chain->rules[chain->rule_count - 1].number + 1 : 1;
	size_t count = copies(expressions);

	for (size_t i = 0; i < count; i++) {
		struct nft_parse parse = {.objects = reader->objects,
			.family = nft_text(object, "family"),
			.table_name = nft_text(object, "table"),
			.rule = add_rule(chain)};

		parse.family_number = nft_family(parse.family);
		parse.rule->number = number;
		parse.rule->handle =
			(uint64_t)json_integer_value(json_object_get(object, "handle"));
		parse.rule->text = text_printed("%s %s %s handle %llu", parse.family,
			parse.table_name, chain->name, (unsigned long long)parse.rule->handle);
		fill_rule(&parse, expressions, i);
	}
}

static int read_rule(struct reader *reader, const json_t *object)
{
	struct table *table = table_of(reader, object);
	const char *name = nft_text(object, "chain");

	if (table == NULL)
		return 0;
	for (size_t i = 0; i < table->chain_count; i++)
		if (strcmp(table->chains[i].name, name) == 0) {
			add_copies(
				reader, &table->chains[i], object, json_object_get(object, "expr"));
			return 0;
		}
	return wrong(reader, "a rule of no chain", name);
}

static int each(struct reader *reader, const char *kind,
	int (*read)(struct reader *reader, const json_t *object))
{
	const json_t *object;
	size_t i;

	json_array_foreach(reader->objects, i, object)
	{
		const json_t *one = json_object_get(object, kind);

		if (one != NULL && read(reader, one) == -1)
			return -1;
	}
	return 0;
}

int ruleset_parse_nft(struct ruleset *ruleset, const char *text, char **problem)
{
	json_error_t error;
	json_t *root = json_loads(text, 0, &error);
	struct reader reader = {.objects = json_object_get(root, "nftables")};
	int result = -1;

	if (root == NULL)
		reader.problem = text_printed(
			"nft: line %d, column %d: %s", error.line, error.column, error.text);
	else if (!json_is_array(reader.objects))
		wrong(&reader, "the text has no list", "nftables");
	else if (each(&reader, "table", read_table) == 0 &&
		 each(&reader, "chain", read_chain) == 0 && each(&reader, "rule", read_rule) == 0)
		result = 0;
	if (result == 0)
		ruleset_join(ruleset, &reader.parsed);
	ruleset_free(&reader.parsed);
	json_decref(root);
	*problem = result == 0 ? *problem : reader.problem;
	return result;
}
