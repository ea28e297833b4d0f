/*
 * The model that lines become: names, defaults, logs, sources, listeners and servers.
 */
#include "parsed.h"

#include <stdlib.h>
#include <string.h>
#include <syslog.h>

static void a_backend_alone_is_read_and_nothing_listens(void **state)
{
	const char *text = "backend bk_application\n  source 0.0.0.0 usesrc clientip\n";
	char *messages;
	struct config *config = parse("test", text, strlen(text), &messages);

	(void)state;
	assert_non_null(config);
	assert_string_equal(messages,
		"test:1: warning: 'bk_application': no 'server' line, so every connection will be "
		"refused\n"
		"test: warning: nothing listens, since no section has a 'bind' line\n");
	free(messages);
	config_free(config);
}

static void names_become_pointers_whatever_the_order(void **state)
{
	struct config *config = parse_good(DEFAULTS "frontend f\n bind :80\n default_backend b\n"
						    "listen l\n bind :81\n server x 192.0.2.1\n"
						    "backend b\n server y 192.0.2.2\n"
						    " server z 192.0.2.3\n");

	(void)state;
	assert_int_equal(config->proxy_count, 3);
	assert_ptr_equal(config->proxies[0].default_backend, &config->proxies[2]);
	assert_ptr_equal(config->proxies[1].default_backend, &config->proxies[1]);
	assert_null(config->proxies[2].default_backend);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(config->proxies[i].index, i);
	assert_int_equal(config->server_count, 3);
	assert_int_equal(config->proxies[1].servers[0].index, 0);
	assert_int_equal(config->proxies[2].servers[1].index, 2);
	assert_int_equal(config->proxies[2].servers[1].line, 13);
	config_free(config);
}

static void a_frontend_takes_its_own_half_of_the_defaults(void **state)
{
	struct config *config = parse_good(
		DEFAULTS " maxconn 5\n backlog 6\n retries 7\n option tcpka\n log stdout local0\n"
			 " option tcplog\n"
			 "frontend f\n bind :80\n default_backend b\n"
			 "backend b\n server a 192.0.2.1\n");
	const struct proxy *f = &config->proxies[0], *b = &config->proxies[1];

	(void)state;
	assert_int_equal(f->options, OPTION_TCPLOG | OPTION_CLITCPKA);
	assert_int_equal(b->options, OPTION_SRVTCPKA);
	assert_int_equal(f->maxconn, 5);
	assert_int_equal(b->maxconn, 0);
	assert_int_equal(f->backlog, 6);
	assert_int_equal(b->backlog, 0);
	assert_int_equal(f->retries, 0);
	assert_int_equal(b->retries, 7);
	assert_int_equal(f->timeouts[TIMEOUT_CLIENT], 1000);
	assert_int_equal(f->timeouts[TIMEOUT_SERVER], 0);
	assert_int_equal(b->timeouts[TIMEOUT_CLIENT], 0);
	assert_int_equal(b->timeouts[TIMEOUT_SERVER], 2000);
	assert_int_equal(b->timeouts[TIMEOUT_CONNECT], 3000);
	config_free(config);
}

static void later_defaults_replace_earlier_ones(void **state)
{
	struct config *config = parse_good("defaults\n retries 9\n maxconn 9\n" DEFAULTS
					   "listen l\n bind :80\n server a 192.0.2.1\n");

	(void)state;
	assert_int_equal(config->proxies[0].retries, 3);
	assert_int_equal(config->proxies[0].maxconn, 0);
	config_free(config);
}

static void sections_that_share_defaults_do_not_share_their_logs(void **state)
{
	struct config *config = parse_good(
		DEFAULTS " log stdout local0\n log stdout local1\n log stdout local2\n"
			 "listen a\n bind :80\n server a 192.0.2.1\n log stderr local3\n"
			 "listen b\n bind :81\n server a 192.0.2.1\n log stderr local4\n");
	const struct log_targets *a = &config->proxies[0].logs, *b = &config->proxies[1].logs;

	(void)state;
	assert_int_equal(a->count, 4);
	assert_int_equal(b->count, 4);
	assert_int_equal(a->list[3].facility, LOG_LOCAL3);
	assert_int_equal(b->list[3].facility, LOG_LOCAL4);
	config_free(config);
}

static void log_global_counts_though_global_comes_later(void **state)
{
	struct config *config =
		parse_good(DEFAULTS " log global\n"
				    "listen a\n bind :80\n server a 192.0.2.1\n"
				    "listen b\n bind :81\n server a 192.0.2.1\n no log\n"
				    "global\n log 192.0.2.9 auth2 warning\n log /dev/log local7\n");
	const struct log_targets *logs = &config->proxies[0].logs;

	(void)state;
	assert_int_equal(logs->count, 2);
	assert_int_equal(logs->list[0].kind, LOG_TO_SYSLOG);
	assert_int_equal(addr_port(&logs->list[0].address), 514);
	assert_int_equal(logs->list[0].facility, LOG_AUTHPRIV);
	assert_int_equal(logs->list[0].max_level, LOG_WARNING);
	assert_int_equal(logs->list[0].format, LOG_RFC3164);
	assert_int_equal(logs->list[1].kind, LOG_TO_UNIX);
	assert_string_equal(logs->list[1].path, "/dev/log");
	assert_int_equal(logs->list[1].max_level, LOG_INFO);
	assert_int_equal(config->proxies[1].logs.count, 0);
	config_free(config);
}

