/*
 * The model as JSON: plain values by the table of keywords, and the others one by one.
 *
 * A new keyword with a plain value is here by its row alone. One with a parser of its own has to be added, or a
 * change of its value goes unnoticed; its words cannot change by accident all the same, since a change touches
 * no words but those that it means.
 */
#include "model.h"

#include "messages.h"

#include "config/keyword.h"
#include "tproxy/text.h"

#include <stdlib.h>
#include <string.h>

static void put(json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new(object, key, value) != 0)
		abort(); /* out of memory */
}

static json_t *text_or_null(const char *text)
{
	return text == NULL ? json_null() : json_plain_text(text);
}

/* The bytes as numbers: they need be no text. */
static json_t *bytes_json(const char *bytes, size_t length)
{
	json_t *list = json_array();

	for (size_t i = 0; i < length; i++)
		json_array_append_new(list, json_integer((unsigned char)bytes[i]));
	return list;
}

static void put_plain_value(json_t *object, const struct keyword *keyword, const void *owner)
{
	const void *member = (const char *)owner + keyword->value.offset;

	switch (keyword->value.type) {
	case VALUE_OWN:
		break;
	case VALUE_FLAG:
		put(object, keyword->name, json_boolean(*(const bool *)member));
		break;
	case VALUE_OPTIONS:
	case VALUE_NUMBER:
	case VALUE_TIME:
		put(object, keyword->value.type == VALUE_OPTIONS ? "options" : keyword->name,
			json_integer(*(const unsigned *)member));
		break;
	case VALUE_TEXT:
		put(object, keyword->name, text_or_null(*(const char *const *)member));
		break;
	}
}

static json_t *plain_values(unsigned where, const void *owner)
{
	const struct keyword *keyword;
	json_t *object = json_object();

	for (size_t i = 0; (keyword = keyword_at(i)) != NULL; i++)
		if (keyword->where & where)
			put_plain_value(object, keyword, owner);
	return object;
}

json_t *model_address(const struct addr *address)
{
	char text[ADDR_TEXT_MAX];

	return addr_family(address) == AF_UNSPEC ? json_null()
						 : json_string(addr_format(address, text));
}

json_t *model_source(const struct source *source)
{
	bool has_address = source->mode == SOURCE_ADDRESS || source->mode == SOURCE_FOREIGN;

	return json_pack("{s:i, s:o}", "mode", (int)source->mode, "address",
		has_address ? model_address(&source->address) : json_null());
}

/* --- listeners --- */

void model_add_address(json_t *addresses, const struct addr *address, unsigned last_port)
{
	json_t *last = json_array_get(addresses, json_array_size(addresses) - 1);
	char text[ADDR_TEXT_MAX], *made;
	const char *before = json_string_value(last), *space;
	unsigned first = addr_port(address), low, high;

	addr_format_ip(address, text);
	space = before == NULL ? NULL : strchr(before, ' ');
	if (space != NULL && sscanf(space, " %u-%u", &low, &high) == 2 && high + 1 == first &&
		strlen(text) == (size_t)(space - before) &&
		strncmp(before, text, strlen(text)) == 0) {
		first = low;
		json_array_remove(addresses, json_array_size(addresses) - 1);
	}
	made = text_format("%s %u-%u", text, first, last_port);
	json_array_append_new(addresses, json_string(made));
	free(made);
}

static json_t *bind_line(const struct bind *bind)
{
	json_t *object = plain_values(ON_BIND, bind);

	put(object, "line", json_integer(bind->line));
	put(object, "v6_mode", json_integer(bind->v6_mode));
	put(object, "addresses", json_array());
	return object;
}

json_t *model_plain_bind(void)
{
	return bind_line(&(struct bind){0});
}

static json_t *binds_json(const struct proxy *proxy)
{
	json_t *list = json_array(), *line = NULL;

	for (size_t i = 0; i < proxy->bind_count; i++) {
		const struct bind *bind = &proxy->binds[i];

		if (i == 0 || proxy->binds[i - 1].line != bind->line) {
			line = bind_line(bind);
			json_array_append_new(list, line);
		}
		model_add_address(json_object_get(line, "addresses"), &bind->address,
			addr_port(&bind->address));
	}
	return list;
}

/* --- servers --- */

/* "BACKEND/SERVER", which is what `track` may name. */
static json_t *tracked(const struct config *config, const struct server *server)
{
	for (size_t i = 0; server != NULL && i < config->proxy_count; i++) {
		const struct proxy *proxy = &config->proxies[i];

		if (server >= proxy->servers && server < proxy->servers + proxy->server_count)
			return json_pack("[s, s]", proxy->name, server->name);
	}
	return json_null();
}

