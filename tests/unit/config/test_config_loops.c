/*
 * Loops: which servers of a file are its own listeners, and on a cycle.
 */
#include "unit.h"

#include "tproxy/config.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULTS "defaults\n timeout client 1s\n timeout server 2s\n timeout connect 3s\n"

static struct config *config;
static char *messages;

static void parse_text(const char *text, size_t length)
{
	struct diag *diag = diag_new();
	size_t size;
	FILE *out;

	config = config_parse("test", text, length, diag);
	out = open_memstream(&messages, &size);
	diag_print(diag, out);
	fclose(out);
	diag_free(diag);
	if (config == NULL)
		fail_msg("%s", messages);
}

static void parse(const char *text)
{
	char whole[4096];
	int length = snprintf(whole, sizeof(whole), DEFAULTS "%s", text);

	assert_in_range(length, 1, sizeof(whole) - 1);
	parse_text(whole, (size_t)length);
}

static void release(void)
{
	config_free(config);
	free(messages);
}

/* The names of the servers in a loop, each with the line of the listener. */
static const char *loops(void)
{
	static char text[1024];
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < config->proxy_count; i++)
		for (size_t j = 0; j < config->proxies[i].server_count; j++) {
			const struct server *server = &config->proxies[i].servers[j];

			if (server->loop != NULL)
				used += (size_t)snprintf(text + used, sizeof(text) - used,
					"%s%s:%u", used == 0 ? "" : " ", server->name,
					server->loop->line);
		}
	return text;
}

static void expect_loops(const char *text, const char *expected, const char *warnings)
{
	parse(text);
	assert_string_equal(loops(), expected);
	assert_string_equal(messages, warnings);
	release();
}

#define WARNING(line, name, address, frontend, bind_line)                                          \
	"test:" line ": warning: '" name "': " address " is also what '" frontend                  \
	"' listens on (line " bind_line "): where that address is this host's own, "               \
	"connections come back to the proxy and are refused (loop); write an address that the "    \
	"proxy does not listen on\n"
#define CERTAIN(line, name, address, frontend, bind_line)                                          \
	"test:" line ": warning: '" name "': " address " is also what '" frontend                  \
	"' listens on (line " bind_line "): connections come back to the proxy and are refused "   \
	"(loop); write an address that the proxy does not listen on\n"

static void a_server_that_is_the_proxys_own_listener_is_a_loop(void **state)
{
	(void)state;
	expect_loops("listen l\n bind 192.0.2.1:80\n server a 192.0.2.1:80\n"
		     " server b 192.0.2.1:81\n server c 192.0.2.2:80\n",
		"a:6", WARNING("7", "a", "192.0.2.1:80", "l", "6"));
	expect_loops("listen l\n bind [2001:db8::1]:80\n server a [2001:db8::1]:80\n"
		     " server b [2001:db8::2]:80\n",
		"a:6", WARNING("7", "a", "[2001:db8::1]:80", "l", "6"));
}

static void a_chain_that_ends_is_none(void **state)
{
	(void)state;
	expect_loops("frontend a\n bind 192.0.2.1:80\n default_backend a\n"
		     "backend a\n server to-b 192.0.2.2:80\n"
		     "listen b\n bind 192.0.2.2:80\n server real 192.0.2.3:80\n"
		     "frontend nothing\n bind 192.0.2.3:81\n default_backend c\n"
		     "backend c\n server to-a 192.0.2.1:80\n",
		"", "");
}

static void a_cycle_of_frontends_is_a_loop_but_not_what_leads_to_it(void **state)
{
	(void)state;
	expect_loops("listen before\n bind 192.0.2.9:80\n server to-a 192.0.2.1:80\n"
		     "listen a\n bind 192.0.2.1:80\n server to-b 192.0.2.2:80\n"
		     " server real 192.0.2.3:80\n"
		     "listen b\n bind 192.0.2.2:80\n server back 192.0.2.1:80\n",
		"to-b:13 back:9",
		WARNING("10", "to-b", "192.0.2.2:80", "b", "13")
			WARNING("14", "back", "192.0.2.1:80", "a", "9"));
}

static void a_wildcard_covers_real_servers_so_only_loopback_is_warned_of(void **state)
{
	(void)state;
	expect_loops("listen l\n bind :80\n server real 192.0.2.1:80\n server other 192.0.2.1:81\n"
		     " server self 127.0.0.2:80\n server six [2001:db8::1]:80\n",
		"real:6 self:6", CERTAIN("9", "self", "127.0.0.2:80", "l", "6"));
	expect_loops("listen l\n bind :::80\n server self [::1]:80\n server six [2001:db8::1]:80\n"
		     " server four 192.0.2.1:80\n",
		"self:6 six:6 four:6", CERTAIN("7", "self", "[::1]:80", "l", "6"));
	expect_loops("listen l\n bind :::80 v6only\n server self 127.0.0.1:80\n", "", "");
}

