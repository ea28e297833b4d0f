/*
 * The service that a proxy offers, from a configuration and from text.
 */
#include "hoststate/service.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct service service;

static void the_example_is_transparent_on_both_sides(void **state)
{
	(void)state;
	service_free(&service);
	service_add_example(&service);
	assert_true(service.spoofs);
	assert_true(service.listeners[0].transparent);
	assert_true(service_has_family(&service, AF_INET));
	assert_false(service_has_family(&service, AF_INET6));
}

static void addresses_with_ports_are_read(void **state)
{
	(void)state;
	service_free(&service);
	assert_int_equal(service_add_listener(&service, "[2001:db8::80]:53/udp"), 0);
	assert_int_equal(service_add_server(&service, "203.0.113.20:8080"), 0);
	assert_int_equal(service_add_server(&service, "2001:db8:5::20"), 0);
	assert_int_equal(service_add_client(&service, "198.51.100.10"), 0);
	assert_true(service_has_protocol(&service, AF_INET6, IPPROTO_UDP));
	assert_false(service_has_protocol(&service, AF_INET6, IPPROTO_TCP));
	assert_int_equal(addr_port(&service.listeners[0].address), 53);
	assert_int_equal(addr_port(&service.servers[1]), 0);
}

static void other_text_is_refused(void **state)
{
	static const char *const wrong[] = {"", ":", ":80", "192.0.2.80",
		"192.0.2.80:", "192.0.2.80:0", "192.0.2.80:+80", "192.0.2.80: 80",
		"192.0.2.80:0x50", "192.0.2.80:65536", "192.0.2.80:80x", "2001:db8::80:80",
		"[2001:db8::80]", "name:80", "192.0.2.80:80/sctp"};

	(void)state;
	service_free(&service);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(service_add_listener(&service, wrong[i]), -1);
	assert_int_equal(service.listener_count, 0);
}

static void a_configuration_has_listeners_and_servers(void **state)
{
	static const char text[] = "defaults\n timeout connect 1s\n timeout client 1s\n"
				   " timeout server 1s\n"
				   "listen l\n bind 192.0.2.80:80 transparent\n"
				   " bind [2001:db8::80]:80\n source 0.0.0.0 usesrc clientip\n"
				   " server s 203.0.113.20:8080\n";
	struct diag *diag = diag_new();
	struct config *config;

	(void)state;
	assert_non_null(diag);
	config = config_parse("test", text, sizeof(text) - 1, diag);
	assert_non_null(config);
	service_free(&service);
	service_add_config(&service, config, "test");
	assert_true(service.spoofs);
	assert_int_equal(service.listener_count, 2);
	assert_true(service.listeners[0].transparent);
	assert_false(service.listeners[1].transparent);
	assert_int_equal(service.server_count, 1);
	config_free(config);
	diag_free(diag);
}

/* Where clients connect to is any host, so there is no server but those that were named as examples. */
static void servers_at_the_wildcard_are_examples_alone(void **state)
{
	static const char text[] = "defaults\n timeout connect 1s\n timeout client 1s\n"
				   " timeout server 1s\n"
				   "listen a\n bind :80 transparent\n server s 0.0.0.0%s\n";
	static const char *const sources[] = {"", " source 0.0.0.0 usesrc clientip"};
	struct addr client;
	char filled[256];

	(void)state;
	assert_true(addr_parse(&client, "198.51.100.10"));
	for (int i = 0; i < 4; i++) {
		struct diag *diag = diag_new();
		struct config *config;
		struct addr source;

		snprintf(filled, sizeof(filled), text, sources[i % 2]);
		config = config_parse("test", filled, strlen(filled), diag);
		assert_non_null(config);
		service_free(&service);
		if (i >= 2)
			assert_int_equal(service_add_server(&service, "203.0.113.20"), 0);
		service_add_config(&service, config, "test");
		assert_true(service.intercepts);
		assert_int_equal(service.spoofs, i % 2);
		assert_int_equal(service.server_count, i >= 2);
		if (i >= 2) {
			source = service_source(&service, 0, &client);
			assert_int_equal(addr_is_any(&source), i % 2 == 0);
			assert_int_equal(addr_equal(&source, &client), i % 2);
		}
		config_free(config);
		diag_free(diag);
	}
}

