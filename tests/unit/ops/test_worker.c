/*
 * A worker whose event loop breaks: the descriptor of its epoll is taken from it while it runs. And a worker
 * that takes another configuration on.
 */
#include "ops/worker.h"

#include "tproxy/socket.h"
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
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
static struct generation first = {.config = &config};
static int reports;

static int set_up(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/log", folder);
	section.default_backend = &section;
	reports = eventfd(0, 0);
	first.limits = limits_new(&config, 10);
	first.tallies = tallies_new(&config, 1);
	first.log = log_new(&config, NULL);
	return first.log == NULL || first.limits == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	log_free(first.log);
	limits_free(first.limits);
	tallies_free(first.tallies);
	close(reports);
	unlink(path);
	return rmdir(folder);
}

/* A socket at a free port of the loopback address, which is set. */
static int take_port(struct addr *free_one)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(addr_parse(free_one, "127.0.0.1"));
	assert_int_equal(bind(fd, &free_one->sa, addr_length(free_one)), 0);
	assert_true(socket_local_address(fd, free_one));
	return fd;
}

static void choose_address(void)
{
	close(take_port(&address.address));
}

static struct worker *start_worker(void)
{
	struct listener_failure failure;
	struct worker *worker;

	choose_address();
	worker = worker_new(0, reports, &first, &failure);
	assert_non_null(worker);
	assert_int_equal(worker_start(worker, NULL, &failure), 0);
	return worker;
}

/* A connection to an address: 0, or the errno. */
static int try_to_connect_to(const struct addr *to)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), error = 0;

	if (connect(fd, &to->sa, addr_length(to)) == -1)
		error = errno;
	close(fd);
	return error;
}

/* The same to the worker's listener. */
static int try_to_connect(void)
{
	return try_to_connect_to(&address.address);
}

static void await_report(void)
{
	struct pollfd report = {.fd = reports, .events = POLLIN};
	eventfd_t count;

	assert_int_equal(poll(&report, 1, PATIENCE), 1);
	eventfd_read(reports, &count);
}

static void assert_ends(struct worker *worker)
{
	while (!worker_has_ended(worker))
		await_report();
	assert_true(worker_is_settled(worker));
}

/* --- whether it answers --- */

static sem_t hanging, goes_on;

static void hang(int number)
{
	(void)number;
	sem_post(&hanging);
	while (sem_wait(&goes_on) == -1)
		;
}

/* The worker's thread, in a process that has just this one besides its main thread. */
static pid_t find_thread(void)
{
	DIR *threads = opendir("/proc/self/task");
	struct dirent *entry;
	pid_t found = 0;

	assert_non_null(threads);
	while ((entry = readdir(threads)) != NULL)
		if (atoi(entry->d_name) != getpid() && entry->d_name[0] != '.')
			found = atoi(entry->d_name);
	closedir(threads);
	return found;
}

static void await_answer(struct worker *worker)
{
	const struct timespec moment = {.tv_nsec = 1000000};

	for (int i = 0; worker_is_silent(worker); i++) {
		assert_in_range(i, 0, PATIENCE);
		nanosleep(&moment, NULL);
	}
}

static void one_that_hangs_does_not_answer(void **state)
{
	struct worker *worker = start_worker();
	struct counters counters = {0};
	const struct sigaction action = {.sa_handler = hang};

	(void)state;
	sem_init(&hanging, 0, 0);
	sem_init(&goes_on, 0, 0);
	sigaction(SIGUSR2, &action, NULL);
	assert_false(worker_is_silent(worker));
	worker_ask(worker);
	await_answer(worker);
	assert_int_equal(syscall(SYS_tgkill, getpid(), find_thread(), SIGUSR2), 0);
	while (sem_wait(&hanging) == -1)
		;
	worker_ask(worker);
	assert_true(worker_is_silent(worker));
	sem_post(&goes_on);
	await_answer(worker);
	worker_command(worker, WORKER_STOP);
	assert_ends(worker);
	worker_ask(worker);
	assert_false(worker_is_silent(worker));
	assert_true(worker_join(worker, &counters));
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
	assert_ends(worker);
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
	assert_ends(worker);
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
	worker = worker_new(0, reports, &first, &failure);
	assert_non_null(worker);
	assert_int_not_equal(dup2(nothing, find_epoll()), -1);
	assert_int_equal(worker_start(worker, NULL, &failure), -1);
	assert_null(failure.bind);
	assert_int_equal(failure.error, EINVAL);
	assert_true(worker_join(worker, &counters));
	close(nothing);
}

