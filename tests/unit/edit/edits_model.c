/*
 * The second oracle: what an edit means is done to the daemon's own model of the old text, member by member, which then prints as
 * the daemon's model of the new text does.
 */
#include "unit.h"

#include "edits.h"

#include <stdio.h>
#include <stdlib.h>

/* The model is changed in place here: what is added is on the heap, and given back at the end. */
static void *kept[64];
static size_t kept_count;

static void *keep(void *memory)
{
	assert_non_null(memory);
	assert_true(kept_count < sizeof(kept) / sizeof(kept[0]));
	return kept[kept_count++] = memory;
}

static void give_back(void)
{
	while (kept_count > 0)
		free(kept[--kept_count]);
}

static unsigned port_count(const char *item)
{
	const char *colon = strrchr(item, ':');
	unsigned low, high;

	assert_non_null(colon);
	return sscanf(colon, ":%u-%u", &low, &high) == 2 ? high - low + 1 : 1;
}

/* Adds the listeners of one `bind` line, of which the edit changes or removes one address. */
static void copy_line(
	struct proxy *proxy, const struct bind *from, const struct edit *edit, const char *list)
{
	size_t count = edits_count_char(list, ',') + 1;

	for (size_t i = 0; i < count; i++) {
		char *item = edits_item_of(list, i);
		unsigned ports = port_count(item);

		free(item);
		if (i != edit->item) {
			memcpy(proxy->binds + proxy->bind_count, from, ports * sizeof(*from));
			proxy->bind_count += ports;
		} else if (edit->operation == SET_BIND) {
			for (unsigned j = 0; j < (edit->keeps_port ? ports : 1); j++) {
				struct bind *bind = &proxy->binds[proxy->bind_count++];

				*bind = from[j];
				if (!edit->keeps_address)
					bind->address = edit->address;
				addr_set_port(&bind->address,
					addr_port(edit->keeps_port ? &from[j].address
								   : &edit->address));
			}
		}
		from += ports;
	}
}

static void mean_binds(struct proxy *proxy, const struct edit *edit, const struct lines *lines)
{
	const struct bind *old = proxy->binds;
	size_t count = proxy->bind_count;
	struct tokens tokens;

	proxy->binds = keep(calloc(count + 1, sizeof(*old)));
	proxy->bind_count = 0;
	for (size_t i = 0; i < count; i++) {
		if (edit->operation == ADD_BIND || old[i].line != edit->line) {
			proxy->binds[proxy->bind_count++] = old[i];
		} else if (i == 0 || old[i - 1].line != edit->line) {
			edits_split_tokens(lines->list[edit->line - 1], &tokens);
			copy_line(proxy, &old[i], edit, edits_token_text(&tokens, 1));
		}
	}
	if (edit->operation == ADD_BIND)
		proxy->binds[proxy->bind_count++] =
			(struct bind){.address = edit->address, .transparent = edit->on};
}

static void mean_default_backend(
	struct config *config, struct proxy *proxy, const struct edit *edit)
{
	proxy->default_backend = proxy->role == ROLE_LISTEN ? proxy : NULL;
	for (size_t i = 0; i < config->proxy_count; i++)
		if ((config->proxies[i].role & ROLE_BACKEND) &&
			strcmp(config->proxies[i].name, edit->text) == 0)
			proxy->default_backend = &config->proxies[i];
	proxy->target_count =
		proxy->default_backend != NULL || proxy->rules[STAGE_BACKEND].count > 0;
}

static void mean_balance(struct proxy *proxy, const struct edit *edit)
{
	static const enum balance balances[] = {BALANCE_ROUNDROBIN, BALANCE_ROUNDROBIN,
		BALANCE_LEASTCONN, BALANCE_FIRST, BALANCE_SOURCE, BALANCE_RANDOM};

	proxy->balance = balances[edit->number];
}

static bool has_own_source(const struct lines *lines, unsigned line)
{
	struct tokens tokens;

	edits_split_tokens(lines->list[line - 1], &tokens);
	for (size_t i = 3;
		i < tokens.count && strncmp(edits_token_text(&tokens, 0), "server", 6) == 0; i++)
		if (edits_token_is(&tokens, i, "source"))
			return true;
	return false;
}