static void an_exact_address_goes_before_a_wildcard(void **state)
{
	(void)state;
	expect_loops(
		"listen a\n bind :80\n server to-b 192.0.2.2:80\n server too [2001:db8::2]:80\n"
		"listen b\n bind 192.0.2.2:80\n bind [2001:db8::2]:80\n"
		" server real 192.0.2.3:8080\n",
		"", "");
	expect_loops("listen a\n bind :80\n server to-b 192.0.2.2\n"
		     "listen b\n bind 192.0.2.2:80\n server real 192.0.2.3:8080\n",
		"", "");
}

static void a_server_without_a_port_takes_the_one_of_the_listener(void **state)
{
	(void)state;
	expect_loops("listen l\n bind 192.0.2.1:80\n bind 192.0.2.2:81\n server a 192.0.2.2\n",
		"a:7", WARNING("8", "a", "192.0.2.2:81", "l", "7"));
	expect_loops("listen a\n bind 192.0.2.1:80\n server to-b 192.0.2.2\n"
		     "listen b\n bind 192.0.2.2:81\n server to-a 192.0.2.1\n",
		"", "");
	expect_loops("listen l\n bind 192.0.2.1:65530-65535\n server a 192.0.2.1\n"
		     " server b 192.0.2.1\n server c 192.0.2.2\n",
		"a:6 b:6",
		WARNING("7", "a", "192.0.2.1:65530", "l", "6")
			WARNING("8", "b", "192.0.2.1:65530", "l", "6"));
	expect_loops("listen l\n bind :80\n server a 192.0.2.1\n server b 127.0.0.1\n", "a:6 b:6",
		CERTAIN("8", "b", "127.0.0.1:80", "l", "6"));
}

static void a_port_is_kept_along_a_chain(void **state)
{
	(void)state;
	/* By :80 to b, which sends it on to a's :81; from there to a place where nothing listens. */
	expect_loops("listen a\n bind 192.0.2.1:80-81\n server to-b 192.0.2.2\n"
		     "listen b\n bind 192.0.2.2:80\n server to-a 192.0.2.1:81\n",
		"", "");
	expect_loops("listen a\n bind 192.0.2.1:80-81\n server to-b 192.0.2.2\n"
		     "listen b\n bind 192.0.2.2:80-81\n server to-a 192.0.2.1:81\n",
		"to-b:9 to-a:6",
		WARNING("7", "to-b", "192.0.2.2:81", "b", "9")
			WARNING("10", "to-a", "192.0.2.1:81", "a", "6"));
}

static void each_interface_of_a_place_counts(void **state)
{
	(void)state;
	expect_loops("frontend a\n bind 192.0.2.1:80 interface eth0\n default_backend a\n"
		     "frontend b\n bind 192.0.2.1:80 interface eth1\n default_backend b\n"
		     "backend a\n server real 192.0.2.3:80\n"
		     "backend b\n server self 192.0.2.1:80\n",
		"self:9", WARNING("14", "self", "192.0.2.1:80", "b", "9"));
}

static void a_backend_that_a_rule_chooses_counts(void **state)
{
	(void)state;
	expect_loops("frontend a\n bind 192.0.2.1:80\n default_backend real\n"
		     " use_backend self if { src 198.51.100.7 }\n"
		     "backend real\n server r 192.0.2.3:80\n"
		     "backend self\n server s 192.0.2.1:80\n",
		"s:6", WARNING("12", "s", "192.0.2.1:80", "a", "6"));
}

/* Clients of an interception connect to other hosts, so this is no loop. Whether it is shows for each client. */
static void a_server_where_the_client_connected_to_gives_no_warning(void **state)
{
	(void)state;
	expect_loops("listen a\n bind :80 transparent\n server original 0.0.0.0\n", "", "");
	expect_loops("listen a\n bind :80 transparent\n server original 0.0.0.0:80\n"
		     " server six [::]:80\n server other *:81\n",
		"original:6 six:6", "");
	expect_loops(
		"listen a\n bind [::]:80 transparent\n server original *:80\n", "original:6", "");
	expect_loops("listen a\n bind :80 transparent\n server other *:81\n"
		     "listen b\n mode udp\n bind :80 transparent\n server datagrams *:80\n",
		"", "");
	expect_loops("frontend a\n bind 127.0.0.1:81\n default_backend b\n"
		     "backend b\n server original *:81\n server back 127.0.0.1\n",
		"original:6 back:6", CERTAIN("10", "back", "127.0.0.1:81", "a", "6"));
}

