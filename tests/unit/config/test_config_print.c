/*
 * The print of a configuration, which `tproxyd -c` shows.
 */
#include "parsed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *print_text(const struct config *config)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	config_print(config, out);
	fclose(out);
	return text;
}

static void the_print_names_what_is_left_open(void **state)
{
	const char *text = "global\n log stdout local0\n log stderr format raw daemon err\n"
			   " log /dev/log user\n log [2001:db8::9]:1514 kern\n"
			   "frontend f\n bind :80\n"
			   "listen l\n bind :81\n"
			   "backend b\n server a 192.0.2.1\n"
			   " server b [2001:db8::1]:80 source 0.0.0.0 usesrc client\n"
			   " server c 192.0.2.1 source 0.0.0.0 usesrc 203.0.113.1:7\n";
	char *messages, *printed;
	struct config *config = parse("test", text, strlen(text), &messages);

	(void)state;
	assert_non_null(config);
	printed = print_text(config);
	assert_string_equal(printed,
		"global\n"
		"  connections at the same time: from the descriptor limit\n"
		"  threads: one for each processor\n"
		"  logs to stdout, facility 16, up to info\n"
		"  logs to stderr as raw text, facility 3, up to err\n"
		"  logs to socket /dev/log, facility 1, up to info\n"
		"  logs to [2001:db8::9]:1514, facility 0, up to info\n"
		"frontend f\n"
		"  listens on 0.0.0.0:80\n"
		"  refuses every connection: no default_backend\n"
		"listen l\n"
		"  listens on 0.0.0.0:81\n"
		"  refuses every connection: no server\n"
		"  retries: 3\n"
		"backend b\n"
		"  server a at 192.0.2.1, the port that the client connected to, "
		"from this host's address\n"
		"  server b at [2001:db8::1]:80, from the client's address and port, transparent\n"
		"  server c at 192.0.2.1, the port that the client connected to, "
		"from 203.0.113.1:7, transparent\n"
		"  retries: 3\n"
		"needs IP_TRANSPARENT, hence the capability CAP_NET_RAW\n");
	free(printed);
	free(messages);
	config_free(config);
}

static void the_print_says_what_listens_and_where_it_connects_from(void **state)
{
	struct config *config = parse_good(
		"global\n maxconn 100\n nbthread 2\n user root\n group root\n pidfile /run/t.pid\n"
		" nosplice\n log file@/var/log/t.log format raw local0 info\n" DEFAULTS
		" log global\n option tcplog\n"
		"frontend f\n bind 192.0.2.80:80 transparent name web\n bind :::81 v4v6 backlog 9\n"
		" bind [2001:db8::1]:82 v6only interface lo\n"
		" maxconn 50\n backlog 60\n timeout client 90s\n default_backend b\n"
		"backend b\n source 0.0.0.0 usesrc clientip\n server a 198.51.100.10:80\n"
		" server b 198.51.100.11 source 192.0.2.5\n timeout server-fin 1500\n retries 0\n"
		" option srvtcpka\n option splice-request\n");
	char *text = print_text(config);

	(void)state;
	assert_string_equal(text,
		"global\n"
		"  runs as group root\n"
		"  connections at the same time: 100\n"
		"  threads: 2\n"
		"  never splices\n"
		"  pidfile /run/t.pid\n"
		"  runs as user root\n"
		"  logs to file /var/log/t.log as raw text, facility 16, up to info\n"
		"frontend f\n"
		"  listens on 192.0.2.80:80, name web, transparent\n"
		"  listens on [::]:81, IPv6 and IPv4, backlog 9\n"
		"  listens on [2001:db8::1]:82, IPv6 only, interface lo\n"
		"  connects to the servers of b\n"
		"  backlog: 60\n"
		"  connections at the same time: 50\n"
		"  logs each connection\n"
		"  timeout client: 90s\n"
		"  logs to file /var/log/t.log as raw text, facility 16, up to info\n"
		"backend b\n"
		"  server a at 198.51.100.10:80, from the client's address, transparent\n"
		"  server b at 198.51.100.11, the port that the client connected to, "
		"from 192.0.2.5\n"
		"  always splices to servers\n"
		"  sends keep-alives to servers\n"
		"  retries: 0\n"
		"  timeout connect: 3s\n"
		"  timeout server: 2s\n"
		"  timeout server-fin: 1500ms\n"
		"  logs to file /var/log/t.log as raw text, facility 16, up to info\n"
		"needs IP_TRANSPARENT, hence the capability CAP_NET_RAW\n");
	free(text);
	config_free(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_print_names_what_is_left_open),
		cmocka_unit_test(the_print_says_what_listens_and_where_it_connects_from),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
