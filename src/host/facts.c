/*
 * What a plan has to know of the host; see the header.
 *
 * Only listings are run that leave nothing behind: iptables-legacy-save without -t looks at the tables
 * that are registered already, where naming one would register it for good. The trap: a rule may test
 * some bits of a mark, so whether a mark is somebody's is asked with the mask of each rule.
 */
#include "tproxy/facts.h"
#include "tproxy/text.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void *grown(void *list, size_t count, size_t size)
{
	void *made = reallocarray(list, count + 1, size);

	if (made == NULL)
		abort(); /* out of memory */
	return made;
}

static void add_mark(struct facts *facts, uint32_t value, uint32_t mask, const char *where)
{
	if ((value & mask) == 0)
		return; /* "none of these bits" is nobody's mark */
	facts->marks = grown(facts->marks, facts->mark_count, sizeof(*facts->marks));
	facts->marks[facts->mark_count++] =
		(struct fact_mark){value & mask, mask, text_format("%s", where)};
}

static void add_table(struct facts *facts, const char *number, const char *where)
{
	unsigned table;

	if (number == NULL || !text_number(number, &table))
		return;
	facts->tables = grown(facts->tables, facts->table_count, sizeof(*facts->tables));
	facts->tables[facts->table_count++] = (struct fact_table){table, text_format("%s", where)};
}

