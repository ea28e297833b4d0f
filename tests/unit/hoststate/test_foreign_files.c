/*
 * Configurations of HAProxy and nginx: listeners, servers and sources, and what is skipped.
 */
#include "hoststate/foreign_files.h"
#include "tproxy/text.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/test_foreignXXXXXX";
static struct service service;
static char *notes;

static int end(void **state)
{
	(void)state;
	service_free(&service);
	free(notes);
	notes = NULL;
	return 0;
}

/* Reads TEXT as a file. */
static void read_as(bool (*add)(struct service *, const char *, char **), const char *text)
{
	int fd;

	memset(path + sizeof(path) - 7, 'X', 6);
	fd = mkstemp(path);
	assert_int_not_equal(fd, -1);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	assert_true(add(&service, path, &notes));
	unlink(path);
}

/* All that was read: "192.0.2.80:80 transparent; -> 203.0.113.20:8080 from client" */
static void assert_read(const char *expected)
{
	struct text_stream stream;
	char ip[ADDR_TEXT_MAX], from[ADDR_TEXT_MAX], *made;

	text_begin(&stream);
	for (size_t i = 0; i < service.listener_count; i++)
		fprintf(stream.out, "%s%s%s; ", addr_format(&service.listeners[i].address, ip),
			service.listeners[i].protocol == IPPROTO_UDP ? "/udp" : "",
			service.listeners[i].transparent ? " transparent" : "");
	for (size_t i = 0; i < service.server_count; i++)
		fprintf(stream.out, "-> %s from %s; ", addr_format(&service.servers[i], ip),
			addr_family(&service.sources[i]) == AF_UNSPEC ? "client"
			: addr_is_any(&service.sources[i])
				? "host"
				: addr_format_ip(&service.sources[i], from));
	made = text_end(&stream);
	assert_string_equal(made, expected);
	free(made);
}

/* --- HAProxy --- */

static void the_walkthroughs_file_is_read(void **state)
{
	(void)state;
	read_as(service_add_haproxy,
		"global\n    maxconn 4000\n    log /dev/log local0\n"
		"defaults\n    mode tcp\n    timeout client 1m\n"
		"frontend web\n    bind 192.0.2.80:80 transparent\n    default_backend servers\n"
		"backend servers\n    balance roundrobin # each in turn\n"
		"    source 0.0.0.0 usesrc clientip\n    server one 203.0.113.20:8080 check\n");
	assert_read("192.0.2.80:80 transparent; -> 203.0.113.20:8080 from client; ");
	assert_true(service.spoofs);
	assert_string_equal(service.file, path);
	assert_int_equal(service.listeners[0].line, 8);
	assert_null(notes);
}

static void sources_are_handed_on_and_replaced(void **state)
{
	(void)state;
	read_as(service_add_haproxy,
		"defaults\n source 0.0.0.0 usesrc client\n"
		"backend one\n server a 203.0.113.1:80\n server b 203.0.113.2:80 source 203.0.113.9\n"
		"backend two\n source 0.0.0.0 usesrc 198.51.100.7\n server c 203.0.113.3:80\n"
		"defaults\nbackend three\n default-server inter 2s source 0.0.0.0 usesrc clientip\n server d 203.0.113.4:80\n");
	assert_read("-> 203.0.113.1:80 from client; -> 203.0.113.2:80 from host; "
		    "-> 203.0.113.3:80 from 198.51.100.7; -> 203.0.113.4:80 from client; ");
}

static void binds_may_have_several_addresses_and_ranges(void **state)
{
	(void)state;
	read_as(service_add_haproxy,
		"listen a\n bind 192.0.2.80:80-81,ipv6@:8080 name 'a b' transparent\n bind :::443 v4v6\n bind *:25\n");
	assert_read("192.0.2.80:80 transparent; 192.0.2.80:81 transparent; [::]:8080 transparent; "
		    "[::]:443; 0.0.0.0:25; ");
	assert_int_equal(service.listeners[3].v6_mode, V6_AND_V4);
}