/* --- the same by trying every step --- */

static struct bind *listeners[256];
static const struct proxy *frontends[256];
static size_t listener_count;

static bool leads_to(const struct addr *address, size_t listener)
{
	struct addr here = listeners[listener]->address;
	bool exact_exists = false;

	for (size_t i = 0; i < listener_count; i++)
		exact_exists |= addr_equal(&listeners[i]->address, address);
	if (exact_exists || !addr_is_any(&here) || addr_port(&here) != addr_port(address))
		return addr_equal(&here, address);
	if (addr_family(&here) == addr_family(address))
		return true;
	if (addr_family(address) == AF_INET6 || listeners[listener]->v6_mode == V6_ONLY)
		return false;
	/* An IPv4 wildcard at the port goes before an IPv6 one. */
	for (size_t i = 0; i < listener_count; i++)
		if (addr_family(&listeners[i]->address) == AF_INET &&
			addr_is_any(&listeners[i]->address) &&
			addr_port(&listeners[i]->address) == addr_port(address))
			return false;
	return true;
}

static bool steps[256][256]; /* from one listener to another, in one step or more */

static bool server_leads(const struct server *server, size_t from, size_t to)
{
	struct addr address = server_address(server, &listeners[from]->address);

	return leads_to(&address, to);
}

static bool backend_leads(const struct proxy *backend, size_t from, size_t to)
{
	for (size_t i = 0; i < backend->server_count; i++)
		if (server_leads(&backend->servers[i], from, to))
			return true;
	return false;
}

static bool is_target(const struct proxy *frontend, const struct proxy *backend)
{
	for (size_t i = 0; i < frontend->target_count; i++)
		if (frontend->targets[i] == backend)
			return true;
	return false;
}

static void try_every_step(void)
{
	listener_count = 0;
	for (size_t i = 0; i < config->proxy_count; i++)
		for (size_t j = 0; j < config->proxies[i].bind_count; j++) {
			listeners[listener_count] = &config->proxies[i].binds[j];
			frontends[listener_count++] = &config->proxies[i];
		}
	memset(steps, 0, sizeof(steps));
	for (size_t i = 0; i < listener_count; i++)
		for (size_t j = 0; j < listener_count; j++)
			for (size_t k = 0; k < frontends[i]->target_count; k++)
				steps[i][j] |= backend_leads(frontends[i]->targets[k], i, j);
	for (size_t k = 0; k < listener_count; k++)
		for (size_t i = 0; i < listener_count; i++)
			for (size_t j = 0; j < listener_count; j++)
				steps[i][j] |= steps[i][k] && steps[k][j];
}

static bool is_in_loop(const struct proxy *backend, const struct server *server)
{
	for (size_t i = 0; i < listener_count; i++)
		for (size_t j = 0; is_target(frontends[i], backend) && j < listener_count; j++)
			if (server_leads(server, i, j) && (i == j || steps[j][i]))
				return true;
	return false;
}

static unsigned seed = 1;

static unsigned pick(unsigned count)
{
	return (unsigned)rand_r(&seed) % count;
}

/* A few frontends at few addresses and ports, so that many meet. */
static void print_random(FILE *out)
{
	static const char *const addresses[] = {"192.0.2.1", "192.0.2.2", "192.0.2.3",
		"[2001:db8::1]", "[2001:db8::2]", "127.0.0.1"};
	static const char *const places[] = {
		"192.0.2.1", "192.0.2.2", "[2001:db8::1]", "*", "[::]", "192.0.2.3"};
	unsigned proxies = 1 + pick(4), used = 0;

	fputs(DEFAULTS, out);
	for (unsigned i = 0; i < proxies; i++) {
		fprintf(out, "frontend f%u\n default_backend b%u\n", i, pick(proxies));
		for (unsigned j = pick(3); j > 0; j--)
			fprintf(out, " use_backend b%u if { src_port %u }\n", pick(proxies), j);
		for (unsigned j = 1 + pick(3); j > 0; j--) {
			unsigned place = pick(6), port = pick(4), bit = 1U << (4 * place + port);

			if (!(used & bit))
				fprintf(out, " bind %s:%u%s\n", places[place], 80 + port,
					place == 4 && pick(2) ? " v6only" : "");
			used |= bit;
		}
		fprintf(out, "backend b%u\n", i);
		for (unsigned j = 0, count = 1 + pick(4); j < count; j++) {
			fprintf(out, " server s%u %s", j, addresses[pick(6)]);
			if (pick(2))
				fprintf(out, ":%u", 80 + pick(4));
			fputs("\n", out);
		}
	}
}