static void assert_hears_ipv4(const char *bind, bool system, bool expected)
{
	char text[256];
	struct diag *diag = diag_new();
	struct config *config;

	snprintf(text, sizeof(text),
		"defaults\n timeout connect 1s\n timeout client 1s\n timeout server 1s\n"
		"listen l\n bind %s\n server s 203.0.113.20:8080\n",
		bind);
	config = config_parse("test", text, strlen(text), diag);
	assert_non_null(config);
	service_free(&service);
	service_add_config(&service, config, "test");
	service_set_bindv6only(&service, system);
	assert_int_equal(service_listener_accepts(&service.listeners[0], AF_INET), expected);
	assert_true(service_listener_accepts(&service.listeners[0], AF_INET6));
	config_free(config);
	diag_free(diag);
}

static void a_listener_on_the_ipv6_wildcard_accepts_ipv4_by_default(void **state)
{
	(void)state;
	assert_hears_ipv4("[::]:80 transparent", false, true);
	assert_hears_ipv4("[::]:80 transparent", true, false);
	assert_hears_ipv4("[::]:80 transparent v4v6", true, true);
	assert_hears_ipv4("[::]:80 transparent v6only", false, false);
	assert_hears_ipv4("[2001:db8::80]:80 transparent", false, false);
}

/* Parses a configuration with this bind line and source line, and takes what it needs. */
static struct config *needed(const char *bind, const char *source)
{
	struct diag *diag = diag_new();
	struct config *config;
	char text[512];

	snprintf(text, sizeof(text),
		"defaults\n timeout connect 1s\n timeout client 1s\n timeout server 1s\n"
		"listen l\n bind %s\n %s\n server s 203.0.113.20:8080\n",
		bind, source);
	config = config_parse("test", text, strlen(text), diag);
	assert_non_null(config);
	diag_free(diag);
	service_free(&service);
	service_add_config(&service, config, "test");
	return config;
}

static void a_range_of_all_ports_is_taken(void **state)
{
	struct config *config = needed("192.0.2.80:1-65535 transparent", "");

	(void)state;
	assert_int_equal(service.listener_count, 65535);
	assert_int_equal(addr_port(&service.listeners[65534].address), 65535);
	config_free(config);
}

static void assert_source(const char *source, bool spoofed, const char *expected)
{
	struct config *config = needed("192.0.2.80:80", source);
	char text[ADDR_TEXT_MAX];
	struct addr client, found;

	assert_true(addr_parse(&client, "198.51.100.10"));
	assert_int_equal(service.spoofs, spoofed);
	found = service_source(&service, 0, &client);
	assert_string_equal(addr_format_ip(&found, text), expected);
	config_free(config);
}

static void a_source_that_is_not_this_hosts_is_spoofed(void **state)
{
	(void)state;
	assert_source("source 0.0.0.0 usesrc clientip", true, "198.51.100.10");
	assert_source("source 0.0.0.0 usesrc client", true, "198.51.100.10");
	assert_source("source 0.0.0.0 usesrc 198.51.100.77", true, "198.51.100.77");
	assert_source("source 203.0.113.1", false, "0.0.0.0");
	assert_source("", false, "0.0.0.0");
}

static bool every(const struct service_listener *listener, int family)
{
	(void)listener;
	(void)family;
	return true;
}

static void assert_runs(int family, const char *expected)
{
	size_t count;
	struct service_port_range *list = service_port_ranges(&service, family, every, &count);
	char text[512] = "";

	for (size_t i = 0; i < count; i++) {
		char *one = service_port_range_text(&list[i]);

		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s ", one,
			list[i].protocol == IPPROTO_UDP ? "/udp" : "");
		free(one);
	}
	assert_string_equal(text, expected);
	free(list);
}

static void consecutive_ports_are_one_range(void **state)
{
	static const char *const texts[] = {"0.0.0.0:65535", "192.0.2.81:80", "192.0.2.80:81",
		"[::]:65535", "192.0.2.80:443", "192.0.2.80:80", "192.0.2.80:82/udp",
		"192.0.2.80:80", "[2001:db8::80]:82", "[::]:65534", "192.0.2.80:82"};

	(void)state;
	service_free(&service);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(service_add_listener(&service, texts[i]), 0);
	assert_runs(AF_UNSPEC, "192.0.2.80:80-82 192.0.2.80:443 192.0.2.81:80 [2001:db8::80]:82 "
			       "192.0.2.80:82/udp 0.0.0.0:65535 [::]:65534-65535 ");
	assert_runs(AF_INET, "192.0.2.80:80-82 192.0.2.80:443 192.0.2.81:80 [2001:db8::80]:82 "
			     "192.0.2.80:82/udp 0.0.0.0:65534-65535 ");
	service_free(&service);
	assert_runs(AF_INET, "");
}