static void what_is_not_an_address_is_skipped_with_a_note(void **state)
{
	(void)state;
	read_as(service_add_haproxy,
		"frontend a\n bind /run/socket\n bind fd@3\n bind \"$ADDR\":80\n"
		"backend b\n server s example.org:80\n server t 203.0.113.1:70000\nprogram x\n command server a b:1\n");
	assert_read("");
	assert_non_null(strstr(notes, ":2: bind '/run/socket' is skipped\n"));
	assert_non_null(strstr(notes, ":3: bind 'fd@3' is skipped\n"));
	assert_non_null(strstr(notes, ":4: bind '$ADDR:80' is skipped\n"));
	assert_non_null(strstr(notes, ":6: server 'example.org:80' is skipped\n"));
	assert_non_null(strstr(notes, ":7: server '203.0.113.1:70000' is skipped\n"));
	assert_null(strstr(notes, ":9:"));
}

static void a_server_at_any_address_is_where_clients_connect_to(void **state)
{
	(void)state;
	read_as(service_add_haproxy,
		"listen a\n bind :3129 transparent\n source 0.0.0.0 usesrc clientip\n server s 0.0.0.0:0\n");
	assert_true(service.intercepts && service.spoofs);
	assert_int_equal(service.server_count, 0);
}

/* --- nginx --- */

static void servers_of_upstreams_are_read_even_behind_their_use(void **state)
{
	(void)state;
	read_as(service_add_nginx,
		"user www-data;\nevents { worker_connections 768; }\nstream {\n"
		"  server {\n    listen 192.0.2.80:80;\n    proxy_bind $remote_addr transparent;\n"
		"    proxy_pass web;\n  }\n"
		"  upstream web {\n    server 203.0.113.20:8080 weight=2; # first\n    server [2001:db8:5::20]:8080;\n  }\n"
		"  upstream unused { server 203.0.113.99:80; }\n}\n");
	assert_read("192.0.2.80:80; -> 203.0.113.20:8080 from client; "
		    "-> [2001:db8:5::20]:8080 from client; ");
	assert_true(service.spoofs);
	assert_null(service.file);
	assert_null(notes);
}

static void a_server_without_proxy_bind_has_the_hosts_source(void **state)
{
	(void)state;
	read_as(service_add_nginx,
		"http { server { listen 8080; listen [::]:8081 ipv6only=off;\n"
		" location / { proxy_pass http://203.0.113.20:80/x/; } } }\n"
		"stream { proxy_bind $remote_addr:$remote_port transparent; server { listen 53 udp; proxy_pass 203.0.113.21:53; }\n"
		" server { listen 54; proxy_bind off; proxy_pass 203.0.113.22:54; } }");
	assert_read("0.0.0.0:8080; [::]:8081; 0.0.0.0:53/udp; 0.0.0.0:54; "
		    "-> 203.0.113.20:80 from host; -> 203.0.113.21:53 from client; "
		    "-> 203.0.113.22:54 from host; ");
}

static void names_includes_and_sockets_are_skipped_with_a_note(void **state)
{
	(void)state;
	read_as(service_add_nginx,
		"include /etc/nginx/modules/*.conf;\nstream { server { listen unix:/run/s; proxy_pass backend.example:80; } }\n"
		"stream { server { listen 192.0.2.80:80; proxy_pass $chosen; } ");
	assert_read("192.0.2.80:80; ");
	assert_non_null(strstr(notes, ":1: include '/etc/nginx/modules/*.conf' is skipped\n"));
	assert_non_null(strstr(notes, ":2: listen 'unix:/run/s' is skipped\n"));
	assert_non_null(strstr(notes, ":2: server 'backend.example:80' is skipped\n"));
	assert_non_null(strstr(notes, ":3: server '$chosen' is skipped\n"));
}

static void a_file_that_cannot_be_read_is_an_error(void **state)
{
	(void)state;
	assert_false(service_add_haproxy(&service, "/no/such/file", &notes));
	assert_false(service_add_nginx(&service, "/no/such/file", &notes));
}

#define WITH(name) cmocka_unit_test_teardown(name, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(the_walkthroughs_file_is_read),
		WITH(sources_are_handed_on_and_replaced),
		WITH(binds_may_have_several_addresses_and_ranges),
		WITH(what_is_not_an_address_is_skipped_with_a_note),
		WITH(a_server_at_any_address_is_where_clients_connect_to),
		WITH(servers_of_upstreams_are_read_even_behind_their_use),
		WITH(a_server_without_proxy_bind_has_the_hosts_source),
		WITH(names_includes_and_sockets_are_skipped_with_a_note),
		WITH(a_file_that_cannot_be_read_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
