/*
 * The pidfile: whose it is, what it does not write to, and what is left of it.
 */
#include "process/pidfile.h"

#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/tproxyd-pidfile-XXXXXX";
static char path[64], other[64];
static struct config config;
static struct log *complaints;
static int complained; /* the end of a pipe that is read */

static int set_up(void **state)
{
	int ends[2], real = dup(STDERR_FILENO);

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	if (mkdtemp(folder) == NULL || pipe2(ends, O_NONBLOCK) == -1)
		return -1;
	snprintf(path, sizeof(path), "%s/pid", folder);
	snprintf(other, sizeof(other), "%s/other", folder);
	dup2(ends[1], STDERR_FILENO);
	complaints = log_new(&config, NULL);
	dup2(real, STDERR_FILENO);
	complained = ends[0];
	return complaints == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	log_free(complaints);
	return rmdir(folder);
}

static void assert_complaint(const char *words)
{
	char text[512] = "";

	assert_true(read(complained, text, sizeof(text) - 1) > 0);
	assert_non_null(strstr(text, path));
	assert_non_null(strstr(text, words));
}

static void assert_file_holds(const char *name, const char *expected)
{
	char text[64] = "";
	int fd = open(name, O_RDONLY);

	assert_int_not_equal(fd, -1);
	assert_true(read(fd, text, sizeof(text) - 1) >= 0);
	assert_string_equal(text, expected);
	close(fd);
}

static void put_file(const char *name, const char *text)
{
	FILE *file = fopen(name, "w");

	fputs(text, file);
	fclose(file);
}

static void assert_own_number(void)
{
	char number[32];

	snprintf(number, sizeof(number), "%d\n", (int)getpid());
	assert_file_holds(path, number);
}

static void it_has_the_number_and_is_gone_at_the_end(void **state)
{
	struct pidfile pidfile;

	(void)state;
	assert_int_equal(pidfile_take(&pidfile, path, complaints), 0);
	assert_own_number();
	pidfile_drop(&pidfile);
	assert_int_equal(access(path, F_OK), -1);
	pidfile_drop(&pidfile);
}

static void what_a_killed_instance_left_is_taken_over(void **state)
{
	struct pidfile pidfile;

	(void)state;
	put_file(path, "123456789123456789\n");
	assert_int_equal(pidfile_take(&pidfile, path, complaints), 0);
	assert_own_number();
	pidfile_drop(&pidfile);
}

static void that_of_a_running_instance_is_left_alone(void **state)
{
	struct pidfile first, second;

	(void)state;
	assert_int_equal(pidfile_take(&first, path, complaints), 0);
	assert_int_equal(pidfile_take(&second, path, complaints), -1);
	assert_complaint("another tproxyd runs with it");
	pidfile_drop(&second);
	assert_own_number();
	pidfile_drop(&first);
}

static void a_symbolic_link_is_not_followed(void **state)
{
	struct pidfile pidfile;

	(void)state;
	put_file(other, "not for us\n");
	assert_int_equal(symlink(other, path), 0);
	assert_int_equal(pidfile_take(&pidfile, path, complaints), -1);
	assert_complaint("write the path that it leads to");
	assert_file_holds(other, "not for us\n");
	unlink(path);
	unlink(other);
}

static void a_file_with_another_name_is_not_written(void **state)
{
	struct pidfile pidfile;

	(void)state;
	put_file(other, "not for us\n");
	assert_int_equal(link(other, path), 0);
	assert_int_equal(pidfile_take(&pidfile, path, complaints), -1);
	assert_complaint("not a regular file");
	assert_file_holds(other, "not for us\n");
	unlink(path);
	unlink(other);
}

static void on_a_full_disk_no_empty_file_is_left(void **state)
{
	struct rlimit before, full;
	struct pidfile pidfile;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	full = (struct rlimit){.rlim_cur = 1, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
	assert_int_equal(pidfile_take(&pidfile, path, complaints), -1);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_complaint("No space left on device");
	assert_int_equal(access(path, F_OK), -1);
}

/* As after a change of user: the file stays open, and its folder may not be written. */
static int take_and_drop_without_the_folder(void)
{
	struct pidfile pidfile;

	if (pidfile_take(&pidfile, path, complaints) == -1 || chmod(folder, 0555) == -1)
		return 1;
	if (geteuid() == 0 && setresuid(65534, 65534, 65534) == -1)
		return 2;
	pidfile_drop(&pidfile);
	return 0;
}

static void where_it_may_not_be_removed_it_is_left_empty(void **state)
{
	struct pidfile pidfile;
	int status;
	pid_t child = fork();

	(void)state;
	if (child == 0)
		_exit(take_and_drop_without_the_folder());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_file_holds(path, "");
	assert_int_equal(chmod(folder, 0700), 0);
	assert_int_equal(pidfile_take(&pidfile, path, complaints), 0);
	assert_own_number();
	pidfile_drop(&pidfile);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_has_the_number_and_is_gone_at_the_end),
		cmocka_unit_test(what_a_killed_instance_left_is_taken_over),
		cmocka_unit_test(that_of_a_running_instance_is_left_alone),
		cmocka_unit_test(a_symbolic_link_is_not_followed),
		cmocka_unit_test(a_file_with_another_name_is_not_written),
		cmocka_unit_test(on_a_full_disk_no_empty_file_is_left),
		cmocka_unit_test(where_it_may_not_be_removed_it_is_left_empty),
	};

	return cmocka_run_group_tests_name("pidfile", tests, set_up, tear_down);
}
