/*
 * The table of flows: each is found by its key, whatever else is there, and is gone when it was taken out.
 */
#include "udp/flow_table.h"

#include "unit.h"

#include <malloc.h>
#include <stdlib.h>

enum {
	MANY = 1000
};

/* The same bind line in two configurations, and one of an interface. */
static struct bind binds[3] = {[2] = {.interface = "lo"}};
static struct receiver receivers[3] = {
	{.bind = &binds[0]}, {.bind = &binds[1]}, {.bind = &binds[2]}};
static struct flow flows[MANY];

/* Keys that differ in the interface, the client's port, its address or the destination alone. */
static void make_flow(unsigned i)
{
	struct flow_key *key = &flows[i].key;

	assert_true(addr_parse(&key->sender, i & 2 ? "198.51.100.10" : "2001:db8::10"));
	assert_true(addr_parse(&key->destination, i & 4 ? "192.0.2.80" : "192.0.2.81"));
	addr_set_port(&key->sender, (uint16_t)(1024 + i / 8));
	key->receiver = &receivers[2 * (i & 1)];
}

static void assert_finds(const struct flow_table *table, unsigned first)
{
	for (unsigned i = 0; i < MANY; i++)
		assert_ptr_equal(
			flow_table_find(table, &flows[i].key), i % 3 < first ? NULL : &flows[i]);
}

static void each_flow_is_found_until_it_is_taken_out(void **state)
{
	struct flow_table table;

	(void)state;
	assert_int_equal(flow_table_init(&table), 0);
	for (unsigned i = 0; i < MANY; i++) {
		make_flow(i);
		assert_null(flow_table_find(&table, &flows[i].key));
		flow_table_add(&table, &flows[i]);
	}
	assert_int_equal(table.count, MANY);
	assert_in_range(table.size, MANY, 2 * MANY + 64); /* so chains are short */
	assert_int_equal(table.size & (table.size - 1), 0);
	for (unsigned out = 0; out < 3; out++) {
		assert_finds(&table, out);
		for (unsigned i = out; i < MANY; i += 3)
			flow_table_remove(&table, &flows[i]);
	}
	assert_finds(&table, 3);
	assert_int_equal(table.count, 0);
	flow_table_free(&table);
	flow_table_free(&table);
}

static void a_flow_is_found_by_a_receiver_of_a_later_configuration(void **state)
{
	struct flow_table table;
	struct flow_key key;

	(void)state;
	assert_int_equal(flow_table_init(&table), 0);
	make_flow(0);
	flow_table_add(&table, &flows[0]);
	key = flows[0].key;
	key.receiver = &receivers[1];
	assert_ptr_equal(flow_table_find(&table, &key), &flows[0]);
	key.receiver = &receivers[2];
	assert_null(flow_table_find(&table, &key));
	flow_table_remove(&table, &flows[0]);
	flow_table_free(&table);
}

static void a_table_leaves_no_memory(void **state)
{
	struct flow_table table;
	size_t before = 0;

	(void)state;
	for (int round = 0; round < 20;
		round++) { /* the C library keeps what the first ones free */
		assert_int_equal(flow_table_init(&table), 0);
		for (unsigned i = 0; i < MANY; i++)
			flow_table_add(&table, &flows[i]);
		flow_table_free(&table);
		if (round == 10)
			before = mallinfo2().uordblks;
	}
	assert_int_equal(mallinfo2().uordblks, before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_flow_is_found_until_it_is_taken_out),
		cmocka_unit_test(a_flow_is_found_by_a_receiver_of_a_later_configuration),
		cmocka_unit_test(a_table_leaves_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