static json_t *header_fields(const struct header_fields *fields)
{
	json_t *types = json_array();

	for (size_t i = 0; i < fields->count; i++)
		json_array_append_new(types, json_pack("[i, i]", (int)fields->list[i].type,
						     (int)fields->list[i].value.count));
	return json_pack("{s:b, s:b, s:b, s:o}", "checksum", fields->checksum, "authority",
		fields->authority, "unique_id", fields->unique_id, "types", types);
}

static json_t *check_json(const struct server_check *check)
{
	return json_pack("{s:o, s:b, s:i, s:o, s:i}", "addr", model_address(&check->addr),
		"observes", check->observes, "on_error", (int)check->on_error, "usesrc",
		model_address(&check->usesrc), "usesrc_bits", (int)check->usesrc_bits);
}

static json_t *server_json(const struct config *config, const struct server *server)
{
	json_t *object = plain_values(ON_SERVER, server);

	put(object, "line", json_integer(server->line));
	put(object, "name", json_string(server->name));
	put(object, "host", text_or_null(server->host));
	put(object, "address", model_address(&server->address));
	put(object, "unresolved", json_boolean(server->unresolved));
	put(object, "source", model_source(&server->source));
	put(object, "send_proxy", json_integer(server->send_proxy));
	put(object, "send_proxy_fields", header_fields(&server->send_proxy_fields));
	put(object, "weight", json_integer(server->weight));
	put(object, "track", tracked(config, server->track));
	put(object, "ends_sessions_down", json_boolean(server->ends_sessions_down));
	put(object, "ends_backups_up", json_boolean(server->ends_backups_up));
	put(object, "checks", check_json(&server->check));
	put(object, "resolvers",
		text_or_null(server->resolvers == NULL ? NULL : server->resolvers->name));
	put(object, "prefers_ipv4", json_boolean(server->prefers_ipv4));
	put(object, "shares_address", json_boolean(server->shares_address));
	return object;
}

static json_t *step_json(const struct health_step *step)
{
	return json_pack("{s:i, s:i, s:o, s:i, s:b, s:b, s:b, s:o, s:i, s:o, s:i, s:b, s:i}",
		"action", (int)step->action, "number", (int)step->number, "address",
		model_address(&step->address), "port", (int)step->port, "send_proxy",
		step->send_proxy, "as_server", step->as_server, "linger", step->linger, "data",
		bytes_json(step->data.bytes, step->data.length), "match", (int)step->match,
		"wanted", bytes_json(step->wanted.bytes, step->wanted.length), "codes",
		(int)step->code_count, "negated", step->negated, "least", step->least);
}

static json_t *script_json(const struct health_script *script)
{
	json_t *steps;

	if (script == NULL)
		return json_null();
	steps = json_array();
	for (size_t i = 0; i < script->count; i++)
		json_array_append_new(steps, step_json(&script->steps[i]));
	return json_pack("{s:i, s:o}", "kind", (int)script->kind, "steps", steps);
}

json_t *model_balance(enum balance balance, bool static_weights, unsigned draws)
{
	static const char *const names[] = {[BALANCE_ROUNDROBIN] = "roundrobin",
		[BALANCE_LEASTCONN] = "leastconn",
		[BALANCE_FIRST] = "first",
		[BALANCE_SOURCE] = "source",
		[BALANCE_RANDOM] = "random"};

	if (balance == BALANCE_RANDOM)
		return json_sprintf("random(%u)", draws);
	return json_string(
		static_weights && balance == BALANCE_ROUNDROBIN ? "static-rr" : names[balance]);
}

/* --- sections --- */

static json_t *logs_json(const struct log_targets *logs)
{
	json_t *list = json_array();

	for (size_t i = 0; i < logs->count; i++) {
		const struct log_target *target = &logs->list[i];

		json_array_append_new(list,
			json_pack("{s:i, s:o, s:o, s:i, s:i, s:i}", "kind", (int)target->kind,
				"path", text_or_null(target->path), "address",
				model_address(&target->address), "format", (int)target->format,
				"facility", target->facility, "level", target->max_level));
	}
	return list;
}

static json_t *rules_json(const struct proxy *proxy)
{
	json_t *list = json_array();

	for (int stage = 0; stage < STAGE_COUNT; stage++)
		for (size_t i = 0; i < proxy->rules[stage].count; i++) {
			const struct client_rule *rule = &proxy->rules[stage].list[i];

			json_array_append_new(list,
				json_pack("{s:i, s:i, s:i, s:o, s:o, s:o}", "line", (int)rule->line,
					"stage", stage, "action", (int)rule->action, "backend",
					text_or_null(
						rule->backend == NULL ? NULL : rule->backend->name),
					"server",
					text_or_null(
						rule->server == NULL ? NULL : rule->server->name),
					"terms",
					json_integer((json_int_t)rule->condition.term_count)));
		}
	return list;
}

