/*
 * Versions: saving, what is kept, what is refused, and that the file stays as it was where a save fails.
 */
#include "unit.h"

#include "edit/versions.h"
#include "tproxy/text.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* A folder of the test's own, in which it runs. */
static char folder[] = "/tmp/versions-XXXXXX";
static char home[4096];

static int enter_folder(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/versions-XXXXXX");
	return getcwd(home, sizeof(home)) == NULL || mkdtemp(folder) == NULL || chdir(folder) == -1;
}

static int leave_folder(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return chdir(home) == -1 || system(command) != 0;
}

static void write_file(const char *path, const char *text)
{
	FILE *out = fopen(path, "w");

	assert_non_null(out);
	fputs(text, out);
	assert_int_equal(fclose(out), 0);
}

static void expect_file(const char *path, const char *expected)
{
	char text[256];
	FILE *in = fopen(path, "r");
	size_t length;

	assert_non_null(in);
	length = fread(text, 1, sizeof(text) - 1, in);
	text[length] = '\0';
	fclose(in);
	assert_string_equal(text, expected);
}

static const char *digest_of(const char *text)
{
	static char digest[DIGEST_TEXT];

	digest_text(text, strlen(text), digest);
	return digest;
}

/* Saves TEXT over BEFORE, which must succeed. */
static void save(const char *path, const char *before, const char *text, const char *who)
{
	char *other, *problem;
	size_t length;
	enum save_result result = versions_save(
		path, NULL, text, strlen(text), digest_of(before), who, &other, &length, &problem);

	if (problem != NULL)
		print_error("%s\n", problem);
	assert_int_equal(result, SAVE_DONE);
	assert_null(problem);
	assert_null(other);
}

/* Saves TEXT over BEFORE, which must fail with a problem that has PART in it. */
static void expect_failure(const char *path, const char *before, const char *part)
{
	char *other, *problem;
	size_t length;

	assert_int_equal(versions_save(path, NULL, "new\n", 4, digest_of(before), NULL, &other,
				 &length, &problem),
		SAVE_FAILED);
	assert_non_null(problem);
	if (strstr(problem, part) == NULL)
		print_error("%s\n", problem);
	assert_non_null(strstr(problem, part));
	free(problem);
}

static json_t *list(const char *path)
{
	char *problem;
	json_t *versions = versions_list(path, NULL, &problem);

	assert_non_null(versions);
	return versions;
}

static const char *text_of(const json_t *versions, size_t index, const char *key)
{
	return json_string_value(json_object_get(json_array_get(versions, index), key));
}

static void a_save_replaces_the_file_and_keeps_both_texts(void **state)
{
	char *problem, *text;
	json_t *versions;
	size_t length;

	(void)state;
	write_file("a.cfg", "one\n");
	save("a.cfg", "one\n", "two\n", "ann");
	expect_file("a.cfg", "two\n");
	versions = list("a.cfg");
	assert_int_equal(json_array_size(versions), 2);
	assert_string_equal(text_of(versions, 0, "who"), "ann");
	assert_string_equal(text_of(versions, 1, "who"), "");
	assert_string_equal(text_of(versions, 0, "digest"), digest_of("two\n"));
	assert_true(json_is_true(json_object_get(json_array_get(versions, 0), "current")));
	assert_true(json_is_false(json_object_get(json_array_get(versions, 1), "current")));
	text = versions_read("a.cfg", NULL, text_of(versions, 1, "id"), &length, &problem);
	assert_string_equal(text, "one\n");
	assert_int_equal(length, 4);
	free(text);
	json_decref(versions);
}

static void a_file_that_is_not_there_is_an_empty_text(void **state)
{
	struct stat status;

	(void)state;
	assert_string_equal(digest_of(""), EMPTY);
	save("new.cfg", "", "one\n", NULL);
	expect_file("new.cfg", "one\n");
	assert_int_equal(stat("new.cfg", &status), 0);
	assert_int_equal(status.st_mode & 07777, 0644);
}

static void the_second_of_two_is_refused_and_gets_the_text(void **state)
{
	char *other, *problem;
	size_t length;

	(void)state;
	write_file("a.cfg", "one\n");
	save("a.cfg", "one\n", "two\n", NULL);
	assert_int_equal(versions_save("a.cfg", NULL, "three\n", 6, digest_of("one\n"), NULL,
				 &other, &length, &problem),
		SAVE_STALE);
	assert_string_equal(other, "two\n");
	assert_int_equal(length, 4);
	free(other);
	expect_file("a.cfg", "two\n");
}