static void mean_value(struct server *server, const struct edit *edit)
{
	struct {
		const char *key;
		unsigned *number;
	} numbers[] = {{"weight", &server->weight}, {"maxconn", &server->maxconn},
		{"rise", &server->check.rise}, {"fall", &server->check.fall},
		{"check_port", &server->check.port}, {"inter", &server->check.inter},
		{"fastinter", &server->check.fastinter}, {"slowstart", &server->slowstart}};
	struct {
		const char *key;
		bool *flag;
	} flags[] = {{"check", &server->check.on}, {"backup", &server->backup},
		{"disabled", &server->disabled}};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (strcmp(numbers[i].key, edit->key) == 0)
			*numbers[i].number = edit->number;
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (strcmp(flags[i].key, edit->key) == 0)
			*flags[i].flag = edit->on;
}

static void mean_server(struct server *server, const struct edit *edit, const struct lines *lines)
{
	if (edit->operation == SET_FARM_SOURCE) {
		if (!has_own_source(lines, server->line))
			server->source = edit->source;
		return;
	}
	if (server->line != edit->line)
		return;
	switch (edit->operation) {
	case SET_SERVER_SOURCE:
		server->source = edit->source;
		break;
	case SET_SERVER_VALUE:
		mean_value(server, edit);
		break;
	case SET_SERVER_ADDRESS:
		server->address = edit->address;
		server->host = NULL;
		server->unresolved = false;
		server->resolvers = NULL;
		break;
	case RENAME_SERVER:
		server->name = edit->name;
		break;
	default:
		break;
	}
}

/* WORD becomes the new name where a rule names what it chooses, or, as a test (HAS_PLACE false), anywhere. An ACL may have that name, too. */
static void mean_rules(struct proxy *proxy, const char *word, const char *new, bool has_place)
{
	for (int stage = 0; stage < STAGE_COUNT; stage++)
		for (size_t i = 0; i < proxy->rules[stage].count; i++) {
			struct client_rule *rule = &proxy->rules[stage].list[i];
			char *copy = strdup(rule->text), *next = copy, *each;
			char *text = keep(calloc(1, 4 * strlen(rule->text) + 256));

			for (size_t at = 0; (each = strsep(&next, " ")) != NULL; at++)
				sprintf(text + strlen(text), "%s%s", at == 0 ? "" : " ",
					(at == 1 || !has_place) && strcmp(each, word) == 0 ? new
											   : each);
			free(copy);
			rule->text = text;
		}
}

static void mean_names(struct config *config, struct proxy *proxy, const struct edit *edit)
{
	char old[80], new[80];

	if (edit->operation == RENAME_SERVER) {
		mean_rules(proxy, json_string_value(json_object_get(edit->change, "server")),
			edit->name, true);
		return;
	}
	snprintf(old, sizeof(old), "nbsrv(%s)", proxy->name);
	snprintf(new, sizeof(new), "nbsrv(%s)", edit->name);
	for (size_t i = 0; i < config->proxy_count && (proxy->role & ROLE_BACKEND); i++) {
		mean_rules(&config->proxies[i], proxy->name, edit->name, true);
		mean_rules(&config->proxies[i], old, new, false);
	}
	proxy->name = edit->name;
}

/* A server that is new, or those of a line that are gone. */
static void mean_servers(struct proxy *proxy, const struct edit *edit, const struct proxy *after)
{
	const struct server *old = proxy->servers, *last = after->servers + after->server_count - 1;
	size_t count = proxy->server_count;

	if (proxy->options & OPTION_TRANSPARENT)
		return;
	proxy->servers = keep(calloc(count + 1, sizeof(*old)));
	proxy->server_count = 0;
	for (size_t i = 0; i < count; i++)
		if (edit->operation != REMOVE_SERVER || old[i].line != edit->line)
			proxy->servers[proxy->server_count++] = old[i];
	if (edit->operation != ADD_SERVER)
		return;
	assert_true(after->server_count > 0 && strcmp(last->name, edit->name) == 0);
	assert_true(addr_equal(&last->address, &edit->address));
	proxy->servers[proxy->server_count++] = *last;
}

static void mean_sections(
	struct config *config, const struct edit *edit, const struct config *after)
{
	struct proxy *old = config->proxies, *last = after->proxies + after->proxy_count - 1;
	size_t count = config->proxy_count;

