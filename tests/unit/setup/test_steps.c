/*
 * What has become of a step, and the sysctls that steps set.
 */
#include "hoststate/sysctl.h"
#include "prove/scratch.h"
#include "setup/steps.h"
#include "tproxy/text.h"
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static enum step_found look(const char *sysctl, const char *was, const char *value)
{
	struct step step = {.kind = STEP_SYSCTL,
		.family = AF_INET,
		.sysctl = (char *)sysctl,
		.was = (char *)was,
		.value = (char *)value};
	char *detail = NULL;
	enum step_found found = step_look(&step, &detail);

	free(detail);
	return found;
}

static void a_sysctl_that_cannot_be_read_is_not_taken_for_gone(void **state)
{
	(void)state;
	assert_int_equal(look("net/ipv4/conf", "0", "1"), FOUND_UNKNOWN);
	assert_int_equal(look("net/ipv4/conf/no-such-link/rp_filter", "0", "1"), FOUND_GONE);
}

static void a_sysctl_is_compared_with_what_it_was_and_what_it_was_set_to(void **state)
{
	char *now = sysctl_read("net/ipv4/tcp_syncookies");

	(void)state;
	if (now == NULL)
		skip();
	assert_int_equal(look("net/ipv4/tcp_syncookies", now, "77"), FOUND_GONE);
	assert_int_equal(look("net/ipv4/tcp_syncookies", "77", now), FOUND_THERE);
	assert_int_equal(look("net/ipv4/tcp_syncookies", "76", "77"), FOUND_CHANGED);
	free(now);
}

static void a_number_is_a_whole_one(void **state)
{
	int number = 7;

	(void)state;
	assert_true(sysctl_exists("net/ipv4/ip_local_port_range"));
	assert_false(sysctl_number("net/ipv4/ip_local_port_range", &number));
	assert_false(sysctl_number("kernel/random/boot_id", &number));
	assert_false(sysctl_number("net/ipv4/no_such_sysctl", &number));
	assert_false(sysctl_exists("net/ipv4/no_such_sysctl"));
	assert_int_equal(number, 7);
	assert_true(sysctl_number("kernel/pid_max", &number));
	assert_true(number > 300);
}

/* A list of ports that is longer than the kernel takes at once: it takes a part of it, and says so. */
static int write_long(bool own_users, void *context)
{
	struct text_stream list;
	char *text;
	int error;

	(void)own_users;
	(void)context;
	if (scratch_host() == -1)
		return 2;
	text_begin(&list);
	for (int port = 1; port < 4000; port += 2)
		fprintf(list.out, "%s%d", port > 1 ? "," : "", port);
	text = text_end(&list);
	error = sysctl_write("net/ipv4/ip_local_reserved_ports", text);
	free(text);
	if (error != EIO)
		return 1;
	return sysctl_write("net/ipv4/ip_local_reserved_ports", "1,3") == 0 ? 0 : 3;
}

static void a_value_that_is_taken_in_part_is_an_error(void **state)
{
	int status = scratch_run(write_long, NULL);

	(void)state;
	if (status == -1)
		skip(); /* no scratch namespaces here */
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sysctl_that_cannot_be_read_is_not_taken_for_gone),
		cmocka_unit_test(a_sysctl_is_compared_with_what_it_was_and_what_it_was_set_to),
		cmocka_unit_test(a_number_is_a_whole_one),
		cmocka_unit_test(a_value_that_is_taken_in_part_is_an_error),
	};

	return cmocka_run_group_tests_name("steps", tests, NULL, NULL);
}