static void what_was_written_in_another_way_is_kept(void **state)
{
	json_t *versions;

	(void)state;
	write_file("a.cfg", "one\n");
	save("a.cfg", "one\n", "two\n", NULL);
	write_file("a.cfg", "by hand\n");
	save("a.cfg", "by hand\n", "three\n", NULL);
	versions = list("a.cfg");
	assert_int_equal(json_array_size(versions), 4);
	assert_string_equal(text_of(versions, 1, "digest"), digest_of("by hand\n"));
	json_decref(versions);
}

static void the_last_twenty_are_kept(void **state)
{
	char before[16] = "", text[16] = "";
	json_t *versions;

	(void)state;
	for (int i = 0; i < VERSIONS_KEPT + 5; i++) {
		snprintf(text, sizeof(text), "%d\n", i);
		save("a.cfg", before, text, "someone");
		memcpy(before, text, sizeof(text));
	}
	versions = list("a.cfg");
	assert_int_equal(json_array_size(versions), VERSIONS_KEPT);
	for (int i = 0; i < VERSIONS_KEPT; i++) {
		snprintf(text, sizeof(text), "%d\n", VERSIONS_KEPT + 4 - i);
		assert_string_equal(text_of(versions, (size_t)i, "digest"), digest_of(text));
	}
	json_decref(versions);
	/* Nothing else is left: a lock, and two files for each version. */
	assert_int_equal(
		system("test $(ls -A a.cfg.versions | wc -l) = 41 && test $(ls -A | wc -l) = 2"),
		0);
}

static void mode_and_link_stay(void **state)
{
	struct stat status;

	(void)state;
	write_file("real.cfg", "one\n");
	assert_int_equal(chmod("real.cfg", 0640), 0);
	assert_int_equal(mkdir("links", 0755), 0);
	assert_int_equal(symlink("../real.cfg", "links/a.cfg"), 0);
	save("links/a.cfg", "one\n", "two\n", NULL);
	assert_int_equal(lstat("links/a.cfg", &status), 0);
	assert_true(S_ISLNK(status.st_mode));
	expect_file("real.cfg", "two\n");
	assert_int_equal(stat("real.cfg", &status), 0);
	assert_int_equal(status.st_mode & 07777, 0640);
	assert_int_equal(stat("real.cfg.versions", &status), 0);
	assert_int_equal(status.st_mode & 07777, 0750);
}

static void owner_and_group_stay(void **state)
{
	struct stat status;

	(void)state;
	if (geteuid() != 0)
		skip();
	write_file("a.cfg", "one\n");
	if (chown("a.cfg", 1234, 4321) == -1)
		skip(); /* root of a user namespace alone */
	save("a.cfg", "one\n", "two\n", "ann");
	assert_int_equal(stat("a.cfg", &status), 0);
	assert_int_equal(status.st_uid, 1234);
	assert_int_equal(status.st_gid, 4321);
	assert_int_equal(stat("a.cfg.versions", &status), 0);
	assert_int_equal(status.st_uid, 1234);
	assert_int_equal(stat("a.cfg.versions/lock", &status), 0);
	assert_int_equal(status.st_uid, 1234);
	assert_int_equal(status.st_mode & 07777, 0600);
}

/* Runs TEST as an ordinary user, since root may write anywhere. */
static void as_user(void (*test)(void))
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		if (geteuid() == 0 && (setgid(65534) == -1 || setuid(65534) == -1))
			_exit(2);
		test();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
		skip(); /* root of a user namespace alone */
	assert_int_equal(status, 0);
}

static void save_without_the_right(void)
{
	expect_failure("a.cfg", "one\n", "needs the right to write in");
}

static void a_folder_that_cannot_be_written_is_an_error(void **state)
{
	(void)state;
	write_file("a.cfg", "one\n");
	assert_int_equal(chmod(".", 0555), 0);
	as_user(save_without_the_right);
	assert_int_equal(chmod(".", 0755), 0);
	expect_file("a.cfg", "one\n");
}

static void save_of_another_user(void)
{
	expect_failure("a.cfg", "one\n", "belongs to another user");
}

static void a_file_of_another_user_is_not_taken_over(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	write_file("a.cfg", "one\n");
	assert_int_equal(chmod(".", 0777), 0);
	as_user(save_of_another_user);
	expect_file("a.cfg", "one\n");
}

