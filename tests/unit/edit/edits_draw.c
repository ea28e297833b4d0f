/*
 * Random edits: an operation, one of the things that it could be about, and a value.
 *
 * The seed is fixed. A few names and addresses are of those that are in use, or are no names, so that refusals come up, too.
 */
#include "unit.h"

#include "edits.h"

#include <stdio.h>
#include <stdlib.h>

static unsigned seed = 20;

static unsigned draw(size_t count)
{
	return (unsigned)rand_r(&seed) % (unsigned)count;
}

static bool coin(void)
{
	return draw(2) == 0;
}

static struct proxy *draw_proxy(const struct config *config, enum role role)
{
	for (size_t tries = 0; tries < 50 && config->proxy_count > 0; tries++) {
		struct proxy *proxy = &config->proxies[draw(config->proxy_count)];

		if (proxy->role & role)
			return proxy;
	}
	return NULL;
}

/* Draws one of the listener's addresses: its line, its place there, and its index over the section. */
static bool draw_bind(struct edit *edit, const struct lines *lines, size_t *index)
{
	const struct proxy *proxy = edit->proxy;
	size_t chosen;

	if (proxy == NULL || proxy->bind_count == 0)
		return false;
	chosen = draw(proxy->bind_count);
	edit->line = proxy->binds[chosen].line;
	*index = 0;
	for (unsigned line = proxy->line + 1; line <= edit->line; line++) {
		struct tokens tokens;
		size_t count;

		edits_split_tokens(lines->list[line - 1], &tokens);
		if (!edits_token_is(&tokens, 0, "bind"))
			continue;
		count = edits_count_char(edits_token_text(&tokens, 1), ',') + 1;
		edit->item = draw(count);
		*index += line == edit->line ? edit->item : count;
	}
	return true;
}

/* A new address, or sometimes one that is there already. */
static void draw_address(struct edit *edit, const struct config *config)
{
	const struct proxy *other = draw_proxy(config, ROLE_FRONTEND);
	char text[64];

	if (other != NULL && other->bind_count > 0 && draw(30) == 0)
		edit->address = other->binds[draw(other->bind_count)].address;
	else if (draw(3) == 0)
		snprintf(text, sizeof(text), "2001:db8::%x", draw(60000) + 1);
	else
		snprintf(text, sizeof(text), "203.0.113.%u", draw(250) + 1);
	if (addr_family(&edit->address) != AF_UNSPEC)
		return;
	assert_true(addr_parse(&edit->address, text));
	addr_set_port(&edit->address, (uint16_t)(draw(50000) + 1000));
}

static json_t *ip_json(const struct addr *address)
{
	char text[ADDR_TEXT_MAX];

	return json_string(addr_format_ip(address, text));
}

static json_t *port_json(const struct addr *address)
{
	return json_integer(addr_port(address));
}

/* A name that is new, but for a few that cannot be. */
static void draw_name(struct edit *edit, const struct config *config)
{
	snprintf(edit->name, sizeof(edit->name), "n%u.%u", draw(100000), draw(10));
	if (draw(40) == 0)
		snprintf(edit->name, sizeof(edit->name), "%s",
			config->proxies[draw(config->proxy_count)].name);
	if (draw(40) == 0)
		snprintf(edit->name, sizeof(edit->name), "two words");
}

static const char *draw_source(struct edit *edit)
{
	static char text[80];
	char address[16];

	snprintf(address, sizeof(address), "203.0.113.%u", draw(250) + 1);
	edit->source.mode = (enum source_mode)draw(5);
	switch (edit->source.mode) {
	case SOURCE_ROUTED:
		return "none";
	case SOURCE_CLIENTIP:
		return "clientip";
	case SOURCE_CLIENT:
		return "client";
	case SOURCE_ADDRESS:
	case SOURCE_FOREIGN:
		break;
	}
	assert_true(addr_parse(&edit->source.address, address));
	snprintf(text, sizeof(text), "%s%s", edit->source.mode == SOURCE_FOREIGN ? "usesrc " : "",
		address);
	return text;
}

/* A server of the farm that has a `server` line. */
static struct server *draw_server(const struct proxy *farm)
{
	if (farm == NULL || farm->server_count == 0 || (farm->options & OPTION_TRANSPARENT))
		return NULL;
	return &farm->servers[draw(farm->server_count)];
}

static bool draw_listener_edit(
	struct edit *edit, const struct config *config, const struct lines *lines)
{
	size_t index = 0;
	const char *name;

