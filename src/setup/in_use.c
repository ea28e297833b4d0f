/*
 * Collects the marks and tables that are in use, and finds free ones.
 *
 * A rule may test only some bits of a mark. So a mark is compared with the mask of each rule, and a free mark is
 * searched for bit by bit. Whatever carries a mark in a rule counts as its use, also a rule for all other marks,
 * and a mark of connections: to call a free mark used is harmless.
 *
 * The trap is a listing that changes the host: iptables-legacy-save without -t lists the tables that are
 * registered already, while naming a table would register it for good.
 */
#include "in_use.h"
#include "firewall/xtables.h"
#include "hoststate/network.h"
#include "tproxy/array.h"
#include "tproxy/json_list.h"
#include "tproxy/text.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
	FIRST_TABLE = 100,          /* the walk-through's */
	SEARCH_STEPS_MAX = 50000000 /* marks that are looked at: some tenths of a second */
};

static void add_mark(struct in_use *in_use, uint32_t value, uint32_t mask, const char *where)
{
	if ((value & mask) == 0)
		return; /* a rule for packets without these bits uses no mark */
	in_use->marks = array_room(in_use->marks, in_use->mark_count, sizeof(*in_use->marks));
	in_use->marks[in_use->mark_count++] =
		(struct in_use_mark){value & mask, mask, text_copy(where)};
}

static void add_table(struct in_use *in_use, unsigned table, const char *where)
{
	in_use->tables = array_room(in_use->tables, in_use->table_count, sizeof(*in_use->tables));
	in_use->tables[in_use->table_count++] = (struct in_use_table){table, text_copy(where)};
}