static void what_is_no_file_is_an_error(void **state)
{
	(void)state;
	assert_int_equal(symlink("nowhere", "broken.cfg"), 0);
	expect_failure("broken.cfg", "", "symbolic link to a file that is not there");
	assert_int_equal(mkdir("folder.cfg", 0755), 0);
	expect_failure("folder.cfg", "", "cannot be read: not a regular file");
	expect_failure("no/where.cfg", "", "No such file or directory");
}

/* The name under which the new text is written is that of a folder, so the file cannot be replaced. */
static void a_failed_save_leaves_no_version(void **state)
{
	char name[64];
	json_t *versions;

	(void)state;
	write_file("a.cfg", "one\n");
	save("a.cfg", "one\n", "two\n", NULL);
	snprintf(name, sizeof(name), "a.cfg.new-%ld", (long)getpid());
	assert_int_equal(mkdir(name, 0755), 0);
	expect_failure("a.cfg", "two\n", "cannot be written: File exists");
	expect_file("a.cfg", "two\n");
	versions = list("a.cfg");
	assert_int_equal(json_array_size(versions), 2);
	json_decref(versions);
}

static void a_version_is_no_path(void **state)
{
	static const char *const ids[] = {"../a.cfg", "", "lock", "1", "/etc/passwd",
		"0000000000000000-000000000000000g", "0000000000000000-0000000000000000/../x"};
	char *problem;
	size_t length;

	(void)state;
	write_file("a.cfg", "one\n");
	save("a.cfg", "one\n", "two\n", NULL);
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		assert_null(versions_read("a.cfg", NULL, ids[i], &length, &problem));
		assert_non_null(problem);
		free(problem);
	}
}

/* Who owns the folder may put a link there; who reads may be root. */
static void a_link_is_no_version(void **state)
{
	static const char id[] = "1895711259772977-a461e9c24f5a8922";
	char *problem = NULL, *text, *path = text_format("a.cfg.versions/%s", id);
	size_t length;
	json_t *versions;

	(void)state;
	write_file("secret", "not for all\n");
	save("a.cfg", "", "one\n", NULL);
	assert_int_equal(symlink("../secret", path), 0);
	text = versions_read("a.cfg", NULL, id, &length, &problem);
	assert_null(text);
	assert_non_null(problem);
	free(problem);
	versions = list("a.cfg");
	assert_int_equal(json_array_size(versions), 1);
	json_decref(versions);
	free(path);
}

static void nothing_saved_is_an_empty_list(void **state)
{
	json_t *versions;

	(void)state;
	write_file("a.cfg", "one\n");
	versions = list("a.cfg");
	assert_int_equal(json_array_size(versions), 0);
	json_decref(versions);
}

/* Ten processes save at once, over the same text: one of them does, and the others are refused. */
static void of_many_at_once_one_saves(void **state)
{
	int statuses[3] = {0};

	(void)state;
	write_file("a.cfg", "one\n");
	for (int i = 0; i < 10; i++)
		if (fork() == 0) {
			char text[16], *other, *problem;
			size_t length;

			snprintf(text, sizeof(text), "%d\n", i);
			_exit((int)versions_save("a.cfg", NULL, text, strlen(text),
				digest_of("one\n"), NULL, &other, &length, &problem));
		}
	for (int i = 0; i < 10; i++) {
		int status;

		assert_true(wait(&status) > 0 && WIFEXITED(status));
		statuses[WEXITSTATUS(status)]++;
	}
	assert_int_equal(statuses[SAVE_DONE], 1);
	assert_int_equal(statuses[SAVE_STALE], 9);
}

#define in_folder(test) cmocka_unit_test_setup_teardown(test, enter_folder, leave_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_folder(a_save_replaces_the_file_and_keeps_both_texts),
		in_folder(a_file_that_is_not_there_is_an_empty_text),
		in_folder(the_second_of_two_is_refused_and_gets_the_text),
		in_folder(what_was_written_in_another_way_is_kept),
		in_folder(the_last_twenty_are_kept),
		in_folder(mode_and_link_stay),
		in_folder(owner_and_group_stay),
		in_folder(a_folder_that_cannot_be_written_is_an_error),
		in_folder(a_file_of_another_user_is_not_taken_over),
		in_folder(what_is_no_file_is_an_error),
		in_folder(a_failed_save_leaves_no_version),
		in_folder(a_version_is_no_path),
		in_folder(a_link_is_no_version),
		in_folder(nothing_saved_is_an_empty_list),
		in_folder(of_many_at_once_one_saves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
