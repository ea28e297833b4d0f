/*
 * The helper of the admin page: how long a call may take.
 */
#include "unit.h"

#include "web/helper.h"
#include "web/verb_base.h"

#include <sys/mman.h>
#include <unistd.h>

/* What it waited for its turn is not taken from its time: else it may end between the file and the reload. */
static void a_turn_comes_with_the_whole_time(void **state)
{
	int lock = memfd_create("lock", MFD_CLOEXEC);

	(void)state;
	alarm(2);
	helper_take_turn(lock);
	assert_true(alarm(0) > HELPER_SECONDS_MAX - 2);
	close(lock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_turn_comes_with_the_whole_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