static void the_marks_are_what_trying_every_step_finds(void **state)
{
	unsigned marked = 0, unmarked = 0;

	(void)state;
	for (int run = 0; run < 3000; run++) {
		char *text = NULL;
		size_t length;
		FILE *out = open_memstream(&text, &length);

		print_random(out);
		fclose(out);
		parse_text(text, length);
		try_every_step();
		for (size_t i = 0; i < config->proxy_count; i++)
			for (size_t j = 0; j < config->proxies[i].server_count; j++) {
				const struct server *server = &config->proxies[i].servers[j];
				bool loop = is_in_loop(&config->proxies[i], server);

				if (loop != (server->loop != NULL))
					fail_msg("%s%s in backend %s: %s a loop", text,
						server->name, config->proxies[i].name,
						loop ? "is" : "is not");
				*(loop ? &marked : &unmarked) += 1;
			}
		free(text);
		release();
	}
	assert_true(marked > 1000 && unmarked > 1000);
}

/* --- large ones --- */

static void parse_large(void (*print)(FILE *out))
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	fputs(DEFAULTS, out);
	print(out);
	fclose(out);
	parse_text(text, length);
	free(text);
}

static size_t count_loops(void)
{
	size_t count = 0;

	for (size_t i = 0; i < config->proxy_count; i++)
		for (size_t j = 0; j < config->proxies[i].server_count; j++)
			count += config->proxies[i].servers[j].loop != NULL;
	return count;
}

static void print_ring(FILE *out)
{
	for (unsigned i = 0; i < 30000; i++) {
		unsigned to = (i + 1) % 30000;

		fprintf(out, "listen l%u\n bind 10.0.%u.%u:80\n server s 10.0.%u.%u%s\n", i, i >> 8,
			i & 255, to >> 8, to & 255, i % 2 ? ":80" : "");
	}
}

static void a_ring_of_30000_frontends_is_found(void **state)
{
	(void)state;
	parse_large(print_ring);
	assert_int_equal(count_loops(), 30000);
	release();
}

static void print_chain(FILE *out)
{
	print_ring(out);
	fputs("listen last\n bind 10.0.0.0:81\n server s 10.1.0.0:80\n", out);
}

static void print_broken_ring(FILE *out)
{
	for (unsigned i = 0; i < 30000; i++)
		fprintf(out, "listen l%u\n bind 10.0.%u.%u:80\n server s 10.0.%u.%u:80\n", i,
			i >> 8, i & 255, (i + 1) >> 8, (i + 1) & 255);
}

static void a_chain_of_30000_frontends_is_none(void **state)
{
	(void)state;
	parse_large(print_broken_ring);
	assert_int_equal(count_loops(), 0);
	release();
	parse_large(print_chain);
	assert_int_equal(count_loops(), 30000);
	release();
}

static void print_range(FILE *out)
{
	fputs("listen l\n bind :1-65535\n", out);
	for (unsigned i = 0; i < 30000; i++)
		fprintf(out, " server s%u 10.0.%u.%u\n", i, i >> 8, i & 255);
}

static void print_same(FILE *out)
{
	fputs("listen l\n bind 10.0.0.1:1-65535\n", out);
	for (unsigned i = 0; i < 30000; i++)
		fprintf(out, " server s%u 10.0.0.1\n", i);
}

static void all_ports_with_30000_servers_without_one_are_judged(void **state)
{
	(void)state;
	parse_large(print_range);
	assert_int_equal(count_loops(), 30000);
	release();
	parse_large(print_same);
	assert_int_equal(count_loops(), 30000);
	release();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_server_that_is_the_proxys_own_listener_is_a_loop),
		cmocka_unit_test(a_chain_that_ends_is_none),
		cmocka_unit_test(a_cycle_of_frontends_is_a_loop_but_not_what_leads_to_it),
		cmocka_unit_test(a_wildcard_covers_real_servers_so_only_loopback_is_warned_of),
		cmocka_unit_test(an_exact_address_goes_before_a_wildcard),
		cmocka_unit_test(a_server_without_a_port_takes_the_one_of_the_listener),
		cmocka_unit_test(a_port_is_kept_along_a_chain),
		cmocka_unit_test(a_server_where_the_client_connected_to_gives_no_warning),
		cmocka_unit_test(each_interface_of_a_place_counts),
		cmocka_unit_test(a_backend_that_a_rule_chooses_counts),
		cmocka_unit_test(the_marks_are_what_trying_every_step_finds),
		cmocka_unit_test(a_ring_of_30000_frontends_is_found),
		cmocka_unit_test(a_chain_of_30000_frontends_is_none),
		cmocka_unit_test(all_ports_with_30000_servers_without_one_are_judged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
