/*
 * Rules of sessions: which clients are served, and by which server.
 *
 * Clients and servers of the rig have loopback addresses; a PROXY header gives a client another one.
 */
#include "rig.h"

#include "tproxy/socket.h"

#include <stdlib.h>
#include <unistd.h>

#define HEADER "PROXY TCP4 198.51.100.10 192.0.2.80 51234 443\r\n"
#define HEAD   "defaults\n timeout client 1s\n timeout connect 1s\n timeout server 1s\n"

/* The configuration that a test's rules are from; they live as long as it. */
static struct config *config;

static int tear_down(void **state)
{
	int failed = rig_tear_down(state);

	config_free(config);
	config = NULL;
	return failed;
}

/* Gives the rig's section the rules of a listen section with these LINES. Server 1 is s1, and so on. */
static void use_rules(struct rig *rig, const char *lines)
{
	struct diag *diag = diag_new();
	struct proxy *read;
	char *text;

	assert_return_code(
		asprintf(&text,
			HEAD
			"listen l\n bind :80\n server s0 192.0.2.1:80\n server s1 192.0.2.2:80\n%s"
			"backend b\n server s2 192.0.2.3:80\n",
			lines),
		0);
	config = config_parse("test", text, strlen(text), diag);
	assert_non_null(config);
	diag_free(diag);
	free(text);
	read = &config->proxies[0];
	memcpy(rig->section.rules, read->rules, sizeof(read->rules));
	for (size_t i = 0; i < read->rules[STAGE_SERVER].count; i++) {
		struct client_rule *rule = &rig->section.rules[STAGE_SERVER].list[i];

		rule->server = &rig->servers[rule->server - read->servers];
	}
	for (size_t i = 0; i < read->rules[STAGE_BACKEND].count; i++)
		rig->section.rules[STAGE_BACKEND].list[i].backend = &rig->section;
}

static void assert_rejected(struct rig *rig, int client)
{
	char byte;

	rig_until(rig, rig_has_ended);
	assert_string_equal(reason_name(rig->last.reason), "rejected");
	assert_null(rig->last.server);
	assert_int_equal(
		rig_read(rig, client, &byte, 1), -1); /* it is reset, so that it need not wait */
	close(client);
}

static void assert_served(struct rig *rig, int client, unsigned server, const char *text)
{
	int fd = rig_accept(rig, server);

	rig_write(client, text);
	rig_assert_reads(rig, fd, text);
	close(client);
	close(fd);
	rig_until(rig, rig_has_ended);
}

static void a_client_is_rejected_by_its_address(void **state)
{
	struct rig *rig = *state;

	use_rules(rig, " tcp-request connection reject if { src 127.0.0.0/8 }\n");
	assert_rejected(rig, rig_client(rig));
}

static void a_rejected_client_gives_back_its_places(void **state)
{
	struct rig *rig = *state;
	struct limits_counts counts;

	use_rules(rig, " tcp-request connection reject\n");
	assert_rejected(rig, rig_client(rig));
	session_loop_reap(&rig->loop);
	counts = limits_counts(rig->limits, &rig->section, &rig->section, &rig->servers[0]);
	assert_int_equal(counts.process, 0);
	assert_int_equal(counts.frontend, 0);
	assert_int_equal(counts.backend, 0);
	assert_int_equal(counts.server, 0);
}

static void the_first_rule_that_applies_decides(void **state)
{
	struct rig *rig = *state;

	use_rules(rig, " tcp-request connection reject if { src 203.0.113.1 }\n"
		       " tcp-request connection accept if { src 127.0.0.1 }\n"
		       " tcp-request connection reject\n");
	assert_served(rig, rig_client(rig), 0, "request");
}

static void without_a_rule_that_applies_a_client_is_served(void **state)
{
	struct rig *rig = *state;

	use_rules(rig, " tcp-request connection reject if { dst 192.0.2.80 }\n");
	assert_served(rig, rig_client(rig), 0, "request");
}

static void the_destination_is_the_address_that_was_connected_to(void **state)
{
	struct rig *rig = *state;
	struct addr vip;
	char lines[128];

	assert_true(socket_local_address(rig->vip, &vip));
	snprintf(lines, sizeof(lines),
		" tcp-request connection reject if { dst 127.0.0.1 } { dst_port %u }\n",
		addr_port(&vip));
	use_rules(rig, lines);
	assert_rejected(rig, rig_client(rig));
}

static void a_client_of_these_networks_begins_with_a_header(void **state)
{
	struct rig *rig = *state;
	int client;

	use_rules(rig, " tcp-request connection expect-proxy layer4 if { src 127.0.0.0/8 }\n");
	client = rig_client(rig);
	assert_int_equal(rig_session(rig)->state, SESSION_HEADER);
	rig_write(client, HEADER);
	assert_served(rig, client, 0, "request");
	assert_int_equal(addr_port(&rig->last.client), 51234);
}

static void other_clients_send_no_header(void **state)
{
	struct rig *rig = *state;

	use_rules(rig, " tcp-request connection expect-proxy layer4 unless { src 127.0.0.0/8 }\n");
	assert_served(rig, rig_client(rig), 0, HEADER);
}

