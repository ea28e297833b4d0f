/*
 * A worker whose event loop breaks: the descriptor of its epoll is taken from it while it runs.
 */
#include "ops/worker.h"

#include "tproxy/socket.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	PATIENCE = 30000 /* milliseconds */
};

static char folder[] = "/tmp/tproxyd-worker-XXXXXX";
static char path[64];

static struct log_target target = {
	.kind = LOG_TO_FILE, .path = path, .format = LOG_RAW, .max_level = LOG_INFO};
static struct bind address;
static struct proxy section = {.name = "web", .binds = &address, .bind_count = 1};
static struct config config = {.global.logs = {&target, 1}, .proxies = &section, .proxy_count = 1};
static struct worker_shared shared = {.config = &config};

static int set_up(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/log", folder);
	section.default_backend = &section;
	shared.ended = eventfd(0, 0);
	shared.limits = limits_new(&config, 10);
	shared.log = log_new(&config, NULL);
	return shared.log == NULL || shared.limits == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	log_free(shared.log);
	limits_free(shared.limits);
	close(shared.ended);
	unlink(path);
	return rmdir(folder);
}

/* A free port of the loopback address. */
static void choose_address(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(addr_parse(&address.address, "127.0.0.1"));
	assert_int_equal(bind(fd, &address.address.sa, addr_length(&address.address)), 0);
	assert_true(socket_local_address(fd, &address.address));
	close(fd);
}

static struct worker *start_worker(void)
{
	struct listener_failure failure;
	struct worker *worker;

	choose_address();
	worker = worker_new(&shared, 0, &failure);
	assert_non_null(worker);
	assert_int_equal(worker_start(worker, &failure), 0);
	return worker;
}

/* A connection to the worker's listener: 0, or the errno. */
static int try_to_connect(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), error = 0;

	if (connect(fd, &address.address.sa, addr_length(&address.address)) == -1)
		error = errno;
	close(fd);
	return error;
}

static void assert_ends(void)
{
	struct pollfd ended = {.fd = shared.ended, .events = POLLIN};
	eventfd_t count;

	assert_int_equal(poll(&ended, 1, PATIENCE), 1);
	eventfd_read(shared.ended, &count);
	assert_int_equal(count, 1);
}

static int find_epoll(void)
{
	for (int fd = 3; fd < 64; fd++) {
		char link[64], what[64] = "";

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		if (readlink(link, what, sizeof(what) - 1) > 0 &&
			strcmp(what, "anon_inode:[eventpoll]") == 0)
			return fd;
	}
	return -1;
}

static void ordered_to_stop_it_ends_well(void **state)
{
	struct worker *worker = start_worker();
	struct counters counters = {0};

	(void)state;
	assert_int_equal(try_to_connect(), 0);
	worker_command(worker, WORKER_STOP);
	assert_ends();
	assert_int_equal(try_to_connect(), ECONNREFUSED);
	assert_true(worker_join(worker, &counters));
}

static void with_a_broken_loop_it_says_so_and_listens_no_more(void **state)
{
	struct worker *worker = start_worker();
	struct counters counters = {0};
	int nothing = open("/dev/null", O_RDONLY);
	char text[4096] = "";
	int file;

	(void)state;
	assert_int_equal(try_to_connect(), 0);
	assert_int_not_equal(dup2(nothing, find_epoll()), -1);
	worker_command(worker, WORKER_RUN); /* wakes it */
	assert_ends();
	assert_int_equal(try_to_connect(), ECONNREFUSED);
	assert_false(worker_join(worker, &counters));
	file = open(path, O_RDONLY);
	assert_true(read(file, text, sizeof(text) - 1) > 0);
	assert_non_null(strstr(text, "its event loop failed: Invalid argument"));
	close(file);
	close(nothing);
}

static void one_that_could_not_be_started_is_taken_apart(void **state)
{
	struct listener_failure failure;
	struct counters counters = {0};
	struct worker *worker;
	int nothing = open("/dev/null", O_RDONLY);

	(void)state;
	choose_address();
	worker = worker_new(&shared, 0, &failure);
	assert_non_null(worker);
	assert_int_not_equal(dup2(nothing, find_epoll()), -1);
	assert_int_equal(worker_start(worker, &failure), -1);
	assert_null(failure.bind);
	assert_int_equal(failure.error, EINVAL);
	assert_true(worker_join(worker, &counters));
	close(nothing);
}

/* Leaves room for no more descriptors; returns the limit to go back to. */
static struct rlimit use_descriptors_up(void)
{
	int free_one = dup(shared.ended);
	struct rlimit before, limit;

	close(free_one);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = (struct rlimit){(rlim_t)free_one, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	return before;
}

static void a_want_of_descriptors_is_named(void **state)
{
	struct listener_failure failure;
	struct counters counters = {0};
	struct rlimit before = use_descriptors_up();
	struct worker *worker;

	(void)state;
	worker = worker_new(&shared, 0, &failure);
	assert_null(worker);
	assert_int_equal(failure.error, EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	choose_address();
	worker = worker_new(&shared, 0, &failure);
	assert_non_null(worker);
	before = use_descriptors_up();
	assert_int_equal(worker_start(worker, &failure), -1);
	assert_int_equal(failure.error, EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_true(worker_join(worker, &counters));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ordered_to_stop_it_ends_well),
		cmocka_unit_test(with_a_broken_loop_it_says_so_and_listens_no_more),
		cmocka_unit_test(one_that_could_not_be_started_is_taken_apart),
		cmocka_unit_test(a_want_of_descriptors_is_named),
	};

	return cmocka_run_group_tests_name("worker", tests, set_up, tear_down);
}
