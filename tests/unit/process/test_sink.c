/*
 * Places that take no line: none of them holds up who writes, whatever becomes of its reader.
 *
 * Each test hands the log a stdout of some kind. A log that waits would wait for good, so an alarm
 * ends the program then.
 */
#include "process/log.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum {
	PATIENCE = 60, /* seconds */
	MANY = 2000,
	THREADS = 4,
	AS_NOBODY = 65534
};

static char folder[] = "/tmp/tproxyd-sink-XXXXXX";
static char path[64], other[64];

static int set_up(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	alarm(PATIENCE);
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/target", folder);
	snprintf(other, sizeof(other), "%s/other", folder);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return rmdir(folder);
}

static struct log_target target;
static struct config config;

static struct log *log_to(enum log_kind kind)
{
	target = (struct log_target){
		.kind = kind, .path = path, .format = LOG_RAW, .max_level = LOG_DEBUG};
	config = (struct config){.global.logs = {&target, 1}};
	return log_new(&config, NULL);
}

/* A log whose stdout is that descriptor; the descriptor is closed. */
static struct log *log_to_stdout(int fd)
{
	int real = dup(STDOUT_FILENO);
	struct log *log;

	fflush(stdout);
	dup2(fd, STDOUT_FILENO);
	close(fd);
	log = log_to(LOG_TO_STDOUT);
	dup2(real, STDOUT_FILENO);
	close(real);
	assert_non_null(log);
	return log;
}

static void write_many(struct log *log)
{
	for (int i = 0; i < MANY; i++)
		log_line(log, NULL, LOG_INFO, "line %d %0512d", i, 0);
}

static void *write_many_in_a_thread(void *log)
{
	write_many(log);
	return NULL;
}

/* Reads what is there: whole lines, each of which begins as one of ours does. Returns how many. */
static unsigned long read_lines(int fd)
{
	static char text[1 << 20];
	size_t length = 0;
	unsigned long lines = 0;
	ssize_t got;

	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	while ((got = read(fd, text + length, sizeof(text) - 1 - length)) > 0)
		length += (size_t)got;
	text[length] = '\0';
	for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		assert_true(strncmp(line, "line ", 5) == 0 || strstr(line, "lost here: ") != NULL);
		lines++;
	}
	return lines;
}

static void a_full_pipe_loses_lines_of_all_threads_and_waits_for_no_reader(void **state)
{
	pthread_t threads[THREADS];
	struct log *log;
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	log = log_to_stdout(ends[1]);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_many_in_a_thread, log), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_true(log_lost(log) > 0);
	assert_int_equal(read_lines(ends[0]) + log_lost(log), THREADS * MANY);
	log_free(log);
	close(ends[0]);
}

/*
 * Several threads may find room for one line each between a question and a write. So there has to be
 * an open file for which the kernel answers at once, and it must not be the one that others have.
 */
static void the_log_has_an_open_file_of_its_own_that_does_not_block(void **state)
{
	struct stat pipe_file, file;
	struct log *log;
	int ends[2], shared, own = 0;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	shared = dup(ends[1]);
	assert_int_equal(fstat(shared, &pipe_file), 0);
	log = log_to_stdout(ends[1]);
	for (int fd = 3; fd < 64; fd++)
		if (fd != shared && fd != ends[0] && fstat(fd, &file) == 0 &&
			file.st_ino == pipe_file.st_ino && file.st_dev == pipe_file.st_dev)
			own = fd;
	assert_int_not_equal(own, 0);
	assert_true(fcntl(own, F_GETFL) & O_NONBLOCK);
	assert_false(fcntl(shared, F_GETFL) & O_NONBLOCK);
	log_free(log);
	close(shared);
	close(ends[0]);
}

/* The exit status of a child says what went wrong in it. */
static void in_a_child(int (*what)(void))
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		alarm(PATIENCE);
		_exit(what());
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static int write_to_a_pipe_of_another_user(void)
{
	int ends[2];
	struct log *log;

	if (pipe(ends) == -1 || fchmod(ends[1], 0) == -1)
		return 1;
	if (geteuid() == 0 && setresuid(AS_NOBODY, AS_NOBODY, AS_NOBODY) == -1)
		return 2;
	dup2(ends[1], STDOUT_FILENO);
	if (open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK) != -1)
		return 3;
	log = log_to(LOG_TO_STDOUT);
	write_many(log);
	return log_lost(log) > 0 ? 0 : 4;
}

static void a_pipe_that_may_not_be_opened_again_holds_up_no_writer_either(void **state)
{
	(void)state;
	in_a_child(write_to_a_pipe_of_another_user);
}