/* Leaves room for no more descriptors; returns the limit to go back to. */
static struct rlimit use_descriptors_up(void)
{
	int free_one = dup(reports);
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
	worker = worker_new(0, reports, &first, &failure);
	assert_null(worker);
	assert_int_equal(failure.error, EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	choose_address();
	worker = worker_new(0, reports, &first, &failure);
	assert_non_null(worker);
	before = use_descriptors_up();
	assert_int_equal(worker_start(worker, NULL, &failure), -1);
	assert_int_equal(failure.error, EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_true(worker_join(worker, &counters));
}

/* --- a reload --- */

static struct bind newer[2];
static struct proxy newer_section = {.name = "web", .binds = newer, .bind_count = 2};
static struct config newer_config = {
	.global.logs = {&target, 1}, .proxies = &newer_section, .proxy_count = 1};
static struct generation second;

/* A generation that follows the first one, with the addresses in `newer`. */
static void make_generation(void)
{
	second = (struct generation){.config = &newer_config};
	second.log = log_renew(first.log, &newer_config);
	second.counterparts = counterparts_find(&newer_config, &config);
	second.limits = limits_renew(first.limits, &newer_config, second.counterparts);
	second.tallies = tallies_renew(first.tallies, &newer_config, second.counterparts);
	assert_non_null(second.limits);
}

static void free_generation(void)
{
	assert_int_equal(second.users, 0);
	log_free(second.log);
	limits_free(second.limits);
	tallies_free(second.tallies);
	counterparts_free(second.counterparts);
}

static void join(struct worker *worker)
{
	struct counters counters = {0};

	worker_command(worker, WORKER_STOP);
	assert_true(worker_join(worker, &counters));
	assert_int_equal(first.users, 0);
}

static void handed_a_generation_over_it_serves_that_one_and_leaves_the_first(void **state)
{
	struct worker *worker = start_worker();
	struct listener_failure failure;

	(void)state;
	newer[0] = address;
	close(take_port(&newer[1].address));
	make_generation();
	assert_int_equal(second.counterparts->kept, 1);
	assert_int_equal(worker_prepare(worker, &second, true, &failure), 0);
	assert_int_equal(try_to_connect_to(&newer[1].address), ECONNREFUSED);
	assert_int_equal(worker_listen(worker, &failure), 0);
	assert_true(worker_is_settled(worker));
	worker_succeed(worker);
	while (!worker_is_settled(worker) || first.users > 0)
		await_report();
	assert_int_equal(second.users, 1);
	assert_int_equal(try_to_connect(), 0);
	assert_int_equal(try_to_connect_to(&newer[1].address), 0);
	join(worker);
	free_generation();
}

static void a_generation_that_cannot_be_bound_leaves_nothing(void **state)
{
	struct worker *worker = start_worker();
	struct listener_failure failure;
	int taken = take_port(&newer[1].address);

	(void)state;
	close(take_port(&newer[0].address));
	assert_int_equal(listen(taken, 1), 0);
	make_generation();
	assert_int_equal(worker_prepare(worker, &second, true, &failure), -1);
	assert_ptr_equal(failure.bind, &newer[1]);
	assert_int_equal(failure.error, EADDRINUSE);
	worker_abandon(worker);
	assert_int_equal(second.users, 0);
	assert_int_equal(try_to_connect_to(&newer[0].address), ECONNREFUSED);
	assert_int_equal(try_to_connect(), 0);
	close(taken);
	assert_int_equal(worker_prepare(worker, &second, true, &failure), 0);
	assert_int_equal(worker_listen(worker, &failure), 0);
	worker_abandon(worker);
	assert_int_equal(second.users, 0);
	assert_int_equal(try_to_connect_to(&newer[0].address), ECONNREFUSED);
	join(worker);
	free_generation();
}

/* A worker that has ended takes nothing on, and holds up no reload. */
static void handed_over_to_a_worker_that_has_ended_a_generation_is_given_back(void **state)
{
	struct worker *worker = start_worker();
	struct listener_failure failure;

	(void)state;
	newer[0] = address;
	close(take_port(&newer[1].address));
	make_generation();
	assert_int_equal(worker_prepare(worker, &second, true, &failure), 0);
	assert_int_equal(worker_listen(worker, &failure), 0);
	worker_command(worker, WORKER_STOP);
	assert_ends(worker);
	worker_succeed(worker);
	assert_int_equal(second.users, 1);
	assert_true(worker_is_settled(worker));
	assert_int_equal(second.users, 0);
	assert_int_equal(try_to_connect_to(&newer[1].address), ECONNREFUSED);
	join(worker);
	free_generation();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ordered_to_stop_it_ends_well),
		cmocka_unit_test(one_that_hangs_does_not_answer),
		cmocka_unit_test(with_a_broken_loop_it_says_so_and_listens_no_more),
		cmocka_unit_test(one_that_could_not_be_started_is_taken_apart),
		cmocka_unit_test(a_want_of_descriptors_is_named),
		cmocka_unit_test(handed_a_generation_over_it_serves_that_one_and_leaves_the_first),
		cmocka_unit_test(a_generation_that_cannot_be_bound_leaves_nothing),
		cmocka_unit_test(handed_over_to_a_worker_that_has_ended_a_generation_is_given_back),
	};

	return cmocka_run_group_tests_name("worker", tests, set_up, tear_down);
}