static const char *word(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static bool is_ours(const json_t *object)
{
	const char *protocol = word(object, "protocol");

	return protocol != NULL && strcmp(protocol, OUR_PROTOCOL) == 0;
}

static void leftover(struct facts *facts, const char *where)
{
	if (!facts->pass_ours && facts->leftover == NULL)
		facts->leftover = text_format("%s", where);
}

/* As the kernel does by itself: one less than the first that is not 0; they come in their order. */
static void prefer(struct facts *facts, int which, long long priority)
{
	if (facts->preferred[which] || priority <= 0)
		return;
	facts->preferred[which] = true;
	facts->preference[which] = (unsigned)priority - 1;
}

static void of_rule(struct facts *facts, int family, const json_t *rule)
{
	long long priority = json_integer_value(json_object_get(rule, "priority"));
	unsigned value, mask = UINT32_MAX;
	char *where = text_format(
		"the policy rule %lld (ip -%d rule)", priority, family == AF_INET6 ? 6 : 4);

	if (is_ours(rule))
		leftover(facts, where);
	else {
		prefer(facts, family == AF_INET6, priority);
		add_table(facts, word(rule, "table"), where);
		if (word(rule, "fwmark") != NULL && text_number(word(rule, "fwmark"), &value)) {
			if (word(rule, "fwmask") != NULL)
				text_number(word(rule, "fwmask"), &mask);
			add_mark(facts, value, mask, where);
		}
	}
	free(where);
}

bool facts_of_rules(struct facts *facts, int family, const char *json)
{
	json_t *list = json_loads(json, 0, NULL), *each;
	bool well = json_is_array(list);
	size_t i;

	for (i = 0; (each = json_array_get(list, i)) != NULL; i++)
		of_rule(facts, family, each);
	json_decref(list);
	return well;
}

bool facts_of_routes(struct facts *facts, const char *json)
{
	json_t *list = json_loads(*json != '\0' ? json : "[]", 0, NULL), *each;
	bool well = json_is_array(list);
	size_t i;

	for (i = 0; (each = json_array_get(list, i)) != NULL; i++) {
		const char *table = word(each, "table"), *to = word(each, "dst");
		char *where = text_format("a route to %s", to != NULL ? to : "somewhere");

		if (is_ours(each))
			leftover(facts, where);
		else
			add_table(facts, table, where);
		if (table != NULL && to != NULL && strcmp(table, "255") == 0 && !is_ours(each)) {
			facts->local_addresses = grown(facts->local_addresses, facts->local_count,
				sizeof(*facts->local_addresses));
			facts->local_addresses[facts->local_count++] = text_format("%s", to);
		}
		free(where);
	}
	json_decref(list);
	return well;
}

/* The number behind an option of iptables, "VALUE" or "VALUE/MASK". */
static void of_option(struct facts *facts, const char *line, const char *option, const char *where)
{
	const char *at = line;

	while ((at = strstr(at, option)) != NULL) {
		char *end;
		unsigned long value = strtoul(at + strlen(option), &end, 0);
		unsigned long mask = *end == '/' ? strtoul(end + 1, &end, 0) : UINT32_MAX;

		add_mark(facts, (uint32_t)value, (uint32_t)mask, where);
		at = end;
	}
}

void facts_of_iptables(struct facts *facts, const char *program, const char *save)
{
	static const char *const options[] = {" --mark ", " --set-mark ", " --set-xmark ",
		" --or-mark ", " --tproxy-mark ", " --restore-mark --mark "};
	const char *at = save;

	for (char *line; (line = text_line(&at)) != NULL; free(line)) {
		char *where = text_format("the rule '%s' (%s)", line, program);
		bool ours = strstr(line, "--comment " OUR_NAME " ") != NULL;

		if (ours || strncmp(line, ":" OUR_CHAIN " ", sizeof(OUR_CHAIN) + 1) == 0)
			leftover(facts, where);
		else
			for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
				of_option(facts, line, options[i], where);
		free(where);
	}
}

/* Every number in VALUE; of "mark | NUMBER" those bits alone. */
static void of_value(struct facts *facts, const json_t *value, uint32_t mask, const char *where)
{
	json_t *part, *whole = (json_t *)value;
	void *at;
	size_t i;

	if (json_is_integer(value)) {
		uint32_t number = (uint32_t)json_integer_value(value);

		add_mark(facts, number, mask != 0 ? mask : number, where);
	}
	for (i = 0; (part = json_array_get(value, i)) != NULL; i++)
		of_value(facts, part, mask, where);
	for (at = json_object_iter(whole); at != NULL; at = json_object_iter_next(whole, at))
		of_value(facts, json_object_iter_value(at),
			strcmp(json_object_iter_key(at), "|") == 0 ? 0 : mask, where);
}

static bool is_mark(const json_t *expression)
{
	const char *key = word(json_object_get(expression, "meta"), "key");

	return key != NULL && strcmp(key, "mark") == 0;
}

static void of_expression(struct facts *facts, const json_t *expression, const char *where)
{
	const json_t *match = json_object_get(expression, "match");
	const json_t *mangle = json_object_get(expression, "mangle");
	const json_t *left = json_object_get(match, "left");
	const json_t *both = json_object_get(left, "&");

	if (is_mark(left))
		of_value(facts, json_object_get(match, "right"), UINT32_MAX, where);
	else if (is_mark(json_array_get(both, 0)))
		of_value(facts, json_object_get(match, "right"),
			(uint32_t)json_integer_value(json_array_get(both, 1)), where);
	if (is_mark(json_object_get(mangle, "key")))
		of_value(facts, json_object_get(mangle, "value"), UINT32_MAX, where);
}

static void of_nft_rule(struct facts *facts, const json_t *rule)
{
	const json_t *list = json_object_get(rule, "expr"), *each;
	const char *table = word(rule, "table");
	char *where;
	size_t i;

	if (table == NULL || strcmp(table, OUR_NAME) == 0)
		return;
	where = text_format("a rule of nft (table %s %s, chain %s, handle %lld)",
		word(rule, "family"), table, word(rule, "chain"),
		json_integer_value(json_object_get(rule, "handle")));
	for (i = 0; (each = json_array_get(list, i)) != NULL; i++)
		of_expression(facts, each, where);
	free(where);
}

bool facts_of_nft(struct facts *facts, const char *json)
{
	json_t *root = json_loads(json, 0, NULL), *each;
	json_t *list = json_object_get(root, "nftables");
	bool well = json_is_array(list);
	size_t i;

	for (i = 0; (each = json_array_get(list, i)) != NULL; i++) {
		const char *name = word(json_object_get(each, "table"), "name");

		if (name != NULL && strcmp(name, OUR_NAME) == 0)
			leftover(facts, "a table tproxyctl of nft");
		of_nft_rule(facts, json_object_get(each, "rule"));
	}
	json_decref(root);
	return well;
}

const char *facts_mark_user(const struct facts *facts, uint32_t mark)
{
	for (size_t i = 0; i < facts->mark_count; i++)
		if ((mark & facts->marks[i].mask) == facts->marks[i].value)
			return facts->marks[i].where;
	return NULL;
}

const char *facts_table_user(const struct facts *facts, unsigned table)
{
	for (size_t i = 0; i < facts->table_count; i++)
		if (facts->tables[i].table == table)
			return facts->tables[i].where;
	return NULL;
}

uint32_t facts_free_mark(const struct facts *facts)
{
	uint32_t mark = 1;

	while (facts_mark_user(facts, mark) != NULL && mark < UINT32_MAX)
		mark++;
	return mark;
}

unsigned facts_free_table(const struct facts *facts)
{
	unsigned table = 100;

	while ((table >= 253 && table <= 255) || facts_table_user(facts, table) != NULL)
		table++;
	return table;
}

void facts_free(struct facts *facts)
{
	for (size_t i = 0; i < facts->mark_count; i++)
		free(facts->marks[i].where);
	for (size_t i = 0; i < facts->table_count; i++)
		free(facts->tables[i].where);
	for (size_t i = 0; i < facts->link_count; i++)
		free(facts->links[i].name);
	for (size_t i = 0; i < facts->local_count; i++)
		free(facts->local_addresses[i]);
	free(facts->marks);
	free(facts->tables);
	free(facts->links);
	free(facts->local_addresses);
	free(facts->leftover);
	*facts = (struct facts){0};
}