static const char *word(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static void note_leftover(struct in_use *in_use, const char *where)
{
	if (!in_use->pass_ours && in_use->leftover == NULL)
		in_use->leftover = text_copy(where);
}

static bool is_ours(unsigned protocol)
{
	return protocol == OUR_PROTOCOL_NUMBER;
}

/* The preference that the kernel itself would choose: one less than that of the first rule but those with 0. */
static void note_preference(struct in_use *in_use, const struct network_rule *rule)
{
	int which = rule->family == AF_INET6;

	if (in_use->preferred[which] || rule->priority == 0)
		return;
	in_use->preferred[which] = true;
	in_use->preference[which] = rule->priority - 1;
}

static void add_policy_rule(struct in_use *in_use, const struct network_rule *rule)
{
	char *where = text_format(
		"the policy rule %u (ip -%d rule)", rule->priority, family_version(rule->family));

	if (is_ours(rule->protocol))
		note_leftover(in_use, where);
	else {
		note_preference(in_use, rule);
		add_table(in_use, rule->table, where);
		add_mark(in_use, rule->mark, rule->mask, where); /* also of a rule with `not` */
	}
	free(where);
}

static void add_route(struct in_use *in_use, const struct network_route *route)
{
	char ip[ADDR_TEXT_MAX], *where;

	addr_format_ip(&route->to, ip);
	where = text_format("a route to %s/%u", ip, route->length);
	if (is_ours(route->protocol))
		note_leftover(in_use, where);
	else {
		add_table(in_use, route->table, where);
		if (route->table == TABLE_LOCAL &&
			route->length == family_bits(addr_family(&route->to))) {
			in_use->local_addresses = array_room(in_use->local_addresses,
				in_use->local_count, sizeof(*in_use->local_addresses));
			in_use->local_addresses[in_use->local_count++] = text_copy(ip);
		}
	}
	free(where);
}

void in_use_add_network(struct in_use *in_use, const struct network *network)
{
	for (size_t i = 0; i < network->rule_count; i++)
		add_policy_rule(in_use, &network->rules[i]);
	for (size_t i = 0; i < network->route_count; i++)
		add_route(in_use, &network->routes[i]);
}

/* An option of iptables that has a packet's mark behind it, "VALUE" or "VALUE/MASK". */
static bool has_mark(const struct xtables_word *word)
{
	static const char *const options[] = {
		"--mark", "--set-mark", "--set-xmark", "--or-mark", "--tproxy-mark"};

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (xtables_is(word, options[i]))
			return true;
	return false;
}

/* Whether a rule or chain has our name. */
static bool names_us(const char *line, const struct xtables_word *words, size_t count)
{
	for (size_t i = 0; i + 1 < count; i++)
		if (xtables_is(&words[i], "--comment") && strcmp(words[i + 1].text, OUR_NAME) == 0)
			return true;
	return strncmp(line, ":" OUR_CHAIN " ", sizeof(OUR_CHAIN) + 1) == 0;
}

static bool read_save_line(struct in_use *in_use, const char *program, const char *line)
{
	char *copy = text_copy(line), *where = NULL;
	struct xtables_word *words;
	size_t count;
	bool well = xtables_split(copy, &words, &count);

	if (well)
		where = text_format("the rule '%s' (%s)", line, program);
	if (well && names_us(line, words, count))
		note_leftover(in_use, where);
	else
		for (size_t i = 0; well && i + 1 < count; i++) {
			uint32_t value, mask;

			if (!has_mark(&words[i]))
				continue;
			well = xtables_masked(words[i + 1].text, &value, &mask);
			if (well)
				add_mark(in_use, value, mask, where);
		}
	free(where);
	free(words);
	free(copy);
	return well;
}

bool in_use_add_iptables(struct in_use *in_use, const char *program, const char *save)
{
	bool well = true;

	for (char *line; well && (line = text_line(&save)) != NULL; free(line))
		well = *line == '#' || read_save_line(in_use, program, line);
	return well;
}

/* Every number in VALUE; of "mark | NUMBER" only those bits. False where a number is not a mark. */
static bool add_nft_marks(struct in_use *in_use, json_t *value, uint32_t mask, const char *where)
{
	json_int_t number = json_integer_value(value);
	bool well = true;
	json_t *part;
	void *at;
	size_t i;

	if (json_is_integer(value)) {
		if (number < 0 || number > UINT32_MAX)
			return false;
		add_mark(in_use, (uint32_t)number, mask != 0 ? mask : (uint32_t)number, where);
	}
	for (i = 0; (part = json_array_get(value, i)) != NULL; i++)
		well = well && add_nft_marks(in_use, part, mask, where);
	for (at = json_object_iter(value); at != NULL; at = json_object_iter_next(value, at))
		well = well &&
		       add_nft_marks(in_use, json_object_iter_value(at),
			       strcmp(json_object_iter_key(at), "|") == 0 ? 0 : mask, where);
	return well;
}

static bool is_mark(const json_t *expression)
{
	const char *key = word(json_object_get(expression, "meta"), "key");

	return key != NULL && strcmp(key, "mark") == 0;
}

static bool read_nft_expression(struct in_use *in_use, const json_t *expression, const char *where)
{
	const json_t *match = json_object_get(expression, "match");
	const json_t *mangle = json_object_get(expression, "mangle");
	const json_t *left = json_object_get(match, "left");
	const json_t *both = json_object_get(left, "&");
	json_int_t mask = UINT32_MAX;

	if (is_mark(json_object_get(mangle, "key")))
		return add_nft_marks(in_use, json_object_get(mangle, "value"), UINT32_MAX, where);
	if (is_mark(json_array_get(both, 0)))
		mask = json_integer_value(json_array_get(both, 1));
	else if (!is_mark(left))
		return true;
	return mask >= 0 && mask <= UINT32_MAX &&
	       add_nft_marks(in_use, json_object_get(match, "right"), (uint32_t)mask, where);
}

static bool read_nft_rule(struct in_use *in_use, const json_t *rule)
{
	const json_t *list = json_object_get(rule, "expr"), *each;
	const char *family = word(rule, "family"), *table = word(rule, "table"),
		   *chain = word(rule, "chain");
	bool well = true;
	char *where;
	size_t i;

	if (family == NULL || table == NULL || chain == NULL)
		return false;
	if (strcmp(table, OUR_NAME) == 0)
		return true;
	where = text_format("a rule of nft (table %s %s, chain %s, handle %lld)", family, table,
		chain, (long long)json_integer_value(json_object_get(rule, "handle")));
	for (i = 0; (each = json_array_get(list, i)) != NULL; i++)
		well = well && read_nft_expression(in_use, each, where);
	free(where);
	return well;
}

static bool read_nft_object(void *context, json_t *object)
{
	const char *table = word(json_object_get(object, "table"), "name");
	const json_t *rule = json_object_get(object, "rule");

	if (table != NULL && strcmp(table, OUR_NAME) == 0)
		note_leftover(context, "a table tproxyctl of nft");
	return rule == NULL || read_nft_rule(context, rule);
}

bool in_use_add_nft(struct in_use *in_use, const char *json)
{
	char *problem = NULL;
	bool well = json_list_read(json, "nftables", read_nft_object, in_use, &problem);

	free(problem);
	return well;
}

const char *in_use_mark_user(const struct in_use *in_use, uint32_t mark)
{
	for (size_t i = 0; i < in_use->mark_count; i++)
		if ((mark & in_use->marks[i].mask) == in_use->marks[i].value)
			return in_use->marks[i].where;
	return NULL;
}

const char *in_use_table_user(const struct in_use *in_use, unsigned table)
{
	for (size_t i = 0; i < in_use->table_count; i++)
		if (in_use->tables[i].table == table)
			return in_use->tables[i].where;
	return NULL;
}

/* --- what is free --- */

static int by_mark(const void *a, const void *b)
{
	const struct in_use_mark *one = a, *other = b;

	if (one->mask != other->mask)
		return one->mask < other->mask ? -1 : 1;
	return (one->value > other->value) - (one->value < other->value);
}

/* The marks in use, each once, to be freed; `where` belongs to IN_USE. */
static struct in_use_mark *distinct_marks(const struct in_use *in_use, size_t *count)
{
	struct in_use_mark *list = NULL;

	*count = 0;
	for (size_t i = 0; i < in_use->mark_count; i++) {
		list = array_room(list, i, sizeof(*list));
		list[i] = in_use->marks[i];
	}
	if (in_use->mark_count > 1)
		qsort(list, in_use->mark_count, sizeof(*list), by_mark);
	for (size_t i = 0; i < in_use->mark_count; i++)
		if (*count == 0 || by_mark(&list[i], &list[*count - 1]) != 0)
			list[(*count)++] = list[i];
	return list;
}

/*
 * The least mark that none of LIST is, among those whose bits above BIT are those of MARK; 0: there is
 * none. LIST has the marks that agree with these bits. Each bit halves what is left to be looked at, and a
 * mark all of whose bits are decided takes the whole half.
 */
static uint32_t search_mark(
	const struct in_use_mark *list, size_t count, int bit, uint32_t mark, size_t *steps)
{
	uint32_t open = bit == 31 ? UINT32_MAX : ((uint32_t)1 << (bit + 1)) - 1, found = 0;
	struct in_use_mark *half;

	for (size_t i = 0; i < count; i++)
		if ((list[i].mask & open) == 0)
			return 0;
	if (count == 0 && (mark != 0 || bit >= 0))
		return mark != 0 ? mark : 1;
	if (bit == -1 || *steps < count)
		return 0;
	half = calloc(count, sizeof(*half));
	if (half == NULL)
		abort(); /* out of memory */
	for (uint32_t side = 0; side < 2 && found == 0; side++) {
		uint32_t tried = (uint32_t)1 << bit;
		size_t kept = 0;

		for (size_t i = 0; i < count; i++)
			if ((list[i].mask & tried) == 0 ||
				(list[i].value & tried) == (side == 0 ? 0 : tried))
				half[kept++] = list[i];
		*steps -= *steps < count ? *steps : count;
		found = search_mark(half, kept, bit - 1, side == 0 ? mark : mark | tried, steps);
	}
	free(half);
	return found;
}

uint32_t in_use_free_mark(const struct in_use *in_use)
{
	size_t count, steps = SEARCH_STEPS_MAX;
	struct in_use_mark *list = distinct_marks(in_use, &count);
	uint32_t mark = search_mark(list, count, 31, 0, &steps);

	free(list);
	return mark;
}

static int by_table(const void *a, const void *b)
{
	const unsigned *one = a, *other = b;

	return (*one > *other) - (*one < *other);
}

unsigned in_use_free_table(const struct in_use *in_use)
{
	unsigned *used = NULL, table = FIRST_TABLE;

	for (size_t i = 0; i < in_use->table_count; i++) {
		used = array_room(used, i, sizeof(*used));
		used[i] = in_use->tables[i].table;
	}
	if (in_use->table_count > 1)
		qsort(used, in_use->table_count, sizeof(*used), by_table);
	for (size_t i = 0; i < in_use->table_count; i++) {
		if (used[i] == table)
			table++;
		if (table == TABLE_DEFAULT)
			table = TABLE_LOCAL + 1;
	}
	free(used);
	return table;
}

void in_use_free(struct in_use *in_use)
{
	for (size_t i = 0; i < in_use->mark_count; i++)
		free(in_use->marks[i].where);
	for (size_t i = 0; i < in_use->table_count; i++)
		free(in_use->tables[i].where);
	for (size_t i = 0; i < in_use->link_count; i++)
		free(in_use->links[i].name);
	for (size_t i = 0; i < in_use->local_count; i++)
		free(in_use->local_addresses[i]);
	free(in_use->marks);
	free(in_use->tables);
	free(in_use->links);
	free(in_use->local_addresses);
	free(in_use->leftover);
	*in_use = (struct in_use){0};
}