static int write_to_a_terminal_of_another_user(void)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY), terminal;
	struct log *log;

	if (setsid() == -1 || grantpt(master) == -1 || unlockpt(master) == -1)
		return 1;
	terminal = open(ptsname(master), O_RDWR);
	if (terminal == -1 || fchmod(terminal, 0) == -1)
		return 2;
	if (geteuid() == 0 && setresuid(AS_NOBODY, AS_NOBODY, AS_NOBODY) == -1)
		return 3;
	dup2(terminal, STDOUT_FILENO);
	if (open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK) != -1)
		return 4;
	log = log_to(LOG_TO_STDOUT);
	write_many(log);
	return log_lost(log) > 0 ? 0 : 5;
}

static void a_terminal_that_may_not_be_opened_again_holds_up_no_writer_either(void **state)
{
	(void)state;
	in_a_child(write_to_a_terminal_of_another_user);
}

static void a_socket_without_a_reader_loses_lines(void **state)
{
	struct log *log;
	int ends[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	log = log_to_stdout(ends[1]);
	write_many(log);
	assert_true(log_lost(log) > 0);
	assert_int_equal(read_lines(ends[0]) + log_lost(log), MANY);
	log_free(log);
	close(ends[0]);
}

static void a_stopped_terminal_loses_lines(void **state)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY), terminal;
	struct log *log;

	(void)state;
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
	assert_int_not_equal(terminal, -1);
	assert_int_equal(tcflow(terminal, TCOOFF), 0);
	log = log_to_stdout(terminal);
	log_line(log, NULL, LOG_INFO, "stopped");
	assert_int_equal(log_lost(log), 1);
	log_free(log);
	close(master);
}

static void a_terminal_without_a_reader_loses_lines(void **state)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY), terminal;
	struct log *log;

	(void)state;
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
	assert_int_not_equal(terminal, -1);
	log = log_to_stdout(terminal);
	write_many(log);
	assert_true(log_lost(log) > 0);
	log_free(log);
	close(master);
}

static void a_pipe_without_an_other_end_loses_lines(void **state)
{
	struct log *log;
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	log = log_to_stdout(ends[1]);
	close(ends[0]);
	write_many(log);
	assert_int_equal(log_lost(log), MANY);
	log_free(log);
}

static void without_a_log_line_a_full_stderr_loses_warnings(void **state)
{
	struct config none = {0};
	int ends[2], real = dup(STDERR_FILENO);
	struct log *log;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	log = log_new(&none, NULL);
	dup2(real, STDERR_FILENO);
	for (int i = 0; i < MANY; i++) {
		log_line(log, NULL, LOG_WARNING, "%0512d", i);
		log_complain(log, "%0512d", i);
	}
	log_line(log, NULL, LOG_NOTICE, "not urgent enough");
	assert_true(log_lost(log) > 0);
	log_free(log);
	close(ends[0]);
	close(ends[1]);
	close(real);
}

static void what_was_lost_is_said_as_soon_as_lines_are_taken_again(void **state)
{
	char text[256] = "", expected[128];
	struct log *log;
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	log = log_to_stdout(ends[1]);
	write_many(log);
	read_lines(ends[0]);
	log_line(log, NULL, LOG_INFO, "line again");
	assert_true(read(ends[0], text, sizeof(text) - 1) > 0);
	snprintf(expected, sizeof(expected), "log lines lost here: %lu (%s)\nline again\n",
		(unsigned long)log_lost(log), strerror(EAGAIN));
	assert_string_equal(text, expected);
	log_free(log);
	close(ends[0]);
}

/* --- files --- */

static void put_file(const char *name, const char *text)
{
	FILE *file = fopen(name, "w");

	fputs(text, file);
	fclose(file);
}

static void assert_file_holds(const char *name, const char *expected)
{
	char text[512] = "";
	int fd = open(name, O_RDONLY);

	assert_true(read(fd, text, sizeof(text) - 1) >= 0);
	assert_string_equal(text, expected);
	close(fd);
	unlink(name);
}

static void a_file_is_opened_again_by_its_path(void **state)
{
	struct log *log = log_to(LOG_TO_FILE);
	char text[256];

	(void)state;
	log_line(log, NULL, LOG_INFO, "before");
	assert_int_equal(rename(path, other), 0);
	log_line(log, NULL, LOG_INFO, "meanwhile");
	log_reopen(log);
	log_line(log, NULL, LOG_INFO, "after");
	log_free(log);
	assert_file_holds(other, "before\nmeanwhile\n");
	snprintf(text, sizeof(text), "SIGHUP: reopened the log file %s\nafter\n", path);
	assert_file_holds(path, text);
}

