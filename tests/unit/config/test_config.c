/*
 * The configuration as a whole: the files under fixtures/config, the model, and its print.
 *
 * A file under good/ must be read, with the warnings of the .expected file beside it or none; one
 * under bad/ must be refused with exactly the messages of its .expected file. Every parser run here
 * is also a leak check, since the sanitizers' build runs the same tests.
 */
#include "unit.h"

#include "config/config.h"
#include "config/keyword.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#define GOOD "fixtures/config/good"
#define BAD  "fixtures/config/bad"

static char *read_file(const char *path, size_t *length)
{
	FILE *in = fopen(path, "re");
	char *text = NULL;
	int c;
	FILE *out;

	*length = 0;
	if (in == NULL)
		return NULL;
	out = open_memstream(&text, length);
	while ((c = getc(in)) != EOF)
		putc(c, out);
	fclose(in);
	fclose(out);
	return text;
}

static char *diag_text(const struct diag *diag)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	diag_print(diag, out);
	fclose(out);
	return text;
}

/* Reads TEXT; *messages is everything that was said. */
static struct config *parse(const char *name, const char *text, size_t length, char **messages)
{
	struct diag *diag = diag_new();
	struct config *config = config_parse(name, text, length, diag);

	assert_int_equal(config == NULL, diag_count(diag, DIAG_ERROR) > 0);
	*messages = diag_text(diag);
	diag_free(diag);
	return config;
}

/* Reads TEXT, in which nothing may be wrong, not even a warning. */
static struct config *parse_good(const char *text)
{
	char *messages;
	struct config *config = parse("test", text, strlen(text), &messages);

	assert_string_equal(messages, "");
	free(messages);
	return config;
}

static void expect_error(const char *text, const char *expected)
{
	char *messages;
	struct config *config = parse("test", text, strlen(text), &messages);

	assert_string_equal(messages, expected);
	assert_null(config);
	free(messages);
}

/* Runs VISIT for each .cfg file of FOLDER; there must be some. */
static void each_file(const char *folder, void (*visit)(const char *folder, const char *name))
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	size_t count = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		size_t length = strlen(entry->d_name);

		if (length < 4 || strcmp(entry->d_name + length - 4, ".cfg") != 0)
			continue;
		visit(folder, entry->d_name);
		count++;
	}
	closedir(dir);
	assert_true(count > 5);
}

/* Compares what is said about a file with the file beside it, or with nothing. */
static void check_file(const char *folder, const char *name, bool good)
{
	char path[512], *text, *expected, *messages;
	struct config *config;
	size_t length;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	text = read_file(path, &length);
	assert_non_null(text);
	config = parse(name, text, length, &messages);
	snprintf(path, sizeof(path), "%s/%.*s.expected", folder, (int)strlen(name) - 4, name);
	free(text);
	text = read_file(path, &length);
	expected = text != NULL ? text : strdup("");
	if (strcmp(messages, expected) != 0)
		fail_msg("%s: expected\n%s\nbut got\n%s", path, expected, messages);
	if (good != (config != NULL))
		fail_msg("%s: should be %s", name, good ? "accepted" : "refused");
	config_free(config);
	free(messages);
	free(expected);
}

static void check_good(const char *folder, const char *name)
{
	check_file(folder, name, true);
}

static void check_bad(const char *folder, const char *name)
{
	check_file(folder, name, false);
}

static void good_files_are_read_with_the_expected_warnings_only(void **state)
{
	(void)state;
	each_file(GOOD, check_good);
}