static void rules_behind_expect_proxy_are_asked_too(void **state)
{
	struct rig *rig = *state;

	use_rules(rig, " tcp-request connection expect-proxy layer4\n"
		       " tcp-request connection reject if { src 127.0.0.1 }\n");
	assert_rejected(rig, rig_client(rig));
}

static void rules_for_connections_see_the_sender_of_a_header(void **state)
{
	struct rig *rig = *state;
	int client;

	use_rules(rig, " tcp-request connection reject if { src 198.51.100.10 }\n");
	rig->bind.accept_proxy = true;
	client = rig_client(rig);
	rig_write(client, HEADER);
	assert_served(rig, client, 0, "request");
}

static void later_rules_see_what_the_header_names(void **state)
{
	struct rig *rig = *state;
	int client;

	use_rules(rig,
		" use-server s1 if { src 198.51.100.10 } { src_port 51234 } { dst 192.0.2.80 } { dst_port 443 }\n");
	rig->bind.accept_proxy = true;
	client = rig_client(rig);
	rig_write(client, HEADER);
	assert_served(rig, client, 1, "request");
}

static void assert_content_rejected(struct rig *rig, int client)
{
	rig_until(rig, rig_has_ended);
	assert_string_equal(reason_name(rig->last.reason), "content-rejected");
	close(client);
}

static void rules_for_sessions_see_what_the_header_names(void **state)
{
	struct rig *rig = *state;
	int client;

	use_rules(rig, " tcp-request session reject if { src 198.51.100.10 }\n");
	rig->bind.accept_proxy = true;
	client = rig_client(rig);
	rig_write(client, HEADER);
	assert_rejected(rig, client);
}

static void an_accept_ends_its_own_stage_only(void **state)
{
	struct rig *rig = *state;

	use_rules(rig,
		" tcp-request connection accept\n tcp-request session accept\n tcp-request session reject\n"
		" tcp-request content reject\n");
	assert_content_rejected(rig, rig_client(rig));
	assert_null(rig->last.backend);
}

static void a_backend_has_rules_of_its_own(void **state)
{
	static struct proxy backend;
	struct rig *rig = *state;

	use_rules(rig, " tcp-request content reject if { src 127.0.0.1 }\n");
	backend = rig->section;
	rig->section.rules[STAGE_CONTENT].count = 0;
	rig->section.default_backend = &backend;
	assert_content_rejected(rig, rig_client(rig));
	assert_ptr_equal(rig->last.backend, &backend);
	backend.rules[STAGE_CONTENT].count = 0;
	rig->ended = 0;
	assert_served(rig, rig_client(rig), 0, "request");
}

static void a_chosen_server_takes_no_turn(void **state)
{
	struct rig *rig = *state;

	use_rules(rig,
		" use-server s1 if { nbsrv 1 }\n use-server s1 if { nbsrv 2 }\n use-server s0 if TRUE\n");
	for (unsigned i = 0; i < 3; i++) {
		rig->ended = 0;
		assert_served(rig, rig_client(rig), 1, "request");
	}
	rig->section.rules[STAGE_SERVER].count = 0;
	rig->ended = 0;
	assert_served(rig, rig_client(rig), 0, "request");
}

static void the_first_backend_that_applies_is_used(void **state)
{
	struct rig *rig = *state;

	use_rules(rig, " use_backend b if FALSE\n use_backend b if { src 127.0.0.1 }\n");
	rig->section.default_backend = NULL;
	assert_served(rig, rig_client(rig), 0, "request");
}

static void without_a_backend_that_applies_the_default_one_counts(void **state)
{
	struct rig *rig = *state;

	use_rules(rig, " use_backend b if FALSE\n");
	assert_served(rig, rig_client(rig), 0, "request");
	rig->section.default_backend = NULL;
	rig->ended = 0;
	close(rig_client(rig));
	rig_until(rig, rig_has_ended);
	assert_string_equal(reason_name(rig->last.reason), "no-server");
}

#define ROUTING_TEST(test) cmocka_unit_test_setup_teardown(test, rig_set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROUTING_TEST(a_client_is_rejected_by_its_address),
		ROUTING_TEST(a_rejected_client_gives_back_its_places),
		ROUTING_TEST(the_first_rule_that_applies_decides),
		ROUTING_TEST(without_a_rule_that_applies_a_client_is_served),
		ROUTING_TEST(the_destination_is_the_address_that_was_connected_to),
		ROUTING_TEST(a_client_of_these_networks_begins_with_a_header),
		ROUTING_TEST(other_clients_send_no_header),
		ROUTING_TEST(rules_behind_expect_proxy_are_asked_too),
		ROUTING_TEST(rules_for_connections_see_the_sender_of_a_header),
		ROUTING_TEST(later_rules_see_what_the_header_names),
		ROUTING_TEST(rules_for_sessions_see_what_the_header_names),
		ROUTING_TEST(an_accept_ends_its_own_stage_only),
		ROUTING_TEST(a_backend_has_rules_of_its_own),
		ROUTING_TEST(a_chosen_server_takes_no_turn),
		ROUTING_TEST(the_first_backend_that_applies_is_used),
		ROUTING_TEST(without_a_backend_that_applies_the_default_one_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