	config->proxies = keep(calloc(count + 1, sizeof(*old)));
	config->proxy_count = 0;
	for (size_t i = 0; i < count; i++)
		if (edit->operation != REMOVE_SECTION || &old[i] != edit->proxy) {
			config->proxies[config->proxy_count] = old[i];
			if (old[i].default_backend == &old[i])
				config->proxies[config->proxy_count].default_backend =
					&config->proxies[config->proxy_count];
			config->proxy_count++;
		}
	if (edit->operation == REMOVE_SECTION)
		return;
	assert_true(after->proxy_count == count + 1 && strcmp(last->name, edit->name) == 0);
	if (edit->operation == ADD_LISTENER) {
		assert_int_equal(last->bind_count, 1);
		assert_true(addr_equal(&last->binds[0].address, &edit->address));
		assert_int_equal(last->binds[0].transparent, edit->on);
	} else if (!(last->options & OPTION_TRANSPARENT)) {
		assert_int_equal(last->server_count, 1);
		assert_true(addr_equal(&last->servers[0].address, &edit->address));
		assert_int_equal(last->servers[0].source.mode, edit->source.mode);
	}
	config->proxies[config->proxy_count] = *last;
	if (last->default_backend == last)
		config->proxies[config->proxy_count].default_backend =
			&config->proxies[config->proxy_count];
	config->proxy_count++;
}

/* Changes the old model to what the edit means. */
static void mean(struct config *config, const struct edit *edit, const struct lines *lines,
	const struct config *after)
{
	struct proxy *proxy = edit->proxy;

	switch (edit->operation) {
	case SET_TRANSPARENT:
		for (size_t i = 0; i < proxy->bind_count; i++)
			if (proxy->binds[i].line == edit->line)
				proxy->binds[i].transparent = edit->on;
		return;
	case SET_BIND:
	case ADD_BIND:
	case REMOVE_BIND:
		mean_binds(proxy, edit, lines);
		return;
	case SET_DEFAULT_BACKEND:
		mean_default_backend(config, proxy, edit);
		return;
	case SET_MAXCONN:
		proxy->maxconn = edit->number;
		return;
	case SET_TIMEOUT:
		proxy->timeouts[strcmp(edit->key, "client") == 0 ? TIMEOUT_CLIENT
								 : TIMEOUT_CONNECT] =
			edit->number + 1;
		return;
	case SET_MODE:
		proxy->mode = strcmp(edit->text, "udp") == 0 ? MODE_UDP : MODE_TCP;
		return;
	case SET_BALANCE:
		mean_balance(proxy, edit);
		return;
	case ADD_SERVER:
	case REMOVE_SERVER:
		mean_servers(proxy, edit, &after->proxies[proxy->index]);
		return;
	case ADD_LISTENER:
	case ADD_FARM:
	case REMOVE_SECTION:
		mean_sections(config, edit, after);
		return;
	case RENAME_SECTION:
	case RENAME_SERVER:
		mean_names(config, proxy, edit);
		break;
	default:
		break;
	}
	for (size_t i = 0; i < proxy->server_count; i++)
		mean_server(&proxy->servers[i], edit, lines);
}

static char *print(const struct config *config)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	assert_non_null(out);
	config_print(config, out);
	fclose(out);
	return text;
}

struct config *edits_parse(const char *text)
{
	struct diag *diag = diag_new();
	char *copy = malloc(strlen(text) + 2);
	struct config *config;

	assert_non_null(diag);
	assert_non_null(copy);
	stpcpy(stpcpy(copy, text), *text != '\0' && text[strlen(text) - 1] != '\n' ? "\n" : "");
	config = config_parse_text("test", copy, strlen(copy), diag);
	free(copy);
	diag_free(diag);
	return config;
}

void edits_judge_meaning(
	const char *old, const char *new, const struct edit *edit, struct config *config)
{
	struct config *after = edits_parse(new);
	struct lines lines = edits_split_lines(old);
	char *expected, *actual;

	assert_non_null(after);
	mean(config, edit, &lines, after);
	expected = print(config);
	actual = print(after);
	assert_string_equal(actual, expected);
	free(expected);
	free(actual);
	give_back();
	edits_free_lines(&lines);
	config_free(after);
}