	edit->proxy = draw_proxy(config, ROLE_FRONTEND);
	if (edit->proxy == NULL)
		return false;
	name = edit->proxy->name;
	if (edit->operation != ADD_BIND && !draw_bind(edit, lines, &index))
		return false;
	edit->on = coin();
	if (edit->operation == SET_TRANSPARENT)
		edit->change = json_pack("{s:s, s:s, s:i, s:b}", "op", "set-transparent",
			"listener", name, "bind", (int)index, "transparent", edit->on);
	if (edit->operation == REMOVE_BIND)
		edit->change = json_pack("{s:s, s:s, s:i}", "op", "remove-bind", "listener", name,
			"bind", (int)index);
	draw_address(edit, config);
	if (edit->operation == SET_BIND) {
		edit->change = json_pack("{s:s, s:s, s:i, s:o, s:o}", "op", "set-bind", "listener",
			name, "bind", (int)index, "address", ip_json(&edit->address), "port",
			port_json(&edit->address));
		edit->keeps_address = draw(4) == 0;
		edit->keeps_port = !edit->keeps_address && draw(4) == 0;
		if (edit->keeps_address)
			json_object_del(edit->change, "address");
		if (edit->keeps_port)
			json_object_del(edit->change, "port");
	}
	if (edit->operation == ADD_BIND)
		edit->change = json_pack("{s:s, s:s, s:o, s:o, s:b}", "op", "add-bind", "listener",
			name, "address", ip_json(&edit->address), "port", port_json(&edit->address),
			"transparent", edit->on);
	return true;
}

static bool draw_line_edit(struct edit *edit, const struct config *config)
{
	static const char *const balances[] = {
		"roundrobin", "static-rr", "leastconn", "first", "source", "random(3)"};
	bool is_farm = edit->operation == SET_BALANCE ||
		       ((edit->operation == SET_TIMEOUT || edit->operation == SET_MODE) && coin());
	const struct proxy *farm = draw_proxy(config, ROLE_BACKEND);

	edit->proxy = draw_proxy(config, is_farm ? ROLE_BACKEND : ROLE_FRONTEND);
	if (edit->proxy == NULL)
		return false;
	edit->number = draw(5000);
	if (edit->operation == SET_MAXCONN) {
		edit->number = coin() ? 0 : edit->number;
		snprintf(edit->text, sizeof(edit->text), "%u", edit->number);
		edit->change = json_pack("{s:s, s:s, s:i}", "op", "set-maxconn", "listener",
			edit->proxy->name, "maxconn", (int)edit->number);
	} else if (edit->operation == SET_TIMEOUT) {
		edit->key = is_farm ? "connect" : "client";
		snprintf(edit->text, sizeof(edit->text), "%ums", edit->number + 1);
		edit->change = json_pack("{s:s, s:s, s:s, s:s}", "op", "set-timeout",
			is_farm ? "farm" : "listener", edit->proxy->name, "timeout", edit->key,
			"value", edit->text);
	} else if (edit->operation == SET_BALANCE) {
		edit->number = draw(6);
		snprintf(edit->text, sizeof(edit->text), "%s", balances[edit->number]);
		edit->change = json_pack("{s:s, s:s, s:s}", "op", "set-balance", "farm",
			edit->proxy->name, "balance", edit->text);
	} else if (edit->operation == SET_MODE) {
		snprintf(edit->text, sizeof(edit->text), "%s", draw(4) == 0 ? "udp" : "tcp");
		edit->change = json_pack("{s:s, s:s, s:s}", "op", "set-mode",
			is_farm ? "farm" : "listener", edit->proxy->name, "mode", edit->text);
	} else {
		if (farm != NULL && draw(6) != 0)
			snprintf(edit->text, sizeof(edit->text), "%s", farm->name);
		if (draw(30) == 0)
			snprintf(edit->text, sizeof(edit->text), "nowhere");
		edit->change = json_pack("{s:s, s:s, s:s}", "op", "set-default-backend", "listener",
			edit->proxy->name, "farm", edit->text);
	}
	return true;
}

/* The name of the servers of a line, as a change has it. */
static void server_name(const struct server *server, const struct lines *lines, char name[64])
{
	struct tokens tokens;
	const char *range;

	edits_split_tokens(lines->list[server->line - 1], &tokens);
	range = edits_token_text(&tokens, 2);
	if (edits_token_is(&tokens, 0, "server-template"))
		snprintf(name, 64, "%.20s{%s%.20s}", edits_token_text(&tokens, 1),
			strchr(range, '-') == NULL ? "1-" : "", range);
	else
		snprintf(name, 64, "%.60s", server->name);
}

static void draw_value(struct edit *edit)
{
	static const char *const numbers[] = {"weight", "maxconn", "rise", "fall", "check_port"};
	static const char *const times[] = {"inter", "fastinter", "slowstart"};
	static const char *const switches[] = {"check", "backup", "disabled"};

	edit->number = draw(200) + 1;
	edit->on = coin();
	switch (draw(3)) {
	case 0:
		edit->key = numbers[draw(5)];
		snprintf(edit->text, sizeof(edit->text), "%u", edit->number);
		json_object_set_new(edit->change, edit->key, json_integer(edit->number));
		break;
	case 1:
		edit->key = times[draw(3)];
		snprintf(edit->text, sizeof(edit->text), "%ums", edit->number);
		json_object_set_new(edit->change, edit->key, json_string(edit->text));
		break;
	default:
		edit->key = switches[draw(3)];
		json_object_set_new(edit->change, edit->key, json_boolean(edit->on));
	}
}