static void a_file_that_cannot_be_reopened_is_kept_and_the_reason_logged(void **state)
{
	struct log *log = log_to(LOG_TO_FILE);
	char text[512];

	(void)state;
	log_line(log, NULL, LOG_INFO, "before");
	assert_int_equal(rename(path, other), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	log_reopen(log);
	log_line(log, NULL, LOG_INFO, "after");
	log_free(log);
	snprintf(text, sizeof(text),
		"before\nSIGHUP: cannot reopen the log file %s: %s; lines still go to the file that was open before\nafter\n",
		path, strerror(EISDIR));
	assert_file_holds(other, text);
	rmdir(path);
}

/* The error that keeps a log from being made, as stderr has it. */
static void assert_refused(const char *words)
{
	char text[512] = "";
	int ends[2], real = dup(STDERR_FILENO);
	struct log *log;

	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	log = log_to(LOG_TO_FILE);
	dup2(real, STDERR_FILENO);
	close(ends[1]);
	close(real);
	assert_null(log);
	assert_true(read(ends[0], text, sizeof(text) - 1) > 0);
	close(ends[0]);
	assert_non_null(strstr(text, path));
	assert_non_null(strstr(text, words));
}

static void a_symbolic_link_is_not_followed(void **state)
{
	(void)state;
	put_file(other, "not for us\n");
	assert_int_equal(symlink(other, path), 0);
	assert_refused("write the path that it leads to");
	unlink(path);
	assert_file_holds(other, "not for us\n");
}

static void a_fifo_without_a_reader_is_not_waited_for(void **state)
{
	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_refused("start its reader first");
	unlink(path);
}

static void a_full_disk_loses_lines_and_the_next_one_begins_anew(void **state)
{
	struct log *log = log_to(LOG_TO_FILE);
	struct rlimit before, full;
	char text[256];

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	full = (struct rlimit){.rlim_cur = 10, .rlim_max = before.rlim_max};
	log_line(log, NULL, LOG_INFO, "first");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
	log_line(log, NULL, LOG_INFO, "second");
	log_line(log, NULL, LOG_INFO, "third");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	log_line(log, NULL, LOG_INFO, "fourth");
	assert_int_equal(log_lost(log), 2);
	log_free(log);
	snprintf(text, sizeof(text), "first\nseco\nlog lines lost here: 2 (%s)\nfourth\n",
		strerror(EFBIG));
	assert_file_holds(path, text);
}

static void a_syslog_socket_that_is_not_there_is_complained_of(void **state)
{
	char text[512] = "";
	int ends[2], real = dup(STDERR_FILENO);
	struct log *log;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	log = log_to(LOG_TO_UNIX);
	log_check(log);
	dup2(real, STDERR_FILENO);
	close(ends[1]);
	close(real);
	log_free(log);
	assert_true(read(ends[0], text, sizeof(text) - 1) > 0);
	assert_non_null(strstr(text, path));
	assert_non_null(strstr(text, strerror(ENOENT)));
	close(ends[0]);
}

static void a_syslog_socket_that_is_there_is_not(void **state)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int receiver = socket(AF_UNIX, SOCK_DGRAM, 0), ends[2], real = dup(STDERR_FILENO);
	struct log *log;
	char text[16];

	(void)state;
	strcpy(un.sun_path, path);
	assert_int_equal(bind(receiver, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	log = log_to(LOG_TO_UNIX);
	log_check(log);
	dup2(real, STDERR_FILENO);
	close(ends[1]);
	close(real);
	log_free(log);
	assert_int_equal(read(ends[0], text, sizeof(text)), 0);
	close(ends[0]);
	close(receiver);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_pipe_loses_lines_of_all_threads_and_waits_for_no_reader),
		cmocka_unit_test(the_log_has_an_open_file_of_its_own_that_does_not_block),
		cmocka_unit_test(a_pipe_that_may_not_be_opened_again_holds_up_no_writer_either),
		cmocka_unit_test(a_terminal_that_may_not_be_opened_again_holds_up_no_writer_either),
		cmocka_unit_test(a_socket_without_a_reader_loses_lines),
		cmocka_unit_test(a_stopped_terminal_loses_lines),
		cmocka_unit_test(a_terminal_without_a_reader_loses_lines),
		cmocka_unit_test(a_pipe_without_an_other_end_loses_lines),
		cmocka_unit_test(without_a_log_line_a_full_stderr_loses_warnings),
		cmocka_unit_test(what_was_lost_is_said_as_soon_as_lines_are_taken_again),
		cmocka_unit_test(a_file_is_opened_again_by_its_path),
		cmocka_unit_test(a_file_that_cannot_be_reopened_is_kept_and_the_reason_logged),
		cmocka_unit_test(a_symbolic_link_is_not_followed),
		cmocka_unit_test(a_fifo_without_a_reader_is_not_waited_for),
		cmocka_unit_test(a_full_disk_loses_lines_and_the_next_one_begins_anew),
		cmocka_unit_test(a_syslog_socket_that_is_not_there_is_complained_of),
		cmocka_unit_test(a_syslog_socket_that_is_there_is_not),
	};

	return cmocka_run_group_tests_name("sink", tests, set_up, tear_down);
}