static void bad_files_are_refused_with_all_of_their_mistakes(void **state)
{
	char value[401];

	(void)state;
	memset(value, 'x', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	setenv("TPROXY_TEST_ADDRESS", "192.0.2.1", 1);
	setenv("TPROXY_TEST_LONG", value, 1);
	each_file(BAD, check_bad);
}

/* Reads LENGTH bytes in a block of just that size, so that reading beyond them is noticed. */
static void parse_bytes(const char *text, size_t length)
{
	char *copy = malloc(length + (length == 0)), *messages;

	memcpy(copy, text, length);
	config_free(parse("test", copy, length, &messages));
	free(messages);
	free(copy);
}

static void check_truncated(const char *folder, const char *name)
{
	char path[512], *text;
	size_t length;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	text = read_file(path, &length);
	for (size_t cut = 0; cut <= length; cut++)
		parse_bytes(text, cut);
	free(text);
}

static void a_file_that_is_cut_off_anywhere_does_no_harm(void **state)
{
	(void)state;
	each_file(GOOD, check_truncated);
}

static void check_flipped(const char *folder, const char *name)
{
	unsigned seed = 1;
	char path[512], *text;
	size_t length;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	text = read_file(path, &length);
	for (int i = 0; i < 200 && length > 0; i++) {
		size_t at = (size_t)rand_r(&seed) % length;
		char before = text[at];

		text[at] = (char)rand_r(&seed);
		parse_bytes(text, length);
		/* Every other change stays, so that a file also drifts far from where it was. */
		if (i % 2 == 0)
			text[at] = before;
	}
	free(text);
}

static void a_file_with_wrong_bytes_does_no_harm(void **state)
{
	(void)state;
	each_file(GOOD, check_flipped);
	each_file(BAD, check_flipped);
}

static void check_starved(const char *folder, const char *name)
{
	char path[512], *text;
	struct config *config = NULL;
	struct diag *diag;
	size_t length;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	text = read_file(path, &length);
	diag = diag_new();
	config = config_parse(name, text, length, diag);
	diag_free(diag);
	if (config == NULL)
		fail_msg("%s: refused with any memory", path);
	config_free(config);
	config = NULL;
	for (size_t limit = 0; config == NULL; limit += 61) {
		diag = diag_new();
		config = config_parse_within(name, text, length, diag, limit, false);
		assert_int_equal(config == NULL, diag_count(diag, DIAG_ERROR) > 0);
		diag_free(diag);
	}
	config_free(config);
	free(text);
}

static void too_little_memory_is_an_error_wherever_it_ends(void **state)
{
	(void)state;
	each_file(GOOD, check_starved);
}

static void lines_of_port_ranges_cannot_take_all_memory(void **state)
{
	const char *range = ":1-65535,:1-65535,:1-65535,:1-65535,:1-65535,:1-65535,:1-65535";
	struct diag *diag = diag_new();
	char text[512];
	int length = snprintf(text, sizeof(text), "listen a\n bind %s\n bind %s\n", range, range);
	char *messages;

	(void)state;
	assert_null(
		config_parse_within("test", text, (size_t)length, diag, (size_t)4 << 20, false));
	messages = diag_text(diag);
	assert_non_null(strstr(messages, "test: error: out of memory\n"));
	free(messages);
	diag_free(diag);
}

static void a_file_that_cannot_be_read_is_an_error(void **state)
{
	struct diag *diag = diag_new();
	char *messages;

	(void)state;
	assert_null(config_load("fixtures/config/none.cfg", diag));
	assert_null(config_load("fixtures/config", diag));
	messages = diag_text(diag);
	assert_string_equal(messages,
		"fixtures/config/none.cfg: error: cannot be read: No such file or directory\n"
		"fixtures/config: error: cannot be read: Is a directory\n");
	free(messages);
	diag_free(diag);
}

static void a_file_is_read_from_its_path(void **state)
{
	struct diag *diag = diag_new();
	struct config *config = config_load(GOOD "/transparent.cfg", diag);

	(void)state;
	assert_non_null(config);
	assert_int_equal(config->proxy_count, 2);
	config_free(config);
	config_free(NULL);
	diag_free(diag);
}

static void a_long_file_is_read_to_its_end(void **state)
{
	char path[] = "/tmp/tproxyd-test-XXXXXX";
	int fd = mkstemp(path);
	FILE *out = fdopen(fd, "w");
	struct diag *diag = diag_new();
	struct config *config;

	(void)state;
	assert_non_null(out);
	for (int i = 0; i < 5000; i++)
		fprintf(out, "# line %d\n", i);
	fputs("listen last\n", out);
	fclose(out);
	config = config_load(path, diag);
	remove(path);
	assert_non_null(config);
	assert_int_equal(config->proxies[0].line, 5001);
	config_free(config);
	diag_free(diag);
}

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

/* What every test of the model needs, so that it gives no warning. */
#define DEFAULTS "defaults\n timeout client 1s\n timeout server 2s\n timeout connect 3s\n"

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

static void a_message_shows_a_word_on_one_line(void **state)
{
	(void)state;
	expect_error("global\n \"a\\nb\"\n",
		"test:2: error: 'a\\x0ab': unknown keyword in this place, which is: global\n");
}

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

/* The keyword table as the manual has it. */
static char *manual_table(void)
{
	const struct keyword *keyword;
	char *text = NULL, places[128];
	size_t length;
	FILE *out = open_memstream(&text, &length);

	fputs("| keyword | place | meaning |\n|---|---|---|\n", out);
	for (size_t i = 0; (keyword = keyword_at(i)) != NULL; i++)
		fprintf(out, "| `%s%s%s` | %s | %s |\n", keyword->name,
			*keyword->arguments == '\0' ? "" : " ", keyword->arguments,
			where_text(keyword->where, places, sizeof(places)), keyword->help);
	fputs("\n", out); /* no further row */
	fclose(out);
	return text;
}

static void the_manual_has_the_keyword_table_as_the_code_has_it(void **state)
{
	size_t length;
	char *manual = read_file("docs/CONFIGURATION.md", &length), *table = manual_table();

	(void)state;
	if (manual == NULL || strstr(manual, table) == NULL) {
		fputs(table, stderr);
		fail_msg("docs/CONFIGURATION.md should have the table above");
	}
	free(manual);
	free(table);
}

/* Whether a line of a good file has the keyword, at a place where it may stand. */
static bool line_has(const char *line, const struct keyword *keyword)
{
	const char *at = line + strspn(line, " \t");
	size_t length = strcspn(keyword->name, "(");
	const char *ends = keyword->name[length] == '(' ? "(" : " \n";

	if (keyword->where & (ON_BIND | ON_SERVER)) {
		if (strncmp(at, keyword->where & ON_BIND ? "bind " : "server ", 5) != 0)
			return false;
		at = memmem(at, strlen(at), keyword->name, length);
		return at != NULL && at[-1] == ' ' && strchr(ends, at[length]) != NULL;
	}
	return strncmp(at, keyword->name, length) == 0 && strchr(ends, at[length]) != NULL;
}

static bool keywords_found[KEYWORDS_MAX];

static void note_keywords(const char *folder, const char *name)
{
	char path[512], line[512];
	FILE *in;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	in = fopen(path, "re");
	assert_non_null(in);
	while (fgets(line, sizeof(line), in) != NULL)
		for (size_t i = 0; keyword_at(i) != NULL; i++)
			keywords_found[i] |= line_has(line, keyword_at(i));
	fclose(in);
}

static void every_keyword_stands_in_a_good_file(void **state)
{
	(void)state;
	each_file(GOOD, note_keywords);
	for (size_t i = 0; keyword_at(i) != NULL; i++)
		if (!keywords_found[i])
			fail_msg("%s: no file under " GOOD " has it", keyword_at(i)->name);
}

/* An offset is right in one struct only; drop_value() and print_value() rely on it, too. */
static void all_places_of_a_plain_value_have_the_same_struct(void **state)
{
	static const unsigned objects[] = {IN_GLOBAL, IN_PROXIES, ON_BIND, ON_SERVER, IN_RESOLVERS};
	const struct keyword *keyword;

	(void)state;
	for (size_t i = 0; (keyword = keyword_at(i)) != NULL; i++) {
		size_t fitting = keyword->value.type == VALUE_OWN;

		for (size_t j = 0; j < sizeof(objects) / sizeof(objects[0]); j++)
			fitting += keyword->value.type != VALUE_OWN &&
				   (keyword->where & objects[j]) == keyword->where;
		if (fitting != 1)
			fail_msg("%s: its places have several structs", keyword->name);
	}
}

static void no_keyword_stands_twice_in_one_place(void **state)
{
	const struct keyword *a, *b;

	(void)state;
	for (size_t i = 0; (a = keyword_at(i)) != NULL; i++)
		for (size_t j = 0; j < i && (b = keyword_at(j)) != NULL; j++)
			if (strcmp(a->name, b->name) == 0 && strcmp(a->name, "log") != 0)
				assert_int_equal(a->where & b->where, 0);
}

static void a_text_alone_is_read_without_files_and_names(void **state)
{
	static const char text[] =
		"listen l\n"
		"\tbind :80\n"
		"\ttcp-request connection reject if { src -f /nowhere }\n"
		"\tsource 2001:db8::1:0 usesrc [2001:db8::2]\n"
		"\tserver a nowhere.invalid:80 check check-usesrc 2001:db8::7\n"
		"\ttimeout connect 1s\n\ttimeout client 1s\n\ttimeout server 1s\n";
	struct diag *diag = diag_new();
	struct config *config = config_parse_text("test", text, strlen(text), diag);

	(void)state;
	assert_non_null(config);
	assert_string_equal(config->proxies[0].servers[0].host, "nowhere.invalid");
	assert_true(config->proxies[0].servers[0].unresolved);
	config_free(config);
	config = config_parse("test", text, strlen(text), diag);
	assert_null(config);
	diag_free(diag);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_files_are_read_with_the_expected_warnings_only),
		cmocka_unit_test(bad_files_are_refused_with_all_of_their_mistakes),
		cmocka_unit_test(a_file_that_is_cut_off_anywhere_does_no_harm),
		cmocka_unit_test(a_file_with_wrong_bytes_does_no_harm),
		cmocka_unit_test(too_little_memory_is_an_error_wherever_it_ends),
		cmocka_unit_test(lines_of_port_ranges_cannot_take_all_memory),
		cmocka_unit_test(a_file_that_cannot_be_read_is_an_error),
		cmocka_unit_test(a_file_is_read_from_its_path),
		cmocka_unit_test(a_long_file_is_read_to_its_end),
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
		cmocka_unit_test(a_message_shows_a_word_on_one_line),
		cmocka_unit_test(the_print_names_what_is_left_open),
		cmocka_unit_test(the_print_says_what_listens_and_where_it_connects_from),
		cmocka_unit_test(the_manual_has_the_keyword_table_as_the_code_has_it),
		cmocka_unit_test(every_keyword_stands_in_a_good_file),
		cmocka_unit_test(all_places_of_a_plain_value_have_the_same_struct),
		cmocka_unit_test(no_keyword_stands_twice_in_one_place),
		cmocka_unit_test(a_text_alone_is_read_without_files_and_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