static enum source_mode mode_of(const struct config *config, size_t server)
{
	return config->proxies[0].servers[server].source.mode;
}

static void a_servers_source_replaces_its_backends(void **state)
{
	struct config *config =
		parse_good(DEFAULTS "listen l\n bind :80\n"
				    " server a 192.0.2.1\n"
				    " server b 192.0.2.1 source 0.0.0.0\n"
				    " server c 192.0.2.1 source 192.0.2.5:99\n"
				    " server d 192.0.2.1 source 0.0.0.0 usesrc client\n"
				    " server e 192.0.2.1 source * usesrc 203.0.113.1:7\n"
				    " source 0.0.0.0 usesrc clientip\n");
	const struct server *servers = config->proxies[0].servers;
	char text[ADDR_TEXT_MAX];

	(void)state;
	assert_int_equal(mode_of(config, 0), SOURCE_CLIENTIP);
	assert_int_equal(mode_of(config, 1), SOURCE_ROUTED);
	assert_int_equal(mode_of(config, 2), SOURCE_ADDRESS);
	assert_int_equal(mode_of(config, 3), SOURCE_CLIENT);
	assert_int_equal(mode_of(config, 4), SOURCE_FOREIGN);
	assert_string_equal(addr_format(&servers[2].source.address, text), "192.0.2.5:99");
	assert_string_equal(addr_format(&servers[4].source.address, text), "203.0.113.1:7");
	config_free(config);
}

/* HAProxy binds to the client's address with a port that the kernel chooses; tcp_bind_socket(). */
static void an_address_before_usesrc_has_no_part_in_it_nor_its_port(void **state)
{
	const char *text = DEFAULTS "listen l\n bind :80\n"
				    " server a 192.0.2.1 source 0.0.0.0:5000 usesrc clientip\n"
				    " server b 192.0.2.1 source 192.0.2.5:5000 usesrc client\n";
	char *messages;
	struct config *config = parse("test", text, strlen(text), &messages);

	(void)state;
	assert_non_null(config);
	for (size_t i = 0; i < 2; i++) {
		const struct source *source = &config->proxies[0].servers[i].source;

		assert_true(addr_is_any(&source->address));
		assert_int_equal(addr_port(&source->address), 0);
	}
	assert_string_equal(messages,
		"test:7: warning: '0.0.0.0:5000': not used: 'usesrc' sets the source "
		"address; write 0.0.0.0\n"
		"test:8: warning: '192.0.2.5:5000': not used: 'usesrc' sets the source "
		"address; write 0.0.0.0\n");
	free(messages);
	config_free(config);
}

static void a_bind_line_makes_a_listener_for_each_address_and_port(void **state)
{
	struct config *config =
		parse_good(DEFAULTS "listen l\n server a 198.51.100.1\n"
				    " bind 192.0.2.1:80-81,:::80 transparent v4v6 backlog 5 name n "
				    "interface lo\n");
	const struct proxy *proxy = &config->proxies[0];
	char text[ADDR_TEXT_MAX];

	(void)state;
	assert_int_equal(proxy->bind_count, 3);
	assert_string_equal(addr_format(&proxy->binds[0].address, text), "192.0.2.1:80");
	assert_string_equal(addr_format(&proxy->binds[1].address, text), "192.0.2.1:81");
	assert_string_equal(addr_format(&proxy->binds[2].address, text), "[::]:80");
	for (size_t i = 0; i < 3; i++) {
		assert_true(proxy->binds[i].transparent);
		assert_int_equal(proxy->binds[i].v6_mode, V6_AND_V4);
		assert_int_equal(proxy->binds[i].backlog, 5);
		assert_string_equal(proxy->binds[i].name, "n");
		assert_string_equal(proxy->binds[i].interface, "lo");
		assert_int_equal(proxy->binds[i].line, 7);
	}
	config_free(config);
}

static void assert_address(
	const struct server *server, const char *ip, uint16_t port, const char *expected)
{
	char text[ADDR_TEXT_MAX];
	struct addr asked, address;

	assert_true(addr_parse(&asked, ip));
	addr_set_port(&asked, port);
	address = server_address(server, &asked);
	assert_string_equal(addr_format(&address, text), expected);
}

static void a_server_without_a_port_takes_the_listeners(void **state)
{
	struct config *config = parse_good(
		DEFAULTS "listen l\n bind :80\n server a 192.0.2.1\n server b 192.0.2.1:8080\n");
	const struct server *servers = config->proxies[0].servers;

	(void)state;
	assert_address(&servers[0], "198.51.100.9", 443, "192.0.2.1:443");
	assert_address(&servers[1], "198.51.100.9", 443, "192.0.2.1:8080");
	assert_int_equal(addr_port(&servers[0].address), 0);
	config_free(config);
}

