/*
 * From a file to the generation that may follow another one.
 */
#include "ops/reload.h"

#include "ops/workers.h"
#include "unit.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/tproxyd-reload-XXXXXX";
static char path[64], log_path[64];

static int make_folder(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/a.cfg", folder);
	snprintf(log_path, sizeof(log_path), "%s/log", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(path);
	unlink(log_path);
	return rmdir(folder);
}

#define SECTION                                                                                    \
	"listen web\n mode tcp\n bind 127.0.0.1:7080\n server s 127.0.0.1:7090\n"                  \
	" timeout connect 1s\n timeout client 1s\n timeout server 1s\n"

static void write_file(const char *global, const char *rest)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	fprintf(file, "global\n nbthread 2\n log file@%s format raw local0\n%s%s", log_path, global,
		rest);
	fclose(file);
}

static const char *log_text(void)
{
	static char text[8192];
	int fd = open(log_path, O_RDONLY | O_CLOEXEC);
	ssize_t length = read(fd, text, sizeof(text) - 1);

	assert_true(length >= 0);
	text[length] = '\0';
	close(fd);
	return text;
}

struct running {
	struct generation *first;
	struct permanent permanent;
};

/* As a daemon is after its start, with an empty log. */
static struct running run(const char *global)
{
	struct running running = {0};
	struct diag *diag = diag_new();
	struct config *config;

	unlink(log_path);
	write_file(global, SECTION);
	config = config_load(path, diag);
	assert_non_null(config);
	diag_free(diag);
	running.first = generation_new(config);
	running.first->log = log_new(config, NULL);
	running.first->limits = limits_new(config, 100);
	running.first->tallies = tallies_new(config, 2);
	assert_int_equal(permanent_set(&running.permanent, &config->global), 0);
	running.permanent.descriptors =
		descriptors_measure(&running.first->config->global, 2, running.first->log);
	log_started(running.first->log);
	return running;
}

static struct generation *read_again(struct running *running)
{
	return reload_read(path, running->first, &running->permanent);
}

static void stop(struct running *running)
{
	generation_free(running->first);
	permanent_clear(&running->permanent);
}

static void a_good_file_becomes_a_generation_that_shares_what_stays(void **state)
{
	struct running running = run("");
	struct generation *next;

	(void)state;
	write_file(" maxconn 7\n", SECTION " bind 127.0.0.1:7081\n");
	next = read_again(&running);
	assert_non_null(next);
	assert_int_equal(next->maxconn, 7);
	assert_int_equal(next->counterparts->kept, 1);
	assert_ptr_equal(limits_process(next->limits), limits_process(running.first->limits));
	assert_int_equal(log_places(next->log), 2);
	assert_string_equal(log_text(), "");
	generation_free(next);
	stop(&running);
}

static void all_errors_of_a_bad_file_are_logged(void **state)
{
	struct running running = run("");
	char first[128], second[128];

	(void)state;
	write_file("", "frobnicate\nlisten web\n mode tcp\n bind nowhere\n");
	assert_null(read_again(&running));
	snprintf(first, sizeof(first), "SIGHUP: %s:4: error: 'frobnicate': ", path);
	snprintf(second, sizeof(second), "SIGHUP: %s:7: error: 'nowhere': ", path);
	assert_non_null(strstr(log_text(), first));
	assert_non_null(strstr(log_text(), second));
	stop(&running);
}

static void a_word_that_comes_too_late_is_warned_of_once(void **state)
{
	struct running running = run(" user root\n pidfile /run/a.pid\n");
	struct generation *next;
	char expected[1024];

	(void)state;
	write_file(" user root\n pidfile /run/a.pid\n", SECTION);
	next = read_again(&running);
	generation_free(next);
	assert_string_equal(log_text(), "");
	write_file(" group root\n pidfile /run/b.pid\n", SECTION);
	running.permanent.descriptors.workers = 3;
	next = read_again(&running);
	assert_non_null(next);
	generation_free(next);
	snprintf(expected, sizeof(expected),
		"SIGHUP: %s: warning: 'nbthread': cannot change in a running process: 3 stays; restart tproxyd for 2\n"
		"SIGHUP: %s: warning: 'user': cannot change in a running process: root stays; restart tproxyd for none\n"
		"SIGHUP: %s: warning: 'group': cannot change in a running process: none stays; restart tproxyd for root\n"
		"SIGHUP: %s: warning: 'pidfile': cannot change in a running process: /run/a.pid stays; restart tproxyd for /run/b.pid\n",
		path, path, path, path);
	assert_string_equal(log_text(), expected);
	stop(&running);
}

static void a_file_whose_listeners_take_all_descriptors_is_refused(void **state)
{
	struct running running = run("");

	(void)state;
	running.permanent.descriptors.limit = 200;
	write_file("", SECTION " bind 127.0.0.1:8000-8200\n");
	assert_null(read_again(&running));
	assert_non_null(strstr(log_text(), "the descriptor limit of 200 is too low: 2 threads"));
	stop(&running);
}

static void reading_leaves_no_memory(void **state)
{
	struct running running = run("");
	size_t before = 0;

	(void)state;
	for (int round = 0; round < 20; round++) {
		write_file("", round % 2 == 0 ? SECTION : "frobnicate\n");
		generation_free(read_again(&running));
		if (round == 9)
			before = mallinfo2().uordblks;
	}
	assert_in_range(mallinfo2().uordblks, 0, before + 4096);
	stop(&running);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_file_becomes_a_generation_that_shares_what_stays),
		cmocka_unit_test(all_errors_of_a_bad_file_are_logged),
		cmocka_unit_test(a_word_that_comes_too_late_is_warned_of_once),
		cmocka_unit_test(a_file_whose_listeners_take_all_descriptors_is_refused),
		cmocka_unit_test(reading_leaves_no_memory),
	};

	return cmocka_run_group_tests_name("reload", tests, make_folder, remove_folder);
}
