/*
 * Clients of datagrams: flows and datagrams are counted for each client and section.
 */
#include "servers/clients.h"

#include "unit.h"

#include <stdio.h>

static struct clients *clients;

static int set_up(void **state)
{
	(void)state;
	clients = clients_new();
	return clients == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	clients_free(clients);
	clients_free(NULL);
	return 0;
}

static struct client *enter(const char *section, const char *address, unsigned most)
{
	struct addr addr;
	bool no_memory;
	struct client *client;

	assert_true(addr_parse(&addr, address));
	addr_set_port(&addr, (uint16_t)(most * 7)); /* the port makes no difference */
	client = clients_enter(clients, section, &addr, most, &no_memory);
	assert_false(no_memory);
	return client;
}

static void a_client_has_so_many_flows_and_no_more(void **state)
{
	struct client *client = enter("dns", "192.0.2.1", 2);

	(void)state;
	assert_non_null(client);
	assert_ptr_equal(enter("dns", "192.0.2.1", 2), client);
	assert_null(enter("dns", "192.0.2.1", 2));
	assert_ptr_equal(enter("dns", "192.0.2.1", 3), client);
	clients_leave(clients, client);
	assert_null(enter("dns", "192.0.2.1", 2));
	clients_leave(clients, client);
	assert_ptr_equal(enter("dns", "192.0.2.1", 2), client);
	assert_ptr_equal(enter("dns", "192.0.2.1", 0), client);
	for (int i = 0; i < 3; i++)
		clients_leave(clients, client);
}

static void others_are_counted_apart(void **state)
{
	static const struct {
		const char *section, *address;
	} rows[] = {{"dns", "192.0.2.1"}, {"dns", "192.0.2.2"}, {"dns2", "192.0.2.1"},
		{"dns", "2001:db8::1"}, {"dns", "2001:db8:0:1::1"}};
	struct client *found[5];

	(void)state;
	for (int i = 0; i < 5; i++) {
		found[i] = enter(rows[i].section, rows[i].address, 1);
		assert_non_null(found[i]);
		assert_null(enter(rows[i].section, rows[i].address, 1));
	}
	/* The same network of 64 bits. */
	assert_null(enter("dns", "2001:db8::ffff:ffff:ffff:ffff", 1));
	for (int i = 0; i < 5; i++)
		clients_leave(clients, found[i]);
}

static void many_clients_are_found_again(void **state)
{
	enum {
		MANY = 1000
	};
	static struct client *found[MANY];
	char text[32];

	(void)state;
	for (int i = 0; i < MANY; i++) {
		snprintf(text, sizeof(text), "198.51.%d.%d", i / 250, i % 250);
		found[i] = enter("dns", text, 1);
	}
	for (int i = 0; i < MANY; i++) {
		snprintf(text, sizeof(text), "198.51.%d.%d", i / 250, i % 250);
		assert_ptr_equal(enter("dns", text, 2), found[i]);
	}
	for (int i = 0; i < 2 * MANY; i++)
		clients_leave(clients, found[i % MANY]);
}

static void a_client_sends_so_many_datagrams_in_a_second(void **state)
{
	struct client *client = enter("dns", "192.0.2.1", 0), *other = enter("dns", "192.0.2.2", 0);
	bool lost;

	(void)state;
	assert_int_equal(clients_take(clients, client, 10, 4, 100, &lost), 4);
	assert_false(lost);
	assert_int_equal(clients_take(clients, client, 10, 6, 100, &lost), 6);
	assert_false(lost);
	assert_int_equal(clients_take(clients, client, 10, 1, 100, &lost), 0);
	assert_true(lost);
	assert_int_equal(clients_take(clients, client, 10, 1, 100, &lost), 0);
	assert_false(lost);
	assert_int_equal(clients_take(clients, other, 10, 1, 100, &lost), 1);
	assert_int_equal(clients_take(clients, client, 10, 64, 101, &lost), 10);
	assert_true(lost);
	clients_leave(clients, client);
	clients_leave(clients, other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_client_has_so_many_flows_and_no_more),
		TEST(others_are_counted_apart),
		TEST(many_clients_are_found_again),
		TEST(a_client_sends_so_many_datagrams_in_a_second),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