static void a_server_at_the_wildcard_is_where_the_client_connected_to(void **state)
{
	struct config *config = parse_good(
		DEFAULTS "listen l\n bind :80 transparent\n server a 0.0.0.0\n"
			 " server b *:8080\n server c 0.0.0.0:0\n server d [::]\n server e :0\n"
			 " source 0.0.0.0 usesrc client\n");
	const struct server *servers = config->proxies[0].servers;

	(void)state;
	assert_int_equal(config->proxies[0].server_count, 5);
	for (unsigned i = 0; i < 5; i++) {
		assert_true(server_is_original(&servers[i]));
		assert_address(&servers[i], "198.51.100.9", 443,
			i == 1 ? "198.51.100.9:8080" : "198.51.100.9:443");
		assert_address(&servers[i], "2001:db8::9", 443,
			i == 1 ? "[2001:db8::9]:8080" : "[2001:db8::9]:443");
	}
	assert_true(config->intercepts);
	config_free(config);
}

static void option_transparent_is_a_server_at_the_wildcard(void **state)
{
	struct config *config =
		parse_good("defaults\n transparent\n timeout connect 1s\n timeout client 1s\n"
			   " timeout server 1s\n"
			   "frontend f\n bind :80 transparent\n default_backend b\n"
			   "backend b\n source 0.0.0.0 usesrc clientip\n"
			   "backend c\n no option transparent\n server s 192.0.2.1:80\n");
	const struct proxy *b = &config->proxies[1], *c = &config->proxies[2];

	(void)state;
	assert_int_equal(b->server_count, 1);
	assert_string_equal(b->servers[0].name, "<NOSRV>");
	assert_true(server_is_original(&b->servers[0]));
	assert_int_equal(b->servers[0].source.mode, SOURCE_CLIENTIP);
	assert_int_equal(config->proxies[0].server_count, 0);
	assert_int_equal(c->server_count, 1);
	assert_false(server_is_original(&c->servers[0]));
	assert_int_equal(config->server_count, 2);
	config_free(config);
}

static bool intercepts(const char *text)
{
	struct config *config = parse_good(text);
	bool result = config->intercepts;

	config_free(config);
	return result;
}

static void what_any_address_may_be_diverted_to_is_known(void **state)
{
	(void)state;
	assert_true(intercepts(
		DEFAULTS "listen l\n bind [::]:80 transparent\n server a 192.0.2.1:80\n"));
	assert_false(intercepts(DEFAULTS "listen l\n bind :80\n server a 192.0.2.1:80\n"));
	assert_false(intercepts(
		DEFAULTS "listen l\n bind 192.0.2.9:80 transparent\n server a 192.0.2.1:80\n"));
	assert_true(intercepts(
		DEFAULTS "listen l\n bind 192.0.2.9:80 transparent\n server a 0.0.0.0:80\n"));
}

static void expect_transparent(bool expected, const char *bind, const char *source)
{
	char text[512];
	struct config *config;

	snprintf(text, sizeof(text), DEFAULTS "listen l\n bind :80 %s\n server a 192.0.2.1 %s\n",
		bind, source);
	config = parse_good(text);
	assert_int_equal(config_needs_transparent(config), expected);
	config_free(config);
}

static void transparency_is_needed_on_either_side(void **state)
{
	(void)state;
	expect_transparent(false, "", "");
	expect_transparent(false, "", "source 192.0.2.5");
	expect_transparent(true, "transparent", "");
	expect_transparent(true, "", "source 0.0.0.0 usesrc clientip");
	expect_transparent(true, "", "source 0.0.0.0 usesrc client");
	expect_transparent(true, "", "source 0.0.0.0 usesrc 203.0.113.1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_backend_alone_is_read_and_nothing_listens),
		cmocka_unit_test(names_become_pointers_whatever_the_order),
		cmocka_unit_test(a_frontend_takes_its_own_half_of_the_defaults),
		cmocka_unit_test(later_defaults_replace_earlier_ones),
		cmocka_unit_test(sections_that_share_defaults_do_not_share_their_logs),
		cmocka_unit_test(log_global_counts_though_global_comes_later),
		cmocka_unit_test(a_servers_source_replaces_its_backends),
		cmocka_unit_test(an_address_before_usesrc_has_no_part_in_it_nor_its_port),
		cmocka_unit_test(a_bind_line_makes_a_listener_for_each_address_and_port),
		cmocka_unit_test(a_server_without_a_port_takes_the_listeners),
		cmocka_unit_test(a_server_at_the_wildcard_is_where_the_client_connected_to),
		cmocka_unit_test(option_transparent_is_a_server_at_the_wildcard),
		cmocka_unit_test(what_any_address_may_be_diverted_to_is_known),
		cmocka_unit_test(transparency_is_needed_on_either_side),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