static json_t *section_json(const struct config *config, const struct proxy *proxy)
{
	json_t *object = plain_values(role_places(proxy->role), proxy), *servers = json_array();

	put(object, "line", json_integer(proxy->line));
	put(object, "name", json_string(proxy->name));
	put(object, "role", json_integer(proxy->role));
	put(object, "mode", json_integer(proxy->mode));
	put(object, "logs", logs_json(&proxy->logs));
	put(object, "rules", rules_json(proxy));
	put(object, "binds", binds_json(proxy));
	put(object, "default_backend",
		text_or_null(proxy->default_backend == NULL ? NULL : proxy->default_backend->name));
	put(object, "unique_id", json_integer((json_int_t)proxy->unique_id.count));
	for (size_t i = 0; i < proxy->server_count; i++)
		json_array_append_new(servers, server_json(config, &proxy->servers[i]));
	put(object, "servers", servers);
	put(object, "check_script", script_json(proxy->check_script));
	put(object, "balance", model_balance(proxy->balance, proxy->static_weights, proxy->draws));
	put(object, "consistent", json_boolean(proxy->consistent));
	put(object, "redispatch", json_integer(proxy->redispatch));
	return object;
}

static json_t *resolvers_json(const struct resolvers *resolvers)
{
	json_t *object = plain_values(IN_RESOLVERS, resolvers), *nameservers = json_array();

	put(object, "name", json_string(resolvers->name));
	for (size_t i = 0; i < resolvers->nameserver_count; i++)
		json_array_append_new(nameservers,
			json_pack("[o, o]", json_plain_text(resolvers->nameservers[i].name),
				model_address(&resolvers->nameservers[i].address)));
	put(object, "nameservers", nameservers);
	for (int i = 0; i < HOLD_COUNT; i++) {
		char key[16];

		snprintf(key, sizeof(key), "hold %d", i);
		put(object, key, json_integer(resolvers->hold[i]));
	}
	return object;
}

json_t *model_json(const struct config *config)
{
	json_t *sections = json_array(), *resolvers = json_array();
	json_t *global = plain_values(IN_GLOBAL, &config->global);

	put(global, "logs", logs_json(&config->global.logs));
	for (size_t i = 0; i < config->proxy_count; i++)
		json_array_append_new(sections, section_json(config, &config->proxies[i]));
	for (const struct resolvers *each = config->resolvers; each != NULL; each = each->next)
		json_array_append_new(resolvers, resolvers_json(each));
	return json_pack(
		"{s:o, s:o, s:o}", "global", global, "sections", sections, "resolvers", resolvers);
}

/* --- comparison --- */

/* Puts what leads to the difference in front of *WHERE. */
static bool differ_at(char **where, char *step)
{
	char *path = text_format(
		"%s%s%s", step, *where == NULL ? "" : ", ", *where == NULL ? "" : *where);

	free(*where);
	free(step);
	*where = path;
	return false;
}

static bool equal_lists(const json_t *expected, const json_t *actual, char **where)
{
	size_t count = json_array_size(expected);

	if (count != json_array_size(actual))
		return differ_at(
			where, text_format("%zu in place of %zu", json_array_size(actual), count));
	for (size_t i = 0; i < count; i++)
		if (!model_equal(json_array_get(expected, i), json_array_get(actual, i), where))
			return differ_at(where, text_format("number %zu", i + 1));
	return true;
}

static size_t compared_members(const json_t *object)
{
	return json_object_size(object) - (json_object_get(object, "line") != NULL);
}

static bool equal_objects(const json_t *expected, const json_t *actual, char **where)
{
	bool is_open = json_object_get(expected, "*") != NULL;
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)expected, key, value)
	{
		if (strcmp(key, "line") == 0 || strcmp(key, "*") == 0)
			continue;
		if (!model_equal(value, json_object_get(actual, key), where))
			return differ_at(where, text_copy(key));
	}
	if (!is_open && compared_members(expected) != compared_members(actual))
		return differ_at(where, text_copy("more values"));
	return true;
}

bool model_equal(const json_t *expected, const json_t *actual, char **where)
{
	const char *any = json_string_value(json_object_get(expected, "*"));
	char *values[2];

	if (any != NULL && strcmp(any, "any") == 0)
		return true;
	if (json_is_object(expected) && json_is_object(actual))
		return equal_objects(expected, actual, where);
	if (json_is_array(expected) && json_is_array(actual))
		return equal_lists(expected, actual, where);
	if (json_equal(expected, actual))
		return true;
	values[0] = json_dumps(expected, JSON_ENCODE_ANY | JSON_COMPACT);
	values[1] = json_dumps(actual, JSON_ENCODE_ANY | JSON_COMPACT);
	differ_at(where, text_format("%s in place of %s", values[1] == NULL ? "nothing" : values[1],
				 values[0] == NULL ? "nothing" : values[0]));
	free(values[0]);
	free(values[1]);
	return false;
}