static bool draw_server_edit(
	struct edit *edit, const struct config *config, const struct lines *lines)
{
	const struct server *server;
	char name[64];

	edit->proxy = draw_proxy(config, ROLE_BACKEND);
	server = draw_server(edit->proxy);
	if (server == NULL)
		return false;
	edit->line = server->line;
	server_name(server, lines, name);
	edit->change = json_pack("{s:s, s:s, s:s}", "op",
		edit->operation == REMOVE_SERVER       ? "remove-server"
		: edit->operation == RENAME_SERVER     ? "rename-server"
		: edit->operation == SET_SERVER_SOURCE ? "set-source"
						       : "set-server",
		"farm", edit->proxy->name, "server", name);
	if (edit->operation == RENAME_SERVER) {
		draw_name(edit, config);
		json_object_set_new(edit->change, "to", json_string(edit->name));
	} else if (edit->operation == SET_SERVER_SOURCE) {
		json_object_set_new(edit->change, "source", json_string(draw_source(edit)));
	} else if (edit->operation == SET_SERVER_VALUE) {
		draw_value(edit);
	} else if (edit->operation == SET_SERVER_ADDRESS) {
		draw_address(edit, config);
		json_object_set_new(edit->change, "address", ip_json(&edit->address));
		json_object_set_new(edit->change, "port", port_json(&edit->address));
	}
	return true;
}

static bool draw_section_edit(struct edit *edit, const struct config *config)
{
	bool is_farm;

	draw_name(edit, config);
	draw_address(edit, config);
	if (edit->operation == ADD_LISTENER) {
		edit->change = json_pack("{s:s, s:s, s:s, s:[{s:o, s:o, s:b}], s:s}", "op",
			"add-listener", "name", edit->name, "section",
			coin() ? "frontend" : "listen", "binds", "address", ip_json(&edit->address),
			"port", port_json(&edit->address), "transparent", edit->on, "mode", "tcp");
		return true;
	}
	if (edit->operation == ADD_FARM) {
		edit->change = json_pack("{s:s, s:s, s:s, s:[{s:s, s:o, s:o}], s:s}", "op",
			"add-farm", "name", edit->name, "source", draw_source(edit), "servers",
			"name", "first", "address", ip_json(&edit->address), "port",
			port_json(&edit->address), "mode", "tcp");
		return true;
	}
	edit->proxy =
		draw_proxy(config, edit->operation == REMOVE_SECTION ? ROLE_LISTEN : ROLE_BACKEND);
	if (edit->operation == ADD_SERVER || edit->operation == SET_FARM_SOURCE)
		edit->proxy = draw_proxy(config, ROLE_BACKEND);
	if (edit->proxy == NULL)
		return false;
	is_farm = edit->proxy->role & ROLE_BACKEND;
	if (edit->operation == RENAME_SECTION)
		edit->change = json_pack("{s:s, s:s, s:s}", "op",
			is_farm ? "rename-farm" : "rename-listener", "name", edit->proxy->name,
			"to", edit->name);
	else if (edit->operation == REMOVE_SECTION)
		edit->change = json_pack("{s:s, s:s}", "op",
			is_farm ? "remove-farm" : "remove-listener", "name", edit->proxy->name);
	else if (edit->operation == SET_FARM_SOURCE)
		edit->change = json_pack("{s:s, s:s, s:s}", "op", "set-source", "farm",
			edit->proxy->name, "source", draw_source(edit));
	else
		edit->change = json_pack("{s:s, s:s, s:s, s:o, s:o}", "op", "add-server", "farm",
			edit->proxy->name, "name", edit->name, "address", ip_json(&edit->address),
			"port", port_json(&edit->address));
	return true;
}

bool edits_draw(struct edit *edit, const struct config *config, const struct lines *lines)
{
	*edit = (struct edit){.operation = (enum operation)draw(OPERATION_COUNT)};
	edit->on = coin();
	switch (edit->operation) {
	case SET_TRANSPARENT:
	case SET_BIND:
	case ADD_BIND:
	case REMOVE_BIND:
		return draw_listener_edit(edit, config, lines);
	case SET_DEFAULT_BACKEND:
	case SET_MAXCONN:
	case SET_TIMEOUT:
	case SET_BALANCE:
	case SET_MODE:
		return draw_line_edit(edit, config);
	case SET_SERVER_SOURCE:
	case SET_SERVER_VALUE:
	case SET_SERVER_ADDRESS:
	case REMOVE_SERVER:
	case RENAME_SERVER:
		return draw_server_edit(edit, config, lines);
	default:
		return draw_section_edit(edit, config);
	}
}