/* A socket in STATE between two texts "ADDRESS:PORT". */
static struct host_socket socket_of(
	enum host_socket_state state, const char *local, const char *remote)
{
	struct service made = {0};
	struct host_socket socket = {.protocol = IPPROTO_TCP,
		.state = state,
		.options_known = true,
		.transparent = true,
		.remote = addr_any(AF_INET)};

	assert_int_equal(service_add_server(&made, local), 0);
	socket.local = made.servers[0];
	if (remote != NULL) {
		assert_int_equal(service_add_server(&made, remote), 0);
		socket.remote = made.servers[1];
	}
	service_free(&made);
	return socket;
}

static void sockets_show_listeners_and_servers(void **state)
{
	struct host_socket list[] = {socket_of(SOCKET_STATE_LISTENING, "192.0.2.80:80", NULL),
		socket_of(SOCKET_STATE_LISTENING, "192.0.2.80:80", NULL), /* of another thread */
		socket_of(SOCKET_STATE_LISTENING, "192.0.2.81:22", NULL),
		socket_of(SOCKET_STATE_CONNECTED, "192.0.2.80:80", "198.51.100.10:40000"),
		socket_of(SOCKET_STATE_CONNECTED, "198.51.100.10:40001", "203.0.113.20:8080"),
		socket_of(SOCKET_STATE_CONNECTING, "198.51.100.10:40002", "203.0.113.20:8080"),
		socket_of(SOCKET_STATE_CONNECTED, "203.0.113.1:22", "198.51.100.10:40003")};
	struct host_sockets sockets = {list, sizeof(list) / sizeof(list[0]), true};
	struct network_address own = {
		"server0", socket_of(SOCKET_STATE_OTHER, "203.0.113.1", NULL).local, 24, false};
	struct network network = {.addresses = &own, .address_count = 1};

	(void)state;
	list[2].transparent = false;
	service_free(&service);
	assert_true(service_add_found(&service, &sockets, &network));
	assert_int_equal(service.listener_count, 1);
	assert_int_equal(service.server_count, 1);
	assert_int_equal(addr_port(&service.servers[0]), 8080);
	assert_true(service.found && service.spoofs && !service.intercepts);
	service_free(&service);
	sockets.count = 0;
	assert_false(service_add_found(&service, &sockets, &network));
	assert_false(service.found);
}

/* What a listener on the wildcard has accepted looks like a connection to a server. */
static void a_wildcard_listener_shows_no_servers(void **state)
{
	struct host_socket list[] = {socket_of(SOCKET_STATE_LISTENING, "0.0.0.0:3129", NULL),
		socket_of(SOCKET_STATE_CONNECTED, "203.0.113.20:80", "198.51.100.10:40000")};
	struct host_sockets sockets = {list, 2, true};
	struct network network = {0};

	(void)state;
	assert_true(service_add_found(&service, &sockets, &network));
	assert_int_equal(service.server_count, 0);
	assert_true(service.intercepts);
	service_free(&service);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_is_transparent_on_both_sides),
		cmocka_unit_test(addresses_with_ports_are_read),
		cmocka_unit_test(other_text_is_refused),
		cmocka_unit_test(a_configuration_has_listeners_and_servers),
		cmocka_unit_test(servers_at_the_wildcard_are_examples_alone),
		cmocka_unit_test(a_listener_on_the_ipv6_wildcard_accepts_ipv4_by_default),
		cmocka_unit_test(a_range_of_all_ports_is_taken),
		cmocka_unit_test(a_source_that_is_not_this_hosts_is_spoofed),
		cmocka_unit_test(consecutive_ports_are_one_range),
		cmocka_unit_test(sockets_show_listeners_and_servers),
		cmocka_unit_test(a_wildcard_listener_shows_no_servers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
